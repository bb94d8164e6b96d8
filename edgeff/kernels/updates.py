"""Steps of weights in place: the common part of the update twins; no gradient is ever stored."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.arithmetic import GOLDEN, mix, requantise, step_key
from edgeff.kernels.records import Step

MOST_POSITIONS = 65_536
"""This many int16 deltas can be summed in 32 bits."""

SAFE_PRODUCTS = 512
"""This many products of an int16 delta and an int8 weight can be summed in 32 bits."""


def changed_i8(w: Array, sums: Array, rate: Array, step: Array, how: Step) -> Array:
    """w after its step, in w's shape, from the exact sums in the order of w."""
    gain = gain_of(np.clip(sums, -(2**31), 2**31 - 1), how.multiplier, how.shift, rate, BIAS_LIMIT)
    change = (gain + rounding_of(1, w.size, how.key, step, FRACTION_I8, how.stochastic)[0]) >> FRACTION_I8
    return np.clip(w - change, -127, 127)


FRACTION_I8, FRACTION_I16 = 22, 16


GAIN_I8, GAIN_I16 = 1 << 23, 1 << 15


BIAS_LIMIT = 0x3FFFFFFF


def rate_of(rate: Array, lr: float) -> np.float32:
    """The learning rate: ``lr`` times the word ``rate`` in units of 2**-16."""
    return np.float32(lr) * (rate[0].astype(np.float32) * np.float32(2.0**-16))


def gain_of(delta: Array, multiplier: int, shift: int, rate: Array, limit: int) -> Array:
    """The gain of integer gradients: requantised, saturated at +-limit, times ``rate`` in units of 2**-16, rounded to nearest."""
    gain = np.clip(requantise(delta, multiplier, shift), -limit, limit)
    return (gain * int(rate[0]) + 0x8000) >> 16


def rounding_of(n_out: int, n_in: int, key: int, step: Array, fraction: int, stochastic: int) -> Array:
    """The amount added before the shift by ``fraction``, shape (n_out, n_in): eight random bits, centred, or one half."""
    if not stochastic:
        return np.full((n_out, n_in), 1 << (fraction - 1), np.int64)
    per_row = -(-n_in // 4)
    counters = (step_key(key, int(step[0])) + np.arange(n_out * per_row, dtype=np.uint64) * np.uint64(GOLDEN)) & np.uint64(0xFFFFFFFF)
    words = mix(counters).reshape(n_out, per_row)
    bits = (words[:, :, None] >> np.array([0, 8, 16, 24], np.uint32)) & np.uint32(0xFF)
    return (bits.reshape(n_out, -1)[:, :n_in].astype(np.int64) << (fraction - 8)) + (1 << (fraction - 9))
