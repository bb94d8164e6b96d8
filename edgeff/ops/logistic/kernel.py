"""The logistic function in float32, and its derivative, by edgeff's own exponential."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import exp_f32
from edgeff.kernels.chords import TableI16, Tripled, in_twelve_thousandths, logistic_q15
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import AnyI16, OutAnyI16, OutF32, VectorF32

ONE = np.float32(1.0)


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_logistic_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = 1 / (1 + exp(-x)). |relative error| < 2^-22 for x >= -87, 0 below."""
    power = exp_f32(-np.abs(x))
    share = ONE / (ONE + power)
    y[:] = np.where(x < 0, power * share, share)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_logistic_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta times the derivative of the logistic function at x."""
    power = exp_f32(-np.abs(x))
    share = ONE / (ONE + power)
    d[:] = delta * ((power * share) * share)


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_logistic_i16(y: OutAnyI16, x: AnyI16, table: TableI16, n: Size, how: Tripled) -> None:
    """The logistic function of int16 inputs in Q0.15, by chords: TFLite's, bit for bit."""
    y[:] = logistic_q15(table, in_twelve_thousandths(x, how))
