"""The rules for the scales of an integer layer: the TFLite 8-bit specification, and its 16x8 form (int16 activations, int8 weights).

In goes a layer with the quantisation of its inputs; the only result is a refusal that names the layer. Activations have one scale and a
zero point of -128 to 127, in int16 of 0; weights one scale, or one for each output, and zero point 0; a bias has the scale of its products;
a softmax has 1/256 and -128, in int16 1/32768 and 0; layers that only pick, move or average numbers keep the scale of their input.
"""

from __future__ import annotations

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.formats.checks import short
from edgeff.ir import Layer, Quant
from edgeff.ops import kind

BIAS_SCALE_TOLERANCE = 1e-5
"""Relative tolerance: a float32 product of two float32 scales is off by less than 2e-7."""
UNUSED_BIAS_SCALE_TOLERANCE = 0.02
"""Tolerance in units of the output's scale: TensorFlow Lite's (kernel_util.cc, GetQuantizedConvolutionMultipler)."""


def check_quants(layer: Layer, inputs: tuple[Quant, ...] | None, *, bias_scale_unused: bool = False) -> None:
    """Returns nothing; raises BadInput or Unsupported if the scales of ``layer`` break the specification.

    ``inputs`` is None in a float network. ``bias_scale_unused``: in the file's format a bias has the scale of its products whatever is
    written beside it, as in TFLite, so it may be off by as much as TFLite allows.
    """
    where = f"layer {short(layer.name)}"
    expected = {"output", *(() if kind(layer).reads else layer.params)} if inputs is not None else set()
    if set(layer.quant) != expected:
        raise BadInput(f"{where}, quantisation of", got=sorted(layer.quant), allowed=sorted(expected) or "nothing in a float network")
    if inputs is None:
        return
    output, item = layer.quant["output"], kind(layer)
    check_activation(output, f"{where}, output")
    if item.keeps_quant and output != inputs[0]:
        raise BadInput(
            f"{where}, output",
            got=f"scale {output.scale[0]:g} and zero point {output.zero_point}",
            allowed=f"{inputs[0].scale[0]:g} and {inputs[0].zero_point}, those of its input",
        )
    if item.one_scale and any(quant != output for quant in inputs):
        got = ", ".join(f"{quant.scale[0]:g} and {quant.zero_point}" for quant in inputs)
        raise Unsupported(f"{where}, inputs in scales", got=got, allowed=f"{output.scale[0]:g} and {output.zero_point}, that of the output")
    fixed = item.fixed_quant(layer.numeric)
    if fixed is not None and output != fixed:
        raise Unsupported(
            f"{where}, output",
            got=f"scale {output.scale[0]:g} and zero point {output.zero_point}",
            allowed=f"1/{1 / fixed.scale[0]:g} and {fixed.zero_point} (TFLite 8-bit specification)",
        )
    if "weight" in layer.params:
        _check_parameters(layer, inputs[0], item.weight_axis, bias_scale_unused, where)


def _check_parameters(layer: Layer, x: Quant, axis: int, bias_scale_unused: bool, where: str) -> None:
    weight, bias = layer.quant["weight"], layer.quant.get("bias")
    check_quant(weight, f"{where}, weight", 0, 0, channels=layer.shape[-1], axis=axis)
    if bias is None:
        return
    check_quant(bias, f"{where}, bias", 0, 0, channels=layer.shape[-1])
    if bias.per_channel != weight.per_channel:
        raise BadInput(
            f"{where}, bias",
            got="one scale" if weight.per_channel else "a scale for each channel",
            allowed="as many as the weights have",
        )
    product = x.scales() * weight.scales()
    tolerance = BIAS_SCALE_TOLERANCE * product
    if bias_scale_unused:
        tolerance = np.maximum(tolerance, UNUSED_BIAS_SCALE_TOLERANCE * layer.quant["output"].scale[0])
    if bias_scale_unused and weight.per_channel:
        return  # TFLite compares the two for weights with one scale alone
    error = np.abs(bias.scales() - product)
    if np.any(error > tolerance):
        worst = int(np.argmax(error / product))
        raise BadInput(f"{where}, bias scale", got=bias.scale[worst], allowed=f"{product[worst]}, scale of input times scale of weight")


def check_activation(quant: Quant, where: str) -> None:
    """Returns nothing; raises BadInput or Unsupported for an activation's scale as ``check_quant`` does: the zero point of int16 is 0."""
    low, high = (-128, 127) if quant.dtype == "int8" else (0, 0)
    check_quant(quant, where, low, high)


def check_quant(quant: Quant, where: str, zero_low: int, zero_high: int, channels: int | None = None, axis: int = 0) -> None:
    """Returns nothing; raises BadInput or Unsupported for scales that are not positive float32 numbers, a zero point outside ``zero_low``
    to ``zero_high``, or a number of scales other than one or (``channels`` given) ``channels`` along ``axis``.
    """
    if quant.axis not in ((None,) if channels is None else (None, axis)):
        raise Unsupported(
            f"{where}, quantisation axis", got=quant.axis, allowed="per tensor" if channels is None else f"per tensor or axis {axis}"
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
