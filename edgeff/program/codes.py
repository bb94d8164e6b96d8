"""The result codes of a model's functions and their causes: those of ``model.h``, the same in C and in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np

from edgeff.ir import PERSISTENT, Array, Line, Program, Tensor


class Code(IntEnum):
    """A code of ``model.h``; each except ``OK`` and the two of a step that diverged means that nothing was changed."""

    OK = 0
    BAD_LABEL = -1
    NOT_FINITE = -2
    BAD_RATE = -3
    EMPTY = -4
    CONSUMED = -5
    DIVERGED = -6
    ROLLED_BACK = -7


MEANINGS = {
    Code.OK: "done",
    Code.BAD_LABEL: "the label is not a class",
    Code.NOT_FINITE: "the input or target holds NaN or infinity, or, when learning, a number of 2^48 or more",
    Code.BAD_RATE: "the rate is NaN, negative or above EFF_LARGEST_RATE",
    Code.EMPTY: "there is no sample yet",
    Code.CONSUMED: "the input was not filled since a line used its memory: call eff_input and fill it again",
    Code.DIVERGED: "what was learned means nothing any more: the weights are as exported",
    Code.ROLLED_BACK: "what was learned means nothing any more: back to the newest good slot",
}

WINDOW = 64
"""How many parameters are looked at after a step that learns."""

FEW = 8
"""So many integers of a window at their limits are a sign that what they hold has diverged, if they are more than three quarters of it."""

LIMITS = {"int8": 127, "int16": 32767, "int32": 0x3FFFFFFF}
"""Where parameters saturate."""

LARGEST_RATE = 1.0
"""The largest rate that ``eff_set_rate`` accepts: with a larger one the sums of an integer update could exceed 32 bits."""

INFINITE_BITS = 0x7F800000
"""The bits of infinity in float32. Those of NaN are larger, those of a finite number smaller, ignoring the sign."""

TOO_LARGE_BITS = 0x57800000
"""Those of 2**48: the squares of 2**31 smaller numbers still have a finite sum, so that one sample cannot make a weight infinite."""


def bits_below(x: Array, limit: int) -> bool:
    """Whether the bits of every number of ``x``, ignoring the sign, are below ``limit``; an array of integers has no such bits.

    >>> bits_below(np.array([1.0, -3e38], np.float32), INFINITE_BITS), bits_below(np.array([np.nan], np.float32), INFINITE_BITS)
    (True, False)
    """
    return x.dtype != np.float32 or bool((np.ascontiguousarray(x).view(np.uint32) & 0x7FFFFFFF < limit).all())


def largest_bits(program: Program, line: Line) -> int:
    """The limit for the arguments of ``line``: that of ``TOO_LARGE_BITS`` if it changes persistent state."""
    return TOO_LARGE_BITS if changes_state(program, line) else INFINITE_BITS


def changes_state(program: Program, line: Line) -> bool:
    """Whether ``line`` changes persistent state: it learns, keeps a sample, or remembers something for the next one."""
    return bool(_changed(program, line) & {*PERSISTENT})


def _changed(program: Program, line: Line) -> set[str]:
    """The roles of the tensors that ``line`` writes."""
    return {program.tensors[name].role for call in line.calls for name in call.outputs}


def watched(program: Program) -> tuple[Tensor, ...]:
    """The parameters that learn, of which some are looked at after each step: none where nothing counts the steps."""
    if "step" not in program.tensors:
        return ()
    return tuple(tensor for tensor in program.by_role("variable") if tensor.dtype == "float32" or tensor.dtype in LIMITS)


def learns(program: Program, line: Line) -> bool:
    """Whether ``line`` changes a parameter that learns."""
    return bool({tensor.name for tensor in watched(program)} & {name for call in line.calls for name in call.outputs})


def windows_of(program: Program) -> tuple[tuple[Tensor, int], ...]:
    """The windows of parameters that are looked at in turn: the tensor of each, and its first element."""
    return tuple((tensor, first) for tensor in watched(program) for first in range(0, tensor.elements, WINDOW))


def diverged(windows: Sequence[tuple[Tensor, int]], value: Callable[[str], Array]) -> bool:
    """Whether the window whose turn it is after a step has diverged, as the C sees it (``codegen/runtime/eff_watch.c``).

    ``windows``, one or more, are those of ``windows_of``; ``value`` gives a tensor's current value by its name.
    """
    tensor, first = windows[int(value("step").reshape(-1)[0]) % len(windows)]
    part = value(tensor.name).reshape(-1)[first : first + WINDOW]
    if part.dtype == np.float32:
        return not bits_below(part, TOO_LARGE_BITS)
    at_limit = int(np.count_nonzero(np.abs(part.astype(np.int64)) >= LIMITS[tensor.dtype]))
    return at_limit >= FEW and 4 * at_limit > 3 * len(part)


def needs_input(program: Program, line: Line) -> bool:
    """Whether ``line`` learns or keeps the sample in the input: its C refuses an input that is no longer there."""
    return program.input in line.arguments and bool(_changed(program, line) & ({*PERSISTENT} - {"memory"}))


def takes(program: Program, line: Line, arguments: Sequence[Array]) -> bool:
    """Whether ``line`` computes with these arguments; if not, its C returns ``EFF_NOT_FINITE``."""
    return all(bits_below(value, largest_bits(program, line)) for value in arguments)


def rate_word(rate: float) -> int | None:
    """``rate``, rounded to float32, in units of 2**-16 as stored in a program; None for one that is refused.

    >>> rate_word(0.5), rate_word(float("nan")), rate_word(-1.0)
    (32768, None, None)
    """
    with np.errstate(over="ignore"):
        value = float(np.float32(rate))
    return int(value * 2**16 + 0.5) if 0.0 <= value <= LARGEST_RATE else None
