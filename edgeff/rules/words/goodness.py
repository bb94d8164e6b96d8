"""Forward-Forward (Hinton 2022): wrong labels, goodness, its local loss."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import draws, exp_f32, requantise, sigmoid_q15, step_key, sum_in_order, sum_of_squares
from edgeff.kernels.overlap import element_by_element


@kernel()
def eff_wrong_label(wrong: Array, label: Array, step: Array, classes: int, key: int) -> None:
    """A label drawn uniformly from the classes other than ``label``."""
    other = (int(draws(step_key(key, int(step[0])), 0)) * (classes - 1)) >> 32
    wrong[0] = other + (other >= int(label[0]))


@kernel(macs=lambda a: 2 * a["n"], overlap=element_by_element("h", output="d", written=4, read=4))
def eff_ff_delta_f32(d: Array, h: Array, n: int, theta: float, sign: int) -> None:
    """d loss / d h of n / 2 softplus(sign (theta - mean(h^2)))."""
    f = np.float32
    goodness = sum_in_order(h * h) / f(n)
    s = f(-1.0 if sign < 0 else 1.0)
    slope = f(1.0) / (f(1.0) + exp_f32(s * (goodness - f(theta))))
    d[:] = (-s * slope) * h


def _slope(squares: int, multiplier: int, shift: int, theta: int, sign: int) -> int:
    goodness = int(np.clip(requantise(squares, multiplier, shift), 0, 1 << 30))
    return int(sigmoid_q15(goodness - theta if sign < 0 else theta - goodness))


@kernel(macs=lambda a: 2 * a["n"], overlap=element_by_element("h", output="d", written=2, read=1))
def eff_ff_delta_i8(d: Array, h: Array, n: int, h_zero: int, multiplier: int, shift: int, theta: int, sign: int) -> None:
    """The int8 form, d in int16 with the scale s_h / 128; goodness and theta in units of 2**-16. n <= 33,000."""
    centred = h.astype(np.int64) - h_zero
    v = (_slope(sum_of_squares(centred), multiplier, shift, theta, sign) * centred + 128) >> 8
    d[:] = v if sign < 0 else -v


@kernel(macs=lambda a: 2 * a["n"], overlap=element_by_element("h", output="d", written=2, read=2))
def eff_ff_delta_i16(d: Array, h: Array, n: int, multiplier: int, shift: int, theta: int, sign: int) -> None:
    """The int16 form, d with the scale s_h; the sum of squares enters in units of 2**16."""
    wide = h.astype(np.int64)
    v = (_slope(sum_of_squares(wide) >> 16, multiplier, shift, theta, sign) * wide + (1 << 14)) >> 15
    d[:] = v if sign < 0 else -v


@kernel(macs=lambda a: a["n"])
def eff_goodness_f32(scores: Array, h: Array, n: int, index: int, add: int) -> None:
    """scores[index] = mean(h^2), or += with ``add``."""
    goodness = sum_in_order(h * h) / np.float32(n)
    scores[index] = scores[index] + goodness if add else goodness


def _score(scores: Array, squares: int, index: int, add: int, multiplier: int, shift: int) -> None:
    goodness = int(np.clip(requantise(squares, multiplier, shift), 0, 1 << 26))
    scores[index] = int(scores[index]) + goodness if add else goodness


@kernel(macs=lambda a: a["n"])
def eff_goodness_i8(scores: Array, h: Array, n: int, h_zero: int, index: int, add: int, multiplier: int, shift: int) -> None:
    """The int8 form, scores int32 in units of 2**-16; at most 16 layers."""
    _score(scores, sum_of_squares(h.astype(np.int64) - h_zero), index, add, multiplier, shift)


@kernel(macs=lambda a: a["n"])
def eff_goodness_i16(scores: Array, h: Array, n: int, index: int, add: int, multiplier: int, shift: int) -> None:
    """The int16 form."""
    _score(scores, sum_of_squares(h.astype(np.int64)) >> 16, index, add, multiplier, shift)
