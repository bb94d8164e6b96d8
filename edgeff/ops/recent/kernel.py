"""An input after the numbers of earlier ones."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Size


def _join(y: Array, memory: Array, x: Array) -> None:
    y[:] = np.concatenate([memory, x])
    memory[:] = y[len(x) :]


@kernel()
def eff_recent_f32(
    y: Annotated[Array, Out("float", "kept + n")],
    memory: Annotated[Array, Out("float", "kept", also_read=True)],
    x: Annotated[Array, In("float", "n")],
    kept: Size,
    n: Size,
) -> None:
    """y = memory, then x; memory = the last ``kept`` numbers of y."""
    _join(y, memory, x)


@kernel()
def eff_recent_i8(
    y: Annotated[Array, Out("int8_t", "kept + n")],
    memory: Annotated[Array, Out("int8_t", "kept", also_read=True)],
    x: Annotated[Array, In("int8_t", "n")],
    kept: Size,
    n: Size,
) -> None:
    """The same of int8 tensors in one scale."""
    _join(y, memory, x)
