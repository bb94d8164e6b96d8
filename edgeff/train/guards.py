"""What is said of a training run that went wrong without an error: at chance, or no better than hidden layers that never learned.

The control is a softmax read-out of the hidden layers as they were drawn. First it is fitted to two thirds of ``SAMPLES`` training samples
and tried on the rest. The rule has trained on that rest: where it is below, it is so with that advantage. A rule that learns its training
samples by heart, such as subjects that the test part does not have, is above there and below on others: so where the test part is read
anyway, to tell the accuracy, a read-out of ``SAMPLES`` is tried on it too. Training itself leaves it unread.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from edgeff.ir import Array, Network
from edgeff.ops import forward, kind, parameters
from edgeff.rules import Rule, Run
from edgeff.rules._readout import fit_readout

SAMPLES = 1500
FEWEST = 150
SMALLEST_POWER, LARGEST_POWER = 0.01, 30.0
"""Of the inputs' mean square: between them fresh weights and rates fit."""
READOUT: dict[str, Any] = {"epochs": 30, "lr": 1e-2, "batch": 32, "dropout": 0.0}
DEVIATIONS = 2.0
"""How far from the control, or above chance, counts as one of the two: standard deviations of the count of samples."""


def doubts(rule: Rule, start: Network, run: Run, x: Array, t: Array, scores: Array) -> list[str]:
    """What to say of a run that learned to tell classes, a sentence each; none where all is well.

    Args: ``start``, the network before training; ``x`` (n, ...) and ``t`` (n, C), the samples to judge by, in no order that matters;
    ``scores`` (n, C), what the trained network says of them.
    """
    right, labels = scores.argmax(axis=1) == t.argmax(axis=1), t.argmax(axis=1)
    if len(x) < FEWEST or len(np.unique(labels)) < 2:
        return []
    share = float(np.bincount(labels).max()) / len(labels)
    reached = float(right.mean())
    if reached <= share + DEVIATIONS * sqrt(share * (1 - share) / len(x)):
        return [
            f"{rule.name} is at chance on its training samples: {reached:.1%}, the largest class has {share:.1%}; {cause(run, start, x)}"
        ]
    control = control_accuracy(start, x, t, run.seed)
    if control is None:
        return []
    tried = right[len(x) * 2 // 3 :]
    judged, spread = float(tried.mean()), sqrt(max(control * (1 - control), 1 / len(tried)) / len(tried))
    if judged >= control - DEVIATIONS * spread:
        return []
    found = f"{rule.name} is below the frozen control on training samples: {judged:.1%}, a read-out of hidden layers that never learned"
    return [f"{found} has {control:.1%}; train longer, or with another rate ({now(run)}), and compare with the rule frozen"]


def below_on_others(rule: Rule, start: Network, run: Run, x: Array, t: Array, others: tuple[Array, Array, Array]) -> list[str]:
    """What to say of a run that is below the control on samples that it has not seen, a sentence; none where all is well.

    Args: ``start``, x (n, ...) and t (n, C) as for ``doubts``; ``others``, samples (m, ...), their labels (m,), and the scores (m, C) that
    the trained network gives them.
    """
    x_other, labels, scores = others
    if min(len(x), len(x_other)) < FEWEST or len(np.unique(labels)) < 2:
        return []
    control = control_accuracy(start, x, t, run.seed, (x_other, labels))
    judged = float((scores.argmax(axis=1) == labels).mean())
    if control is None or judged >= control - DEVIATIONS * sqrt(max(control * (1 - control), 1 / len(labels)) / len(labels)):
        return []
    found = f"{rule.name} is below the frozen control on the test part: {judged:.1%}, a read-out of hidden layers that never learned has"
    step = f"it knows its training samples and not others: fewer epochs, a smaller network or another rate ({now(run)}), or choose the rule"
    return [f"{found} {control:.1%}; {step} by `edgeff tune`"]


def now(run: Run) -> str:
    """The rate as a user sets it, and what it was."""
    return f"--set lr=.., now {run.settings.lr:.2g}"


def scale_of_inputs(x: Array) -> str:
    """What to say of inputs x (n, ...) that weights drawn by their fan-in are not made for; empty of others."""
    power = float(np.mean(np.square(x[:SAMPLES], dtype=np.float64)))
    if SMALLEST_POWER <= power <= LARGEST_POWER:
        return ""
    return f"the mean square of the inputs is {power:.3g}, far from 1: standardise them, or choose the rate (--set lr=..)"


def cause(run: Run, start: Network, x: Array) -> str:
    """Why a run is likely to have ended at chance, and what to do."""
    rate = now(run)
    dead = dead_layers(run, x)
    if dead:
        return f"no unit of {', '.join(dead)} answers to any sample, so it cannot learn any more: lower the rate ({rate})"
    moved = max((_moved(start, run, layer.name) for layer in start.trainable), default=0.0)
    if moved < 0.01:
        return f"the weights moved by {moved:.2%}: raise the rate ({rate}), or train longer"
    return f"the rate may be too large ({rate}), or the inputs say nothing of the classes"


def dead_layers(run: Run, x: Array) -> list[str]:
    """The hidden layers with a ReLU whose every unit is 0 for all of x."""
    hidden = [layer for layer in run.network.upstream.trainable[:-1] if kind(layer).function.clamps]
    values = forward(run.network.upstream, run.params, x[:256])
    return [layer.name for layer in hidden if not values[layer.name].any()]


def _moved(start: Network, run: Run, name: str) -> float:
    before, now = start[name].params["weight"], run.params[name]["weight"]
    return float(np.linalg.norm(now - before) / max(float(np.linalg.norm(before)), 1e-12))


def control_accuracy(start: Network, x: Array, t: Array, seed: int, others: tuple[Array, Array] | None = None) -> float | None:
    """The share of ``others``, samples and labels, that a read-out of ``start``'s last hidden layer tells, fitted to x; None without one.

    Without ``others`` it is fitted to two thirds of x and tried on the last third.
    """
    if len(start.upstream.trainable) < 2:
        return None
    last, parts = start.upstream.trainable[-1], parameters(start)
    fit = len(x) if others is not None else len(x) * 2 // 3
    x_other, labels = others if others is not None else (x[fit:], t[fit:].argmax(axis=1))
    features, features_other = (forward(start.upstream, parts, part)[last.inputs[0]].reshape(len(part), -1) for part in (x[:fit], x_other))
    scale = np.float32(max(float(features.std()), 1e-12))
    own: dict[str, Any] = {"weight": np.zeros((t.shape[1], features.shape[1]), np.float32), "bias": np.zeros(t.shape[1], np.float32)}
    fit_readout([own], [features / scale], t[:fit], softmax=True, rng=np.random.default_rng([seed, 7]), **READOUT)
    found = (features_other / scale) @ own["weight"].T + own["bias"]
    return float((found.argmax(axis=1) == labels).mean())
