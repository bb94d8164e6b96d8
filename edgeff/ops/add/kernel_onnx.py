"""The sum of two activations as ONNX operators."""

from __future__ import annotations

from edgeff.kernels.onnx.arithmetic import activate, requantise, rescale
from edgeff.kernels.onnx.operand import Operand
from edgeff.kernels.records import Rescale, Sides
from edgeff.ops.add.kernel import ADD_BITS


def eff_add_f32(a: Operand, c: Operand, n: int, relu: int) -> Operand:
    """y = a + c, then the activation."""
    return activate(a + c, relu)


def eff_add_i8(a: Operand, c: Operand, n: int, sides: Sides, total: Rescale) -> Operand:
    """Both sides times 2**20 and rescaled, added, rescaled to the output."""
    left = requantise((a - sides.a_zero) * (1 << ADD_BITS), sides.a_multiplier, sides.a_shift)
    right = requantise((c - sides.c_zero) * (1 << ADD_BITS), sides.c_multiplier, sides.c_shift)
    return rescale(left + right, total).clip(total.y_min, total.y_max)
