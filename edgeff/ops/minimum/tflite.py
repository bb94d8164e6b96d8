"""The smaller of two tensors in TFLite: MINIMUM."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.pairwise import pairwise, writer
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ops.minimum import Minimum


def _read(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    return pairwise(assembly, node, Minimum(), values)


READERS = {
    "MINIMUM": Handler(_read, (2, 2), schema.BuiltinOptions.MaximumMinimumOptions),
}
write = writer("MINIMUM", "MaximumMinimumOptions")
