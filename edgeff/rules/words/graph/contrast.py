"""Pairs of samples and their local loss as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import requantise, sigmoid_q15
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Squares


def eff_pair_f32(a: Operand, c: Operand, n: int) -> Operand:
    """y = (a + c) / 2."""
    return (a + c) * 0.5


def eff_pair_i8(a: Operand, c: Operand, n: int) -> Operand:
    """y = (a + c) / 2, ties upwards."""
    return (a + c + 1) >> 1


eff_pair_i16 = eff_pair_i8


def eff_scff_delta_f32(h: Operand, positions: int, channels: int, theta: float, sign: int, sparsity: float) -> Operand:
    """The loss's derivative at each position."""
    image = h.reshape(positions, channels)
    goodness = (image * image).sum(1) * 4.0 / channels
    slope = ((goodness - theta) * (1.0 if sign < 0 else -1.0)).unary("Sigmoid")
    factor = slope if sign < 0 else sparsity - slope
    return factor.reshape(positions, 1) * image


def _factors(sums: Operand, squares: Squares, theta: int, sign: int, sparsity: int) -> Operand:
    """In Q0.15, (positions, 1)."""
    goodness = requantise(sums, squares.multiplier, squares.shift).clip(0, 1 << 30)
    slope = sigmoid_q15(goodness - theta if sign < 0 else theta - goodness)
    return (slope if sign < 0 else sparsity - slope).reshape(-1, 1)


def eff_scff_delta_i8(h: Operand, positions: int, channels: int, squares: Squares, theta: int, sign: int, sparsity: int) -> Operand:
    """The int8 form."""
    image = h.reshape(positions, channels) - squares.h_zero
    return (_factors((image * image).sum(1), squares, theta, sign, sparsity) * image + 128) >> 8


def eff_scff_delta_i16(h: Operand, positions: int, channels: int, squares: Squares, theta: int, sign: int, sparsity: int) -> Operand:
    """The int16 form."""
    image = h.reshape(positions, channels)
    return (_factors((image * image).sum(1) >> 16, squares, theta, sign, sparsity) * image + (1 << 14)) >> 15
