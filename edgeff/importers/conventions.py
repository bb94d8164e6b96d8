"""What a network must keep to be written to a file or read from one.

In goes a Network; nothing comes out but a refusal: layers whose parameters do not fit their inputs, numbers that are not finite,
quantisation outside the TFLite 8-bit specification, names a file cannot hold. Exporters ask before they write, importers after they have
read.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edgeff.errors import BadInput, Unsupported, one_line
from edgeff.ir import Array, Layer, Network, Quant

OPS = ("dense", "softmax", "normalise", "label")
MAX_NAME_CHARACTERS = 4096
MAX_ELEMENTS = 1 << 24
"""Elements of an input or an activation; parameters are bounded by the file that holds them."""
BIAS_SCALE_TOLERANCE = 1e-5
"""Relative: a float32 product of two float32 scales is off by less than 2e-7."""


def short(name: object) -> str:
    """``name`` quoted on one line of at most 80 characters, for messages.

    >>> short("a\\nb")
    "'a\\\\nb'"
    """
    return f"'{one_line(str(name), 78)}'"


def check(network: Network) -> None:
    """Returns nothing; raises BadInput or Unsupported with the layer's name when ``network`` breaks a convention (cost: one pass over the
    parameters).
    """
    if network.numeric == "int16":
        raise Unsupported(f"network {short(network.name)}", got="int16 parameters", allowed="float32 and int8 in model files")
    check_name(network.name, "network", empty_allowed=True)
    _check_shape(network.input_shape, "input")
    quantised = network.input_quant is not None
    if network.input_quant is not None:
        _check_quant(network.input_quant, "input", -128, 127)
    shapes: dict[str, tuple[int, ...]] = {"input": network.input_shape}
    quants: dict[str, Quant | None] = {"input": network.input_quant}
    for layer in network:
        check_name(layer.name, "layer")
        where = f"layer {short(layer.name)}"
        if layer.op not in OPS:
            raise Unsupported(where, got=f"kind {short(layer.op)}", allowed=", ".join(OPS))
        if len(layer.inputs) != 1:
            raise BadInput(where, got=f"{len(layer.inputs)} inputs", allowed="one")
        _check_layer(layer, shapes[layer.inputs[0]], quants[layer.inputs[0]], where)
        shapes[layer.name] = layer.shape
        quants[layer.name] = layer.quant.get("output") if quantised else None


def check_name(name: str, what: str, *, empty_allowed: bool = False) -> None:
    """Returns nothing; raises BadInput for a name that is empty, too long, or no valid Unicode."""
    if not name and not empty_allowed:
        raise BadInput(f"{what} name", got="an empty one", allowed="1 character or more")
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadInput(f"{what} {short(name)}", got=f"a name of {len(name)} characters", allowed=f"at most {MAX_NAME_CHARACTERS}")
    if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
        raise BadInput(f"{what} {short(name)}", got="a lone surrogate in the name", allowed="valid Unicode")


def check_finite(array: Array, where: str) -> None:
    """Returns nothing; raises BadInput with the count of NaN and infinite elements of a float array, if there are any."""
    if array.dtype.kind == "f":
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise BadInput(where, got=f"{bad} NaN or infinite of {array.size} values", allowed="finite numbers")


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 1 or not 1 <= prod(shape) <= MAX_ELEMENTS:
        raise BadInput(f"shape of {where}", got=shape, allowed=f"one axis of 1 to {MAX_ELEMENTS} elements, without the batch axis")


def _check_layer(layer: Layer, input_shape: tuple[int, ...], input_quant: Quant | None, where: str) -> None:
    _check_shape(layer.shape, where)
    if layer.op == "dense":
        _check_dense(layer, input_shape, input_quant is not None, where)
    elif layer.op == "label":
        _check_label(layer, input_shape, where)
    elif layer.shape != input_shape or layer.params:
        raise BadInput(where, got=f"shape {layer.shape}, {len(layer.params)} parameters", allowed=f"shape {input_shape}, none")
    if layer.op == "normalise":
        eps = layer.attrs.get("eps")
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < float(np.finfo(np.float32).max):
            raise BadInput(f"{where}, eps", got=eps, allowed="a finite number, 0 or more")
    expected = {"output", *layer.params} if input_quant is not None else set()
    if set(layer.quant) != expected:
        raise BadInput(f"{where}, quantisation of", got=sorted(layer.quant), allowed=sorted(expected) or "nothing in a float network")
    if input_quant is not None:
        _check_quant(layer.quant["output"], f"{where}, output", -128, 127)
        if layer.op == "dense":
            _check_dense_quant(layer, input_quant, where)


def _check_label(layer: Layer, input_shape: tuple[int, ...], where: str) -> None:
    classes = layer.attrs.get("classes")
    if (
        isinstance(classes, bool)
        or not isinstance(classes, int)
        or layer.shape != (classes + prod(input_shape),)
        or layer.params
        or classes < 1
    ):
        raise BadInput(
            f"{where}, classes",
            got=f"{classes} for {input_shape} to {layer.shape}",
            allowed="1 or more, that many more outputs than inputs",
        )
    for name in ("on", "neutral"):
        value = layer.attrs.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float(np.finfo(np.float32).max):
            raise BadInput(f"{where}, {name}", got=value, allowed="a finite number")


def _check_dense(layer: Layer, input_shape: tuple[int, ...], quantised: bool, where: str) -> None:
    if layer.attrs.get("activation") not in ("relu", "none"):
        raise Unsupported(f"{where}, activation", got=layer.attrs.get("activation"), allowed="relu, none")
    if not {"weight"} <= set(layer.params) <= {"weight", "bias"}:
        raise BadInput(f"{where}, parameters", got=sorted(layer.params), allowed="weight, and bias or none")
    shapes = {"weight": (*layer.shape, *input_shape), "bias": layer.shape}
    dtypes = {"weight": "int8", "bias": "int32"} if quantised else {"weight": "float32", "bias": "float32"}
    for key, array in layer.params.items():
        if array.shape != shapes[key] or array.dtype != dtypes[key]:
            raise BadInput(f"{where}, {key}", got=f"{array.dtype} {array.shape}", allowed=f"{dtypes[key]} {shapes[key]}")
        check_finite(array, f"{where}, {key}")
    if quantised and int(layer.params["weight"].min()) == -128:
        raise BadInput(f"{where}, weight", got="the value -128", allowed="-127 to 127 (TFLite 8-bit specification)")


def _check_dense_quant(layer: Layer, input_quant: Quant, where: str) -> None:
    weight = layer.quant["weight"]
    for key in layer.params:
        quant = layer.quant[key]
        _check_quant(quant, f"{where}, {key}", 0, 0, channels=layer.shape[0])
        if quant.axis != weight.axis:
            raise BadInput(f"{where}, {key}", got=f"quantisation axis {quant.axis}", allowed=f"{weight.axis}, that of the weights")
    if "bias" in layer.params:
        product = input_quant.scales() * weight.scales()
        error = np.abs(layer.quant["bias"].scales() - product)
        if np.any(error > BIAS_SCALE_TOLERANCE * product):
            worst = int(np.argmax(error / product))
            raise BadInput(
                f"{where}, bias scale",
                got=layer.quant["bias"].scale[worst],
                allowed=f"{product[worst]}, scale of input times scale of weight",
            )


def _check_quant(quant: Quant, where: str, zero_low: int, zero_high: int, channels: int | None = None) -> None:
    """``channels`` None: per tensor only; else per tensor, or along axis 0 with that many scales."""
    if quant.axis not in ((None,) if channels is None else (None, 0)):
        raise Unsupported(
            f"{where}, quantisation axis", got=quant.axis, allowed="per tensor" if channels is None else "per tensor or axis 0"
        )
    count = 1 if quant.axis is None or channels is None else channels
    if len(quant.scale) != count:
        raise BadInput(f"{where}, scales", got=len(quant.scale), allowed=count)
    largest, smallest = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)
    scales = quant.scales()
    bad = scales[~((scales >= smallest) & (scales <= largest))]
    if bad.size:
        raise BadInput(f"{where}, scale", got=bad[0], allowed="a positive float32")
    if not zero_low <= quant.zero_point <= zero_high:
        raise BadInput(
            f"{where}, zero point", got=quant.zero_point, allowed=zero_low if zero_low == zero_high else f"{zero_low} to {zero_high}"
        )
