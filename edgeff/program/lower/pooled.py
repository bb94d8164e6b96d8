"""Updates below a pooled linear head, which make no gradient of a map's size (``edgeff.rules.words.pooled``)."""

from __future__ import annotations

from math import prod

from edgeff.errors import Unsupported
from edgeff.ir import Attr, Layer
from edgeff.ops import kind, record
from edgeff.ops.building import Value
from edgeff.ops.window import Convolution
from edgeff.program.lower.builder import Lines
from edgeff.rules._building import Pooling


class Pooled(Lines):
    """A part of ``Builder``."""

    def shares(self, g: Value, pooling: Pooling) -> None:
        """g, d loss / d the averages, becomes d loss / d each averaged position, in place."""
        self._float_only(g)
        self.call("eff_pool_shares_f32", [g], [], self._image(pooling) | self._grid(pooling), stage="backward")

    def pooled_update(self, layer: Layer, g: Value, x: Value, pooling: Pooling) -> None:
        """The parameters of a convolution with input x whose output gets the delta that the shares g and ``pooling`` say."""
        self._float_only(g)
        geometry = record(layer, Convolution).geometry(layer, x.shape)
        rest = self._grid(pooling) | {"lr": self.lr}
        self.call("eff_pooled_update_f32", [self.weight(layer)], [pooling.y, g, x, self.rate], geometry | rest, layer, "update")
        if (bias := self.parameter(layer, "bias")) is not None:
            image = self._image(pooling)
            self.call("eff_pooled_bias_update_f32", [bias], [pooling.y, g, self.rate], image | rest, layer, "update")

    def pooled_pair_update(self, first: Layer, second: Layer, g: Value, x: Value, pooling: Pooling, through: Layer | None = None) -> None:
        """The parameters of two convolutions, the first over x, whose second output gets the delta that g and ``pooling`` say.

        With ``through``, the layer whose output x is, x becomes d loss / d x, gated by that layer's activation function.
        """
        self._float_only(g)
        one, two = record(first, Convolution).geometry(first, x.shape), record(second, Convolution).geometry(second, first.shape)
        rest = self._grid(pooling) | {"lr": self.lr}
        attrs: dict[str, Attr] = {"depthwise": int(kind(first).channelwise), "relu": kind(first).function.code}
        for axis in "hw":
            attrs |= {f"in_{axis}": one[f"in_{axis}"], f"mid_{axis}": one[f"out_{axis}"], f"out_{axis}": two[f"out_{axis}"]}
            for name in ("k", "stride", "pad"):
                attrs |= {f"{name}_{axis}": one[f"{name}_{axis}"], f"then_{name}_{axis}": two[f"{name}_{axis}"]}
        attrs |= {"in_c": one["in_c"], "mid_c": one["out_c"], "out_c": two["out_c"]}
        positions, inputs = prod(first.shape[:2]), prod(x.shape[:2])
        columns = self.activation("columns", (positions + (max(positions, inputs) if through else positions),), layer=first.name)
        written = [self.weight(first), self._bias(first), self.weight(second), columns]
        read = [pooling.y, g]
        if through is None:
            self.call("eff_pooled_pair_update_f32", written, [*read, x, self.rate], attrs | rest, first, "update")
        else:
            attrs["through"] = kind(through).function.code
            self.call("eff_pooled_pair_backward_f32", [*written, x], [*read, self.rate], attrs | rest, first, "update")
        if (bias := self.parameter(second, "bias")) is not None:
            image = self._image(pooling)
            self.call("eff_pooled_bias_update_f32", [bias], [*read, self.rate], image | rest, second, "update")

    def _bias(self, layer: Layer) -> Value:
        bias = self.parameter(layer, "bias")
        if bias is None:
            raise Unsupported(f"learning in layer {layer.name!r} below a pooled head", got="no bias", allowed="a bias")
        return bias

    @staticmethod
    def _grid(pooling: Pooling) -> dict[str, Attr]:
        return {"pool_h": pooling.pool_h, "pool_w": pooling.pool_w, "gated": int(pooling.gated)}

    @staticmethod
    def _image(pooling: Pooling) -> dict[str, Attr]:
        return dict(zip(("out_h", "out_w", "out_c"), pooling.y.shape, strict=True))

    @staticmethod
    def _float_only(g: Value) -> None:
        if g.dtype != "float32":
            raise Unsupported("an update below a pooled head", got=g.dtype, allowed="float32")
