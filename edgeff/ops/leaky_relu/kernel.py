"""The leaky ReLU in float32 and int16, and its derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Flag, Multiplier, Record, Shift, Size
from edgeff.kernels.tensors import AnyI16, OutAnyI16, OutF32, VectorF32


@dataclass(frozen=True, slots=True)
class BothSides(Record):
    """The factors of what is not negative and of what is, which is negated after it if ``falling``."""

    multiplier: Multiplier
    shift: Shift
    below_multiplier: Multiplier
    below_shift: Shift
    falling: Flag


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_leaky_relu_f32(y: OutF32, x: VectorF32, n: Size, alpha: float) -> None:
    """y = x where x > 0, else alpha x."""
    y[:] = np.where(x > 0, x, x * np.float32(alpha))


@kernel(overlap=element_by_element("delta", output="d", written=4, read=4))
def eff_leaky_relu_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size, alpha: float) -> None:
    """d = delta where x > 0, else alpha delta."""
    d[:] = np.where(x > 0, delta, delta * np.float32(alpha))


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_leaky_relu_i16(y: OutAnyI16, x: AnyI16, n: Size, sides: BothSides) -> None:
    """int16, zero points 0: each side of zero rescaled by its own factor (TFLite's LEAKY_RELU)."""
    below = requantise(x, sides.below_multiplier, sides.below_shift)
    made = np.where(x < 0, -below if sides.falling else below, requantise(x, sides.multiplier, sides.shift))
    y[:] = np.clip(made, -32768, 32767)
