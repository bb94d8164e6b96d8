"""The fixed random matrix of PEPITA, DFA and related rules: generated from a seed and never stored, or read from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Variant, kernel
from edgeff.kernels.arithmetic import feedback_signs, requantise
from edgeff.kernels.records import Flag, Key, Multiplier, Range, Record, Shift, Size
from edgeff.kernels.tensors import InPlaceF32, InPlaceI8, InPlaceI16, OutI16

ErrorsF32 = Annotated[Array, In("float", "n_e")]
ErrorsI16 = Annotated[Array, In("int16_t", "n_e")]
MatrixI8 = Annotated[Array, In("int8_t", "n", "n_e", low=-127, high=127)]


@dataclass(frozen=True, slots=True)
class FeedbackInt(Record):
    """An integer product with a feedback matrix [n][n_e]: the sums' factor, and the stream of a generated matrix' signs."""

    n: Size
    n_e: Annotated[int, Range(1, 65_536)]
    multiplier: Multiplier
    shift: Shift
    key: Key


@dataclass(frozen=True, slots=True)
class FeedbackTable(Record):
    """An integer product with a stored feedback matrix [n][n_e] of int8: the sums' factor; its limit on n_e keeps sums in 32 bits."""

    n: Size
    n_e: Annotated[int, Range(1, 516)]
    multiplier: Multiplier
    shift: Shift


FPU = Variant("fpu", "feedback_fpu.c", needs=frozenset({"dsp", "fpu"}), accepts=lambda arguments, _: bool(arguments["n_e"] >= 29))
"""For at least one block of eight groups of four errors."""


@kernel(macs="n * n_e", variants=(FPU,))
def eff_feedback_f32(y: InPlaceF32, e: ErrorsF32, n: Size, n_e: Size, add: Flag, key: Key, scale: float) -> None:
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


@kernel(macs="n * n_e")
def eff_feedback_table_f32(
    y: InPlaceF32,
    e: ErrorsF32,
    f: Annotated[Array, In("float", "n", "n_e")],
    n: Size,
    n_e: Size,
    add: Flag,
) -> None:
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


def _tables_and_sums(arguments: Arguments) -> int:
    """Sixteen sums for each of the four or eight fours of a block of errors, and a sum per row if errors fill a block."""
    how = arguments["how"]
    return 64 * (4 if how.n_e <= 16 else 8) + (4 * int(how.n) if how.n_e >= 32 else 0)


DSP = Variant(
    "dsp",
    "feedback_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["how"].n >= 4),
    scratch_bytes=_tables_and_sums,
)


@kernel(macs="n * n_e", variants=(DSP,))
def eff_feedback_add_i8(y: InPlaceI8, e: ErrorsI16, how: FeedbackInt) -> None:
    """y += requantise(sum of +-e), int8, saturated; F generated."""
    _add(y, _generated(e, how.n, how.n_e, how.key), how.multiplier, how.shift, -128, 127)


@kernel(macs="n * n_e")
def eff_feedback_add_i16(y: InPlaceI16, e: ErrorsI16, how: FeedbackInt) -> None:
    """y += requantise(sum of +-e), int16, saturated; F generated."""
    _add(y, _generated(e, how.n, how.n_e, how.key), how.multiplier, how.shift, -32767, 32767)


@kernel(macs="n * n_e", variants=(DSP,))
def eff_feedback_delta_i16(d: OutI16, e: ErrorsI16, how: FeedbackInt) -> None:
    """d = requantise(sum of +-e), int16, saturated; F generated."""
    d[:] = 0
    _add(d, _generated(e, how.n, how.n_e, how.key), how.multiplier, how.shift, -32767, 32767)


@kernel(macs="n * n_e")
def eff_feedback_table_add_i8(y: InPlaceI8, e: ErrorsI16, f: MatrixI8, how: FeedbackTable) -> None:
    """y += requantise(F e), int8, saturated; F int8 (n, n_e) stored."""
    _add(y, _table(e, f, how.n, how.n_e), how.multiplier, how.shift, -128, 127)


@kernel(macs="n * n_e")
def eff_feedback_table_add_i16(y: InPlaceI16, e: ErrorsI16, f: MatrixI8, how: FeedbackTable) -> None:
    """y += requantise(F e), int16, saturated; F int8 stored."""
    _add(y, _table(e, f, how.n, how.n_e), how.multiplier, how.shift, -32767, 32767)


@kernel(macs="n * n_e")
def eff_feedback_table_delta_i16(d: OutI16, e: ErrorsI16, f: MatrixI8, how: FeedbackTable) -> None:
    """d = requantise(F e), int16, saturated; F int8 stored."""
    d[:] = 0
    _add(d, _table(e, f, how.n, how.n_e), how.multiplier, how.shift, -32767, 32767)
