"""A table as an ONNX operator."""

from __future__ import annotations

from edgeff.kernels.onnx.operand import Operand


def eff_lookup_i8(x: Operand, table: Operand, n: int) -> Operand:
    """y = table[x + 128]."""
    return table.take(x + 128)
