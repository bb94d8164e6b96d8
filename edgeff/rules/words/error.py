"""Errors and differences."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise, saturate16
from edgeff.kernels.overlap import element_by_element


@kernel(overlap=element_by_element("a", "c", output="d", written=4, read=4))
def eff_difference_f32(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c."""
    d[:] = a - c


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=1))
def eff_difference_i8(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c in int16, for a and c of one scale and zero point; d keeps the scale."""
    d[:] = a.astype(np.int16) - c


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=2))
def eff_difference_i16(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c, saturated."""
    d[:] = saturate16(a.astype(np.int32) - c)


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=1))
def eff_residual_i8(
    d: Array,
    a: Array,
    c: Array,
    n: int,
    a_zero: int,
    a_multiplier: int,
    a_shift: int,
    c_zero: int,
    c_multiplier: int,
    c_shift: int,
) -> None:
    """d = a - c for tensors of two scales, each brought to d's by requantisation."""
    left = saturate16(requantise(a.astype(np.int64) - a_zero, a_multiplier, a_shift))
    right = saturate16(requantise(c.astype(np.int64) - c_zero, c_multiplier, c_shift))
    d[:] = saturate16(left - right)


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=2))
def eff_residual_i16(d: Array, a: Array, c: Array, n: int, a_multiplier: int, a_shift: int, c_multiplier: int, c_shift: int) -> None:
    """d = a - c for int16 tensors of two scales."""
    d[:] = saturate16(saturate16(requantise(a, a_multiplier, a_shift)) - saturate16(requantise(c, c_multiplier, c_shift)))


@kernel(overlap=element_by_element("p", output="e", written=4, read=4))
def eff_error_f32(e: Array, p: Array, label: Array, n: int) -> None:
    """e = p - one-hot(label)."""
    e[:] = p
    e[label[0]] = p[label[0]] - np.float32(1.0)


@kernel(overlap=element_by_element("p", output="e", written=2, read=1))
def eff_error_i8(e: Array, p: Array, label: Array, n: int, p_zero: int, one: int) -> None:
    """e = p - one-hot(label) in p's scale, where ``one`` steps make 1."""
    e[:] = saturate16(p.astype(np.int32) - p_zero - one * (np.arange(n) == label[0]))


@kernel(overlap=element_by_element("p", output="e", written=2, read=2))
def eff_error_i16(e: Array, p: Array, label: Array, n: int, one: int) -> None:
    """e = p - one-hot(label) in p's scale."""
    e[:] = saturate16(p.astype(np.int32) - one * (np.arange(n) == label[0]))
