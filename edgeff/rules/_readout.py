"""A linear read-out fitted to the features of layers that no longer change: softmax regression, or least squares, by Adam.

Inputs are the read-outs' parameters, changed in place, and their features; several read-outs add up to one over all features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeff.ir import Array
from edgeff.ops.parallel import outer_sum, product

MEAN, SQUARE, SMALL = 0.9, 0.999, 1e-8
"""Constants of Adam (Kingma & Ba 2015)."""


class _Adam:
    """``w -= lr m' / (sqrt(v') + eps)`` in place, with m' and v' the corrected moving means of g and g^2."""

    def __init__(self, weight: Array) -> None:
        self.weight, self.mean, self.square, self.steps = weight, np.zeros_like(weight), np.zeros_like(weight), 0

    def apply(self, gradient: Array, lr: float) -> None:
        self.steps += 1
        self.mean += (1 - MEAN) * (gradient - self.mean)
        self.square += (1 - SQUARE) * (gradient * gradient - self.square)
        rate = lr * np.sqrt(1 - SQUARE**self.steps) / (1 - MEAN**self.steps)
        change = rate * self.mean / (np.sqrt(self.square) + SMALL)
        self.weight -= change.astype(self.weight.dtype)


def fit_readout(
    params: Sequence[dict[str, Array]],
    features: Sequence[Array],
    t: Array,
    *,
    epochs: int,
    lr: float,
    batch: int,
    dropout: float,
    softmax: bool,
    rng: np.random.Generator,
) -> None:
    """Fits the read-outs ``params`` (``weight`` (C, n_l) and, with a bias, ``bias`` (C,)) in place, so that their sum gives t (n, C).

    Args: ``features``, float (n, n_l) for each read-out; ``lr`` falls linearly to 0 over the ``epochs`` passes; ``dropout``, the share of
    features dropped from each mini-batch; ``softmax``: cross-entropy after a softmax, else half the squared error. Cost per epoch: 2 C
    multiply- accumulates per feature and sample.
    """
    optimisers: list[dict[str, _Adam]] = [{name: _Adam(value) for name, value in own.items()} for own in params]
    keep, total, done = 1.0 - dropout, epochs * -(-len(t) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(t))
        for first in range(0, len(order), batch):
            index = order[first : first + batch]
            inputs = [each[index] for each in features]
            if dropout:
                inputs = [each * ((rng.random(each.shape, np.float32) < keep) / np.float32(keep)) for each in inputs]
            y = np.zeros_like(t, shape=(len(index), t.shape[1]))
            for each, own in zip(inputs, params, strict=True):
                y += product(each, own["weight"].T) + own.get("bias", 0.0)
            if softmax:
                y = np.exp(y - y.max(axis=1, keepdims=True))
                y /= y.sum(axis=1, keepdims=True)
            error = (y - t[index]) / np.float32(len(index))
            rate = lr * (1.0 - done / total)
            for each, optimiser in zip(inputs, optimisers, strict=True):
                optimiser["weight"].apply(outer_sum(error, each), rate)
                if "bias" in optimiser:
                    optimiser["bias"].apply(error.sum(axis=0), rate)
            done += 1
