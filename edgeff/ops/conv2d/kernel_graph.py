"""Convolutions, in groups or not, as operators of a graph: patches by slices, sums by a product of matrices, in floats and integers."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, changed_i8, factors, gain_of, rate_of, requantise, saturate16, shift_round_up
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.graph.windows import by_group, outputs_by_group, patches, placed, summed
from edgeff.kernels.records import OutputI8, Requant, Step, Window
from edgeff.kernels.updates import BIAS_LIMIT

REFUSED = NO_INT16


def _filters(w: Operand, window: Window) -> Operand:
    """The filters as (groups, out_c / groups, k_h * k_w * in_c / groups); for one group without the first axis."""
    cut = (window.groups,) if window.groups > 1 else ()
    return w.reshape(*cut, window.out_c // window.groups, window.k_h * window.k_w * (window.in_c // window.groups))


def _turned(values: Operand) -> Operand:
    """The last two axes exchanged."""
    return values.transpose(*range(len(values.shape) - 2), len(values.shape) - 1, len(values.shape) - 2)


def _sums(x: Operand, w: Operand, window: Window) -> Operand:
    """The sums of all windows (positions, out_c)."""
    made = by_group(patches(x, window), window.groups) @ _turned(_filters(w, window))
    return made if window.groups == 1 else made.transpose(1, 0, 2).reshape(-1, window.out_c)


def _products(delta: Operand, a: Operand, window: Window) -> Operand:
    """The sums of delta x patch over all positions, flat in the order of the weights."""
    deltas = outputs_by_group(delta.reshape(-1, window.out_c), window.groups)
    return (_turned(deltas) @ by_group(patches(a, window), window.groups)).flat()


def eff_conv2d_f32(x: Operand, w: Operand, b: Operand | None, window: Window, relu: int) -> Operand:
    """float32, then the activation."""
    sums = _sums(x, w, window)
    return activate(sums if b is None else sums + b, relu)


def eff_conv2d_i8(
    x: Operand, w: Operand, b: Operand | None, multiplier: Operand, shift: Operand, window: Window, output: OutputI8
) -> Operand:
    """The sums are exact in int32."""
    sums = _sums((x - output.x_zero).cast("int32"), w.cast("int32"), window).cast("int64")
    scaled = requantise(sums if b is None else sums + b, *factors(multiplier, shift))
    return (scaled.clip(-1024, 1024) + output.y_zero).clip(output.y_min, output.y_max)


def eff_conv2d_update_f32(w: Operand, delta: Operand, a: Operand, rate: Operand, window: Window, lr: float) -> Operand:
    """w -= rate S."""
    return w - rate_of(rate, lr) * _products(delta, a, window)


def eff_conv2d_update_i8(w: Operand, delta: Operand, a: Operand, rate: Operand, step: Operand, window: Window, how: Step) -> Operand:
    """The exact sums in int64."""
    return changed_i8(w, _products(delta, a - how.a_zero, window), rate, step, how)


def eff_conv_bias_update_f32(b: Operand, delta: Operand, rate: Operand, n: int, out_c: int, lr: float) -> Operand:
    """b -= rate sum of delta."""
    return b - rate_of(rate, lr) * delta.reshape(n, out_c).sum(0)


def eff_conv_bias_update_i32(b: Operand, delta: Operand, rate: Operand, n: int, out_c: int, requant: Requant) -> Operand:
    """b -= gain of the sum of delta, saturated."""
    sums = delta.reshape(n, out_c).sum(0)
    return (b - gain_of(sums, requant.multiplier, requant.shift, rate, BIAS_LIMIT)).clip(-BIAS_LIMIT, BIAS_LIMIT)


def _spread(delta: Operand, w: Operand, window: Window) -> Operand:
    """What each tap receives, added up: (in_h, in_w, in_c)."""
    groups, count = window.groups, window.k_h * window.k_w
    spread = outputs_by_group(delta.reshape(-1, window.out_c), groups) @ _filters(w, window)
    by_tap = spread.reshape(groups, -1, count, window.in_c // groups).transpose(2, 1, 0, 3)
    images = by_tap.reshape(count, window.out_h, window.out_w, window.in_c)
    shares = [images.part(slice(tap, tap + 1)).reshape(*images.shape[1:]) for tap in range(count)]
    return summed([placed(share, divmod(tap, window.k_w), window) for tap, share in enumerate(shares)])


def eff_conv2d_input_gradient_f32(delta: Operand, w: Operand, window: Window) -> Operand:
    """d: the sum of delta x weight over all windows."""
    return _spread(delta, w, window)


def eff_conv2d_input_gradient_i8(
    d: Operand, delta: Operand, w: Operand, window: Window, pre_shift: int, requant: Requant, add: int
) -> Operand:
    """The exact sums in int64, rounded, requantised, saturated; added onto d."""
    sums = shift_round_up(_spread(delta, w, window), pre_shift)
    gradient = saturate16(requantise(sums, requant.multiplier, requant.shift)).flat()
    return saturate16(gradient + d) if add else gradient
