"""The losses that attacks ascend, which do not saturate, their float64 gradients at the input, and a check of these by finite differences.

The cross-entropy of logits z and label y is ``softplus(u)`` with ``u = log sum_{j != y} exp(z_j) - z_y`` (log-softmax, written out). Its
gradient is that of u times ``sigmoid(u) > 0``: the same sign everywhere, so a step along the sign of either is the same step. But if the
softmax is certain ``sigmoid(u)`` underflows, and ``softmax(z) - onehot(y)`` loses its digits long before; u has neither problem. The
margin ``max_{j != y} z_j - z_y`` is the control: it is linear in the logits and positive exactly if the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Network
from edgeff.networks import reproduces_input
from edgeff.ops import Activations, forward, kind, parameters
from edgeff.ops.backward import input_gradient
from edgeff.ops.canonical import canonical
from edgeff.ops.parallel import slices

MOST_BATCH_BYTES = 1 << 26
TOLERANCE = 1e-4
"""Share of the largest entry of a sample's gradient. Central differences of step 1e-6 are off by 1e-9, wrong gradients by their size."""
STEP, JITTER = 1e-6, 1e-3
"""Relative to the width of the inputs' range."""

Loss = Callable[[Array, Array], tuple[Array, Array]]


def soft_margin(z: Array, y: Array) -> tuple[Array, Array]:
    """``u`` (n,) and du/dz (n, C) of logits z (n, C) and labels y (n,): -1 at the label, the softmax over the others elsewhere.

    >>> value, slope = soft_margin(np.array([[800.0, 0.0, 0.0]]), np.array([0]))
    >>> (value + 800).round(4).tolist(), slope.tolist()
    ([0.6931], [[-1.0, 0.5, 0.5]])
    """
    rows = np.arange(len(z))
    others = z.copy()
    others[rows, y] = -np.inf
    top = others.max(axis=1, keepdims=True)
    powers = np.exp(others - top)
    total = powers.sum(axis=1, keepdims=True)
    slope = powers / total
    slope[rows, y] = -1
    return (top + np.log(total))[:, 0] - z[rows, y], slope


def hard_margin(z: Array, y: Array) -> tuple[Array, Array]:
    """``max_{j != y} z_j - z_y`` (n,) and its gradient (n, C): 1 at the (first) best other class, -1 at the label."""
    rows = np.arange(len(z))
    others = z.copy()
    others[rows, y] = -np.inf
    best = others.argmax(axis=1)
    slope = np.zeros_like(z)
    slope[rows, best], slope[rows, y] = 1, -1
    return z[rows, best] - z[rows, y], slope


LOSSES: Mapping[str, Loss] = {"cross-entropy": soft_margin, "margin": hard_margin}


class Attacked:
    """A float network as an attacker sees it: float64 logits and input gradients of samples x (n, *input shape) with labels y (n,), n >= 1.

    Batch normalisation is folded away, as for every program. The logits are the input of the last softmax; without one, the outputs.
    Raises Unsupported for an integer network, and for one whose outputs are not two classes or more.
    """

    def __init__(self, network: Network) -> None:
        if network.input_quant is not None:
            raise Unsupported(
                "attacking a model", got=network.numeric, allowed="a float model", next_step="attack it before it is quantised"
            )
        self.network = canonical(network)
        last = self.network.layers[-1]
        self.top = last.inputs[0] if kind(last).probabilities else last.name
        shape = last.shape
        if len(shape) != 1 or shape[0] < 2 or reproduces_input(self.network) or self.top == "input":
            raise Unsupported("attacking a model", got=f"outputs {shape}", allowed="the scores of two classes or more")
        self._params = {dtype: parameters(self.network, dtype) for dtype in (np.float64, np.float32)}

    def _each(self, x: Array, work: Callable[[slice, Activations], Sequence[Array]], dtype: Any = np.float64) -> list[Array]:
        """The results of ``work(part, every layer's output)`` for parts of x that fit into memory, joined."""
        widest = 8 * (prod(x.shape[1:]) + sum(prod(layer.shape) for layer in self.network))
        parts = slices(len(x), MOST_BATCH_BYTES // widest)
        with threadpool_limits(1, "blas"):
            columns = [work(part, forward(self.network, self._params[dtype], np.asarray(x[part], dtype))) for part in parts]
        return [np.concatenate(arrays) for arrays in zip(*columns, strict=True)]

    def logits(self, x: Array) -> Array:
        """(n, C) float64."""
        return self._each(x, lambda _part, h: [h[self.top]])[0]

    def right(self, x: Array, y: Array) -> Array:
        """Whether each answer is right, (n,): the largest logit (the first of equals) is the label's."""
        return np.asarray(self.logits(x).argmax(axis=1) == y)

    def climb(self, x: Array, y: Array, loss: str) -> tuple[Array, Array]:
        """``right`` and ``gradient`` from one forward pass."""

        def work(part: slice, h: Activations) -> Sequence[Array]:
            _, delta = LOSSES[loss](h[self.top], y[part])
            return h[self.top].argmax(axis=1) == y[part], input_gradient(self.network, self._params[np.float64], h, self.top, delta)

        right, gradient = self._each(x, work)
        return right, gradient

    def gradient(self, x: Array, y: Array, loss: str = "cross-entropy") -> Array:
        """The gradient (n, *input shape) float64 of ``soft_margin`` or ``hard_margin``, by the loss's name."""
        return self.climb(x, y, loss)[1]

    def float32_gradient(self, x: Array, y: Array) -> Array:
        """The gradient of the cross-entropy through the softmax, ``softmax(z) - onehot(y)`` carried back, all in float32.

        The usual gradient, for comparison: only the accuracy under its name uses it.
        """

        def work(part: slice, h: Activations) -> Sequence[Array]:
            z = h[self.top]
            powers = np.exp(z - z.max(axis=1, keepdims=True))
            delta = powers / powers.sum(axis=1, keepdims=True)
            delta[np.arange(len(z)), y[part]] -= 1
            return [input_gradient(self.network, self._params[np.float32], h, self.top, delta)]

        return self._each(x, work, np.float32)[0]


@dataclass(frozen=True)
class GradientCheck:
    """The gradient compared with central differences: ``conclusive`` of ``probes`` are at points where the network has a slope.

    ``largest_error`` is the largest difference over the conclusive probes, as a share of the largest entry of the sample's gradient.
    """

    probes: int
    conclusive: int
    largest_error: float

    @property
    def ok(self) -> bool:
        """Whether at least half of the probes are conclusive, and all of these confirm the gradient."""
        return 2 * self.conclusive >= self.probes and self.largest_error <= TOLERANCE


def check_gradient(
    attacked: Attacked,
    x: Array,
    y: Array,
    span: tuple[float, float],
    losses: tuple[str, ...] = tuple(LOSSES),
    *,
    seed: int = 0,
    count: int = 8,
) -> GradientCheck:
    """The check at ``count`` random coordinates and at the ``count`` steepest of every sample of x, for each loss.

    Samples are first moved a little: after a layer without bias a blank part of an image lies exactly on the kink of ReLU. A probe is
    conclusive if the slopes on both sides agree: at a kink they differ even for a right gradient. ``span``: the inputs' range.
    """
    if not len(x):
        raise BadInput("checking a gradient", got="no samples", allowed="at least one")
    rng, width = np.random.default_rng([seed, 3]), span[1] - span[0]
    x = np.asarray(x, np.float64) + rng.uniform(-JITTER, JITTER, x.shape) * width
    h, probes, errors = STEP * width, 0, []
    for loss in losses:
        gradients = attacked.gradient(x, y, loss).reshape(len(x), -1)
        for sample, label, gradient in zip(x, y, gradients, strict=True):
            largest = np.abs(gradient).max()
            places = np.concatenate([rng.integers(0, gradient.size, count), np.argsort(-np.abs(gradient))[:count]])
            moves = np.zeros((len(places), gradient.size))
            moves[np.arange(len(places)), places] = h
            moves = moves.reshape(len(places), *sample.shape)
            around = np.concatenate([sample[None], sample + moves, sample - moves])
            values, _ = LOSSES[loss](attacked.logits(around), np.full(len(around), label))
            forward_slope, backward_slope = (values[1 : len(places) + 1] - values[0]) / h, (values[0] - values[len(places) + 1 :]) / h
            scale = max(largest, float(np.abs(forward_slope).max()), np.finfo(np.float64).tiny)
            smooth = np.abs(forward_slope - backward_slope) <= TOLERANCE * scale
            probes += len(places)
            errors += (np.abs((forward_slope + backward_slope) / 2 - gradient[places])[smooth] / scale).tolist()
    return GradientCheck(probes, len(errors), max(errors, default=0.0))
