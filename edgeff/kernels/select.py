"""The best class, and plain copies."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.overlap import after_every_read, element_by_element
from edgeff.kernels.records import Size


@kernel()
def eff_argmax_f32(
    best: Annotated[Array, Out("int32_t", "1")],
    x: Annotated[Array, In("float", "n")],
    n: Size,
) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 1))
def eff_argmax_i8(
    best: Annotated[Array, Out("int32_t", "1")],
    x: Annotated[Array, In("int8_t", "n")],
    n: Size,
) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel()
def eff_argmax_i16(
    best: Annotated[Array, Out("int32_t", "1")],
    x: Annotated[Array, In("int16_t", "n")],
    n: Size,
) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 4))
def eff_argmax_i32(
    best: Annotated[Array, Out("int32_t", "1")],
    x: Annotated[Array, In("int32_t", "n")],
    n: Size,
) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel()
def eff_set_label(
    label: Annotated[Array, Out("int32_t", "1")],
    value: int,
) -> None:
    """label = value."""
    label[0] = value


@kernel(overlap=element_by_element("x", sizes=("n_bytes",), written=1, read=1))
def eff_copy(
    y: Annotated[Array, Out("void", "n_bytes")],
    x: Annotated[Array, In("void", "n_bytes")],
    n_bytes: Size,
) -> None:
    """y = x, as raw bytes: the tensors have one dtype and size."""
    y[:] = x
