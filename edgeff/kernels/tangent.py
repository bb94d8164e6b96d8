"""Forward derivatives: a tangent carried through a layer, random directions of signs that are never stored, and steps along them.

A direction is +-1 by the counter-based generator, another one at every step: the sign of entry (j, k) is bit k % 32 of draw
j * ceil(n_in / 32) + k / 32 of the step's stream of ``key`` (one row where the entries are a vector). E[v v^T] = I holds for signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import feedback_signs, requantise, shift_round_up, step_key, sum_in_order
from edgeff.kernels.conv import windows
from edgeff.kernels.feedback import eff_feedback_f32
from edgeff.kernels.update import rate_of


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


def _signs(n_out: int, n_in: int, key: int, step: Array) -> Array:
    return feedback_signs(n_out, n_in, step_key(key, int(step[0])))


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


@kernel()
def eff_max_pool2d_tangent_f32(
    y: Array,
    dx: Array,
    x: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """y (out_h, out_w, in_c) = dx where the first of each window's largest taps of x lies."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps, moves, inside = windows(x, *place), windows(dx, *place), windows(np.ones(in_h * in_w, bool), *place)
    found, largest, moved = (np.zeros((out_h, out_w, in_c), dtype) for dtype in (bool, np.float32, np.float32))
    for tap in range(k_h * k_w):
        at = (slice(None), slice(None), slice(None), *divmod(tap, k_w))
        better = inside[at] & (~found | (taps[at] > largest))
        found, largest, moved = found | better, np.where(better, taps[at], largest), np.where(better, moves[at], moved)
    y[:] = moved.reshape(-1)


@kernel()
def eff_minus_f32(d: Array, n: int) -> None:
    """d = -d in place."""
    d[:] = -d


@kernel()
def eff_minus_i16(d: Array, n: int) -> None:
    """d = -d in place; d is not -32768."""
    d[:] = -d


@kernel(macs=_macs)
def eff_signed_dense_f32(y: Array, x: Array, step: Array, n_out: int, n_in: int, add: int, key: int) -> None:
    """y = V x, or += with ``add``, V (n_out, n_in) this step's signs: the sums of ``eff_feedback_f32``."""
    eff_feedback_f32(y, x, n_out, n_in, add, step_key(key, int(step[0])), 1.0)


@kernel()
def eff_signs_f32(d: Array, s: Array, step: Array, n: int, add: int, key: int) -> None:
    """d = s v, or += with ``add``: the number s (1,) times this step's signs v (n,)."""
    signed = s[0] * _signs(1, n, key, step)[0].astype(np.float32)
    d[:] = d + signed if add else signed


@kernel(macs=lambda a: a["n"])
def eff_dot_f32(s: Array, a: Array, c: Array, n: int) -> None:
    """s (1,) = <a, c>, summed from 0 in index order."""
    s[0] = sum_in_order(a * c)


@kernel(macs=_macs)
def eff_signed_update_f32(w: Array, s: Array, rate: Array, step: Array, n_out: int, n_in: int, lr: float, key: int) -> None:
    """w -= (rate / 2**16) lr s V in place, V this step's signs."""
    gain = rate_of(rate, lr) * s[0]
    w -= (gain * _signs(n_out, n_in, key, step).astype(np.float32)).reshape(w.shape)
