"""Forward-Forward (Hinton 2022): labels in the input, wrong labels, the local loss's gradient, normalisation and goodness."""

from __future__ import annotations

from math import isqrt

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import draws, exp_f32, requantise, sigmoid_q15, step_key, sum_in_order


def _embed(y: Array, x: Array, label: Array, places: int, classes: int, on: float, off: float, neutral: float) -> None:
    rows = y.reshape(places, -1)
    rows[:, :classes] = neutral if label[0] < 0 else off
    if label[0] >= 0:
        rows[:, label[0]] = on
    rows[:, classes:] = x.reshape(places, -1)


@kernel()
def eff_embed_label_f32(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: float, off: float, neutral: float) -> None:
    """y (places, classes + n) = at each place the label's entries, ``off`` but ``on`` at the label (a negative label: all ``neutral``),
    then x (places, n).
    """
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel()
def eff_embed_label_i8(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int8 form; the values are already quantised, and y keeps x's scale."""
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel()
def eff_embed_label_i16(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int16 form."""
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel()
def eff_wrong_label(wrong: Array, label: Array, step: Array, classes: int, key: int) -> None:
    """A label drawn uniformly from the classes other than ``label``."""
    other = (int(draws(step_key(key, int(step[0])), 0)) * (classes - 1)) >> 32
    wrong[0] = other + (other >= int(label[0]))


def _squares(h: Array) -> int:
    return int(np.dot(h, h))


@kernel(macs=lambda a: 2 * a["n"])
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


@kernel(macs=lambda a: 2 * a["n"])
def eff_ff_delta_i8(d: Array, h: Array, n: int, h_zero: int, multiplier: int, shift: int, theta: int, sign: int) -> None:
    """The int8 form, d in int16 with the scale s_h / 128; goodness and theta in units of 2**-16. n <= 33,000."""
    centred = h.astype(np.int64) - h_zero
    v = (_slope(_squares(centred), multiplier, shift, theta, sign) * centred + 128) >> 8
    d[:] = v if sign < 0 else -v


@kernel(macs=lambda a: 2 * a["n"])
def eff_ff_delta_i16(d: Array, h: Array, n: int, multiplier: int, shift: int, theta: int, sign: int) -> None:
    """The int16 form, d with the scale s_h; the sum of squares enters in units of 2**16."""
    wide = h.astype(np.int64)
    v = (_slope(_squares(wide) >> 16, multiplier, shift, theta, sign) * wide + (1 << 14)) >> 15
    d[:] = v if sign < 0 else -v


@kernel(macs=lambda a: 2 * a["n"])
def eff_normalise_f32(y: Array, x: Array, n: int, eps: float) -> None:
    """y = x / (sqrt(mean(x^2)) + eps)."""
    mean = sum_in_order(x * x) / np.float32(n)
    root = np.sqrt(mean) if mean >= np.float32(2.0**-126) else np.float32(0.0)
    y[:] = x / (root + np.float32(eps))


def _normalised(centred: Array, length: int, gain: int) -> Array:
    return (centred * (gain // (length + 1)) + 0x8000) >> 16


@kernel(macs=lambda a: 2 * a["n"])
def eff_normalise_i8(y: Array, x: Array, n: int, x_zero: int, y_zero: int, gain: int) -> None:
    """y = x / rms(x) in steps of 2**24 / gain; the root mean square in units of 2**-8 input steps, plus one. n <= 33,000."""
    centred = x.astype(np.int64) - x_zero
    length = isqrt((_squares(centred) << 16) // n)
    y[:] = np.clip(np.clip(_normalised(centred, length, gain), -1024, 1024) + y_zero, -128, 127)


@kernel(macs=lambda a: 2 * a["n"])
def eff_normalise_i16(y: Array, x: Array, n: int, gain: int) -> None:
    """The int16 form: steps of 2**16 / gain, the root mean square in input steps, plus one."""
    wide = x.astype(np.int64)
    y[:] = np.clip(_normalised(wide, isqrt(_squares(wide) // n), gain), -32767, 32767)


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
    _score(scores, _squares(h.astype(np.int64) - h_zero), index, add, multiplier, shift)


@kernel(macs=lambda a: a["n"])
def eff_goodness_i16(scores: Array, h: Array, n: int, index: int, add: int, multiplier: int, shift: int) -> None:
    """The int16 form."""
    _score(scores, _squares(h.astype(np.int64)) >> 16, index, add, multiplier, shift)
