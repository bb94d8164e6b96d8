"""The dense layer's forward kernels: ``y = w x + b``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise, shift_round_up


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


@kernel(macs=_macs)
def eff_dense_f32(y: Array, x: Array, w: Array, b: Array | None, n_out: int, n_in: int, relu: int) -> None:
    """float32: x (n_in,), w (n_out, n_in), b (n_out,) -> y (n_out,), summed from b in index order."""
    sums = np.zeros(n_out, np.float32) if b is None else b.astype(np.float32)
    products = w.reshape(n_out, n_in) * x
    for k in range(n_in):
        sums = sums + products[:, k]
    y[:] = activate(sums, relu)


@kernel(macs=_macs)
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


@kernel(macs=_macs)
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
