"""Meta-training of TDCA's top-down network: an evolution strategy whose fitness is how well fresh bottom-up networks learn under it.

A generation draws parameters in antithetic pairs around the current ones (Salimans et al. 2017); all members train the same networks from
the same initial weights on the same mini-batches, in parallel. Fitness is the rank by the loss on validation samples that the inner run has
not seen, averaged over inner runs. Lessons come from synthetic tasks, as for the shipped network (``benchmarks/tdca_meta.py``),
or from your own training data; test data are never read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.ops import parameters
from edgeff.rules import Settings, find_rule
from edgeff.rules._top_down import TopDown, diffusion, error_code, random_top_down, unpacked


class Lesson(NamedTuple):
    """The data of one inner run: inputs (n, D) float32 and classes (n,) to train on, and the same for its validation."""

    x: Array
    y: Array
    x_validation: Array
    y_validation: Array
    classes: int


Lessons = Callable[[np.random.Generator], Lesson]


@dataclass(frozen=True)
class MetaSettings:
    """``generations`` of ``pairs`` antithetic pairs, each judged on ``runs`` inner runs of ``epochs`` epochs.

    ``sigma`` is the deviation of the perturbations, ``lr`` Adam's learning rate, falling linearly to 0; ``hidden`` the widths of the hidden
    layer, used by inner runs in turn.
    """

    generations: int = 200
    pairs: int = 16
    runs: int = 3
    epochs: int = 6
    sigma: float = 0.04
    lr: float = 0.01
    hidden: tuple[int, ...] = (32,)


@dataclass
class Evolution:
    """The strategy's state: the parameters, Adam's two moments, and the number of generations done."""

    theta: Array
    mean: Array
    square: Array
    generation: int = 0

    @property
    def network(self) -> TopDown:
        return unpacked(self.theta.astype(np.float32))


def synthetic(rng: np.random.Generator, samples: int = 600, inputs: int = 64, counts: tuple[int, ...] = (10,)) -> Lesson:
    """A random synthetic task, with a number of classes from ``counts``.

    Each class is three Gaussian clouds in 12 dimensions, seen through a random linear map and a sigmoid.
    """
    latent, clouds, spread, slope, classes = 12, 3, 0.45, 1.5, int(rng.choice(counts))
    centres = rng.standard_normal((classes, clouds, latent))
    mix, shift = rng.standard_normal((latent, inputs)) * slope / np.sqrt(latent), rng.standard_normal(inputs)
    y = rng.integers(0, classes, 2 * samples)
    z = centres[y, rng.integers(0, clouds, 2 * samples)] + spread * rng.standard_normal((2 * samples, latent))
    x = (1.0 / (1.0 + np.exp(-slope * (z @ mix + shift)))).astype(np.float32)
    return Lesson(x[:samples], y[:samples], x[samples:], y[samples:], classes)


def drawn_from(x: Array, y: Array, classes: int, samples: int = 600) -> Lessons:
    """Lessons from one set of samples x (n, D), y (n,): each a random half split, at most ``samples`` per half."""

    def lesson(rng: np.random.Generator) -> Lesson:
        order = rng.permutation(len(x))
        half = min(len(x) // 2, samples)
        train, validate = order[:half], order[half : 2 * half]
        return Lesson(x[train], y[train], x[validate], y[validate], classes)

    return lesson


def inner_settings(epochs: int, source: str = "meta") -> Settings:
    """The rule's settings for an inner run, or for ``fit`` to do the same with the top-down network ``source``."""
    settings: Settings = find_rule("tdca").settings.changed({"epochs": str(epochs), "lr": "0.02", "decay_epochs": "", "top_down": source})
    return settings


def inner_losses(networks: TopDown, lesson: Lesson, hidden: int, settings: Settings, seed: int) -> Array:
    """The cross-entropy (P,) on the validation part after training with each of P top-down networks.

    The same as ``edgeff.train.loop.fit``, P at once: the bottom-up network D-hidden-C, its initial weights and the order of samples are
    those of ``fit`` with ``seed``.
    """
    population, inputs, classes = len(networks.U), lesson.x.shape[1], lesson.classes
    params = parameters(initialised(structure(f"{inputs}-{hidden}-{classes}"), seed))
    w1, w2 = (np.repeat(params[name]["weight"][None], population, axis=0) for name in ("dense_1", "dense_2"))
    v1, v2 = np.zeros_like(w1), np.zeros_like(w2)
    code, spread, targets = error_code(classes).T, diffusion(hidden, 0).T, np.eye(classes, dtype=np.float32)[lesson.y]
    rng = np.random.default_rng([seed, 2])
    for _ in range(settings.epochs):
        order = rng.permutation(len(lesson.x))
        for first in range(0, len(order), settings.batch):
            index = order[first : first + settings.batch]
            x, rate = lesson.x[index], np.float32(settings.rate(0) / len(index))
            h = np.maximum(x @ w1.swapaxes(1, 2), 0)
            e = np.exp(_log_softmax(h @ w2.swapaxes(1, 2))) - targets[index]
            d = (networks.credits(e @ code) @ spread) * (h > 0)
            v1 = np.float32(settings.momentum) * v1 + rate * (d.swapaxes(1, 2) @ x)
            v2 = np.float32(settings.momentum) * v2 + rate * (e.swapaxes(1, 2) @ h)
            w1 -= v1
            w2 -= v2
    scores = _log_softmax(np.maximum(lesson.x_validation @ w1.swapaxes(1, 2), 0) @ w2.swapaxes(1, 2))
    losses: Array = -scores[:, np.arange(len(lesson.y_validation)), lesson.y_validation].mean(axis=1, dtype=np.float64)
    return np.where(np.isfinite(losses), losses, np.inf)


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def centred_ranks(losses: Array) -> Array:
    """Fitness from -0.5 for the largest loss to 0.5 for the smallest.

    >>> centred_ranks(np.array([3.0, 1.0, 2.0])).tolist()
    [-0.5, 0.5, 0.0]
    """
    return np.asarray(np.argsort(np.argsort(-losses)) / (len(losses) - 1) - 0.5)


def begin(seed: int) -> Evolution:
    """The state before the first generation: the random network of ``seed`` with credits of half the size.

    The strategy's own noise makes parameters grow; from the full size it ends with credits too large to learn by.
    """
    start = random_top_down(seed)
    theta = replace(start, U=start.U / 2).flat().astype(np.float64)
    return Evolution(theta, np.zeros_like(theta), np.zeros_like(theta))


def evolve(state: Evolution, lessons: Lessons, settings: MetaSettings, seed: int) -> float:
    """One generation, in place; returns the population's mean inner loss."""
    rng = np.random.default_rng([seed, 5, state.generation])
    noise = rng.standard_normal((settings.pairs, len(state.theta)))
    population = unpacked((state.theta + settings.sigma * np.concatenate([noise, -noise])).astype(np.float32))
    fitness, losses = np.zeros(2 * settings.pairs), []
    for run in range(settings.runs):
        hidden = settings.hidden[(state.generation * settings.runs + run) % len(settings.hidden)]
        with np.errstate(over="ignore", invalid="ignore"):
            inner = inner_losses(population, lessons(rng), hidden, inner_settings(settings.epochs), int(rng.integers(2**31)))
        fitness += centred_ranks(inner) / settings.runs
        losses.append(float(inner.mean()))
    gradient = (fitness[: settings.pairs] - fitness[settings.pairs :]) @ noise / settings.pairs
    state.mean = 0.9 * state.mean + 0.1 * gradient
    state.square = 0.99 * state.square + 0.01 * gradient**2
    done = state.generation + 1
    rate = settings.lr * (1.0 - state.generation / settings.generations)
    state.theta = state.theta + rate * (state.mean / (1 - 0.9**done)) / (np.sqrt(state.square / (1 - 0.99**done)) + 1e-8)
    state.generation = done
    return float(np.mean(losses))


def meta_train(lessons: Lessons, settings: MetaSettings, seed: int = 0) -> TopDown:
    """A top-down network after all generations. Cost: ``2 * pairs * runs * generations`` inner runs."""
    state = begin(seed)
    while state.generation < settings.generations:
        evolve(state, lessons, settings, seed)
    return state.network
