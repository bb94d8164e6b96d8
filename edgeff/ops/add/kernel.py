"""The sum of two activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, Variant, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.broadcast import LeftF32, LeftI8, LeftI16, OutOfBothF32, OutOfBothI8, OutOfBothI16, RightF32, RightI8, RightI16, pairs
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Broadcast, Range, Relu, Requant, Rescale, RescaleWide, Sides, Size
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, VectorF32, VectorI8, VectorI16

ADD_BITS = 20
ADD_BITS_I16 = 14
ADD_BITS_WIDE = 15


@kernel(overlap=element_by_element("a", "c", written=4, read=4))
def eff_add_f32(y: OutF32, a: VectorF32, c: VectorF32, n: Size, relu: Relu) -> None:
    """y = a + c, then the activation."""
    y[:] = activate(a + c, relu)


def _one_side_halved(arguments: Arguments, _: Mapping[str, Array]) -> bool:
    """Whether one side's factor is one half, and all factors are those that fast requantisation takes."""
    sides, total = arguments["sides"], arguments["total"]
    factors = [(sides.a_multiplier, sides.a_shift), (sides.c_multiplier, sides.c_shift)]
    normal = all(multiplier >= 1 << 30 and -30 <= shift <= 0 for multiplier, shift in factors)
    return (1 << 30, 0) in factors and normal and total.multiplier >= 1 << 30 and -31 <= total.shift <= -2


DSP = Variant("dsp", "dsp.c", needs=frozenset({"dsp"}), accepts=_one_side_halved, wants="a factor of one half on one side")


@kernel(variants=(DSP,), overlap=element_by_element("a", "c", written=1, read=1))
def eff_add_i8(y: OutI8, a: VectorI8, c: VectorI8, n: Size, sides: Sides, total: Rescale) -> None:
    """TFLite's int8 ADD: both sides times 2**20 and rescaled by a factor <= 1/2, added, rescaled to the output."""
    left = requantise((a.astype(np.int64) - sides.a_zero) << ADD_BITS, sides.a_multiplier, sides.a_shift)
    right = requantise((c.astype(np.int64) - sides.c_zero) << ADD_BITS, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(np.clip(requantise(left + right, total.multiplier, total.shift), -1024, 1024) + total.y_zero, total.y_min, total.y_max)


@kernel(overlap=element_by_element("a", "c", written=2, read=2))
def eff_add_i16(
    y: OutI16, a: VectorI16, c: VectorI16, n: Size, sides: Sides, total: Requant, y_min: Annotated[int, Range(-32767, 0)]
) -> None:
    """y = a + c for symmetric int16 tensors of different scales: both sides times 2**14 and rescaled by a factor <= 1/2, added, rescaled
    to the output's scale and saturated. Zero points are 0.
    """
    left = requantise(a.astype(np.int64) << ADD_BITS_I16, sides.a_multiplier, sides.a_shift)
    right = requantise(c.astype(np.int64) << ADD_BITS_I16, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(requantise(left + right, total.multiplier, total.shift), y_min, 32767)


@kernel()
def eff_add_broadcast_f32(y: OutOfBothF32, a: LeftF32, c: RightF32, how: Broadcast, relu: Relu) -> None:
    """y = a + c, either side broadcast, then the activation."""
    left, right = pairs(how, a, c)
    y[:] = activate(left + right, relu)


@kernel()
def eff_add_broadcast_i8(y: OutOfBothI8, a: LeftI8, c: RightI8, how: Broadcast, sides: Sides, total: Rescale) -> None:
    """TFLite's int8 ADD with either side broadcast: as eff_add_i8."""
    left, right = (side.astype(np.int64) for side in pairs(how, a, c))
    left = requantise((left - sides.a_zero) << ADD_BITS, sides.a_multiplier, sides.a_shift)
    right = requantise((right - sides.c_zero) << ADD_BITS, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(requantise(left + right, total.multiplier, total.shift) + total.y_zero, total.y_min, total.y_max)


@kernel()
def eff_add_broadcast_i16(y: OutOfBothI16, a: LeftI16, c: RightI16, how: Broadcast, sides: Sides, total: RescaleWide) -> None:
    """TFLite's int16 ADD, either side broadcast: as eff_add_i8 with 2**15 and zero points 0."""
    left, right = (side.astype(np.int64) << ADD_BITS_WIDE for side in pairs(how, a, c))
    both = requantise(left, sides.a_multiplier, sides.a_shift) + requantise(right, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(requantise(both, total.multiplier, total.shift), total.y_min, total.y_max)
