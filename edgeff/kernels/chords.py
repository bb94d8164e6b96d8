"""The logistic function and the hyperbolic tangent in 16 bits, from one table of chords, as TFLite's 16-bit LOGISTIC and TANH.

Both take numbers in steps of 1 / 12,288, three times Q3.12, and give Q0.15: tanh(x) = 2 logistic(2 x) - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In
from edgeff.kernels.arithmetic import Int
from edgeff.kernels.records import Range, Record

TableI16 = Annotated[Array, In("int16_t", "256", low=0)]
STEPS = 3 * 4096
NEAR_A_POWER = 1e-3


@dataclass(frozen=True, slots=True)
class Tripled(Record):
    """What brings an input to steps of 1 / 12,288: ``(x * multiplier + half) >> shift``, half of 2**shift."""

    multiplier: Annotated[int, Range(0, 32767)]
    shift: Annotated[int, Range(0, 30)]


def logistic_table() -> Array:
    """The logistic function at i / 24 for i of 0 to 255, in units of 2**-16, less one half: int16 (256,), that of TFLite's 16-bit LOGISTIC.

    Between the entries it is a chord, which lies below the function: each entry is raised by half of its largest distance. The last one
    is the limit.
    """
    value = 1 / (1 + np.exp(-np.arange(256) / 24))
    distance = value * (1 - value) * (2 * value - 1) / (8 * 24**2)
    units = np.rint(65536 * (value + distance / 2)) - 32768
    units[255] = 32767
    return units.astype(np.int16)


def tripled(scale: float, largest_power: int) -> tuple[int, int]:
    """Multiplier and shift of ``Tripled`` for inputs in steps of ``scale``; exact where it is 2**-12 times 2**0 to 2**``largest_power``,
    or next to it.

    Raises ValueError for steps so large that the multiplier exceeds 32,767. Source: tensorflow/lite/micro/kernels/tanh.cc.
    """
    power = math.log2(scale)
    if abs(power - round(power)) < NEAR_A_POWER and 0 <= round(power) + 12 <= largest_power:
        return 3 << (round(power) + 12), 0
    multiplier, shift = scale * STEPS, 0
    while multiplier <= 32767 / 2 and shift < 30:
        multiplier, shift = 2 * multiplier, shift + 1
    if multiplier > 32767:
        raise ValueError(scale)
    return int(multiplier), shift


def in_twelve_thousandths(x: Array, how: Tripled) -> Int:
    """x in steps of 1 / 12,288."""
    return np.asarray((x.astype(np.int64) * how.multiplier + ((1 << how.shift) >> 1)) >> how.shift)


def logistic_q15(table: Array, v: Int) -> Int:
    """The logistic function of v / 12,288, in Q0.15."""
    above = np.minimum(_between(table, np.abs(v), 9), (0x7FFF << 9) - 1)
    return np.where(v < 0, (1 << 24) - above + (1 << 9) - 1, (1 << 24) + above + (1 << 9)) >> 10


def tanh_q15(table: Array, v: Int) -> Int:
    """The hyperbolic tangent of v / 12,288, in Q0.15."""
    above = _between(table, np.abs(v), 8)
    return np.where(v < 0, 127 - above, 128 + above) >> 8


def _between(table: Array, at: Int, bits: int) -> Int:
    entry = np.minimum(at >> bits, 254)
    low, high = table[entry].astype(np.int64), table[entry + 1].astype(np.int64)
    return np.where(at >> bits >= 255, 0x7FFF << bits, (low << bits) + (at & ((1 << bits) - 1)) * (high - low))
