"""The smaller of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.broadcast import LeftF32, LeftI8, LeftI16, OutOfBothF32, OutOfBothI8, OutOfBothI16, RightF32, RightI8, RightI16, pairs
from edgeff.kernels.records import Broadcast


@kernel()
def eff_minimum_f32(y: OutOfBothF32, a: LeftF32, c: RightF32, how: Broadcast) -> None:
    """y = a where a < c, else c."""
    left, right = pairs(how, a, c)
    y[:] = np.where(left < right, left, right)


@kernel()
def eff_minimum_i8(y: OutOfBothI8, a: LeftI8, c: RightI8, how: Broadcast) -> None:
    """The same of int8 tensors in one scale."""
    left, right = pairs(how, a, c)
    y[:] = np.where(left < right, left, right)


@kernel()
def eff_minimum_i16(y: OutOfBothI16, a: LeftI16, c: RightI16, how: Broadcast) -> None:
    """The same of int16 tensors in one scale."""
    left, right = pairs(how, a, c)
    y[:] = np.where(left < right, left, right)
