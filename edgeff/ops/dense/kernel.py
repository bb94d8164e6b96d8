"""The dense layer's kernels: ``y = w x + b``, its update in place, gradient and tangent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Out, Variant, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise, saturate16, shift_round_up
from edgeff.kernels.overlap import Clearance, after_every_read, row_by_row
from edgeff.kernels.packing import VECTORS_WANT, WANTED, folded_bias, pack_quads, packable, shifts_allow, vectors_allow
from edgeff.kernels.records import Flag, Matrix, OutputI8, OutputI16, Range, Relu, Requant, Size, Step
from edgeff.kernels.tensors import InPlaceF32, PreShift, Rate, StepCount, VectorF32, VectorI16
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8, FRACTION_I16, GAIN_I8, GAIN_I16, gain_of, rate_of, rounding_of
from edgeff.kernels.wide import BIAS_LIMIT_I64, MOST_SHIFT, output_i16

InputF32 = Annotated[Array, In("float", "n_in")]
WeightsF32 = Annotated[Array, In("float", "n_out", "n_in")]
InputI8 = Annotated[Array, In("int8_t", "n_in")]
WeightsI8 = Annotated[Array, In("int8_t", "n_out", "n_in", low=-127, high=127)]
AnyWeightsI8 = Annotated[Array, In("int8_t", "n_out", "n_in")]
BiasI32 = Annotated[Array | None, In("int32_t", "n_out", low=-BIAS_LIMIT, high=BIAS_LIMIT)]
MultipliersI32 = Annotated[Array, In("int32_t", "n_out if per_channel else 1", low=0, high=2**31 - 1)]
ShiftsI32 = Annotated[Array, In("int32_t", "n_out if per_channel else 1", low=-31, high=30)]
ResultI16 = Annotated[Array, Out("int16_t", "n_out")]
InputI16 = Annotated[Array, In("int16_t", "n_in")]
WeightsI16 = Annotated[Array, In("int16_t", "n_out", "n_in")]
DeltaF32 = Annotated[Array, In("float", "n_out")]
GradientI16 = Annotated[Array, Out("int16_t", "n_in")]
DeltaI16 = Annotated[Array, In("int16_t", "n_out")]


def _x4(size: int) -> Variant:
    """Four rows at a time, of outputs of ``size`` bytes."""
    return Variant("x4", "x4.c", overlap=row_by_row(lanes=4, size=size))


def _expanded_bytes(arguments: Arguments) -> int:
    """The input as halfwords, filled up to a multiple of eight."""
    return -(-int(arguments["size"].n_in) // 8) * 16


def _eight_columns(arguments: Arguments, _constants: Mapping[str, Array]) -> bool:
    """Whether the matrix has two rows of eight columns."""
    return bool(arguments["size"].n_out >= 2 and arguments["size"].n_in >= 8)


def _fours_and_a_pair(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
    """Four rows at a time, then two, then one; before the one, the inputs that fill no eight are read once more for all others."""
    n_out, n_in = int(attrs["n_out"]), int(attrs["n_in"])
    before_last = n_out - (1 if n_out % 2 else 2 if n_out % 4 else 4)
    return {("y", "x"): Clearance(below=4 * (before_last or (n_out - n_in // 8 * 8 if n_in % 8 else -n_in)))}


FPU_NEEDS = frozenset({"dsp", "fpu"})
"""Thumb-2 with an FPU: no other core has both."""
FPU = Variant("fpu", "fpu.c", needs=FPU_NEEDS, accepts=_eight_columns, overlap=_fours_and_a_pair)
FPU_GRADIENT = Variant("fpu", "gradient_fpu.c", needs=FPU_NEEDS, accepts=_eight_columns)
FPU_UPDATE = Variant("fpu", "update_fpu.c", needs=FPU_NEEDS, accepts=_eight_columns)
MVE = Variant(
    "mve",
    "mve.c",
    needs=frozenset({"mve"}),
    accepts=lambda _, constants: vectors_allow(constants),
    pack=lambda arguments, constants: {"b": folded_bias(arguments, constants, constants["w"].reshape(arguments["size"].n_out, -1))},
    overlap=row_by_row(lanes=1, size=1),
    wants=VECTORS_WANT,
)
PACKED = Variant(
    "packed",
    "packed.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, constants: packable(constants, arguments["size"].n_out),
    pack=pack_quads,
    scratch_bytes=_expanded_bytes,
    overlap=after_every_read("y", "x", "n_in", read=1),
    wants=WANTED,
)
DSP = Variant(
    "dsp",
    "dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda _, constants: shifts_allow(constants) and bool((constants["multiplier"] > 0).all()),
    scratch_bytes=_expanded_bytes,
    overlap=after_every_read("y", "x", "n_in", read=1),
)


@kernel(macs="n_out * n_in", variants=(FPU, _x4(4)), overlap=row_by_row(lanes=1, size=4))
def eff_dense_f32(
    y: Annotated[Array, Out("float", "n_out")],
    x: InputF32,
    w: WeightsF32,
    b: Annotated[Array | None, In("float", "n_out")],
    size: Matrix,
    relu: Relu,
) -> None:
    """float32: x (n_in,), w (n_out, n_in), b (n_out,) -> y (n_out,), summed from b in index order."""
    sums = np.zeros(size.n_out, np.float32) if b is None else b.astype(np.float32)
    products = w.reshape(size.n_out, size.n_in) * x
    for k in range(size.n_in):
        sums = sums + products[:, k]
    y[:] = activate(sums, relu)


@kernel(macs="n_out * n_in", variants=(MVE, PACKED, DSP, _x4(1)), overlap=row_by_row(lanes=1, size=1))
def eff_dense_i8(
    y: Annotated[Array, Out("int8_t", "n_out")],
    x: InputI8,
    w: AnyWeightsI8,
    b: BiasI32,
    multiplier: MultipliersI32,
    shift: ShiftsI32,
    size: Matrix,
    output: OutputI8,
) -> None:
    """int8 by the TFLite 8-bit specification; multiplier and shift (1,) or, per channel, (n_out,). n_in <= 32,768."""
    sums = w.reshape(size.n_out, size.n_in).astype(np.int64) @ (x.astype(np.int64) - output.x_zero)
    if b is not None:
        sums = sums + b
    scaled = requantise(sums, multiplier, shift)
    y[:] = np.clip(np.clip(scaled, -1024, 1024) + output.y_zero, output.y_min, output.y_max)


WIDE_DSP = Variant(
    "dsp",
    "wide_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["size"].n_out >= 2),
    overlap=row_by_row(lanes=2, size=2),
)


@kernel(macs="n_out * n_in", variants=(WIDE_DSP,), overlap=row_by_row(lanes=1, size=2))
def eff_dense_i16(
    y: ResultI16,
    x: InputI16,
    w: WeightsI16,
    b: BiasI32,
    multiplier: MultipliersI32,
    shift: ShiftsI32,
    size: Matrix,
    per_channel: Flag,
    pre_shift: PreShift,
    y_min: Annotated[int, Range(-32767, 0)],
) -> None:
    """int16, symmetric: 64-bit sums rounded by 2**pre_shift (2**pre_shift > n_in keeps them within 2**30), then b and requantisation."""
    sums = shift_round_up(w.reshape(size.n_out, size.n_in).astype(np.int64) @ x.astype(np.int64), pre_shift)
    if b is not None:
        sums = sums + b
    y[:] = np.clip(requantise(sums, multiplier, shift), y_min, 32767)


@kernel(macs="n_out * n_in", overlap=row_by_row(lanes=1, size=2))
def eff_dense_i16x8(
    y: Annotated[Array, Out("int16_t", "n_out", low=-32768)],
    x: Annotated[Array, In("int16_t", "n_in", low=-32768)],
    w: AnyWeightsI8,
    b: Annotated[Array | None, In("int64_t", "n_out", low=-BIAS_LIMIT_I64, high=BIAS_LIMIT_I64)],
    multiplier: MultipliersI32,
    shift: Annotated[Array, In("int32_t", "n_out if per_channel else 1", low=-31, high=MOST_SHIFT)],
    size: Matrix,
    output: OutputI16,
) -> None:
    """int16 activations and int8 weights (TFLite's 16x8), zero points 0; exact sums, then the output stage. n_in <= 2**23."""
    sums = w.reshape(size.n_out, size.n_in).astype(np.int64) @ x.astype(np.int64)
    y[:] = output_i16(sums if b is None else sums + b, multiplier, shift, output)


@kernel(macs="n_out * n_in", variants=(FPU_GRADIENT,))
def eff_input_gradient_f32(d: Annotated[Array, Out("float", "n_in")], delta: DeltaF32, w: WeightsF32, size: Matrix) -> None:
    """d = w^T delta, rows added in index order."""
    sums = np.zeros(size.n_in, np.float32)
    products = delta[:, None] * w.reshape(size.n_out, size.n_in)
    for row in products:
        sums = sums + row
    d[:] = sums


def _input_gradient(d: Array, delta: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    sums = delta.astype(np.int64) @ w.reshape(n_out, n_in).astype(np.int64)
    d[:] = saturate16(requantise(shift_round_up(sums, pre_shift), multiplier, shift))


GRADIENT_DSP = Variant("dsp", "gradient_dsp.c", needs=frozenset({"dsp"}))


@kernel(macs="n_out * n_in", variants=(GRADIENT_DSP,))
def eff_input_gradient_i8(d: GradientI16, delta: DeltaI16, w: WeightsI8, size: Matrix, pre_shift: PreShift, requant: Requant) -> None:
    """d = w^T delta for int8 weights: 64-bit sums rounded by 2**pre_shift, requantised, saturated to int16."""
    _input_gradient(d, delta, w, size.n_out, size.n_in, pre_shift, requant.multiplier, requant.shift)


@kernel(macs="n_out * n_in")
def eff_input_gradient_i16(d: GradientI16, delta: DeltaI16, w: WeightsI16, size: Matrix, pre_shift: PreShift, requant: Requant) -> None:
    """d = w^T delta for int16 weights."""
    _input_gradient(d, delta, w, size.n_out, size.n_in, pre_shift, requant.multiplier, requant.shift)


def _dense(y: Array, dx: Array, w: Array, n_out: int, n_in: int, pre_shift: int, multiplier: int, shift: int) -> None:
    sums = w.reshape(n_out, n_in).astype(np.int64) @ dx.astype(np.int64)
    y[:] = np.clip(requantise(shift_round_up(sums, pre_shift), multiplier, shift), -32767, 32767)


TANGENT_DSP = Variant(
    "dsp",
    "tangent_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["size"].n_out >= 4 and arguments["size"].n_in >= 4),
    scratch_bytes=lambda arguments: int(arguments["size"].n_in) // 4 * 8,
)


@kernel(macs="n_out * n_in", variants=(TANGENT_DSP,))
def eff_dense_tangent_i8(y: ResultI16, dx: InputI16, w: WeightsI8, size: Matrix, pre_shift: PreShift, requant: Requant) -> None:
    """y = w dx for an int16 tangent and int8 weights: 64-bit sums rounded by 2**pre_shift, requantised, saturated to int16."""
    _dense(y, dx, w, size.n_out, size.n_in, pre_shift, requant.multiplier, requant.shift)


@kernel(macs="n_out * n_in")
def eff_dense_tangent_i16(y: ResultI16, dx: InputI16, w: WeightsI16, size: Matrix, pre_shift: PreShift, requant: Requant) -> None:
    """y = w dx for int16 weights."""
    _dense(y, dx, w, size.n_out, size.n_in, pre_shift, requant.multiplier, requant.shift)


@kernel(macs="n_out * n_in", variants=(FPU_UPDATE,))
def eff_dense_update_f32(
    w: Annotated[Array, Out("float", "n_out", "n_in", also_read=True)],
    delta: DeltaF32,
    a: InputF32,
    rate: Rate,
    size: Matrix,
    lr: float,
) -> None:
    """w -= (rate / 2**16) lr delta a^T, in place."""
    gains = rate_of(rate, lr) * delta
    w -= (gains[:, None] * a[None, :]).reshape(w.shape)


UPDATE_DSP = Variant(
    "dsp",
    "update_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["how"].stochastic and arguments["size"].n_in >= 4),
)


@kernel(macs="n_out * n_in", variants=(UPDATE_DSP,))
def eff_dense_update_i8(
    w: Annotated[Array, Out("int8_t", "n_out", "n_in", low=-127, high=127, also_read=True)],
    delta: DeltaI16,
    a: InputI8,
    rate: Rate,
    step: StepCount,
    size: Matrix,
    how: Step,
) -> None:
    """int8 weights: w -= (G_j (a_k - a_zero) + r) >> 22, saturated to +-127; see edgeff.h for G and r."""
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I8)
    change = (
        gain[:, None] * (a.astype(np.int64) - how.a_zero) + rounding_of(size.n_out, size.n_in, how.key, step, FRACTION_I8, how.stochastic)
    ) >> FRACTION_I8
    w[:] = np.clip(w - change.reshape(w.shape), -127, 127)


@kernel(macs="n_out * n_in")
def eff_dense_update_i16(
    w: Annotated[Array, Out("int16_t", "n_out", "n_in", also_read=True)],
    delta: DeltaI16,
    a: InputI16,
    rate: Rate,
    step: StepCount,
    size: Matrix,
    how: Step,
) -> None:
    """int16 weights: w -= (G_j a_k + r) >> 16, saturated to +-32767."""
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I16)
    change = (
        gain[:, None] * a.astype(np.int64) + rounding_of(size.n_out, size.n_in, how.key, step, FRACTION_I16, how.stochastic)
    ) >> FRACTION_I16
    w[:] = np.clip(w - change.reshape(w.shape), -32767, 32767)


@kernel()
def eff_bias_update_f32(b: InPlaceF32, delta: VectorF32, rate: Rate, n: Size, lr: float) -> None:
    """b -= (rate / 2**16) lr delta."""
    b -= rate_of(rate, lr) * delta


@kernel()
def eff_bias_update_i32(
    b: Annotated[Array, Out("int32_t", "n", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)],
    delta: VectorI16,
    rate: Rate,
    n: Size,
    requant: Requant,
) -> None:
    """b -= requantise(delta) rate, rounded to nearest: an int32 bias is fine-grained enough without dithering."""
    b[:] = np.clip(b - gain_of(delta, requant.multiplier, requant.shift, rate, BIAS_LIMIT), -BIAS_LIMIT, BIAS_LIMIT)
