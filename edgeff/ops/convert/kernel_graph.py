"""The same numbers in another number format, as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import rescale, saturate16
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Rescale
from edgeff.ops.convert.kernel import FURTHEST


def eff_convert_i8_f32(x: Operand, n: int, x_scale: float, x_zero: int) -> Operand:
    """The real values of int8 numbers."""
    return (x - x_zero).cast("float32") * x_scale


def eff_convert_i16_f32(x: Operand, n: int, x_scale: float) -> Operand:
    """The real values of int16 numbers."""
    return x.cast("float32") * x_scale


def eff_convert_f32_i8(x: Operand, n: int, y_scale: float, y_zero: int) -> Operand:
    """The nearest int8 values, saturated."""
    return (_nearest(x, y_scale) + y_zero).clip(-128, 127)


def eff_convert_f32_i16(x: Operand, n: int, y_scale: float) -> Operand:
    """The nearest int16 values, saturated."""
    return saturate16(_nearest(x, y_scale))


def eff_convert_i8_i16(x: Operand, n: int, x_zero: int) -> Operand:
    """int8 values as int16 in steps of 1/128 of theirs."""
    return (x - x_zero) * 128


def eff_convert_i16_i8(x: Operand, n: int, how: Rescale) -> Operand:
    """int16 values requantised to int8."""
    return rescale(x - how.x_zero, how).clip(how.y_min, how.y_max)


def _nearest(x: Operand, scale: float) -> Operand:
    """x / scale to the nearest integer, ties to even; a NaN gives 0."""
    t = x / scale
    return t.where(t.equals(t), 0).clip(-FURTHEST, FURTHEST).unary("Round").cast("int64")
