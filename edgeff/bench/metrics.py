"""How good outputs are, in the task's own metric: accuracy, the area under the ROC curve, or the mean squared error.

Outputs of a network on samples in order come in, real numbers (n, outputs); one number goes out. Refused: data without any sample, and an
area under a curve of one class alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Program
from edgeff.networks import reproduces_input
from edgeff.tasks import Data

SHARES = ("accuracy", "auc")
"""The metrics between 0 and 1 of which more is better."""


def metric_of(task: str) -> str:
    """The metric of a registered task; accuracy for one that is not known here."""
    return str(getattr(registry.tasks[task], "metric", "accuracy")) if task in registry.tasks else "accuracy"


def real_outputs(program: Program, raw: Array) -> Array:
    """The raw scores (n, outputs) of a program as real numbers."""
    quant = program.tensors[program.output].quant
    if quant is None:
        return np.asarray(raw, np.float32)
    return ((np.asarray(raw, np.float64) - quant.zero_point) * quant.scale[0]).astype(np.float32)


def anomaly_scores(network: Network, x: Array, outputs: Array) -> Array:
    """How unlike the normal class each sample is, (n,): for an autoencoder the mean squared error, else 1 - the first class's output."""
    if reproduces_input(network):
        return np.asarray(((outputs - np.asarray(x, np.float32).reshape(outputs.shape)) ** 2).mean(axis=1, dtype=np.float64))
    return 1.0 - np.asarray(outputs[:, 0], np.float64)


def value(metric: str, network: Network, x: Array, outputs: Array, labels: Array, groups: Array | None = None) -> float:
    """The metric of outputs (n, outputs) for samples x (n, *input shape) with labels (n,).

    ``groups`` (n,) says which file a sample was cut from: an area under the curve is over files then, each by the mean of its samples'
    scores. Label 0 is the normal class.
    """
    if not len(labels):
        raise BadInput("measuring a model", got="no samples", allowed="at least one")
    if metric == "accuracy":
        return float((outputs.argmax(axis=1) == labels).mean())
    if metric == "mse":
        return float(((outputs - np.asarray(x, np.float32).reshape(outputs.shape)) ** 2).mean(dtype=np.float64))
    scores, faulty = anomaly_scores(network, x, outputs), np.asarray(labels) != 0
    if groups is not None:
        _, first, place = np.unique(groups, return_index=True, return_inverse=True)
        scores, faulty = np.bincount(place, scores) / np.bincount(place), faulty[first]
    return auc(scores, faulty)


def auc(scores: Array, positive: Array) -> float:
    """The area under the ROC curve: how often a positive sample has the higher score, ties counting half. Raises BadInput for one class.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    from scipy.stats import rankdata

    count = int(np.count_nonzero(positive))
    others = len(positive) - count
    if not count or not others:
        raise BadInput("area under the curve", got="samples of one class", allowed="normal and other samples")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def of_data(metric: str, network: Network, data: Data, outputs: Array, part: str = "test") -> float:
    """``value`` for a part of a task's data."""
    chosen: Any = data
    x, labels = getattr(chosen, f"x_{part}"), getattr(chosen, f"y_{part}")
    return value(metric, network, x, outputs, labels, getattr(chosen, f"groups_{part}", None))
