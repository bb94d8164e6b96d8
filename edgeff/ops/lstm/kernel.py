"""Long short-term memory over a sequence: in float32, and in int8 with a cell of 16 bits as TFLite's UNIDIRECTIONAL_SEQUENCE_LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import Int, exp_f32, requantise
from edgeff.kernels.chords import TableI16, logistic_q15, tanh_q15
from edgeff.kernels.records import LARGEST_FLOAT, Flag, Range, Record, Requant, Size, Zero

F = np.float32
GATES = 4
NO_CLIP = 32768
"""As the limit of an int16 cell: none."""
MACS = "steps * 4 * n_out * (n_in + n_out)"
InputGateF32 = Annotated[Array, In("float", "4", "n_out", "n_in")]
StateI8 = Annotated[Array, Out("int8_t", "n_out", also_read=True)]
CellI16 = Annotated[Array, Out("int16_t", "n_out", low=-32768, also_read=True)]


@dataclass(frozen=True, slots=True)
class Sequence(Record):
    """A sequence of ``steps`` inputs of n_in elements, which gives as many outputs of n_out."""

    steps: Size
    n_in: Size
    n_out: Size


@dataclass(frozen=True, slots=True)
class LstmScales(Record):
    """The factors of an int8 LSTM: of the four gates' sums over the input (x) and over the hidden state (h) to Q3.12, of the cell that is
    kept, of what is added to it, and of the output; the zero points; the cell's step as a power of two; and its limit, 32768 for none.
    """

    input_x: Requant
    forget_x: Requant
    cell_x: Requant
    output_x: Requant
    input_h: Requant
    forget_h: Requant
    cell_h: Requant
    output_h: Requant
    keep: Requant
    add: Requant
    make: Requant
    x_zero: Zero
    y_zero: Zero
    cell_power: Annotated[int, Range(-15, 0)]
    clip: Annotated[int, Range(0, NO_CLIP)]


def gate_f32(x: Array) -> Array:
    """The logistic function as ``eff_logistic_f32`` computes it."""
    power = exp_f32(-np.abs(x))
    share = F(1.0) / (F(1.0) + power)
    return np.asarray(np.where(x < 0, power * share, share))


def squash_f32(x: Array) -> Array:
    """The hyperbolic tangent: a series below 1/16, by the exponential above."""
    size, square = np.abs(x), x * x
    series = x * (F(1.0) + square * (square * F(0.133333333) - F(0.333333333)))
    value = F(1.0) - F(2.0) / (exp_f32(size + size) + F(1.0))
    return np.asarray(np.where(size < F(0.0625), series, np.where(x < 0, -value, value)))


@kernel(macs=MACS)
def eff_lstm_f32(
    y: Annotated[Array, Out("float", "steps", "n_out")],
    hidden: Annotated[Array, Out("float", "n_out", also_read=True)],
    cell: Annotated[Array, Out("float", "n_out", also_read=True)],
    gates: Annotated[Array, Out("float", "4", "n_out")],
    x: Annotated[Array, In("float", "steps", "n_in")],
    weights: InputGateF32,
    recurrent: Annotated[Array, In("float", "4", "n_out", "n_out")],
    biases: Annotated[Array, In("float", "4", "n_out")],
    size: Sequence,
    clip: Annotated[float, Range(0.0, LARGEST_FLOAT)],
    fresh: Flag,
) -> None:
    """y[t] = hidden = o tanh(c), c = f c + i tanh(g), limited to +-clip; i, f, g, o are sums over the input and hidden, i, f and o through
    the logistic function. ``fresh``: hidden and c start at 0; gates holds the last sums.
    """
    if fresh:
        hidden[:] = 0
        cell[:] = 0
    w, r = weights.reshape(-1, size.n_in), recurrent.reshape(-1, size.n_out)
    for t, sample in enumerate(x.reshape(size.steps, size.n_in)):
        sums = biases.reshape(-1).copy()
        for column, value in zip((*w.T, *r.T), (*sample, *hidden.copy()), strict=True):
            sums += column * value
        gates[:] = sums
        i, f, g, o = sums.reshape(GATES, -1)
        cell[:] = np.clip(gate_f32(f) * cell + gate_f32(i) * squash_f32(g), F(-clip), F(clip))
        hidden[:] = gate_f32(o) * squash_f32(cell)
        y.reshape(size.steps, size.n_out)[t] = hidden


def gate_i16(table: Array, x: Array) -> Int:
    """The logistic function of x in Q3.12, in Q0.15."""
    return logistic_q15(table, 3 * x.astype(np.int64))


def squash_i16(table: Array, x: Array, power: int) -> Int:
    """The hyperbolic tangent of x in steps of 2**power, in Q0.15."""
    shift, three = 12 + power, 3 * x.astype(np.int64)
    return tanh_q15(table, three << shift if shift >= 0 else (three + ((1 << -shift) >> 1)) >> -shift)


def within(v: Int) -> Int:
    """``v`` within int16."""
    return np.clip(v, -32768, 32767)


def _scaled(v: Int, how: Requant) -> Int:
    return within(requantise(v, how.multiplier, how.shift))


@kernel(macs=MACS)
def eff_lstm_i8(
    y: Annotated[Array, Out("int8_t", "steps", "n_out")],
    hidden: StateI8,
    cell: CellI16,
    gates: Annotated[Array, Out("int16_t", "4", "n_out", low=-32768)],
    x: Annotated[Array, In("int8_t", "steps", "n_in")],
    weights: Annotated[Array, In("int8_t", "4", "n_out", "n_in", low=-127, high=127)],
    recurrent: Annotated[Array, In("int8_t", "4", "n_out", "n_out", low=-127, high=127)],
    biases: Annotated[Array, In("int32_t", "4", "n_out", low=-(2**30) + 1, high=2**30 - 1)],
    table: TableI16,
    size: Sequence,
    how: LstmScales,
    fresh: Flag,
) -> None:
    """As eff_lstm_f32, what TFLM computes bit for bit: sums in Q3.12, gates in Q0.15 from a table, a cell of 16 bits. n_in and n_out at
    most 32,768, and |bias| + 255 sum |weight| below 2^31.
    """
    n_in, n_out = size.n_in, size.n_out
    if fresh:
        hidden[:] = how.y_zero
        cell[:] = 0
    w, r = weights.reshape(GATES, n_out, n_in).astype(np.int64), recurrent.reshape(GATES, n_out, n_out).astype(np.int64)
    by_x = (how.input_x, how.forget_x, how.cell_x, how.output_x)
    by_h = (how.input_h, how.forget_h, how.cell_h, how.output_h)
    for t, sample in enumerate(x.reshape(size.steps, n_in).astype(np.int64) - how.x_zero):
        sums, old = w @ sample + biases.reshape(GATES, n_out), r @ (hidden.astype(np.int64) - how.y_zero)
        scaled = [_scaled(a, one) + _scaled(b, other) for a, b, one, other in zip(sums, old, by_x, by_h, strict=True)]
        gates[:] = within(np.concatenate(scaled))
        i, f, g, o = gates.reshape(GATES, n_out)
        kept = _scaled(gate_i16(table, f) * cell, how.keep)
        both = within(kept + _scaled(gate_i16(table, i) * squash_i16(table, g, -12), how.add))
        cell[:] = both if how.clip == NO_CLIP else np.clip(both, -how.clip, how.clip)
        made = squash_i16(table, cell, how.cell_power) * gate_i16(table, o)
        hidden[:] = np.clip(requantise(made, how.make.multiplier, how.make.shift) + how.y_zero, -128, 127)
        y.reshape(size.steps, n_out)[t] = hidden
