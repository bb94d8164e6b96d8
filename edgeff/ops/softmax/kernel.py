"""Softmax: float32 by edgeff's own exponential, int8 bit for bit as TFLite, int16 by its scheme for int8, or by its tables for int16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, Variant, kernel
from edgeff.kernels.arithmetic import exp_f32, exp_q31, high_mul, reciprocal_q31, requantise, shift_round, sum_in_order
from edgeff.kernels.overlap import after_every_read, element_by_element
from edgeff.kernels.records import Multiplier, Range, Record, Requant, Shift, Size
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, VectorF32, VectorI8, VectorI16

Width = Annotated[int, Range(1, 4095)]
ChordsI16 = Annotated[Array, In("int16_t", "513", low=0)]


@dataclass(frozen=True, slots=True)
class Logits(Record):
    """The factor that brings differences of logits to Q5.26, and the difference below which a probability is zero."""

    multiplier: Multiplier
    shift: Shift
    diff_min: int


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_softmax_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = exp(x - max x) / sum, the sum in index order; y may be x."""
    powers = exp_f32(x - x.max())
    y[:] = powers / sum_in_order(powers)


def _fixed_point(x: Array, multiplier: int, shift: int, diff_min: int, extra_bits: int) -> Array:
    """Probabilities in steps of 2**(extra_bits - 31) before the output's offset and saturation; -1 below ``diff_min``."""
    difference = x.astype(np.int64) - int(x.max())
    counted = difference >= diff_min
    powers = exp_q31(high_mul(np.where(counted, difference, 0) << shift, multiplier))
    total = int(shift_round(powers, 12)[counted].sum())
    zeros = 32 - total.bit_length()
    scale = int(reciprocal_q31(((total << zeros) & 0xFFFFFFFF) - 0x80000000))
    share = shift_round(high_mul(scale, powers), 12 - zeros + extra_bits)
    return np.where(counted, share, -1)


DSP = Variant(
    "dsp",
    "dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["logits"].multiplier >= 1 << 30),
    scratch_bytes=lambda arguments: 4 * int(arguments["n"]),
    overlap=after_every_read("y", "x", "n", read=1),
)
"""The exponentials lie in its scratch memory."""


@kernel(variants=(DSP,), overlap=element_by_element("x", written=1, read=1))
def eff_softmax_i8(y: OutI8, x: VectorI8, n: Width, logits: Logits) -> None:
    """int8 logits -> int8 probabilities, scale 1/256 and zero point -128; differences below ``diff_min`` give -128. n <= 4,095."""
    share = _fixed_point(x, logits.multiplier, logits.shift, logits.diff_min, 23)
    y[:] = np.where(share < 0, -128, np.clip(share - 128, -128, 127))


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_softmax_i16(y: OutI16, x: VectorI16, n: Width, logits: Logits) -> None:
    """int16 logits -> int16 probabilities, scale 1/32768 and zero point 0."""
    y[:] = np.clip(_fixed_point(x, logits.multiplier, logits.shift, logits.diff_min, 16), 0, 32767)


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_softmax_rows_f32(
    y: Annotated[Array, Out("float", "rows", "n")], x: Annotated[Array, In("float", "rows", "n")], rows: Size, n: Size
) -> None:
    """eff_softmax_f32 of each row."""
    for given, made in zip(x.reshape(rows, n), y.reshape(rows, n), strict=True):
        eff_softmax_f32(made, given, n)


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_softmax_rows_i8(
    y: Annotated[Array, Out("int8_t", "rows", "n")],
    x: Annotated[Array, In("int8_t", "rows", "n")],
    rows: Size,
    n: Width,
    logits: Logits,
) -> None:
    """eff_softmax_i8 of each row."""
    for given, made in zip(x.reshape(rows, n), y.reshape(rows, n), strict=True):
        eff_softmax_i8(made, given, n, logits)


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_softmax_rows_i16(
    y: Annotated[Array, Out("int16_t", "rows", "n")],
    x: Annotated[Array, In("int16_t", "rows", "n")],
    rows: Size,
    n: Width,
    logits: Logits,
) -> None:
    """eff_softmax_i16 of each row."""
    for given, made in zip(x.reshape(rows, n), y.reshape(rows, n), strict=True):
        eff_softmax_i16(made, given, n, logits)


def _on_chord(table: Array, v: Array) -> Array:
    """The function whose values at -32768, -32640, .. 32768 the table holds, at v within int16."""
    entry, part = (v >> 7) + 256, v & 127
    low, high = table[entry].astype(np.int64), table[entry + 1].astype(np.int64)
    return np.asarray(low + (((high - low) * part + 64) >> 7))


@kernel()
def eff_softmax_chords_i16(
    y: Annotated[Array, Out("int16_t", "rows", "n")],
    x: Annotated[Array, In("int16_t", "rows", "n", low=-32768)],
    powers: ChordsI16,
    inverses: ChordsI16,
    rows: Size,
    n: Width,
    how: Requant,
) -> None:
    """TFLite's int16 SOFTMAX of each row: exponentials of differences, brought to [-10, 0] by ``how``, and the inverse of their sum, both
    by chords; probabilities in Q0.15.
    """
    for given, made in zip(x.reshape(rows, n).astype(np.int64), y.reshape(rows, n), strict=True):
        steps = np.clip(requantise(given - given.max(), how.multiplier, how.shift) + 32767, -32768, 32767)
        power = _on_chord(powers, steps)
        total = int(power.sum())
        zeros = min(31 - total.bit_length(), 16)
        part = (((total << zeros) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16)
        inverse = int(_on_chord(inverses, np.clip(part, -32768, 32767)))
        away = 30 - zeros
        made[:] = np.clip((power * inverse + (1 << (away - 1))) >> away, 0, 32767)
