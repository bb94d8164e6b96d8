"""The average of each window, and its gradient, as operators of a graph."""

from __future__ import annotations

import numpy as np

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, saturate16
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.graph.windows import counts_inside, placed, summed, taps
from edgeff.kernels.records import Window

REFUSED = NO_INT16


def eff_average_pool2d_f32(x: Operand, window: Window, relu: int) -> Operand:
    """The sum of the taps inside the image, divided once."""
    return activate(summed(taps(x, window)) / counts_inside(window), relu)


def eff_average_pool2d_i8(x: Operand, window: Window, y_min: int, y_max: int) -> Operand:
    """The sum divided by the count, rounded half away from zero."""
    sums, count = summed(taps(x, window)), counts_inside(window)
    average = (sums.abs() + count // 2) // count
    return (-average).where(sums < 0, average).clip(y_min, y_max)


def eff_average_pool2d_input_gradient_f32(delta: Operand, window: Window) -> Operand:
    """Every window adds delta / count to each of its taps."""
    shares = delta.reshape(window.out_h, window.out_w, window.in_c) / counts_inside(window).astype(np.float32)
    return _spread(shares, window)


def eff_average_pool2d_input_gradient_i8(delta: Operand, window: Window, taps: int) -> Operand:
    """Every window adds its share of delta to each of its taps, saturated at the end."""
    deltas, count = delta.reshape(window.out_h, window.out_w, window.in_c), counts_inside(window)
    if (count == taps).all():
        return saturate16(_spread(deltas, window))
    share = (deltas.abs() * taps + count // 2) // count
    return saturate16(_spread((-share).where(deltas < 0, share), window))


def _spread(values: Operand, window: Window) -> Operand:
    return summed([placed(values, divmod(tap, window.k_w), window) for tap in range(window.k_h * window.k_w)])
