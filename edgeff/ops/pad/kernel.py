"""A number around a tensor of three axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Count, Record, Size, StepI16, Zero

_SHAPE = ("before0 + n0 + after0", "before1 + n1 + after1", "before2 + n2 + after2")


@dataclass(frozen=True, slots=True)
class Around(Record):
    """A tensor of n0 x n1 x n2 elements, and how many there are before and after it along each axis."""

    n0: Size
    n1: Size
    n2: Size
    before0: Count
    before1: Count
    before2: Count
    after0: Count
    after1: Count
    after2: Count


def _pad(y: Array, x: Array, around: Around, value: float) -> None:
    sides = [(getattr(around, f"before{axis}"), getattr(around, f"after{axis}")) for axis in range(3)]
    y[:] = np.pad(x.reshape(around.n0, around.n1, around.n2), sides, constant_values=value).reshape(-1)


@kernel()
def eff_pad_f32(
    y: Annotated[Array, Out("float", *_SHAPE)], x: Annotated[Array, In("float", "n0", "n1", "n2")], around: Around, value: float
) -> None:
    """x with ``value`` around it."""
    _pad(y, x, around, float(np.float32(value)))


@kernel()
def eff_pad_i8(
    y: Annotated[Array, Out("int8_t", *_SHAPE)], x: Annotated[Array, In("int8_t", "n0", "n1", "n2")], around: Around, value: Zero
) -> None:
    """x with ``value`` around it."""
    _pad(y, x, around, value)


@kernel()
def eff_pad_i16(
    y: Annotated[Array, Out("int16_t", *_SHAPE, low=-32768)],
    x: Annotated[Array, In("int16_t", "n0", "n1", "n2", low=-32768)],
    around: Around,
    value: StepI16,
) -> None:
    """x with ``value`` around it."""
    _pad(y, x, around, value)
