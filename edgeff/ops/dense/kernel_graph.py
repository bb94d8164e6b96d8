"""The dense layer's kernels as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import (
    activate,
    factors,
    gain_of,
    rate_of,
    requantise,
    rounding_of,
    saturate16,
    shift_round_up,
)
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Matrix, OutputI8, Requant, Step
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8, FRACTION_I16, GAIN_I8, GAIN_I16

REFUSED = NO_INT16


def _product(w: Operand, x: Operand, size: Matrix) -> Operand:
    """W x, shape (n_out,)."""
    return (w.reshape(size.n_out, size.n_in) @ x.reshape(size.n_in, 1)).flat()


def _transposed_product(delta: Operand, w: Operand, size: Matrix) -> Operand:
    """W^T delta, shape (n_in,)."""
    return (delta.reshape(1, size.n_out) @ w.reshape(size.n_out, size.n_in)).flat()


def _outer(delta: Operand, a: Operand, size: Matrix) -> Operand:
    """Delta a^T, shape (n_out, n_in)."""
    return delta.reshape(size.n_out, 1) * a.reshape(1, size.n_in)


def eff_dense_f32(x: Operand, w: Operand, b: Operand | None, size: Matrix, relu: int) -> Operand:
    """y = w x + b, then the activation."""
    sums = _product(w, x, size)
    return activate(sums if b is None else sums + b, relu)


def eff_dense_i8(x: Operand, w: Operand, b: Operand | None, multiplier: Operand, shift: Operand, size: Matrix, output: OutputI8) -> Operand:
    """The sums are exact in int32; MatMulInteger is not used, for some of its implementations saturate in between."""
    sums = _product(w.cast("int32"), (x - output.x_zero).cast("int32"), size).cast("int64")
    scaled = requantise(sums if b is None else sums + b, *factors(multiplier, shift))
    return (scaled.clip(-1024, 1024) + output.y_zero).clip(output.y_min, output.y_max)


def eff_dense_i16(
    x: Operand,
    w: Operand,
    b: Operand | None,
    multiplier: Operand,
    shift: Operand,
    size: Matrix,
    per_channel: int,
    pre_shift: int,
    y_min: int,
) -> Operand:
    """int64 sums."""
    sums = shift_round_up(_product(w, x, size), pre_shift)
    return requantise(sums if b is None else sums + b, *factors(multiplier, shift)).clip(y_min, 32767)


def eff_input_gradient_f32(delta: Operand, w: Operand, size: Matrix) -> Operand:
    """d = w^T delta."""
    return _transposed_product(delta, w, size)


def eff_input_gradient_i8(delta: Operand, w: Operand, size: Matrix, pre_shift: int, requant: Requant) -> Operand:
    """d = w^T delta, rounded, requantised, saturated."""
    sums = shift_round_up(_transposed_product(delta, w, size), pre_shift)
    return saturate16(requantise(sums, requant.multiplier, requant.shift))


eff_input_gradient_i16 = eff_input_gradient_i8


def eff_dense_tangent_i8(dx: Operand, w: Operand, size: Matrix, pre_shift: int, requant: Requant) -> Operand:
    """y = w dx, rounded, requantised, saturated."""
    return saturate16(requantise(shift_round_up(_product(w, dx, size), pre_shift), requant.multiplier, requant.shift))


eff_dense_tangent_i16 = eff_dense_tangent_i8


def eff_dense_update_f32(w: Operand, delta: Operand, a: Operand, rate: Operand, size: Matrix, lr: float) -> Operand:
    """w -= rate delta a^T."""
    return w.reshape(size.n_out, size.n_in) - _outer(rate_of(rate, lr) * delta, a, size)


def eff_dense_update_i8(w: Operand, delta: Operand, a: Operand, rate: Operand, step: Operand, size: Matrix, how: Step) -> Operand:
    """w -= (gain a + r) >> 22, saturated."""
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I8)
    change = (_outer(gain, a - how.a_zero, size) + rounding_of(size.n_out, size.n_in, step, FRACTION_I8, how)) >> FRACTION_I8
    return (w.reshape(size.n_out, size.n_in) - change).clip(-127, 127)


def eff_dense_update_i16(w: Operand, delta: Operand, a: Operand, rate: Operand, step: Operand, size: Matrix, how: Step) -> Operand:
    """w -= (gain a + r) >> 16, saturated."""
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I16)
    change = (_outer(gain, a, size) + rounding_of(size.n_out, size.n_in, step, FRACTION_I16, how)) >> FRACTION_I16
    return saturate16(w.reshape(size.n_out, size.n_in) - change)


def eff_bias_update_f32(b: Operand, delta: Operand, rate: Operand, n: int, lr: float) -> Operand:
    """b -= rate delta."""
    return b - rate_of(rate, lr) * delta


def eff_bias_update_i32(b: Operand, delta: Operand, rate: Operand, n: int, requant: Requant) -> Operand:
    """b -= gain, saturated."""
    return (b - gain_of(delta, requant.multiplier, requant.shift, rate, BIAS_LIMIT)).clip(-BIAS_LIMIT, BIAS_LIMIT)
