"""Accuracy against epsilon of one model, the effect of float32 gradients on it, and examples made on one model applied to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.studies.attack.gradients import LOSSES, Attacked, GradientCheck, check_gradient
from edgeff.studies.attack.perturb import Span, along, fgsm, pgd

CHECKED = 8
"""Samples on which the gradient is checked."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """An attack: ``epsilons``, ascending, as shares of the width of the inputs' range; ``losses``, of which the worst counts for each
    sample.

    ``random_start``: PGD starts from a random point of the ball, drawn from ``seed``, instead of its centre.
    """

    epsilons: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
    losses: tuple[str, ...] = tuple(LOSSES)
    steps: int = 20
    random_start: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.epsilons or list(self.epsilons) != sorted(set(self.epsilons)) or not 0 < self.epsilons[0] <= self.epsilons[-1] <= 1:
            got = ", ".join(f"{eps:g}" for eps in self.epsilons) or "none"
            raise BadInput("epsilons", got=got, allowed="ascending shares of the range, above 0 and at most 1")
        unknown = [loss for loss in self.losses if loss not in LOSSES]
        if unknown or not self.losses:
            raise BadInput("losses of an attack", got=", ".join(unknown) or "none", allowed=", ".join(LOSSES))
        if self.steps < 1:
            raise BadInput("steps of PGD", got=self.steps, allowed="1 or more")

    def start(self, shape: tuple[int, ...]) -> Array | None:
        """Where PGD starts, from -1 to 1 of the ball; None for the centre."""
        return np.random.default_rng([self.seed, 4]).uniform(-1, 1, shape) if self.random_start else None


@dataclass(frozen=True)
class Float32:
    """The float32 gradient through the softmax compared with the float64 one, at the unmoved samples.

    ``zero``: the share of samples where all of it is exactly 0; ``sign``: those where the sign of any entry differs; ``entries``: the share
    of entries whose sign differs.
    """

    zero: float
    sign: float
    entries: float


@dataclass(frozen=True)
class Point:
    """Shares of samples classified correctly at one epsilon (a share of the range), each sample under the worst of the losses.

    ``fgsm`` and ``pgd``, and the same for each loss alone; ``fgsm_float64`` and ``fgsm_float32``, FGSM of the cross-entropy alone with its
    float64 gradient and with the float32 one through the softmax; ``noise``, every input moved by +-eps at random, without a gradient.
    A sample that PGD has fooled counts as fooled at every larger epsilon: its moved form is allowed there too.
    """

    epsilon: float
    fgsm: float
    pgd: float
    fgsm_by_loss: Mapping[str, float]
    pgd_by_loss: Mapping[str, float]
    fgsm_float64: float
    fgsm_float32: float
    noise: float


@dataclass(frozen=True)
class Sweep:
    """One model under attack. ``natural`` is the share of the unmoved ``samples`` classified correctly."""

    samples: int
    natural: float
    float32: Float32
    check: GradientCheck
    points: tuple[Point, ...]


def float32_gradients(attacked: Attacked, x: Array, y: Array) -> Float32:
    """How the float32 gradient through the softmax differs from the float64 one on samples x with labels y."""
    return _compared(attacked.float32_gradient(x, y), attacked.gradient(x, y))


def _compared(narrow: Array, wide: Array) -> Float32:
    narrow, wide = narrow.reshape(len(narrow), -1), wide.reshape(len(wide), -1)
    differs = np.sign(narrow) != np.sign(wide)
    return Float32(float((narrow == 0).all(axis=1).mean()), float(differs.any(axis=1).mean()), float(differs.mean()))


def sweep(attacked: Attacked, x: Array, y: Array, span: Span, settings: Settings | None = None, progress: Progress | None = None) -> Sweep:
    """A model under FGSM and PGD on samples x (n, *input shape) with labels y (n,), with valid inputs in ``span``.

    Raises BadInput for no samples.
    """
    settings = settings or Settings()
    _need(x)
    check = check_gradient(attacked, x[:CHECKED], y[:CHECKED], span, settings.losses, seed=settings.seed)
    width, start = span[1] - span[0], settings.start(x.shape)
    signs = np.random.default_rng([settings.seed, 5]).integers(0, 2, x.shape) * 2 - 1
    natural, narrow = attacked.right(x, y), attacked.float32_gradient(x, y)
    gradients = {loss: attacked.gradient(x, y, loss) for loss in settings.losses}
    standing = {loss: natural.copy() for loss in settings.losses}
    wide = gradients["cross-entropy"] if "cross-entropy" in gradients else attacked.gradient(x, y)
    points = []
    for index, share in enumerate(settings.epsilons):
        eps = share * width
        after = {loss: attacked.right(along(x, gradient, eps, span), y) for loss, gradient in gradients.items()}
        for loss, right in standing.items():
            remaining = np.flatnonzero(right)
            if not len(remaining):
                continue
            begin = None if start is None else start[remaining]
            moved = pgd(attacked, x[remaining], y[remaining], eps, span, loss, steps=settings.steps, start=begin)
            right[remaining] = attacked.right(moved, y[remaining])
        points.append(
            Point(
                share,
                _share(_every(after)),
                _share(_every(standing)),
                {loss: _share(right) for loss, right in after.items()},
                {loss: _share(right) for loss, right in standing.items()},
                *(_share(attacked.right(along(x, direction, eps, span), y)) for direction in (wide, narrow, signs)),
            )
        )
        if progress:
            progress(index + 1, len(settings.epsilons))
    return Sweep(len(x), _share(natural), _compared(narrow, wide), check, tuple(points))


def transfer(
    source: Attacked, victims: Mapping[str, Attacked], x: Array, y: Array, eps: float, span: Span, settings: Settings | None = None
) -> dict[str, tuple[float, float]]:
    """The shares of samples that each victim classifies correctly on FGSM and on PGD examples made on ``source``.

    ``eps`` is a share of the range. PGD takes all its steps, more than the source needs. A model that only hides its gradient is fooled
    by examples from another model, though not by its own. Raises BadInput for no samples.
    """
    settings = settings or Settings()
    _need(x)
    width = span[1] - span[0]
    right = {name: [np.ones(len(x), bool), np.ones(len(x), bool)] for name in victims}
    for loss in settings.losses:
        examples = (
            fgsm(source, x, y, eps * width, span, loss),
            pgd(source, x, y, eps * width, span, loss, steps=settings.steps, start=settings.start(x.shape), until_wrong=False),
        )
        for name, victim in victims.items():
            for index, moved in enumerate(examples):
                right[name][index] &= victim.right(moved, y)
    return {name: (_share(first), _share(second)) for name, (first, second) in right.items()}


def _need(x: Array) -> None:
    if not len(x):
        raise BadInput("attacking a model", got="no samples", allowed="at least one")


def _every(right: Mapping[str, Array]) -> Array:
    return np.all(list(right.values()), axis=0)


def _share(right: Array) -> float:
    return float(right.mean())
