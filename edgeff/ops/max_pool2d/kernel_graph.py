"""The largest of each window, its gradient and tangent, as operators of a graph."""

from __future__ import annotations

from math import inf

import numpy as np

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, saturate16
from edgeff.kernels.graph.operand import Operand, largest
from edgeff.kernels.graph.windows import placed, summed, taps
from edgeff.kernels.records import Window

REFUSED = NO_INT16

BELOW_I8 = -129
"""What is outside the image is smaller than every int8."""


def eff_max_pool2d_f32(x: Operand, window: Window, relu: int) -> Operand:
    """The largest of the taps inside the image."""
    return activate(largest(taps(x, window, -inf)), relu)


def eff_max_pool2d_i8(x: Operand, window: Window, y_min: int, y_max: int) -> Operand:
    """The largest of the taps inside the image."""
    return largest(taps(x, window, BELOW_I8)).clip(y_min, y_max)


def _first_largest(x: Operand, window: Window, outside: float) -> Operand:
    """The number of the first of each window's largest taps, int64 (out_h, out_w, C)."""
    every = taps(x, window, outside)
    best, most = x.nodes.constant(np.int64(0)), every[0]
    for number, tap in enumerate(every[1:], 1):
        better = tap > most
        best, most = best.of(number).where(better, best), tap.where(better, most)
    return best


def eff_max_pool2d_tangent_f32(dx: Operand, x: Operand, window: Window) -> Operand:
    """y = dx where the first of each window's largest taps of x lies."""
    best, moves = _first_largest(x, window, -inf), taps(dx, window)
    moved = moves[0]
    for number, move in enumerate(moves[1:], 1):
        moved = move.where(best.equals(number), moved)
    return moved


def _shares(delta: Operand, best: Operand, window: Window) -> list[Operand]:
    """What each tap receives, as images, in the order in which a pixel gets it: that of (oy, ox)."""
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c)
    numbers = reversed(range(window.k_h * window.k_w))
    images = [placed(deltas.where(best.equals(number), 0), divmod(number, window.k_w), window) for number in numbers]
    return [image for image in images if image is not None]


def eff_max_pool2d_input_gradient_f32(delta: Operand, x: Operand, window: Window) -> Operand:
    """Every window adds delta to the first of its largest taps."""
    return summed(_shares(delta, _first_largest(x, window, -inf), window))


def eff_max_pool2d_input_gradient_i8(delta: Operand, x: Operand, window: Window) -> Operand:
    """Every window adds delta to the first of its largest taps, saturated each time."""
    images = _shares(delta, _first_largest(x, window, BELOW_I8), window)
    total = images[0]
    for image in images[1:]:
        total = saturate16(total + image)
    return total
