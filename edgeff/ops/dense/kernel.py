"""The dense layer's kernels: ``y = w x + b``, its update in place, gradient and tangent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise, saturate16, shift_round_up
from edgeff.kernels.overlap import row_by_row
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8, FRACTION_I16, GAIN_I8, GAIN_I16, gain_of, rate_of, rounding_of


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


@kernel(macs=_macs, overlap=row_by_row(lanes=4, size=4))
def eff_dense_f32(y: Array, x: Array, w: Array, b: Array | None, n_out: int, n_in: int, relu: int) -> None:
    """float32: x (n_in,), w (n_out, n_in), b (n_out,) -> y (n_out,), summed from b in index order."""
    sums = np.zeros(n_out, np.float32) if b is None else b.astype(np.float32)
    products = w.reshape(n_out, n_in) * x
    for k in range(n_in):
        sums = sums + products[:, k]
    y[:] = activate(sums, relu)


@kernel(macs=_macs, overlap=row_by_row(lanes=4, size=1))
def eff_dense_i8(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    multiplier: Array,
    shift: Array,
    n_out: int,
    n_in: int,
    per_channel: int,
    x_zero: int,
    y_zero: int,
    y_min: int,
    y_max: int,
) -> None:
    """int8 by the TFLite 8-bit specification; multiplier and shift (1,) or, per channel, (n_out,). n_in <= 32,768."""
    sums = w.reshape(n_out, n_in).astype(np.int64) @ (x.astype(np.int64) - x_zero)
    if b is not None:
        sums = sums + b
    scaled = requantise(sums, multiplier, shift)
    y[:] = np.clip(np.clip(scaled, -1024, 1024) + y_zero, y_min, y_max)


@kernel(macs=_macs, overlap=row_by_row(lanes=1, size=2))
def eff_dense_i16(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    multiplier: Array,
    shift: Array,
    n_out: int,
    n_in: int,
    per_channel: int,
    pre_shift: int,
    y_min: int,
) -> None:
    """int16, symmetric: 64-bit sums rounded by 2**pre_shift (2**pre_shift > n_in keeps them within 2**30), then b and requantisation."""
    sums = shift_round_up(w.reshape(n_out, n_in).astype(np.int64) @ x.astype(np.int64), pre_shift)
    if b is not None:
        sums = sums + b
    y[:] = np.clip(requantise(sums, multiplier, shift), y_min, 32767)


@kernel(macs=_macs)
def eff_input_gradient_f32(d: Array, delta: Array, w: Array, n_out: int, n_in: int) -> None:
    """d = w^T delta, rows added in index order."""
    sums = np.zeros(n_in, np.float32)
    products = delta[:, None] * w.reshape(n_out, n_in)
    for row in products:
        sums = sums + row
    d[:] = sums


def _input_gradient(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    sums = delta.astype(np.int64) @ w.reshape(n_out, n_in).astype(np.int64)
    d[:] = saturate16(requantise(shift_round_up(sums, pre_shift), multiplier, shift))


@kernel(macs=_macs)
def eff_input_gradient_i8(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """d = w^T delta for int8 weights: 64-bit sums rounded by 2**pre_shift, requantised, saturated to int16."""
    _input_gradient(d, delta, w, n_out, n_in, pre_shift, multiplier, shift)


@kernel(macs=_macs)
def eff_input_gradient_i16(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """d = w^T delta for int16 weights."""
    _input_gradient(d, delta, w, n_out, n_in, pre_shift, multiplier, shift)


def _dense(y: Array, dx: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    sums = w.reshape(n_out, n_in).astype(np.int64) @ dx.astype(np.int64)
    y[:] = np.clip(requantise(shift_round_up(sums, pre_shift), multiplier, shift), -32767, 32767)


@kernel(macs=_macs)
def eff_dense_tangent_i8(y: Array, dx: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """y = w dx for an int16 tangent and int8 weights: 64-bit sums rounded by 2**pre_shift, requantised, saturated to int16."""
    _dense(y, dx, w, n_out, n_in, pre_shift, multiplier, shift)


@kernel(macs=_macs)
def eff_dense_tangent_i16(y: Array, dx: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """y = w dx for int16 weights."""
    _dense(y, dx, w, n_out, n_in, pre_shift, multiplier, shift)


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
