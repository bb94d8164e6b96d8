"""The best class, and plain copies."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.overlap import after_every_read, element_by_element


@kernel()
def eff_argmax_f32(best: Array, x: Array, n: int) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 1))
def eff_argmax_i8(best: Array, x: Array, n: int) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel()
def eff_argmax_i16(best: Array, x: Array, n: int) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel(overlap=after_every_read("best", "x", "n", 4))
def eff_argmax_i32(best: Array, x: Array, n: int) -> None:
    """The index of the first largest value."""
    best[0] = np.argmax(x)


@kernel()
def eff_set_label(label: Array, value: int) -> None:
    """label = value."""
    label[0] = value


@kernel(overlap=element_by_element("x", sizes=("n_bytes",), written=1, read=1))
def eff_copy(y: Array, x: Array, n_bytes: int) -> None:
    """y = x, as raw bytes: the tensors have one dtype and size."""
    y[:] = x
