"""Two tensors of which some elements serve several places of the output: the record of a call from their shapes, and the twins' arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.kernels import In, Out
from edgeff.kernels.records import Broadcast

MOST_AXES = 4
_A = "1 + (n0 - 1) * a0 + (n1 - 1) * a1 + (n2 - 1) * a2 + (n3 - 1) * a3"
_C = _A.replace("a", "c")
LeftF32 = Annotated[Array, In("float", _A)]
RightF32 = Annotated[Array, In("float", _C)]
LeftI8 = Annotated[Array, In("int8_t", _A)]
RightI8 = Annotated[Array, In("int8_t", _C)]
LeftI16 = Annotated[Array, In("int16_t", _A, low=-32768)]
RightI16 = Annotated[Array, In("int16_t", _C, low=-32768)]
OutOfBothF32 = Annotated[Array, Out("float", "n0", "n1", "n2", "n3")]
OutOfBothI8 = Annotated[Array, Out("int8_t", "n0", "n1", "n2", "n3")]
OutOfBothI16 = Annotated[Array, Out("int16_t", "n0", "n1", "n2", "n3", low=-32768)]


def broadcast(a: Sequence[int], c: Sequence[int]) -> Broadcast:
    """The record for sides of these shapes, which NumPy would broadcast: neighbouring axes that both sides walk alike become one.

    Raises Unsupported where more than four are left.

    >>> broadcast((8, 8, 3), (3,))
    Broadcast(n0=1, n1=1, n2=64, n3=3, a0=0, a1=0, a2=3, a3=1, c0=0, c1=0, c2=0, c3=1)
    """
    rank = max(len(a), len(c))
    left, right = ((1,) * (rank - len(side)) + tuple(side) for side in (a, c))
    runs: list[list[int]] = []
    for size, mine, other in zip(np.broadcast_shapes(left, right), left, right, strict=True):
        if size == 1:
            continue
        if runs and [mine > 1, other > 1] == [runs[-1][1] > 1, runs[-1][2] > 1]:
            runs[-1] = [old * new for old, new in zip(runs[-1], (size, mine, other), strict=True)]
        else:
            runs.append([size, mine, other])
    if len(runs) > MOST_AXES:
        raise Unsupported(f"shapes {tuple(a)} and {tuple(c)}", got=f"{len(runs)} axes after merging", allowed=f"at most {MOST_AXES}")
    runs = [[1, 1, 1]] * (MOST_AXES - len(runs)) + runs
    strides = [[prod(run[side] for run in runs[axis + 1 :]) if run[side] > 1 else 0 for axis, run in enumerate(runs)] for side in (1, 2)]
    return Broadcast(*(run[0] for run in runs), *strides[0], *strides[1])


def pairs(how: Broadcast, a: Array, c: Array) -> tuple[Array, Array]:
    """The elements of both sides for each element of the output, in its order."""
    places = np.indices((how.n0, how.n1, how.n2, how.n3)).reshape(MOST_AXES, -1)
    left, right = np.array([how.a0, how.a1, how.a2, how.a3]), np.array([how.c0, how.c1, how.c2, how.c3])
    return a[left @ places], c[right @ places]
