"""Errors and differences as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import one_hot, requantise, saturate16
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Sides


def eff_difference_f32(a: Operand, c: Operand, n: int) -> Operand:
    """d = a - c."""
    return a - c


def eff_difference_i8(a: Operand, c: Operand, n: int) -> Operand:
    """d = a - c."""
    return a - c


def eff_difference_i16(a: Operand, c: Operand, n: int) -> Operand:
    """d = a - c, saturated."""
    return saturate16(a - c)


def eff_residual_i8(a: Operand, c: Operand, n: int, sides: Sides) -> Operand:
    """d = a - c, each brought to d's scale."""
    left = saturate16(requantise(a - sides.a_zero, sides.a_multiplier, sides.a_shift))
    right = saturate16(requantise(c - sides.c_zero, sides.c_multiplier, sides.c_shift))
    return saturate16(left - right)


def eff_residual_i16(a: Operand, c: Operand, n: int, sides: Sides) -> Operand:
    """d = a - c, each brought to d's scale; int16 has no zero points."""
    left = saturate16(requantise(a, sides.a_multiplier, sides.a_shift))
    right = saturate16(requantise(c, sides.c_multiplier, sides.c_shift))
    return saturate16(left - right)


def eff_error_f32(p: Operand, label: Operand, n: int) -> Operand:
    """e = p - one-hot(label)."""
    return p - one_hot(label, n).cast("float32")


def eff_error_i8(p: Operand, label: Operand, n: int, p_zero: int, one: int) -> Operand:
    """e = p - one-hot(label) in p's scale."""
    return saturate16(p - p_zero - one_hot(label, n).cast("int64") * one)


def eff_error_i16(p: Operand, label: Operand, n: int, one: int) -> Operand:
    """e = p - one-hot(label) in p's scale."""
    return saturate16(p - one_hot(label, n).cast("int64") * one)
