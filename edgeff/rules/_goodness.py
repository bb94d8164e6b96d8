"""Goodness, the mathematics shared by Forward-Forward and its variants: local losses, negatives, and the readers of hidden layers.

Activations are (B, ..., n): n units of a dense layer, or n channels at every place of a convolution.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from edgeff.ir import Array, Layer, Network
from edgeff.kernels.arithmetic import draws
from edgeff.ops.normalise import Normalise
from edgeff.ops.parallel import empty

PEER_KEEP = 0.9
"""The share of a unit's running mean activity kept per step (Hinton's own code)."""
BLURS = 6


def sigmoid(v: Array) -> Array:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * v)))


def goodness(h: Array) -> Array:
    """The mean squared activation (B,) of h (B, ..., n), over units and places."""
    flat = h.reshape(len(h), -1)
    return np.asarray(np.einsum("bn,bn->b", flat, flat) / np.asarray(flat.shape[1], flat.dtype))


def places_of(h: Array) -> int:
    """The number of places of a convolution's output h (B, H, W, C); 1 for a dense layer's."""
    return prod(h.shape[1:-1])


def local_delta(h: Array, theta: float, sharpness: float, lift: float = 0.0) -> Array:
    """d loss / d h of ``n / 2s (softplus(s (theta - G+)) + softplus(s (G- - theta)))`` for h (2 B, ..., n): positives first.

    n counts units or channels, so that ``d loss / d h = -+sigmoid h`` divided by the number of places: one learning rate serves every width
    and size. Each row has weight 2: an average over the 2 B rows is the sum of the averages over both halves. The ReLU's gate is included,
    since h is 0 there, but that of positives with a ``lift``: their gradient is that of h + lift, so a unit that is off has one.
    """
    pull = goodness(h) - np.asarray(theta, h.dtype)
    half = len(h) // 2
    slope = np.concatenate([-sigmoid(-sharpness * pull[:half]), sigmoid(sharpness * pull[half:])])
    slope *= np.asarray(2.0 / places_of(h), h.dtype)
    rows = slope.reshape(-1, *(1,) * (h.ndim - 1))
    delta = np.multiply(h, rows, out=empty(h.shape, h.dtype))
    if lift:
        delta[:half] += np.asarray(lift, h.dtype) * rows[:half]
    return delta


def peer_pull(means: Array, h: Array, strength: float) -> Array:
    """The term of peer normalisation in the delta of the positives h (B, ..., n): ``2 strength (m - mean m)`` (n,) / places.

    ``means`` (n,), the running mean activity m, is updated once. To first order it is the gradient of ``strength / 2 (1 - keep)
    sum (m - mean m)^2``, but no ReLU gates it: it can revive a unit that is always off (Hinton's own code).
    """
    means *= PEER_KEEP
    means += (1.0 - PEER_KEEP) * h.reshape(-1, h.shape[-1]).mean(axis=0)
    return np.asarray((means - means.mean()) * (2.0 * strength / places_of(h)), h.dtype)


def uniform_wrong(key: int, labels: Array, classes: int) -> Array:
    """Labels (B,) drawn uniformly from those that are not ``labels``: the draws of the kernel ``eff_wrong_label``."""
    other = (draws(key, np.arange(len(labels))).astype(np.uint64) * np.uint64(classes - 1) >> np.uint64(32)).astype(np.int64)
    return np.asarray(other + (other >= labels))


def likely_wrong(key: int, labels: Array, scores: Array) -> Array:
    """Labels (B,) drawn in proportion to the scores (B, C) of a softmax, never the right one (Hinton 2022, section 3.3)."""
    chances = np.maximum(scores.astype(np.float64), 0.0) + 1e-9
    chances[np.arange(len(labels)), labels] = 0.0
    sums = chances.cumsum(axis=1)
    drawn = draws(key, np.arange(len(labels))) / 2.0**32
    return np.asarray((sums > drawn[:, None] * sums[:, -1:]).argmax(axis=1))


def mixtures(x: Array, rng: np.random.Generator) -> Array:
    """Negatives without labels: each sample of x (B, ...) mixed with another one by a mask of large regions (Hinton 2022, section 3.2).

    The mask is random bits, blurred BLURS times by [1/4, 1/2, 1/4] along each axis of the image (H, W, C), or along a vector, and
    thresholded at the median 1/2. The borders wrap around.
    """
    axes = tuple(range(1, max(x.ndim - 1, 2)))
    mask = rng.integers(0, 2, x.shape[: len(axes) + 1]).astype(np.float32)
    for _ in range(BLURS):
        for axis in axes:
            mask = 0.5 * mask + 0.25 * (np.roll(mask, 1, axis) + np.roll(mask, -1, axis))
    first = (mask > 0.5).reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
    order = rng.permutation(len(x))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return np.where(first, x, x[partner])


class Parts(NamedTuple):
    """A network of layers that learn by goodness, split into parts.

    ``below``: the layers up to the last hidden one, in order; ``hidden``: those of them with weights; ``above``: the others that the output
    depends on; ``heads``: those of them with weights, linear readers of hidden layers.
    """

    below: tuple[Layer, ...]
    hidden: tuple[Layer, ...]
    above: tuple[Layer, ...]
    heads: tuple[Layer, ...]


def parts(network: Network) -> Parts:
    """The parts of ``network``: a layer with weights is hidden if a ``normalise``, which hides its goodness, follows it."""
    layers, leads = network.upstream.layers, set[str]()
    for layer in reversed(layers):
        if isinstance(layer.op, Normalise) or layer.name in leads:
            leads.update(layer.inputs)
    hidden = tuple(layer for layer in layers if layer.trainable and layer.name in leads)
    end = layers.index(hidden[-1]) + 1 if hidden else 0
    heads = tuple(layer for layer in layers if layer.trainable and layer.name not in leads)
    return Parts(tuple(layer for layer in layers[:end] if layer not in heads), hidden, tuple(layers[end:]), heads)


def macs_of(layer: Layer) -> int:
    """The multiply-accumulates per sample of a layer, as its kernels count them: weights at every place, and two per normalised value."""
    if isinstance(layer.op, Normalise):
        return 2 * prod(layer.shape)
    return layer.params["weight"].size * prod(layer.shape[:-1]) if layer.trainable else 0
