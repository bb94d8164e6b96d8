"""The smaller of two tensors in ONNX: Min; of more than two, one layer after the other."""

from __future__ import annotations

from edgeff.formats.onnx.pairwise import of_any_number, writer
from edgeff.ops.minimum import Minimum

READERS = {"Min": of_any_number(Minimum())}
write = writer("Min")
