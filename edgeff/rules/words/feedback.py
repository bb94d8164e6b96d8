"""The fixed random matrix of PEPITA, DFA and their kin: generated from a seed and never stored, or read from a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import feedback_signs, requantise


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n"] * attrs["n_e"]


@kernel(macs=_macs)
def eff_feedback_f32(y: Array, e: Array, n: int, n_e: int, add: int, key: int, scale: float) -> None:
    """y (n,) = F e, or += with ``add``; F is +-scale. Sums of four errors first, then the groups in index order."""
    groups = -(-n_e // 4)
    scaled = np.zeros(4 * groups, np.float32)
    scaled[:n_e] = np.float32(scale) * e
    signs = np.ones((n, 4 * groups), np.float32)
    signs[:, :n_e] = feedback_signs(n, n_e, key)
    terms = (signs * scaled).reshape(n, groups, 4)
    sums = y.copy() if add else np.zeros(n, np.float32)
    for g in range(groups):
        four = terms[:, g]
        sums = sums + ((((np.float32(0.0) + four[:, 0]) + four[:, 1]) + four[:, 2]) + four[:, 3])
    y[:] = sums


@kernel(macs=_macs)
def eff_feedback_table_f32(y: Array, e: Array, f: Array, n: int, n_e: int, add: int) -> None:
    """y = F e, or += with ``add``, F (n, n_e) stored; in index order."""
    sums = y.copy() if add else np.zeros(n, np.float32)
    products = f.reshape(n, n_e) * e
    for c in range(n_e):
        sums = sums + products[:, c]
    y[:] = sums


def _generated(e: Array, n: int, n_e: int, key: int) -> Array:
    return feedback_signs(n, n_e, key).astype(np.int64) @ e.astype(np.int64)


def _table(e: Array, f: Array, n: int, n_e: int) -> Array:
    return f.reshape(n, n_e).astype(np.int64) @ e.astype(np.int64)


def _add(y: Array, sums: Array, multiplier: int, shift: int, low: int, high: int) -> None:
    y[:] = np.clip(y + requantise(sums, multiplier, shift), low, high)


@kernel(macs=_macs)
def eff_feedback_add_i8(y: Array, e: Array, n: int, n_e: int, multiplier: int, shift: int, key: int) -> None:
    """y += requantise(sum of +-e), int8, saturated; F generated."""
    _add(y, _generated(e, n, n_e, key), multiplier, shift, -128, 127)


@kernel(macs=_macs)
def eff_feedback_add_i16(y: Array, e: Array, n: int, n_e: int, multiplier: int, shift: int, key: int) -> None:
    """y += requantise(sum of +-e), int16, saturated; F generated."""
    _add(y, _generated(e, n, n_e, key), multiplier, shift, -32767, 32767)


@kernel(macs=_macs)
def eff_feedback_delta_i16(d: Array, e: Array, n: int, n_e: int, multiplier: int, shift: int, key: int) -> None:
    """d = requantise(sum of +-e), int16, saturated; F generated."""
    d[:] = 0
    _add(d, _generated(e, n, n_e, key), multiplier, shift, -32767, 32767)


@kernel(macs=_macs)
def eff_feedback_table_add_i8(y: Array, e: Array, f: Array, n: int, n_e: int, multiplier: int, shift: int) -> None:
    """y += requantise(F e), int8, saturated; F int8 (n, n_e) stored."""
    _add(y, _table(e, f, n, n_e), multiplier, shift, -128, 127)


@kernel(macs=_macs)
def eff_feedback_table_add_i16(y: Array, e: Array, f: Array, n: int, n_e: int, multiplier: int, shift: int) -> None:
    """y += requantise(F e), int16, saturated; F int8 stored."""
    _add(y, _table(e, f, n, n_e), multiplier, shift, -32767, 32767)


@kernel(macs=_macs)
def eff_feedback_table_delta_i16(d: Array, e: Array, f: Array, n: int, n_e: int, multiplier: int, shift: int) -> None:
    """d = requantise(F e), int16, saturated; F int8 stored."""
    d[:] = 0
    _add(d, _table(e, f, n, n_e), multiplier, shift, -32767, 32767)
