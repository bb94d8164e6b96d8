"""The quality of outputs in the task's own metric: accuracy, the area under the ROC curve, or the mean squared error.

A network's outputs for samples in order come in, real numbers (n, outputs); one number goes out. Refused: data without samples, and an
area under a curve for a single class.
"""

from __future__ import annotations

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Program
from edgeff.networks import reproduces_input

SHARES = ("accuracy", "auc")
"""The metrics between 0 and 1 where higher is better."""


def metric_of(task: str) -> str:
    """The metric of a registered task; accuracy for one that is not known here."""
    return str(registry.tasks[task].metric) if task in registry.tasks else "accuracy"


def real_outputs(program: Program, raw: Array) -> Array:
    """The raw scores (n, outputs) of a program as real numbers."""
    quant = program.tensors[program.output].quant
    if quant is None:
        return np.asarray(raw, np.float32)
    return ((np.asarray(raw, np.float64) - quant.zero_point) * quant.scale[0]).astype(np.float32)


def anomaly_scores(network: Network, x: Array, outputs: Array) -> Array:
    """The anomaly score of each sample, its distance from the normal class (label 0), (n,) float64.

    For an autoencoder the mean squared error; for a classifier the best other class's score minus the normal one's; a single output
    unchanged.
    """
    if reproduces_input(network):
        return np.asarray(((outputs - np.asarray(x, np.float32).reshape(outputs.shape)) ** 2).mean(axis=1, dtype=np.float64))
    scores = np.asarray(outputs, np.float64)
    return scores[:, 0] if scores.shape[1] == 1 else scores[:, 1:].max(axis=1) - scores[:, 0]


def measured(metric: str, network: Network, x: Array, outputs: Array, labels: Array, files: Array | None = None) -> float:
    """The metric of outputs (n, outputs) for samples x (n, *input shape) with labels (n,), or values (n, outputs).

    ``files`` (n,) gives the recording of each sample: an area under the curve is then over recordings, each by the mean of its
    samples' scores. Raises BadInput for no samples, and for a curve of a single class.
    """
    if not len(labels):
        raise BadInput("measuring a model", got="no samples", allowed="at least one")
    if metric == "accuracy":
        return float((outputs.argmax(axis=1) == labels).mean())
    if metric == "mse" and np.asarray(labels).ndim > 1:
        return float(((np.asarray(outputs, np.float64) - labels) ** 2).mean())
    if metric == "mse":
        return float(((outputs - np.asarray(x, np.float32).reshape(outputs.shape)) ** 2).mean(dtype=np.float64))
    return area(anomaly_scores(network, x, outputs), labels, files)


def area(scores: Array, labels: Array, files: Array | None = None) -> float:
    """The area under the curve of anomaly scores (n,); arguments and errors as of ``measured``."""
    positive = np.asarray(labels) == 1
    if files is not None:
        _, first, place = np.unique(files, return_index=True, return_inverse=True)
        scores, positive = np.bincount(place, scores) / np.bincount(place), positive[first]
    return auc(scores, positive)


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
