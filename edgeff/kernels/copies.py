"""Plain copies: of a tensor's bytes, and of a number into a label."""

from __future__ import annotations

from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OneI32


@kernel()
def eff_set_label(label: OneI32, value: int) -> None:
    """label = value."""
    label[0] = value


@kernel(overlap=element_by_element("x", sizes=("n_bytes",), written=1, read=1))
def eff_copy(y: Annotated[Array, Out("void", "n_bytes")], x: Annotated[Array, In("void", "n_bytes")], n_bytes: Size) -> None:
    """y = x, as raw bytes: the tensors have one dtype and size."""
    y[:] = x
