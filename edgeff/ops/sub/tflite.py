"""Differences in TFLite: SUB. Float numbers for each channel are folded into the layer before."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.arithmetic import channels
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option
from edgeff.formats.tflite.pairwise import folds, pairwise, writer
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Value
from edgeff.ops.sub import Sub


def _sub(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, other = values
    if isinstance(x, Activation) and isinstance(other, Constant) and folds(assembly, node, Sub, x, other):
        return fused(assembly, node, assembly.affine(node, x, np.ones(1), -channels(node, other)))
    return fused(assembly, node, pairwise(assembly, node, Sub(), values))


READERS = {
    "SUB": Handler(_sub, (2, 2), schema.BuiltinOptions.SubOptions, fused_option),
}
write = writer("SUB", "SubOptions")
