"""The best class: the index of the first largest value."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, kernel
from edgeff.kernels.overlap import after_every_read
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OneI32, VectorF32, VectorI8, VectorI16


@kernel()
def eff_argmax_f32(best: OneI32, x: VectorF32, n: Size) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 1))
def eff_argmax_i8(best: OneI32, x: VectorI8, n: Size) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel()
def eff_argmax_i16(best: OneI32, x: VectorI16, n: Size) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 4))
def eff_argmax_i32(best: OneI32, x: Annotated[Array, In("int32_t", "n")], n: Size) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)
