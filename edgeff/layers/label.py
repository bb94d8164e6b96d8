"""The label as extra inputs in front of the data: what a Forward-Forward network reads. Inference writes the neutral label."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from edgeff.ir import Array, Layer
from edgeff.layers import Arrays, LayerKind, Named
from edgeff.registry import layers

ON, NEUTRAL = 1.0, 0.1


class Label(LayerKind):
    """attrs: ``classes``; ``on``, the entry of the label (1.0); ``neutral``, each entry when there is none (0.1). Output: classes + inputs.

    As a layer of a plain forward pass it writes the neutral label; a rule writes labels with ``with_label``. Quantised, it keeps its
    input's scale.
    """

    op = "label"
    summary = "the label's entries before the inputs"
    keeps_quant = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (int(layer.attrs["classes"]) + prod(inputs[0]),)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        return with_label(layer, x, None)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta[:, int(layer.attrs["classes"]) :].reshape(xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return np.concatenate([np.zeros((len(y), int(layer.attrs["classes"])), y.dtype), dxs[0].reshape(len(y), -1)], axis=1)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        (x,) = xs
        return build.embed(layer, x, build.class_number(-1))


def with_label(layer: Layer, x: Array, labels: Array | None) -> Array:
    """x (B, D) with the one-hot labels (B,) in ``classes`` more columns before it; None writes the neutral label."""
    classes = int(layer.attrs["classes"])
    flat = x.reshape(len(x), -1)
    if labels is None:
        entries = np.full((len(x), classes), layer.attrs.get("neutral", NEUTRAL), flat.dtype)
    else:
        entries = np.zeros((len(x), classes), flat.dtype)
        entries[np.arange(len(x)), labels] = layer.attrs.get("on", ON)
    return np.concatenate([entries, flat], axis=1)


layers.add("label", Label())
