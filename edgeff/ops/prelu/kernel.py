"""The parametric ReLU."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.broadcast import LeftF32, LeftI8, OutOfBothF32, OutOfBothI8, RightF32, RightI8, pairs
from edgeff.kernels.records import Broadcast, Requant, Zero


@kernel()
def eff_prelu_f32(y: OutOfBothF32, a: LeftF32, c: RightF32, how: Broadcast) -> None:
    """y = a where a >= 0, else a * c."""
    left, right = pairs(how, a, c)
    y[:] = np.where(left >= 0, left, left * right)


@kernel()
def eff_prelu_i8(
    y: OutOfBothI8, a: LeftI8, c: RightI8, how: Broadcast, above: Requant, below: Requant, a_zero: Zero, c_zero: Zero, y_zero: Zero
) -> None:
    """TFLite's int8 PRELU: each side of zero is brought to the output's scale by its own factor."""
    left, right = (side.astype(np.int64) for side in pairs(how, a, c))
    x = left - a_zero
    scaled = np.where(x >= 0, requantise(x, above.multiplier, above.shift), requantise(x * (right - c_zero), below.multiplier, below.shift))
    y[:] = np.clip(scaled + y_zero, -128, 127)
