"""What each kind of layer must keep in a model file: its inputs, attributes, shape and parameters.

In goes a layer with the shapes of its inputs; nothing comes out but a refusal that names the layer. The layer kinds themselves say what
shape comes out (``LayerKind.output_shape``); here the attributes they take it from are checked first, for files are untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.formats.checks import MAX_ELEMENTS, check_finite, short
from edgeff.ir import Layer
from edgeff.ops import kind
from edgeff.ops.window import groups

Shape = tuple[int, ...]

_ACTIVATIONS = ("none", "relu", "relu6")
_WINDOW = ("stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right")
_KERNEL, _POOL = ("kernel_h", "kernel_w", *_WINDOW), ("pool_h", "pool_w", *_WINDOW)
INTEGERS: Mapping[str, tuple[str, ...]] = {
    "conv2d": _KERNEL,
    "depthwise_conv2d": (*_KERNEL, "multiplier"),
    "conv1d": ("kernel", "stride", "pad_left", "pad_right"),
    "average_pool2d": _POOL,
    "max_pool2d": _POOL,
}
"""The attributes that count something: a padding is 0 or more, all others 1 or more."""
AXES: Mapping[str, int] = {
    "conv2d": 3,
    "depthwise_conv2d": 3,
    "conv1d": 2,
    "average_pool2d": 3,
    "max_pool2d": 3,
    "global_average_pool": 3,
    "softmax": 1,
}
"""The count of axes of an input, without the batch; any for the kinds that are not here."""
OPS = (
    *INTEGERS,
    "global_average_pool",
    "dense",
    "add",
    "relu",
    "requantise",
    "reshape",
    "transpose",
    "softmax",
    "normalise",
    "standardise",
    "label",
)
WEIGHTED = ("dense", "conv2d", "depthwise_conv2d", "conv1d")


def check_layer(layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
    """Returns nothing; raises BadInput or Unsupported when ``layer`` does not fit ``inputs``, the shapes of its inputs."""
    where = f"layer {short(layer.name)}"
    if layer.op not in OPS:
        raise Unsupported(where, got=f"kind {short(layer.op)}", allowed=", ".join(OPS))
    expected = 2 if layer.op == "add" else 1
    if len(inputs) != expected:
        raise BadInput(where, got=f"{len(inputs)} inputs", allowed=expected)
    if len(inputs[0]) != AXES.get(layer.op, len(inputs[0])) or inputs[0] != inputs[-1]:
        raise BadInput(where, got=f"inputs of shape {', '.join(map(str, inputs))}", allowed=_allowed(layer.op))
    _check_attributes(layer, inputs[0], where)
    if layer.op in WEIGHTED:
        _check_parameters(layer, inputs[0], quantised, where)
    elif layer.params:
        raise BadInput(where, got=f"parameters {sorted(layer.params)}", allowed="none")
    shape = kind(layer).output_shape(layer, inputs)
    if layer.shape != shape:
        raise BadInput(where, got=f"shape {layer.shape}", allowed=shape)


def _allowed(op: str) -> str:
    if op == "add":
        return "two of one shape"
    return {1: "one axis", 2: "(L, C)", 3: "(H, W, C)"}[AXES[op]]


def _check_attributes(layer: Layer, shape: Shape, where: str) -> None:
    if layer.op in WEIGHTED or layer.op in INTEGERS or layer.op in ("add", "relu"):
        activation = layer.attrs.get("activation")
        if activation not in _ACTIVATIONS or (layer.op, activation) == ("relu", "none"):
            allowed = _ACTIVATIONS if layer.op != "relu" else _ACTIVATIONS[1:]
            raise Unsupported(f"{where}, activation", got=activation, allowed=", ".join(allowed))
    for name in (*INTEGERS.get(layer.op, ()), *(("groups",) if layer.op == "conv2d" and "groups" in layer.attrs else ())):
        value, least = layer.attrs.get(name), 0 if name.startswith("pad") else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_ELEMENTS:
            raise BadInput(f"{where}, {name}", got=value, allowed=f"a whole number, {least} to {MAX_ELEMENTS}")
    if "pad_left" in INTEGERS.get(layer.op, ()):
        _check_padded(layer, shape, where)
    if layer.op in ("average_pool2d", "max_pool2d"):
        _check_taps(layer, shape, where)
    if layer.op in ("normalise", "standardise"):
        eps = layer.attrs.get("eps")
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < float(np.finfo(np.float32).max):
            raise BadInput(f"{where}, eps", got=eps, allowed="a finite number, 0 or more")
    if layer.op == "transpose":
        _check_order(layer, shape, where)
    if layer.op == "label":
        _check_label(layer, shape, where)


def _check_padded(layer: Layer, shape: Shape, where: str) -> None:
    """Refuses an image that its padding makes too large: the host pads it in memory."""
    pads = [int(layer.attrs.get(f"pad_{side}", 0)) for side in ("top", "bottom", "left", "right")]
    height, width = (1, shape[0]) if len(shape) == 2 else shape[:2]
    padded = (height + pads[0] + pads[1]) * (width + pads[2] + pads[3]) * shape[-1]
    if padded > MAX_ELEMENTS:
        raise BadInput(f"{where}, padding", got=f"{shape} padded to {padded} elements", allowed=f"at most {MAX_ELEMENTS}")


def _check_taps(layer: Layer, shape: Shape, where: str) -> None:
    """Refuses a pool with a window that lies outside the image: it would have nothing to average."""
    for size, what, sides in zip(shape, "hw", (("top", "bottom"), ("left", "right")), strict=False):
        pool, stride = int(layer.attrs[f"pool_{what}"]), int(layer.attrs[f"stride_{what}"])
        before, after = (int(layer.attrs[f"pad_{side}"]) for side in sides)
        last = (size + before + after - pool) // stride * stride - before
        if before >= pool or last >= size:
            raise BadInput(f"{where}, padding", got=f"{before} and {after} around {size}", allowed=f"less than the pool's {pool}")


def _check_order(layer: Layer, shape: Shape, where: str) -> None:
    perm = layer.attrs.get("perm")
    axes = perm.split(",") if isinstance(perm, str) and len(perm) < 16 else []
    if sorted(axes) != [str(axis) for axis in range(len(shape))] or len(shape) > 3:
        raise BadInput(f"{where}, perm", got=perm, allowed=f"the axes of {shape}, three at most, separated by commas")


def _check_label(layer: Layer, shape: Shape, where: str) -> None:
    classes = layer.attrs.get("classes")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1 or layer.shape != kind(layer).output_shape(layer, (shape,)):
        allowed = "1 or more, that many more outputs or channels than its input has"
        raise BadInput(f"{where}, classes", got=f"{classes} for {shape} to {layer.shape}", allowed=allowed)
    for name in ("on", "neutral"):
        value = layer.attrs.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float(np.finfo(np.float32).max):
            raise BadInput(f"{where}, {name}", got=value, allowed="a finite number")


def _weight_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape its weight must have; its last axis of outputs is free where the layer's shape gives it."""
    attrs, outputs = layer.attrs, layer.shape[-1]
    if layer.op == "dense":
        return (outputs, prod(shape))
    if layer.op == "conv1d":
        return (outputs, int(attrs["kernel"]), shape[1])
    window = int(attrs["kernel_h"]), int(attrs["kernel_w"])
    if layer.op == "conv2d":
        return (outputs, *window, shape[2] // groups(layer))
    return (*window, shape[2] * int(attrs["multiplier"]))


def _check_parameters(layer: Layer, shape: Shape, quantised: bool, where: str) -> None:
    if not {"weight"} <= set(layer.params) <= {"weight", "bias"}:
        raise BadInput(f"{where}, parameters", got=sorted(layer.params), allowed="weight, and bias or none")
    if layer.op == "dense" and len(layer.shape) != 1:
        raise BadInput(where, got=f"shape {layer.shape}", allowed="(n_out,)")
    shapes = {"weight": _weight_shape(layer, shape), "bias": layer.shape[-1:]}
    dtypes = {"weight": "int8", "bias": "int32"} if quantised else {"weight": "float32", "bias": "float32"}
    for key, array in layer.params.items():
        if array.shape != shapes[key] or array.dtype != dtypes[key]:
            raise BadInput(f"{where}, {key}", got=f"{array.dtype} {array.shape}", allowed=f"{dtypes[key]} {shapes[key]}")
        check_finite(array, f"{where}, {key}")
    if quantised and int(layer.params["weight"].min()) == -128:
        raise BadInput(f"{where}, weight", got="the value -128", allowed="-127 to 127 (TFLite 8-bit specification)")
