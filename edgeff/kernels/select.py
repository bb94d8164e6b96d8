"""The best class, and plain copies."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.overlap import after_every_read, element_by_element
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


@kernel()
def eff_set_label(label: OneI32, value: int) -> None:
    """label = value."""
    label[0] = value


@kernel(overlap=element_by_element("x", sizes=("n_bytes",), written=1, read=1))
def eff_copy(y: Annotated[Array, Out("void", "n_bytes")], x: Annotated[Array, In("void", "n_bytes")], n_bytes: Size) -> None:
    """y = x, as raw bytes: the tensors have one dtype and size."""
    y[:] = x
