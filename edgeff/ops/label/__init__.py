"""The label as extra inputs in front of the data: the input of a Forward-Forward network. Inference writes the neutral label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import Arrays, Named, Operator, Shape, operator, record
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.parallel import empty

ON, NEUTRAL = 1.0, 0.1


@operator
@dataclass(frozen=True, kw_only=True)
class Label(Operator):
    """``classes``; ``on``, the value of the label's entry; ``neutral``, the value of every entry without a label.

    Output: a vector of classes + inputs; or, where the layer's shape has the axes of its input (H, W, C), an image of classes + C channels,
    so that a convolution sees the label everywhere. As a layer of a plain forward pass it writes the neutral label; a rule writes labels
    with ``with_label``. Quantised, it keeps its input's scale.
    """

    name: ClassVar[str] = "label"
    summary: ClassVar[str] = "the label's entries before the inputs"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_quant: ClassVar[bool] = True
    described: ClassVar[tuple[str, ...]] = ("on",)
    classes: Count
    on: float = ON
    neutral: float = NEUTRAL

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        (shape,) = inputs
        return (*shape[:-1], self.classes + shape[-1]) if len(layer.shape) == len(shape) else (self.classes + prod(shape),)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        return self.before(layer.shape, x, np.full(len(x), -1))

    def entries(self, dtype: Any) -> Array:
        """The label's inputs (classes + 1, classes), one row per label; the last row, index -1, is the neutral one."""
        entries = np.zeros((self.classes + 1, self.classes), dtype)
        np.fill_diagonal(entries, self.on)
        entries[-1] = self.neutral
        return entries

    def before(self, shape: Shape, x: Array, labels: Array) -> Array:
        """x (B, ...) with ``classes`` more entries in front at each place, one-hot for the labels (B,); a negative one is neutral.

        Labels (k B,) write k copies of x, one after the other: rows (k B, *shape).
        """
        classes, copies, places = self.classes, len(labels) // len(x), prod(shape[:-1])
        y = empty((len(labels), places, shape[-1]), x.dtype)
        y.reshape(copies, len(x), places, -1)[..., classes:] = x.reshape(len(x), places, -1)
        y[..., :classes] = self.entries(x.dtype)[labels][:, None]
        return y.reshape(len(labels), *shape)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta[..., self.classes :].reshape(xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        entries = np.zeros((*y.shape[:-1], self.classes), y.dtype)
        return np.concatenate([entries, dxs[0].reshape(*y.shape[:-1], -1)], axis=-1)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        return build.embed(layer, x, build.class_number(-1))


def with_label(layer: Layer, x: Array, labels: Array) -> Array:
    """The output of a ``label`` layer for known labels; see ``Label.before``."""
    return record(layer, Label).before(layer.shape, x, labels)
