"""The hyperbolic tangent in float32, and its derivative, by edgeff's own exponential."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import exp_f32
from edgeff.kernels.chords import TableI16, Tripled, in_twelve_thousandths, tanh_q15
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import AnyI16, OutAnyI16, OutF32, VectorF32

F = np.float32
SERIES = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
"""Of (tanh(a) / a - 1) / a^2 in a^2, for a < 0.625, the highest power first (Moshier's Cephes, tanhf)."""


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_tanh_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = tanh(x). |relative error| < 2^-22."""
    size = np.abs(x)
    near = np.minimum(size, F(1.0))
    square = near * near
    series = np.full_like(near, F(SERIES[0]))
    for c in SERIES[1:]:
        series = series * square + F(c)
    small = series * square * near + near
    large = F(1.0) - F(2.0) / (exp_f32(size + size) + F(1.0))
    value = np.where(size < F(0.625), small, large)
    y[:] = np.where(x < 0, -value, value)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_tanh_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta times the derivative of the hyperbolic tangent at x."""
    size = np.abs(x)
    power = exp_f32(-(size + size))
    share = F(1.0) / (F(1.0) + power)
    d[:] = delta * (F(4.0) * ((power * share) * share))


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_tanh_i16(y: OutAnyI16, x: AnyI16, table: TableI16, n: Size, how: Tripled) -> None:
    """The hyperbolic tangent of int16 inputs in Q0.15, by chords: TFLite's, bit for bit."""
    y[:] = tanh_q15(table, in_twelve_thousandths(x, how))
