"""Normalise layers in TFLite: the five operators MUL, MEAN, SQRT, ADD and DIV of u / (sqrt(mean(u * u)) + eps)."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, Operator, Values, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value


def _sqrt(assembly: Assembly, node: Operator, values: Values) -> Value:
    return assembly.step(node, node.present(values[0]), "mean", "root")


def _div(assembly: Assembly, node: Operator, values: Values) -> Value:
    only_fused(node, "NONE")
    return assembly.divide(node, node.real(values[0]), node.present(values[1]))


READERS = {
    "DIV": Handler(_div, (2, 2), schema.BuiltinOptions.DivOptions, fused_option),
    "SQRT": Handler(_sqrt, (1, 1), schema.BuiltinOptions.NONE),
}
