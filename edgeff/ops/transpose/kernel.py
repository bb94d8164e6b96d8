"""The axes in another order."""

from __future__ import annotations

from edgeff.ir import Array
from edgeff.kernels import kernel


@kernel()
def eff_transpose_f32(y: Array, x: Array, d0: int, d1: int, d2: int, p0: int, p1: int, p2: int) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(d0, d1, d2).transpose(p0, p1, p2).reshape(-1)


@kernel()
def eff_transpose_i8(y: Array, x: Array, d0: int, d1: int, d2: int, p0: int, p1: int, p2: int) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(d0, d1, d2).transpose(p0, p1, p2).reshape(-1)
