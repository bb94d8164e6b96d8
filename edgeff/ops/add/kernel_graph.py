"""The sum of two activations as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, requantise, rescale
from edgeff.kernels.graph.broadcast import pairs
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast, Requant, Rescale, Sides
from edgeff.ops.add.kernel import ADD_BITS, ADD_BITS_I16

REFUSED = NO_INT16


def eff_add_f32(a: Operand, c: Operand, n: int, relu: int) -> Operand:
    """y = a + c, then the activation."""
    return activate(a + c, relu)


def eff_add_i8(a: Operand, c: Operand, n: int, sides: Sides, total: Rescale) -> Operand:
    """Both sides times 2**20 and rescaled, added, rescaled to the output."""
    left = requantise((a - sides.a_zero) * (1 << ADD_BITS), sides.a_multiplier, sides.a_shift)
    right = requantise((c - sides.c_zero) * (1 << ADD_BITS), sides.c_multiplier, sides.c_shift)
    return rescale(left + right, total).clip(total.y_min, total.y_max)


def eff_add_i16(a: Operand, c: Operand, n: int, sides: Sides, total: Requant, y_min: int) -> Operand:
    """Both sides times 2**14 and rescaled, added, rescaled to the output."""
    left = requantise(a * (1 << ADD_BITS_I16), sides.a_multiplier, sides.a_shift)
    right = requantise(c * (1 << ADD_BITS_I16), sides.c_multiplier, sides.c_shift)
    return requantise(left + right, total.multiplier, total.shift).clip(y_min, 32767)


def eff_add_broadcast_f32(a: Operand, c: Operand, how: Broadcast, relu: int) -> Operand:
    """y = a + c, either side broadcast, then the activation."""
    left, right = pairs(how, a, c)
    return activate(left + right, relu)


def eff_add_broadcast_i8(a: Operand, c: Operand, how: Broadcast, sides: Sides, total: Rescale) -> Operand:
    """Both sides times 2**20 and rescaled, added, rescaled to the output."""
    return eff_add_i8(*pairs(how, a, c), 0, sides, total)
