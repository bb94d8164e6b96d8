"""Random directions of signs that are never stored, and steps along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import feedback_signs, step_key, sum_in_order
from edgeff.kernels.updates import rate_of
from edgeff.rules.words.feedback import eff_feedback_f32


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


def _signs(n_out: int, n_in: int, key: int, step: Array) -> Array:
    return feedback_signs(n_out, n_in, step_key(key, int(step[0])))


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
