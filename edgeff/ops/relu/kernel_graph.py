"""Activation functions and gates as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import activate
from edgeff.kernels.graph.operand import Operand


def eff_relu_f32(x: Operand, n: int, relu: int) -> Operand:
    """The activation function alone."""
    return activate(x, relu)


def eff_relu_gate_f32(d: Operand, h: Operand, n: int) -> Operand:
    """d = 0 where h <= 0."""
    return d.where(h > 0, 0)


def eff_relu_gate_i8(d: Operand, h: Operand, n: int, h_zero: int) -> Operand:
    """d = 0 where h is not above its zero point, or saturated."""
    return d.where(h > h_zero, 0).where(h < 127, 0)


def eff_relu_gate_i16(d: Operand, h: Operand, n: int) -> Operand:
    """d = 0 where h <= 0, or saturated."""
    return d.where(h > 0, 0).where(h < 32767, 0)
