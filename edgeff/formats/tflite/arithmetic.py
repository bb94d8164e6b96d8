"""TFLite arithmetic that belongs to no edgeff operator: a factor is folded into the layer before it, and a product of a tensor with itself
begins a normalise layer.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Node, Value
from edgeff.ir import Array


def real(node: Node, value: Value | None) -> Activation:
    """``value``, to be added to or multiplied with a constant."""
    x = node.activation(value)
    if x.quant is not None:
        raise node.unsupported("arithmetic with a constant in int8", "two activations, or float32")
    return x


def channels(node: Node, constant: Constant) -> Array:
    """A float32 constant with one number, or one for each channel, as a vector."""
    array = constant.array
    if array.dtype != np.float32 or (array.size != 1 and array.shape[-1:] != (array.size,)):
        raise node.unsupported(f"a constant of {array.dtype} {array.shape}", "float32, one number or one for each channel")
    return array.reshape(-1)


def _mul(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if not isinstance(second, Constant):
        only_fused(node, "NONE")
        return assembly.square(node, node.real(first), node.real(second))
    return fused(assembly, node, assembly.affine(node, real(node, first), channels(node, second), np.zeros(1)))


def _sub(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    constant = node.constant(values[1], "subtrahend")
    return fused(assembly, node, assembly.affine(node, real(node, values[0]), np.ones(1), -channels(node, constant)))


READERS = {
    "SUB": Handler(_sub, (2, 2), schema.BuiltinOptions.SubOptions, fused_option),
    "MUL": Handler(_mul, (2, 2), schema.BuiltinOptions.MulOptions, fused_option),
}
