"""Wrong labels, goodness and its local loss as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import mix, requantise, saturate16, sigmoid_q15, step_key
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Squares


def eff_wrong_label(label: Operand, step: Operand, classes: int, key: int) -> Operand:
    """A label drawn uniformly from the classes other than ``label``."""
    drawn = mix(step_key(key, step)).cast("int64")
    other = (drawn * (classes - 1)) >> 32
    return other + (other >= label).cast("int64")


def eff_ff_delta_f32(h: Operand, n: int, theta: float, sign: int, lift: float) -> Operand:
    """d loss / d h."""
    goodness = (h * h).sum() / n
    slope = ((goodness - theta) * (1.0 if sign < 0 else -1.0)).unary("Sigmoid")
    return (slope if sign < 0 else -slope) * (h + lift if lift else h)


def _slope(sums: Operand, squares: Squares, theta: int, sign: int) -> Operand:
    goodness = requantise(sums, squares.multiplier, squares.shift).clip(0, 1 << 30)
    return sigmoid_q15(goodness - theta if sign < 0 else theta - goodness)


def _times(slope: Operand, lifted: Operand, sign: int) -> Operand:
    v = saturate16((slope * lifted + (1 << 14)) >> 15)
    return v if sign < 0 else -v


def eff_ff_delta_i8(h: Operand, n: int, squares: Squares, theta: int, sign: int, lift: int) -> Operand:
    """The int8 form."""
    centred = h - squares.h_zero
    return _times(_slope((centred * centred).sum(), squares, theta, sign), centred * 128 + lift, sign)


def eff_ff_delta_i16(h: Operand, n: int, squares: Squares, theta: int, sign: int, lift: int) -> Operand:
    """The int16 form."""
    return _times(_slope((h * h).sum() >> 16, squares, theta, sign), h + lift, sign)


def _scored(scores: Operand, goodness: Operand, index: int, add: int) -> Operand:
    """The scores with that of ``index`` replaced, or raised with ``add``."""
    return (scores + goodness if add else goodness).where(scores.nodes.counter(scores.size).equals(index), scores)


def eff_goodness_f32(scores: Operand, h: Operand, n: int, index: int, add: int) -> Operand:
    """scores[index] = mean(h^2), or += with ``add``."""
    return _scored(scores, (h * h).sum() / n, index, add)


def eff_goodness_i8(scores: Operand, h: Operand, n: int, squares: Squares, index: int, add: int) -> Operand:
    """The int8 form."""
    centred = h - squares.h_zero
    goodness = requantise((centred * centred).sum(), squares.multiplier, squares.shift)
    return _scored(scores, goodness.clip(0, 1 << 26), index, add)


def eff_goodness_i16(scores: Operand, h: Operand, n: int, index: int, add: int, squares: Squares) -> Operand:
    """The int16 form."""
    goodness = requantise((h * h).sum() >> 16, squares.multiplier, squares.shift)
    return _scored(scores, goodness.clip(0, 1 << 26), index, add)
