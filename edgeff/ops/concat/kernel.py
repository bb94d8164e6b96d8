"""Two tensors one after the other along an axis."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Size


def _join(y: Array, a: Array, c: Array, rows: int) -> None:
    y[:] = np.concatenate([a.reshape(rows, -1), c.reshape(rows, -1)], axis=1).reshape(-1)


@kernel()
def eff_concat_f32(
    y: Annotated[Array, Out("float", "rows", "a_n + c_n")],
    a: Annotated[Array, In("float", "rows", "a_n")],
    c: Annotated[Array, In("float", "rows", "c_n")],
    rows: Size,
    a_n: Size,
    c_n: Size,
) -> None:
    """Each row of y (rows, a_n + c_n): that of a (rows, a_n), then that of c (rows, c_n)."""
    _join(y, a, c, rows)


@kernel()
def eff_concat_i8(
    y: Annotated[Array, Out("int8_t", "rows", "a_n + c_n")],
    a: Annotated[Array, In("int8_t", "rows", "a_n")],
    c: Annotated[Array, In("int8_t", "rows", "c_n")],
    rows: Size,
    a_n: Size,
    c_n: Size,
) -> None:
    """The same of int8 tensors in one scale."""
    _join(y, a, c, rows)


@kernel()
def eff_concat_i16(
    y: Annotated[Array, Out("int16_t", "rows", "a_n + c_n", low=-32768)],
    a: Annotated[Array, In("int16_t", "rows", "a_n", low=-32768)],
    c: Annotated[Array, In("int16_t", "rows", "c_n", low=-32768)],
    rows: Size,
    a_n: Size,
    c_n: Size,
) -> None:
    """The same of int16 tensors in one scale."""
    _join(y, a, c, rows)
