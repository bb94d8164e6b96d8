"""Updates in place, one sample at a time; no gradient is ever stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import GOLDEN, mix, requantise, step_key

FRACTION_I8, FRACTION_I16 = 22, 16
GAIN_I8, GAIN_I16 = 1 << 23, 1 << 15
BIAS_LIMIT = 0x3FFFFFFF


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


def rate_of(rate: Array, lr: float) -> np.float32:
    """The learning rate: ``lr`` times the word ``rate`` in units of 2**-16."""
    return np.float32(lr) * (rate[0].astype(np.float32) * np.float32(2.0**-16))


def gain_of(delta: Array, multiplier: int, shift: int, rate: Array, limit: int) -> Array:
    """The gain of integer gradients: requantised, saturated at +-limit, times ``rate`` in units of 2**-16, rounded to nearest."""
    gain = np.clip(requantise(delta, multiplier, shift), -limit, limit)
    return (gain * int(rate[0]) + 0x8000) >> 16


def rounding_of(n_out: int, n_in: int, key: int, step: Array, fraction: int, stochastic: int) -> Array:
    """What is added before the shift by ``fraction``, shape (n_out, n_in): eight random bits, centred, or one half."""
    if not stochastic:
        return np.full((n_out, n_in), 1 << (fraction - 1), np.int64)
    per_row = -(-n_in // 4)
    counters = (step_key(key, int(step[0])) + np.arange(n_out * per_row, dtype=np.uint64) * np.uint64(GOLDEN)) & np.uint64(0xFFFFFFFF)
    words = mix(counters).reshape(n_out, per_row)
    bits = (words[:, :, None] >> np.array([0, 8, 16, 24], np.uint32)) & np.uint32(0xFF)
    return (bits.reshape(n_out, -1)[:, :n_in].astype(np.int64) << (fraction - 8)) + (1 << (fraction - 9))


@kernel(macs=_macs)
def eff_dense_update_f32(w: Array, delta: Array, a: Array, rate: Array, n_out: int, n_in: int, lr: float) -> None:
    """w -= (rate / 2**16) lr delta a^T, in place."""
    gains = rate_of(rate, lr) * delta
    w -= (gains[:, None] * a[None, :]).reshape(w.shape)


@kernel(macs=_macs)
def eff_dense_update_i8(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    step: Array,
    n_out: int,
    n_in: int,
    a_zero: int,
    multiplier: int,
    shift: int,
    stochastic: int,
    key: int,
) -> None:
    """int8 weights: w -= (G_j (a_k - a_zero) + r) >> 22, saturated to +-127; see edgeff.h for G and r."""
    gain = gain_of(delta, multiplier, shift, rate, GAIN_I8)
    change = (gain[:, None] * (a.astype(np.int64) - a_zero) + rounding_of(n_out, n_in, key, step, FRACTION_I8, stochastic)) >> FRACTION_I8
    w[:] = np.clip(w - change.reshape(w.shape), -127, 127)


@kernel(macs=_macs)
def eff_dense_update_i16(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    step: Array,
    n_out: int,
    n_in: int,
    multiplier: int,
    shift: int,
    stochastic: int,
    key: int,
) -> None:
    """int16 weights: w -= (G_j a_k + r) >> 16, saturated to +-32767."""
    gain = gain_of(delta, multiplier, shift, rate, GAIN_I16)
    change = (gain[:, None] * a.astype(np.int64) + rounding_of(n_out, n_in, key, step, FRACTION_I16, stochastic)) >> FRACTION_I16
    w[:] = np.clip(w - change.reshape(w.shape), -32767, 32767)


@kernel()
def eff_bias_update_f32(b: Array, delta: Array, rate: Array, n: int, lr: float) -> None:
    """b -= (rate / 2**16) lr delta."""
    b -= rate_of(rate, lr) * delta


@kernel()
def eff_bias_update_i32(b: Array, delta: Array, rate: Array, n: int, multiplier: int, shift: int) -> None:
    """b -= requantise(delta) rate, rounded to nearest: an int32 bias is fine enough to need no dithering."""
    b[:] = np.clip(b - gain_of(delta, multiplier, shift, rate, BIAS_LIMIT), -BIAS_LIMIT, BIAS_LIMIT)


@kernel()
def eff_advance(step: Array, rate: Array, period: int, factor: int) -> None:
    """step += 1; after every ``period`` steps rate *= factor / 2**16 (period 0: never)."""
    step[0] = (int(step[0]) + 1) & 0xFFFFFFFF
    if period and int(step[0]) % period == 0:
        rate[0] = (int(rate[0]) * factor + 0x8000) >> 16
