"""Depthwise convolutions as operators of a graph: products element by element, and sums."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, changed_i8, factors, rate_of, requantise, saturate16
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.graph.windows import patches, placed, summed
from edgeff.kernels.records import OutputI8, Requant, Step, Window

REFUSED = NO_INT16


def _taps(x: Operand, window: Window) -> Operand:
    """The patches (positions, taps, in_c, 1)."""
    rows = patches(x, window)
    return rows.reshape(*rows.shape, 1)


def _filters(w: Operand, window: Window) -> Operand:
    """The weights (taps, in_c, depth)."""
    return w.reshape(window.k_h * window.k_w, window.in_c, window.out_c // window.in_c)


def _deltas(delta: Operand, window: Window) -> Operand:
    """Delta (positions, 1, in_c, depth)."""
    return delta.reshape(window.out_h * window.out_w, 1, window.in_c, window.out_c // window.in_c)


def _sums(x: Operand, w: Operand, window: Window) -> Operand:
    """The sums of all windows (positions, out_c)."""
    return (_taps(x, window) * _filters(w, window)).sum(1).reshape(-1, window.out_c)


def eff_depthwise_conv2d_f32(x: Operand, w: Operand, b: Operand | None, window: Window, relu: int) -> Operand:
    """float32, then the activation."""
    sums = _sums(x, w, window)
    return activate(sums if b is None else sums + b, relu)


def eff_depthwise_conv2d_i8(
    x: Operand, w: Operand, b: Operand | None, multiplier: Operand, shift: Operand, window: Window, output: OutputI8
) -> Operand:
    """The sums are exact in int64."""
    sums = _sums(x - output.x_zero, w, window)
    scaled = requantise(sums if b is None else sums + b, *factors(multiplier, shift))
    return (scaled.clip(-1024, 1024) + output.y_zero).clip(output.y_min, output.y_max)


def eff_depthwise_conv2d_update_f32(w: Operand, delta: Operand, a: Operand, rate: Operand, window: Window, lr: float) -> Operand:
    """w -= rate S."""
    return w - rate_of(rate, lr) * (_taps(a, window) * _deltas(delta, window)).sum(0).flat()


def eff_depthwise_conv2d_update_i8(
    w: Operand, delta: Operand, a: Operand, rate: Operand, step: Operand, window: Window, how: Step
) -> Operand:
    """The exact sums in int64."""
    return changed_i8(w, (_taps(a - how.a_zero, window) * _deltas(delta, window)).sum(0).flat(), rate, step, how)


def _spread(delta: Operand, w: Operand, window: Window) -> Operand:
    """What each tap receives, added up: (in_h, in_w, in_c)."""
    images = (_deltas(delta, window) * _filters(w, window)).sum(3)
    shares = [images.part(slice(None), slice(tap, tap + 1)) for tap in range(window.k_h * window.k_w)]
    placings = [share.reshape(window.out_h, window.out_w, window.in_c) for share in shares]
    return summed([placed(share, divmod(tap, window.k_w), window) for tap, share in enumerate(placings)])


def eff_depthwise_conv2d_input_gradient_f32(delta: Operand, w: Operand, window: Window) -> Operand:
    """d: the sum of delta x weight over all windows."""
    return _spread(delta, w, window)


def eff_depthwise_conv2d_input_gradient_i8(d: Operand, delta: Operand, w: Operand, window: Window, requant: Requant, add: int) -> Operand:
    """The exact sums in int64, requantised, saturated; added onto d."""
    gradient = saturate16(requantise(_spread(delta, w, window), requant.multiplier, requant.shift)).flat()
    return saturate16(gradient + d) if add else gradient
