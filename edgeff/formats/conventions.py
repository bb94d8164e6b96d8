"""The conventions that a network must follow to be written to a file or read from one.

In goes a Network; the only result is a refusal: layers whose attributes, parameters or shapes do not fit their inputs
(``Operator.check``), numbers that are not finite, quantisation outside the TFLite 8-bit specification (``quant_conventions``), names a
file cannot hold. Writers check before they write, readers after they have read. A batch normalisation is folded before the check.
"""

from __future__ import annotations

from edgeff.errors import Unsupported
from edgeff.formats.checks import MAX_ELEMENTS, MAX_NAME_CHARACTERS, check_finite, check_name, check_shape, short
from edgeff.formats.quant_conventions import check_activation, check_quants
from edgeff.ir import Network, Quant
from edgeff.ops import kind
from edgeff.ops.convert import Convert
from edgeff.ops.numerics import check_numeric

__all__ = ["MAX_ELEMENTS", "MAX_NAME_CHARACTERS", "check", "check_finite", "check_name", "check_shape", "short"]


def check(network: Network, *, bias_scale_unused: bool = False) -> None:
    """Returns nothing; raises BadInput or Unsupported with the layer's name when ``network`` breaks a convention (cost: one pass over the
    parameters). ``bias_scale_unused``: see ``quant_conventions.check_quants``. Where the number format changes, in ``convert`` layers, each
    layer is held to the rules of its own.
    """
    if network.symmetric:
        allowed = "float32 and int8 in model files, and int16 activations with int8 weights in TFLite"
        raise Unsupported(f"network {short(network.name)}", got="int16 parameters", allowed=allowed)
    check_name(network.name, "network", empty_allowed=True)
    check_shape(network.input_shape, "input")
    mixed = any(isinstance(layer.op, Convert) for layer in network)
    if network.input_quant is not None:
        check_activation(network.input_quant, "input")
    shapes: dict[str, tuple[int, ...]] = {"input": network.input_shape}
    quants: dict[str, Quant] = {} if network.input_quant is None else {"input": network.input_quant}
    for layer in network:
        check_name(layer.name, "layer")
        check_shape(layer.shape, f"layer {short(layer.name)}")
        quantised = "output" in layer.quant if mixed else network.input_quant is not None
        if layer.numeric == "int16":
            check_numeric(layer)
        kind(layer).check(layer, tuple(shapes[name] for name in layer.inputs), quantised=quantised)
        for key, array in layer.params.items():
            check_finite(array, f"layer {short(layer.name)}, {key}")
        if not isinstance(layer.op, Convert):
            inputs = tuple(quants[name] for name in layer.inputs) if quantised else None
            check_quants(layer, inputs, bias_scale_unused=bias_scale_unused)
        shapes[layer.name] = layer.shape
        if quantised:
            quants[layer.name] = layer.quant["output"]
