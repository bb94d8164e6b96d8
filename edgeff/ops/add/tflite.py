"""Sums in TFLite: ADD. A float constant for each channel is the bias of the layer before it, or the last but one
operator of a normalise layer.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.arithmetic import channels
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, only_fused
from edgeff.formats.tflite.pairwise import folds, pairwise, writer
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Constant, Moment, Value
from edgeff.ops.add import Add


def _add(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        only_fused(node, "NONE")
        return assembly.step(node, first, "root", "divisor", node.scalar(second, "eps"))
    if isinstance(second, Constant) and folds(assembly, node, Add, node.activation(first), second):
        return fused(assembly, node, assembly.affine(node, node.activation(first), np.ones(1), channels(node, second)))
    return fused(assembly, node, pairwise(assembly, node, Add(), values))


READERS = {
    "ADD": Handler(_add, (2, 2), schema.BuiltinOptions.AddOptions, fused_option),
}

write = writer("ADD", "AddOptions")
