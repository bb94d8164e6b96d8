"""What travels between layers in a learning step: errors, differences and input gradients (integers: int16 with a scale of their own)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise, shift_round_up


def _macs(attrs: Mapping[str, Any]) -> int:
    return attrs["n_out"] * attrs["n_in"]


def _i16(v: Array) -> Array:
    return np.clip(v, -32767, 32767)


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
    d[:] = _i16(requantise(shift_round_up(sums, pre_shift), multiplier, shift))


@kernel(macs=_macs)
def eff_input_gradient_i8(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """d = w^T delta for int8 weights: 64-bit sums rounded by 2**pre_shift, requantised, saturated to int16."""
    _input_gradient(d, delta, w, n_out, n_in, pre_shift, multiplier, shift)


@kernel(macs=_macs)
def eff_input_gradient_i16(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    """d = w^T delta for int16 weights."""
    _input_gradient(d, delta, w, n_out, n_in, pre_shift, multiplier, shift)


@kernel()
def eff_relu_gate_f32(d: Array, h: Array, n: int) -> None:
    """d = 0 where h <= 0; d is also read."""
    d[~(h > 0)] = 0


@kernel()
def eff_relu_gate_i8(d: Array, h: Array, n: int, h_zero: int) -> None:
    """d = 0 where h is not above its zero point."""
    d[h <= h_zero] = 0


@kernel()
def eff_relu_gate_i16(d: Array, h: Array, n: int) -> None:
    """d = 0 where h <= 0."""
    d[h <= 0] = 0


@kernel()
def eff_difference_f32(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c."""
    d[:] = a - c


@kernel()
def eff_difference_i8(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c in int16, for a and c of one scale and zero point; d keeps the scale."""
    d[:] = a.astype(np.int16) - c


@kernel()
def eff_difference_i16(d: Array, a: Array, c: Array, n: int) -> None:
    """d = a - c, saturated."""
    d[:] = _i16(a.astype(np.int32) - c)


@kernel()
def eff_residual_i8(
    d: Array,
    a: Array,
    c: Array,
    n: int,
    a_zero: int,
    a_multiplier: int,
    a_shift: int,
    c_zero: int,
    c_multiplier: int,
    c_shift: int,
) -> None:
    """d = a - c for tensors of two scales, each brought to d's by requantisation."""
    left = _i16(requantise(a.astype(np.int64) - a_zero, a_multiplier, a_shift))
    right = _i16(requantise(c.astype(np.int64) - c_zero, c_multiplier, c_shift))
    d[:] = _i16(left - right)


@kernel()
def eff_residual_i16(d: Array, a: Array, c: Array, n: int, a_multiplier: int, a_shift: int, c_multiplier: int, c_shift: int) -> None:
    """d = a - c for int16 tensors of two scales."""
    d[:] = _i16(_i16(requantise(a, a_multiplier, a_shift)) - _i16(requantise(c, c_multiplier, c_shift)))


@kernel()
def eff_error_f32(e: Array, p: Array, label: Array, n: int) -> None:
    """e = p - one-hot(label)."""
    e[:] = p
    e[label[0]] = p[label[0]] - np.float32(1.0)


@kernel()
def eff_error_i8(e: Array, p: Array, label: Array, n: int, p_zero: int, one: int) -> None:
    """e = p - one-hot(label) in p's scale, where ``one`` steps make 1."""
    e[:] = _i16(p.astype(np.int32) - p_zero - one * (np.arange(n) == label[0]))


@kernel()
def eff_error_i16(e: Array, p: Array, label: Array, n: int, one: int) -> None:
    """e = p - one-hot(label) in p's scale."""
    e[:] = _i16(p.astype(np.int32) - one * (np.arange(n) == label[0]))
