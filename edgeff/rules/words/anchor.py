"""A learned parameter drawn back to its exported value, a part of each tensor in each step.

Regenerative regularisation (Kumar, Marklund & Van Roy 2023): a penalty on the squared distance from the weights at the start keeps the
weights of a network that learns for ever bounded, and its units able to learn. Difference from the source: a part of each tensor takes its
turn in each step, by as much more.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import draws, step_key
from edgeff.kernels.records import Key, Range, Size
from edgeff.kernels.tensors import InPlaceF32, InPlaceI16, Rate, StepCount, VectorF32, VectorI16
from edgeff.kernels.updates import BIAS_LIMIT, rate_of

FRACTION = 31
"""An integer's change is ``share`` in units of 2**-15 times the rate in units of 2**-16."""
SHARE_BITS = 15
TurnBits = Annotated[int, Range(1, 10)]
Share = Annotated[int, Range(1, 1 << 14)]
WeightsI8 = Annotated[Array, Out("int8_t", "n", low=-127, high=127, also_read=True)]
ExportedI8 = Annotated[Array, In("int8_t", "n", low=-127, high=127)]
BiasI32 = Annotated[Array, Out("int32_t", "n", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)]
ExportedI32 = Annotated[Array, In("int32_t", "n", low=-BIAS_LIMIT, high=BIAS_LIMIT)]


def _turn(n: int, turn_bits: int, step: Array) -> slice:
    """The elements whose turn it is: all have had theirs after 2**turn_bits steps."""
    part = -(-n >> turn_bits)
    first = (int(step[0]) & ((1 << turn_bits) - 1)) * part
    return slice(min(first, n), min(first + part, n))


@kernel()
def eff_anchor_f32(w: InPlaceF32, exported: VectorF32, rate: Rate, step: StepCount, n: Size, turn_bits: TurnBits, share: float) -> None:
    """w += (rate / 2**16) share (exported - w) in the ceil(n / 2**turn_bits) elements whose turn it is."""
    turn = _turn(n, turn_bits, step)
    w[turn] += rate_of(rate, share) * (exported[turn] - w[turn])


def _draw_back(w: Array, exported: Array, rate: Array, step: Array, n: int, turn_bits: int, share: int, key: int) -> None:
    turn = _turn(n, turn_bits, step)
    drawn = draws(step_key(key, int(step[0])), np.arange(turn.start, turn.stop)).astype(np.int64) >> 1
    apart = exported[turn].astype(np.int64) - w[turn]
    w[turn] += ((share * int(rate[0]) * apart + drawn) >> FRACTION).astype(w.dtype)


@kernel()
def eff_anchor_i8(
    w: WeightsI8, exported: ExportedI8, rate: Rate, step: StepCount, n: Size, turn_bits: TurnBits, share: Share, key: Key
) -> None:
    """The int8 form, rounded at random: w += (share rate (exported - w) + r) >> 31, r uniform over 31 bits; share in units of 2**-15."""
    _draw_back(w, exported, rate, step, n, turn_bits, share, key)


@kernel()
def eff_anchor_i16(
    w: InPlaceI16, exported: VectorI16, rate: Rate, step: StepCount, n: Size, turn_bits: TurnBits, share: Share, key: Key
) -> None:
    """The int16 form."""
    _draw_back(w, exported, rate, step, n, turn_bits, share, key)


@kernel()
def eff_anchor_i32(
    w: BiasI32, exported: ExportedI32, rate: Rate, step: StepCount, n: Size, turn_bits: TurnBits, share: Share, key: Key
) -> None:
    """The int32 form, of biases."""
    _draw_back(w, exported, rate, step, n, turn_bits, share, key)
