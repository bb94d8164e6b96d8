"""Early exit: a sample passes through the layers of a network only until the scores so far are certain of a class (LightFF; Aminifar et al.
2024).

It supports any rule whose layers predict on their own (``Rule.layer_scores``). After each layer except the last a sample's margin, the best
class's score minus the second best one's, is compared with that layer's threshold. Thresholds are fitted on training data: the mean minus
the standard deviation of the margins of the training samples that the scores so far classify correctly. The walk itself gets only samples
and thresholds: no label can influence its decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array
from edgeff.rules import LayerScores, Rule, Run

MOST_BYTES = 1 << 28
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Thresholds:
    """The layers that predict, in order, and the margins above which a sample stops there; the last layer answers the rest."""

    layers: tuple[str, ...]
    margins: tuple[float, ...]


@dataclass(frozen=True)
class Walk:
    """How far n samples went: the class of each (n,), after which layer, counted from 1 (n,), for how many
    multiply-accumulates (n,); and the class that the whole network gives (n,), for ``full_macs`` each.
    """

    predicted: Array
    layers: Array
    macs: Array
    full: Array
    full_macs: int


def margins(scores: Array) -> Array:
    """The best score minus the second best one (n,) of scores (n, C), C at least 2."""
    two = np.partition(scores, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def fit_thresholds(rule: Rule, run: Run, x: Array, labels: Array, deviations: float = 1.0, progress: Progress | None = None) -> Thresholds:
    """The thresholds from training samples x (n, *input shape) and their labels (n,): the mean minus ``deviations`` standard deviations.

    A layer that classifies no sample correctly gets an infinite one. Raises Unsupported for a rule whose layers do not predict on their
    own.
    """
    if not len(x):
        raise BadInput("thresholds for an early exit", got="no samples", allowed="training samples")
    names: tuple[str, ...] = ()
    parts: list[list[Array]] = []
    for first, walk in _walks(rule, run, x, progress):
        names, right = (), []
        for layer, scores, _ in walk:
            names += (layer,)
            right.append(margins(scores)[scores.argmax(axis=1) == labels[first : first + len(scores)]])
        parts.append(right)
    margins_of = [np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True)]
    return Thresholds(names, tuple(float(m.mean() - deviations * m.std()) if len(m) else float("inf") for m in margins_of[:-1]))


def walk(rule: Rule, run: Run, x: Array, thresholds: Thresholds, progress: Progress | None = None) -> Walk:
    """The walk of samples x (n, *input shape): each stops after the first layer where its margin exceeds the threshold.

    Whole batches are computed on the host, and the last layer for comparison; ``macs`` counts the work of a device that stops.
    """
    parts = [_walk(steps, thresholds.margins) for _, steps in _walks(rule, run, x, progress)]
    predicted, layers, macs, full = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("predicted", "layers", "macs", "full")
    )
    return Walk(predicted, layers, macs, full, parts[0].full_macs)


def _walk(steps: Iterator[LayerScores], limits: tuple[float, ...]) -> Walk:
    """The decision after a layer is made before the next one's scores are computed."""
    stopped = np.zeros(0, bool)
    for number, (_, scores, macs) in enumerate(steps):
        if not number:
            predicted, layers, spent = (np.zeros(len(scores), np.int64) for _ in range(3))
            stopped = np.zeros(len(scores), bool)
        sure = margins(scores) > limits[number] if number < len(limits) else np.ones(len(scores), bool)
        now = sure & ~stopped
        predicted[now], layers[now], spent[now] = scores.argmax(axis=1)[now], number + 1, macs
        stopped |= now
    return Walk(predicted, layers, spent, scores.argmax(axis=1), macs)


def _walks(rule: Rule, run: Run, x: Array, progress: Progress | None) -> Iterator[tuple[int, Iterator[LayerScores]]]:
    """The first sample of each batch and its layers' scores. A batch is as large as fits in memory with all labels in parallel."""
    widest = max(prod(layer.shape) for layer in run.network) * prod(run.network.layers[-1].shape) * 4
    count = max(MOST_BYTES // (4 * widest), 1)
    for first in range(0, len(x), count):
        steps = rule.layer_scores(run, x[first : first + count])
        if steps is None:
            raise Unsupported(
                f"an early exit with rule {rule.name}",
                got="layers that do not predict alone",
                allowed="rules with scores of each layer, such as ff that probes",
            )
        yield first, steps
        if progress:
            progress(min(first + count, len(x)), len(x))
