"""The building blocks of layer-local rules: labels written into inputs, goodness, and the gradients of local losses."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeff.ir import SUFFIX, Attr, Layer, Tensor
from edgeff.ops import record
from edgeff.ops.building import Value
from edgeff.ops.label import Label
from edgeff.program.lower.builder import Lines
from edgeff.rules.words.competition import MOST_GROUPS, MOST_SQUARES

MOST_LIFT = 32_767
"""In steps of an integer delta: more than the activations span."""


class Goodness(Lines):
    """A part of ``Builder``."""

    def _quantised(self, x: Value, real: float) -> float | int:
        if x.dtype == "float32":
            return real
        low, high = (-128, 127) if x.dtype == "int8" else (-32767, 32767)
        return int(np.clip(round(real / x.scale) + x.zero_point, low, high))

    def embed(self, layer: Layer, x: Value, label: Value) -> Value:
        """The output of a ``label`` layer: the label's entries, then x, at each place; a negative label gives the neutral entries."""
        op, places = record(layer, Label), prod(layer.shape[:-1])
        n = x.elements // places
        y = self.activation(layer.name, layer.shape, quant=self._tensors[x.name].quant, layer=layer.name)
        real = {"on": op.on, "off": 0.0, "neutral": op.neutral}
        entries = {name: self._quantised(x, value) for name, value in real.items()}
        attrs: dict[str, Attr] = {"places": places, "classes": op.classes, "n": n, **entries}
        self.call(f"eff_embed_label_{SUFFIX[x.dtype]}", [y], [x, label], attrs, layer, "label")
        return y

    def class_number(self, value: int, into: Value | None = None) -> Value:
        """An int32 of shape (1,) that holds ``value``."""
        number = into or self.activation("class", (1,), dtype="int32")
        self.call("eff_set_label", [number], [], {"value": value}, stage="label")
        return number

    def wrong_label(self, classes: int) -> Value:
        """A class drawn uniformly from those that are not the label."""
        wrong = self.activation("wrong", (1,), dtype="int32")
        self.call("eff_wrong_label", [wrong], [self.label, self.step], {"classes": classes, "key": self.key("negative")}, stage="label")
        return wrong

    def _goodness_attrs(self, h: Value) -> dict[str, Attr]:
        n = h.elements
        self.at_most(h.dtype, 33_000 if h.dtype == "int8" else 131_071, n, "the goodness of a layer")
        attrs: dict[str, Attr] = {"n": n}
        if h.dtype != "float32":
            steps = 2.0**32 if h.dtype == "int16" else 2.0**16
            attrs["multiplier"], attrs["shift"] = self.fixed_point(h.scale**2 / n * steps, "the goodness")
        if h.dtype == "int8":
            attrs["h_zero"] = h.zero_point
        return attrs

    def ff_delta(self, h: Value, theta: float, sign: int, lift: float = 0.0) -> Value:
        """d loss / d h of Forward-Forward's local loss n / 2 softplus(sign (theta - mean(h^2))), with h + lift in the place of h."""
        n = h.elements
        scale = None if h.dtype == "float32" else h.scale / (128.0 if h.dtype == "int8" else 1.0)
        d = self.activation("delta", (n,), dtype="float32" if h.dtype == "float32" else "int16", scale=scale)
        value: float | int = theta if h.dtype == "float32" else round(theta * 2**16)
        raised: float | int = lift if scale is None else min(round(lift / scale), MOST_LIFT)
        attrs = self._goodness_attrs(h) | {"theta": value, "sign": sign, "lift": raised}
        self.call(f"eff_ff_delta_{SUFFIX[h.dtype]}", [d], [h], attrs, stage="error")
        return d

    def scores(self, n: int) -> Value:
        """A vector of goodnesses, one per class."""
        dtype = "float32" if self.numeric == "float32" else "int32"
        return self.activation("scores", (n,), dtype=dtype, scale=None if dtype == "float32" else 2.0**-16)

    def goodness(self, scores: Value, h: Value, index: int, add: bool) -> None:
        """scores[index] = mean(h^2), or += with ``add``."""
        self.call(
            f"eff_goodness_{SUFFIX[h.dtype]}", [scores], [h], self._goodness_attrs(h) | {"index": index, "add": int(add)}, stage="error"
        )

    def kept(self, name: str, like: Value) -> Value:
        """A tensor that a program keeps from step to step under ``name``, initially zero; with the shape and quantisation of ``like``."""
        return self._values.get(name) or self._add(
            Tensor(name, like.shape, like.dtype, "state", None, self._tensors[like.name].quant), like.scale
        )

    def keep(self, state: Value, x: Value) -> None:
        """state = x, for the next step."""
        self.call("eff_copy", [state], [x], {"n_bytes": self._tensors[x.name].size_bytes}, stage="feedback")

    def pair(self, a: Value, c: Value) -> Value:
        """(a + c) / 2 for two tensors with the same scale."""
        y = self.activation("pair", a.shape, dtype=a.dtype, quant=self._tensors[a.name].quant)
        self.call(f"eff_pair_{SUFFIX[a.dtype]}", [y], [a, c], {"n": a.elements})
        return y

    def scff_delta(self, h: Value, channels: int, theta: float, sign: int, sparsity: float) -> Value:
        """channels / 8 times d loss / d h of softplus(theta - G) + sparsity G (sign 1) or softplus(G - theta) (sign -1).

        G = 4 mean(h^2) over runs of ``channels`` values: those of a position, or all.
        """
        sizes: dict[str, Attr] = {"positions": h.elements // channels, "channels": channels, "sign": sign}
        if h.dtype == "float32":
            d = self.activation("delta", (h.elements,))
            self.call("eff_scff_delta_f32", [d], [h], sizes | {"theta": theta, "sparsity": sparsity}, stage="error")
            return d
        int8 = h.dtype == "int8"
        self.at_most(h.dtype, 33_000 if int8 else 131_071, channels, "the goodness of a layer")
        d = self.activation("delta", (h.elements,), dtype="int16", scale=h.scale / (128.0 if int8 else 1.0))
        sizes["multiplier"], sizes["shift"] = self.fixed_point(4.0 * h.scale**2 / channels * 2.0 ** (16 if int8 else 32), "the goodness")
        if int8:
            sizes["h_zero"] = h.zero_point
        fixed: dict[str, Attr] = {"theta": round(theta * 2**16), "sparsity": round(sparsity * 2**15)}
        self.call(f"eff_scff_delta_{SUFFIX[h.dtype]}", [d], [h], sizes | fixed, stage="error")
        return d

    def channel_goodness(self, scores: Value, h: Value, layer: Layer, add: bool) -> None:
        """scores (classes,) = each class's share of the energy of h (kernels.competitive), or += with ``add``."""
        attrs = self._group_sizes(h, scores.elements) | {"add": int(add)}
        self.call(f"eff_channel_goodness_{SUFFIX[h.dtype]}", [scores], [h], attrs, layer, "error")

    def competitive_delta(self, h: Value, layer: Layer, classes: int, sharpness: float) -> Value:
        """d loss / d h of the competition of h's channels for ``classes`` classes (kernels.competitive)."""
        attrs, groups, whole = self._group_sizes(h, classes), min(h.shape[-1], classes), h.dtype == "float32"
        scale = None if whole else 2.0 * sharpness * groups / (h.elements * 2.0**15 * h.scale)
        d = self.activation("delta", h.shape, dtype="float32" if whole else "int16", scale=scale)
        scratch = self.activation("scratch", (2 * groups,), dtype="float32" if whole else "int32")
        attrs["sharpness"] = sharpness if whole else max(round(sharpness * 2**8), 1)
        self.call(f"eff_competitive_delta_{SUFFIX[h.dtype]}", [d, scratch], [h, self.label], attrs, layer, "error")
        return d

    def _group_sizes(self, h: Value, classes: int) -> dict[str, Attr]:
        channels = h.shape[-1]
        n, groups = h.elements // channels, min(channels, classes)
        self.at_most(h.dtype, MOST_SQUARES, n * -(-channels // groups), "the goodness of a group of channels")
        self.at_most(h.dtype, MOST_GROUPS, groups, "the classes that channels compete for")
        attrs: dict[str, Attr] = {"n": n, "in_c": channels, "classes": classes}
        return attrs | ({} if h.dtype == "float32" else {"h_zero": h.zero_point})
