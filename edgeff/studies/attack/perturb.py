"""FGSM and PGD within an L-infinity ball: samples and labels in, samples moved by at most epsilon out, in float64.

``eps`` is in the inputs' own unit. Values outside the range of valid inputs are clipped to it; a sample that is already outside (if a
task's range is that of its training data) is not moved further out, nor back in by more than epsilon.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.studies.attack.gradients import Attacked

Span = tuple[float, float]


def bounds(x: Array, eps: float, span: Span) -> tuple[Array, Array]:
    """The lowest and the highest values to which samples x may be moved."""
    return np.minimum(x, np.maximum(x - eps, span[0])), np.maximum(x, np.minimum(x + eps, span[1]))


def along(x: Array, gradient: Array, eps: float, span: Span) -> Array:
    """One step of ``eps`` along the sign of a gradient, within the bounds (Goodfellow, Shlens & Szegedy 2015)."""
    x = np.asarray(x, np.float64)
    return np.clip(x + eps * np.sign(gradient), *bounds(x, eps, span))


def fgsm(attacked: Attacked, x: Array, y: Array, eps: float, span: Span, loss: str = "cross-entropy") -> Array:
    """``x + eps sign(gradient)`` within the bounds."""
    return along(x, attacked.gradient(x, y, loss), eps, span)


def pgd(
    attacked: Attacked,
    x: Array,
    y: Array,
    eps: float,
    span: Span,
    loss: str = "cross-entropy",
    *,
    steps: int = 20,
    start: Array | None = None,
    until_wrong: bool = True,
) -> Array:
    """``steps`` steps along the sign of the gradient, each projected back into the bounds (Madry et al. 2018).

    Args: ``start``, from -1 to 1 in x's shape: where in the ball each sample starts, by default in its centre; ``until_wrong``, a sample
    stops at its first wrong answer: it is fooled then, and further steps are useless. A step is 2.5 eps / steps, so that every
    point of the ball can be reached from every other.
    """
    x = np.asarray(x, np.float64)
    low, high = bounds(x, eps, span)
    moved = x.copy() if start is None else np.clip(x + eps * start, low, high)
    alive = np.arange(len(x))
    for _ in range(steps):
        if not len(alive):
            break
        right, gradient = attacked.climb(moved[alive], y[alive], loss)
        if until_wrong:
            alive, gradient = alive[right], gradient[right]
        moved[alive] = np.clip(moved[alive] + 2.5 * eps / steps * np.sign(gradient), low[alive], high[alive])
    return moved
