"""Errors and differences."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise, saturate16
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Range, Sides, Size, Zero
from edgeff.kernels.tensors import LabelOfN, OutF32, OutI16, VectorF32, VectorI8, VectorI16

One = Annotated[int, Range(1, 32_768)]


@kernel(overlap=element_by_element("a", "c", output="d", written=4, read=4))
def eff_difference_f32(d: OutF32, a: VectorF32, c: VectorF32, n: Size) -> None:
    """d = a - c."""
    d[:] = a - c


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=1))
def eff_difference_i8(d: OutI16, a: VectorI8, c: VectorI8, n: Size) -> None:
    """d = a - c in int16, for a and c with the same scale and zero point; d keeps the scale."""
    d[:] = a.astype(np.int16) - c


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=2))
def eff_difference_i16(d: OutI16, a: VectorI16, c: VectorI16, n: Size) -> None:
    """d = a - c, saturated."""
    d[:] = saturate16(a.astype(np.int32) - c)


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=1))
def eff_residual_i8(d: OutI16, a: VectorI8, c: VectorI8, n: Size, sides: Sides) -> None:
    """d = a - c for tensors of different scales, each brought to d's by requantisation."""
    left = saturate16(requantise(a.astype(np.int64) - sides.a_zero, sides.a_multiplier, sides.a_shift))
    right = saturate16(requantise(c.astype(np.int64) - sides.c_zero, sides.c_multiplier, sides.c_shift))
    d[:] = saturate16(left - right)


@kernel(overlap=element_by_element("a", "c", output="d", written=2, read=2))
def eff_residual_i16(d: OutI16, a: VectorI16, c: VectorI16, n: Size, sides: Sides) -> None:
    """d = a - c for int16 tensors of different scales."""
    d[:] = saturate16(
        saturate16(requantise(a, sides.a_multiplier, sides.a_shift)) - saturate16(requantise(c, sides.c_multiplier, sides.c_shift))
    )


@kernel(overlap=element_by_element("p", output="e", written=4, read=4))
def eff_error_f32(e: OutF32, p: VectorF32, label: LabelOfN, n: Size) -> None:
    """e = p - one-hot(label)."""
    e[:] = p
    e[label[0]] = p[label[0]] - np.float32(1.0)


@kernel(overlap=element_by_element("p", output="e", written=2, read=1))
def eff_error_i8(e: OutI16, p: VectorI8, label: LabelOfN, n: Size, p_zero: Zero, one: One) -> None:
    """e = p - one-hot(label) in p's scale, where ``one`` steps make 1."""
    e[:] = saturate16(p.astype(np.int32) - p_zero - one * (np.arange(n) == label[0]))


@kernel(overlap=element_by_element("p", output="e", written=2, read=2))
def eff_error_i16(e: OutI16, p: VectorI16, label: LabelOfN, n: Size, one: One) -> None:
    """e = p - one-hot(label) in p's scale."""
    e[:] = saturate16(p.astype(np.int32) - one * (np.arange(n) == label[0]))
