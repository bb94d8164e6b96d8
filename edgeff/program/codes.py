"""What the functions of a model return beside a class, and what makes them: the codes of ``model.h``, in C and in Python the same."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from edgeff.ir import PERSISTENT, Array, Line, Program


class Code(IntEnum):
    """A code of ``model.h``; each but ``OK`` means that nothing was changed."""

    OK = 0
    BAD_LABEL = -1
    NOT_FINITE = -2
    BAD_RATE = -3
    EMPTY = -4


MEANINGS = {
    Code.OK: "done",
    Code.BAD_LABEL: "the label is no class",
    Code.NOT_FINITE: "the input holds NaN or infinity, or, where something is learned, a number of 2^48 or more",
    Code.BAD_RATE: "the rate is NaN, negative or above EFF_LARGEST_RATE",
    Code.EMPTY: "there is no sample yet",
}

LARGEST_RATE = 1.0
"""The largest rate that ``eff_set_rate`` takes: with a larger one the sums of an integer update could leave their 32 bits."""

INFINITE_BITS = 0x7F800000
"""The bits of infinity in float32. Those of NaN are larger, those of a finite number smaller, the sign left out."""

TOO_LARGE_BITS = 0x57800000
"""Those of 2**48: the squares of 2**31 smaller numbers still have a finite sum, so that one sample makes no weight infinite."""


def bits_below(x: Array, limit: int) -> bool:
    """Whether the bits of every number of ``x``, the sign left out, are below ``limit``; an array of integers has no such bits.

    >>> bits_below(np.array([1.0, -3e38], np.float32), INFINITE_BITS), bits_below(np.array([np.nan], np.float32), INFINITE_BITS)
    (True, False)
    """
    return x.dtype != np.float32 or bool((np.ascontiguousarray(x).view(np.uint32) & 0x7FFFFFFF < limit).all())


def largest_bits(program: Program, line: Line) -> int:
    """The limit for the arguments of ``line``: that of ``TOO_LARGE_BITS`` where it changes what persists."""
    changed = {program.tensors[name].role for call in line.calls for name in call.outputs}
    return TOO_LARGE_BITS if changed & set(PERSISTENT) else INFINITE_BITS


def takes(program: Program, line: Line, arguments: Sequence[Array]) -> bool:
    """Whether ``line`` computes with these arguments; if not, its C returns ``EFF_NOT_FINITE``."""
    return all(bits_below(value, largest_bits(program, line)) for value in arguments)


def rate_word(rate: float) -> int | None:
    """``rate``, rounded to float32, in units of 2**-16 as a program holds it; None for one that is refused.

    >>> rate_word(0.5), rate_word(float("nan")), rate_word(-1.0)
    (32768, None, None)
    """
    with np.errstate(over="ignore"):
        value = float(np.float32(rate))
    return int(value * 2**16 + 0.5) if 0.0 <= value <= LARGEST_RATE else None
