"""Augmentation of images (n, H, W, C): pure functions of the samples and the generator."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array


def flipped(x: Array, rng: np.random.Generator) -> Array:
    """Each image left to right with probability 1/2."""
    chosen = rng.random(len(x)) < 0.5
    return np.where(chosen[:, None, None, None], x[:, :, ::-1], x)


def moved(x: Array, rng: np.random.Generator, *, degrees: float, shift: float) -> Array:
    """Each image rotated by up to +-``degrees`` about its centre and moved by up to +-``shift`` of its size along both axes.

    The nearest pixel is taken, what comes from outside is the pixel at the border (Keras' ImageDataGenerator with its nearest fill).
    """
    count, height, width, _ = x.shape
    angle = np.deg2rad(rng.uniform(-degrees, degrees, count))[:, None, None]
    down, right = (rng.uniform(-shift, shift, count)[:, None, None] * size for size in (height, width))
    rows, columns = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    sine, cosine = np.sin(angle), np.cos(angle)
    from_row = np.rint(rows * cosine - columns * sine + down + (height - 1) / 2).clip(0, height - 1).astype(np.intp)
    from_column = np.rint(rows * sine + columns * cosine + right + (width - 1) / 2).clip(0, width - 1).astype(np.intp)
    return np.asarray(x[np.arange(count)[:, None, None], from_row, from_column])
