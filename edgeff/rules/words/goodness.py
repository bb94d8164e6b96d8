"""Forward-Forward (Hinton 2022): wrong labels, goodness, its local loss."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Out, kernel
from edgeff.kernels.arithmetic import draws, exp_f32, requantise, sigmoid_q15, step_key, sum_in_order, sum_of_squares
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Count, Flag, Key, Range, Size, Squares
from edgeff.kernels.tensors import Label, OutF32, OutI16, Sign, StepCount, VectorF32, VectorI8, VectorI16

Width = Annotated[int, Range(1, 33_000)]
Lift = Annotated[int, Range(0, 32767)]
ScoresI32 = Annotated[Array, Out("int32_t", "index + 1", low=0, high=15 << 26, also_read=True)]


@kernel()
def eff_wrong_label(
    wrong: Annotated[Array, Out("int32_t", "1", low=0, high="classes - 1")],
    label: Label,
    step: StepCount,
    classes: Annotated[int, Range(2, 1 << 30)],
    key: Key,
) -> None:
    """A label drawn uniformly from the classes other than ``label``."""
    other = (int(draws(step_key(key, int(step[0])), 0)) * (classes - 1)) >> 32
    wrong[0] = other + (other >= int(label[0]))


@kernel(macs="2 * n", overlap=element_by_element("h", output="d", written=4, read=4))
def eff_ff_delta_f32(d: OutF32, h: VectorF32, n: Size, theta: float, sign: Sign, lift: float) -> None:
    """d loss / d h of n / 2 softplus(sign (theta - mean(h^2))), with h + lift in the place of h, so that units that are off have one."""
    f = np.float32
    goodness = sum_in_order(h * h) / f(n)
    s = f(-1.0 if sign < 0 else 1.0)
    slope = f(1.0) / (f(1.0) + exp_f32(s * (goodness - f(theta))))
    d[:] = (-s * slope) * (h + f(lift))


def _slope(squares: int, multiplier: int, shift: int, theta: int, sign: int) -> int:
    goodness = int(np.clip(requantise(squares, multiplier, shift), 0, 1 << 30))
    return int(sigmoid_q15(goodness - theta if sign < 0 else theta - goodness))


@kernel(macs="2 * n", overlap=element_by_element("h", output="d", written=2, read=1))
def eff_ff_delta_i8(d: OutI16, h: VectorI8, n: Width, squares: Squares, theta: int, sign: Sign, lift: Lift) -> None:
    """The int8 form, d and ``lift`` with the scale s_h / 128, d saturated to int16; goodness and theta in units of 2**-16. n <= 33,000."""
    centred = h.astype(np.int64) - squares.h_zero
    slope = _slope(sum_of_squares(centred), squares.multiplier, squares.shift, theta, sign)
    v = np.minimum((slope * (centred * 128 + lift) + (1 << 14)) >> 15, 32767)
    d[:] = v if sign < 0 else -v


@kernel(macs="2 * n", overlap=element_by_element("h", output="d", written=2, read=2))
def eff_ff_delta_i16(d: OutI16, h: VectorI16, n: Width, squares: Squares, theta: int, sign: Sign, lift: Lift) -> None:
    """The int16 form, d and ``lift`` with the scale s_h; the sum of squares enters in units of 2**16."""
    wide = h.astype(np.int64)
    slope = _slope(sum_of_squares(wide) >> 16, squares.multiplier, squares.shift, theta, sign)
    v = np.minimum((slope * (wide + lift) + (1 << 14)) >> 15, 32767)
    d[:] = v if sign < 0 else -v


@kernel(macs="n")
def eff_goodness_f32(
    scores: Annotated[Array, Out("float", "index + 1", also_read=True)],
    h: VectorF32,
    n: Size,
    index: Count,
    add: Flag,
) -> None:
    """scores[index] = mean(h^2), or += with ``add``."""
    goodness = sum_in_order(h * h) / np.float32(n)
    scores[index] = scores[index] + goodness if add else goodness


def _score(scores: Array, squares: int, index: int, add: int, multiplier: int, shift: int) -> None:
    goodness = int(np.clip(requantise(squares, multiplier, shift), 0, 1 << 26))
    scores[index] = int(scores[index]) + goodness if add else goodness


@kernel(macs="n")
def eff_goodness_i8(scores: ScoresI32, h: VectorI8, n: Width, squares: Squares, index: Count, add: Flag) -> None:
    """The int8 form, scores int32 in units of 2**-16; at most 16 layers."""
    _score(scores, sum_of_squares(h.astype(np.int64) - squares.h_zero), index, add, squares.multiplier, squares.shift)


@kernel(macs="n")
def eff_goodness_i16(scores: ScoresI32, h: VectorI16, n: Width, index: Count, add: Flag, squares: Squares) -> None:
    """The int16 form."""
    _score(scores, sum_of_squares(h.astype(np.int64)) >> 16, index, add, squares.multiplier, squares.shift)
