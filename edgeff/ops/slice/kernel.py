"""A part of a tensor, in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Count, Record, Size


@dataclass(frozen=True, slots=True)
class Part(Record):
    """n0 x n1 x n2 x n3 elements of a tensor of ``total``: the first one, and how many elements further the next along each axis lies."""

    n0: Size
    n1: Size
    n2: Size
    n3: Size
    s0: Count
    s1: Count
    s2: Count
    s3: Count
    first: Count
    total: Size


def _pick(y: Array, x: Array, part: Part) -> None:
    places = np.indices((part.n0, part.n1, part.n2, part.n3)).reshape(4, -1)
    y[:] = x[part.first + np.array([part.s0, part.s1, part.s2, part.s3]) @ places]


@kernel()
def eff_slice_f32(y: Annotated[Array, Out("float", "n0", "n1", "n2", "n3")], x: Annotated[Array, In("float", "total")], part: Part) -> None:
    """The elements of x that ``part`` names, in C order."""
    _pick(y, x, part)


@kernel()
def eff_slice_i8(
    y: Annotated[Array, Out("int8_t", "n0", "n1", "n2", "n3")], x: Annotated[Array, In("int8_t", "total")], part: Part
) -> None:
    """The elements of x that ``part`` names, in C order."""
    _pick(y, x, part)


@kernel()
def eff_slice_i16(
    y: Annotated[Array, Out("int16_t", "n0", "n1", "n2", "n3", low=-32768)],
    x: Annotated[Array, In("int16_t", "total", low=-32768)],
    part: Part,
) -> None:
    """The elements of x that ``part`` names, in C order."""
    _pick(y, x, part)
