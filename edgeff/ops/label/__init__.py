"""The label as extra inputs in front of the data: what a Forward-Forward network reads. Inference writes the neutral label."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, LayerKind, Named
from edgeff.ops.parallel import empty
from edgeff.registry import ops

ON, NEUTRAL = 1.0, 0.1


class Label(LayerKind):
    """attrs: ``classes``; ``on``, the entry of the label (1.0); ``neutral``, each entry when there is none (0.1).

    Output: a vector of classes + inputs; or, where the layer's shape has the axes of its input (H, W, C), an image of classes + C channels,
    so that a convolution sees the label everywhere. As a layer of a plain forward pass it writes the neutral label; a rule writes labels
    with ``with_label``. Quantised, it keeps its input's scale.
    """

    op = "label"
    summary = "the label's entries before the inputs"
    keeps_quant = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        (shape,) = inputs
        classes = int(layer.attrs["classes"])
        return (*shape[:-1], classes + shape[-1]) if len(layer.shape) == len(shape) else (classes + prod(shape),)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        return with_label(layer, x, np.full(len(x), -1))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta[..., int(layer.attrs["classes"]) :].reshape(xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        entries = np.zeros((*y.shape[:-1], int(layer.attrs["classes"])), y.dtype)
        return np.concatenate([entries, dxs[0].reshape(*y.shape[:-1], -1)], axis=-1)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        (x,) = xs
        return build.embed(layer, x, build.class_number(-1))


def entries(layer: Layer, dtype: Any) -> Array:
    """The label's inputs (classes + 1, classes), a row a label; the last row is the neutral one, which -1 points at."""
    classes = int(layer.attrs["classes"])
    entries = np.zeros((classes + 1, classes), dtype)
    np.fill_diagonal(entries, layer.attrs.get("on", ON))
    entries[-1] = layer.attrs.get("neutral", NEUTRAL)
    return entries


def with_label(layer: Layer, x: Array, labels: Array) -> Array:
    """x (B, ...) with ``classes`` more entries before it at each place, one-hot for the labels (B,); a negative one is neutral.

    Labels (k B,) write k copies of x, one behind the other: rows (k B, *layer.shape).
    """
    classes, copies = int(layer.attrs["classes"]), len(labels) // len(x)
    places = prod(layer.shape[:-1])
    made = empty((len(labels), places, layer.shape[-1]), x.dtype)
    made.reshape(copies, len(x), places, -1)[..., classes:] = x.reshape(len(x), places, -1)
    made[..., :classes] = entries(layer, x.dtype)[labels][:, None]
    return made.reshape(len(labels), *layer.shape)


ops.add("label", Label())
