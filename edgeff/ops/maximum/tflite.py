"""The larger of two tensors in TFLite: MAXIMUM."""

from __future__ import annotations

from edgeff.formats.tflite.pairwise import reader, writer
from edgeff.ops.maximum import Maximum

OPTIONS = "MaximumMinimumOptions"
READERS = {"MAXIMUM": reader(Maximum(), OPTIONS)}
write = writer("MAXIMUM", OPTIONS)
