"""The larger of two tensors in ONNX: Max; of more than two, one layer after the other."""

from __future__ import annotations

from edgeff.formats.onnx.pairwise import of_any_number, writer
from edgeff.ops.maximum import Maximum

READERS = {"Max": of_any_number(Maximum())}
write = writer("Max")
