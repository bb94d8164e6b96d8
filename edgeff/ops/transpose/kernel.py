"""The axes in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Range, Record, Size


@dataclass(frozen=True, slots=True)
class Axes(Record):
    """The sizes of a tensor of three axes, and which of them comes first, second and last in the new order."""

    d0: Size
    d1: Size
    d2: Size
    p0: Annotated[int, Range(0, 2)]
    p1: Annotated[int, Range(0, 2)]
    p2: Annotated[int, Range(0, 2)]


@kernel()
def eff_transpose_f32(
    y: Annotated[Array, Out("float", "d0", "d1", "d2")],
    x: Annotated[Array, In("float", "d0", "d1", "d2")],
    axes: Axes,
) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(axes.d0, axes.d1, axes.d2).transpose(axes.p0, axes.p1, axes.p2).reshape(-1)


@kernel()
def eff_transpose_i8(
    y: Annotated[Array, Out("int8_t", "d0", "d1", "d2")],
    x: Annotated[Array, In("int8_t", "d0", "d1", "d2")],
    axes: Axes,
) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(axes.d0, axes.d1, axes.d2).transpose(axes.p0, axes.p1, axes.p2).reshape(-1)


@kernel()
def eff_transpose_i16(
    y: Annotated[Array, Out("int16_t", "d0", "d1", "d2", low=-32768)],
    x: Annotated[Array, In("int16_t", "d0", "d1", "d2", low=-32768)],
    axes: Axes,
) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(axes.d0, axes.d1, axes.d2).transpose(axes.p0, axes.p1, axes.p2).reshape(-1)
