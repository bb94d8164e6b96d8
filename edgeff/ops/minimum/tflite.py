"""The smaller of two tensors in TFLite: MINIMUM."""

from __future__ import annotations

from edgeff.formats.tflite.pairwise import reader, writer
from edgeff.ops.minimum import Minimum

OPTIONS = "MaximumMinimumOptions"
READERS = {"MINIMUM": reader(Minimum(), OPTIONS)}
write = writer("MINIMUM", OPTIONS)
