"""Augmentation of images (n, H, W, C) float32: pure functions of the images and the generator."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array


def flipped(x: Array, rng: np.random.Generator) -> Array:
    """Each image mirrored left to right with probability 1/2."""
    chosen = rng.random(len(x)) < 0.5
    out = x.copy()
    out[chosen] = x[chosen, :, ::-1]
    return out


def shifted(x: Array, rng: np.random.Generator, most: int) -> Array:
    """Each image moved by whole pixels, up to ``most`` of them along both axes; new pixels repeat the border."""
    _, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    down, right = rng.integers(0, 2 * most + 1, (2, len(x), 1))
    images = np.arange(len(x))[:, None, None]
    return np.ascontiguousarray(padded[images, (down + np.arange(height))[:, :, None], (right + np.arange(width))[:, None, :]])


def moved(x: Array, rng: np.random.Generator, *, degrees: float, shift: float) -> Array:
    """Each image turned by up to +-``degrees`` about its centre and moved by up to +-``shift`` of its size along both axes.

    As in Keras' ImageDataGenerator: uniform draws, bilinear interpolation, and the border's pixels repeated outside. Moved by whole pixels,
    only their places change: without angle and shift the images are returned bit for bit.
    """
    count, height, width, channels = x.shape
    one = (count, 1, 1)
    angle = np.deg2rad(rng.uniform(-degrees, degrees, one))
    down, right = rng.uniform(-shift, shift, one) * height, rng.uniform(-shift, shift, one) * width
    return shifted_and_turned(x, angle, down, right).reshape(count, height, width, channels)


def shifted_and_turned(x: Array, angle: Array, down: Array, right: Array) -> Array:
    """Bilinear samples of images (n, H, W, C) where each output pixel p reads R(angle) (p - centre + (down, right)) + centre.

    Args: ``angle`` in radians, ``down`` and ``right`` in pixels, each (n, 1, 1).
    """
    count, height, width, channels = x.shape
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    rows = np.arange(height).reshape(1, -1, 1) - middle[0] + down
    columns = np.arange(width).reshape(1, 1, -1) - middle[1] + right
    sine, cosine = np.sin(angle), np.cos(angle)
    row = (cosine * rows - sine * columns + middle[0]).clip(0, height - 1)
    column = (sine * rows + cosine * columns + middle[1]).clip(0, width - 1)
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    lower, later = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    below, beside = ((place - whole).astype(np.float32)[..., None] for place, whole in ((row, top), (column, left)))
    first = (np.arange(count) * (height * width)).reshape(-1, 1, 1)
    pixels = x.reshape(-1, channels)
    upper = pixels[first + top * width + left] * (1 - beside) + pixels[first + top * width + later] * beside
    under = pixels[first + lower * width + left] * (1 - beside) + pixels[first + lower * width + later] * beside
    return np.asarray(upper * (1 - below) + under * below)
