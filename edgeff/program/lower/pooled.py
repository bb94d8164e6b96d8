"""Updates below a pooled linear head, which make no gradient of a map's size (``edgeff.rules.words.pooled``).

Integer factors are those of the general way back: it is lowered into a draft, whose calls are read and not emitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, cast

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Attr, Call, Layer, Parameters, Tensor
from edgeff.kernels.records import Requant, Sides, Step
from edgeff.ops import kind, record
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.ops.window import Convolution
from edgeff.program.lower.builder import Lines
from edgeff.rules._building import Pooling
from edgeff.rules.words.pooled import PoolGrid, window_counts
from edgeff.rules.words.pooled_i8 import Hidden, PairSteps, Separable, Skip, Stage, Stem, StemSteps, Through

Attrs = dict[str, Attr | Parameters]
FINE = 16
"""The bits of a fine weight: those of the int8 one and of its lower part."""


class Pooled(Lines):
    """A part of ``Builder``."""

    @contextmanager
    def drafting(self) -> Iterator[list[Call]]:
        """Within it calls are collected and not emitted; what they make has scales, and no memory."""
        kept, tensors, values, draft = self._lines[self._line], dict(self._tensors), dict(self._values), list[Call]()
        self._lines[self._line] = draft
        try:
            yield draft
        finally:
            self._lines[self._line], self._tensors, self._values = kept, tensors, values

    def pooling(self, y: Value, pool: tuple[int, int], draft: list[Call], *, gated: bool) -> Pooling:
        """The pool over the map y that a head reads. int8: with the bits of ReLU, and the draft of the general way back."""
        pooling = Pooling(y, *pool, gated, tuple(draft))
        if y.dtype == "float32":
            return pooling
        mask = self.activation("mask", ((y.elements + 7) // 8,), dtype="int8")
        if gated:
            self.call("eff_mask_i8", [mask], [y], {"n": y.elements, "zero": y.zero_point}, stage="backward")
        return replace(pooling, y=replace(mask, shape=y.shape))

    def shares(self, g: Value, pooling: Pooling) -> None:
        """g, d loss / d the averages, becomes d loss / d each averaged position, in place."""
        attrs = self._image(pooling) | self._grid(pooling)
        if g.dtype == "float32":
            self.call("eff_pool_shares_f32", [g], [], attrs, stage="backward")
            return
        taps = int(next(call.attrs["taps"] for call in pooling.draft if call.kernel == "eff_average_pool2d_input_gradient_i8"))  # type: ignore[arg-type]
        counts = window_counts(pooling.y.shape[0], pooling.y.shape[1], PoolGrid(pooling.pool_h, pooling.pool_w, 0))
        if (counts != taps).any():
            self.call("eff_pool_shares_i16", [g], [], attrs | {"taps": taps}, stage="backward")

    def head_update(self, layer: Layer, delta: Value, x: Value) -> None:
        """The parameters of a pooled head, a dense layer with input x."""
        with self.drafting() as draft:
            record(layer, Dense).lower_update(self, layer, delta, x)
        for call in draft:
            outputs, inputs = list(call.outputs), list(call.inputs)
            fine = call.kernel == "eff_dense_update_i8" and self._fine
            known = {
                value.name: value for value in (delta, x, self.rate, self.step, self.weight(layer), self.parameter(layer, "bias")) if value
            }
            written = [known[name] for name in outputs] + ([self._low(layer)] if fine else [])
            kernel = "eff_dense_update_fine_i8" if fine else call.kernel
            self.call(kernel, written, [known[name] for name in inputs], dict(call.attrs), layer, "update")

    def pooled_update(self, layer: Layer, g: Value, x: Value, pooling: Pooling) -> None:
        """The parameters of a convolution with input x whose output gets the delta that the shares g and ``pooling`` say."""
        attrs: Attrs = {**record(layer, Convolution).geometry(layer, x.shape), **self._grid(pooling)}
        written, read = [self.weight(layer)], [pooling.y, g, x, self.rate]
        if g.dtype == "float32":
            self.call("eff_pooled_update_f32", written, read, attrs | {"lr": self.lr}, layer, "update")
        else:
            attrs |= {"how": self._of(pooling, layer)["how"], "fine": int(self._fine)}
            self.call("eff_pooled_update_i8", [*written, self._low(layer)], [*read, self.step], attrs, layer, "update")
        self._pooled_bias(layer, g, pooling)

    def pooled_pair_update(
        self,
        first: Layer,
        second: Layer,
        g: Value,
        x: Value | None,
        pooling: Pooling,
        stem: Layer | None = None,
        image: Value | None = None,
    ) -> None:
        """The parameters of two convolutions, the first over x, whose second output gets the delta that g and ``pooling`` say.

        With ``stem``, a convolution over ``image`` whose output x is, its parameters too; x is lost. In int8 it need not be there.
        """
        x = x or (_made(stem) if stem else None)
        if x is None:
            raise BadInput(f"the input of layer {first.name!r}", got="none", allowed="a value, or a convolution to make it again")
        attrs = self._pair(first, second, x)
        if g.dtype == "float32":
            self._pair_f32(first, second, g, x, pooling, stem, attrs)
            if stem is not None and image is not None:
                kind(stem).lower_update(self, stem, x, image)
        else:
            self._pair_i8(first, second, g, x, pooling, stem, image, attrs)
        self._pooled_bias(second, g, pooling)

    def _pair_f32(self, first: Layer, second: Layer, g: Value, x: Value, pooling: Pooling, stem: Layer | None, attrs: Attrs) -> None:
        positions, inputs = prod(first.shape[:2]), prod(x.shape[:2])
        columns = self.activation("columns", (positions + (max(positions, inputs) if stem else positions),), layer=first.name)
        written = [self.weight(first), self._bias(first), self.weight(second), columns]
        attrs = {**attrs, **self._grid(pooling), "lr": self.lr, "relu": kind(first).function.code}
        if stem is None:
            self.call("eff_pooled_pair_update_f32", written, [pooling.y, g, x, self.rate], attrs, first, "update")
        else:
            attrs["through"] = kind(stem).function.code
            self.call("eff_pooled_pair_backward_f32", [*written, x], [pooling.y, g, self.rate], attrs, first, "update")

    def separable(
        self, first: Layer, second: Layer, x: Value, pool: Layer, size: tuple[int, int], stem: Layer | None = None
    ) -> tuple[Value, Pooling]:
        """The averages of a depthwise convolution over x and a pointwise one, whose output is not kept; and the pooling with its bits.

        With ``stem``, a convolution, they are over its output, which is not kept either, and x is what it reads.
        """
        image, x = x, x if stem is None else _made(stem)
        grid = PoolGrid(*size, int(kind(second).function.clamps))
        stages = self._output_stage(first, x), self._output_stage(second, _made(first))
        attrs = self._pair(first, second, x) | {"how": Separable(*stages, grid)}
        y = self.activation(pool.name, pool.shape, quant=pool.quant["output"], layer=pool.name)
        mask = self.activation("mask", ((prod(second.shape) + 7) // 8,), dtype="int8")
        sums = self.activation("sums", pool.shape, dtype="int32", layer=pool.name)
        row = self.activation("row", first.shape[-1:], dtype="int8", layer=first.name)
        read = [self.weight(first), self._bias(first), self.weight(second), self._bias(second)]
        if stem is None:
            self.call("eff_pooled_separable_i8", [mask, y, sums, row], [x, *read], attrs | {"a_zero": x.zero_point}, first)
        else:
            rows = self.activation("rows", (record(first, Convolution).window[0], *x.shape[1:]), dtype="int8", layer=stem.name)
            below = [image, self.weight(stem), self._bias(stem)]
            attrs |= {"stem": self._stem(stem, image), "image_zero": image.zero_point}
            self.call("eff_pooled_stem_separable_i8", [mask, y, sums, row, rows], [*below, *read], attrs, first)
        return y, Pooling(replace(mask, shape=second.shape), *size, gated=bool(grid.gated))

    def _output_stage(self, layer: Layer, x: Value) -> Stage:
        """The output stage of a convolution over x."""
        y = _made(layer)
        real = x.scale * layer.quant["weight"].scale[0] / y.scale
        multiplier, shift = self.fixed_point(real, f"requantisation of layer {layer.name!r}")
        ends = {name: int(end) for name, end in self.ends(layer, y).items()}
        return Stage(multiplier=multiplier, shift=shift, y_zero=y.zero_point, **ends)

    def _stem(self, layer: Layer, image: Value) -> Stem:
        """A convolution over ``image`` as a kernel's record."""
        geometry = record(layer, Convolution).geometry(layer, image.shape)
        window = {f"stem_{name}_{axis}": int(geometry[f"{name}_{axis}"]) for axis in "hw" for name in ("k", "stride", "pad")}
        height, width, channels = image.shape
        return Stem(image_h=height, image_w=width, image_c=channels, **window, stem_stage=self._output_stage(layer, image))

    @staticmethod
    def _pair(first: Layer, second: Layer, x: Value) -> Attrs:
        one, two = record(first, Convolution).geometry(first, x.shape), record(second, Convolution).geometry(second, first.shape)
        attrs: Attrs = {"depthwise": int(kind(first).channelwise)}
        for axis in "hw":
            attrs |= {f"in_{axis}": one[f"in_{axis}"], f"mid_{axis}": one[f"out_{axis}"], f"out_{axis}": two[f"out_{axis}"]}
            for name in ("k", "stride", "pad"):
                attrs |= {f"{name}_{axis}": one[f"{name}_{axis}"], f"then_{name}_{axis}": two[f"{name}_{axis}"]}
        return attrs | {"in_c": one["in_c"], "mid_c": one["out_c"], "out_c": two["out_c"]}

    def _pair_i8(
        self, first: Layer, second: Layer, g: Value, x: Value, pooling: Pooling, stem: Layer | None, image: Value | None, attrs: Attrs
    ) -> None:
        lower = self._of(pooling, first)
        attrs = {**attrs, "how": self._pair_steps(first, second, x, pooling)}
        h = self.activation("activations", first.shape[:2], dtype="int8", layer=first.name)
        e = self.activation("deltas", first.shape[:2], dtype="int16", layer=first.name)
        written = [self.weight(first), self._low(first), self._bias(first), self.weight(second), self._low(second)]
        if stem is None or image is None:
            read = [pooling.y, g, x, self.rate, self.step]
            self.call("eff_pooled_pair_update_i8", [*written, h, e], read, attrs, first, "update")
            return
        below = self._of(pooling, stem)
        through = Through(lower["gradient"].multiplier, lower["gradient"].shift, int(kind(stem).function.clamps))
        attrs |= {"stem": self._stem(stem, image), "stem_how": StemSteps(through, below["how"], below["bias"])}
        column = self.activation("activations", x.shape[:2], dtype="int8", layer=stem.name)
        d = self.activation("deltas", x.shape[:2], dtype="int16", layer=stem.name)
        written += [self.weight(stem), self._low(stem), self._bias(stem), column, h, e, d]
        self.call("eff_pooled_stem_update_i8", written, [pooling.y, g, image, self.rate, self.step], attrs, first, "update")

    def _pair_steps(self, first: Layer, second: Layer, x: Value, pooling: Pooling) -> PairSteps:
        """How two convolutions learn, the first over x."""
        lower, upper = self._of(pooling, first), self._of(pooling, second)
        gradient: Requant = upper["gradient"]
        hidden = Hidden(int(upper["pre_shift"]), gradient.multiplier, gradient.shift, int(kind(first).function.clamps))
        grid = PoolGrid(pooling.pool_h, pooling.pool_w, int(pooling.gated))
        steps = {"w_how": lower["how"], "b_how": lower["bias"], "v_how": upper["how"], "fine": int(self._fine)}
        return PairSteps(grid=grid, stage=self._output_stage(first, x), hidden=hidden, **steps)

    def pooled_skip_update(self, skipped: Layer, first: Layer, second: Layer, g: Value, x: Value, image: Value, pooling: Pooling) -> None:
        """The parameters of a convolution over ``image`` with output x, to which the output of two convolutions over x is added."""
        through, own = self._of(pooling, first), self._of(pooling, skipped)
        gradient: Requant = through["gradient"]
        both = next((call for call in pooling.draft if call.kernel == "eff_add_i16"), None)
        sides, total = (both.attrs["sides"], both.attrs["total"]) if both else (Sides(0, 0, 0, 0), Requant(0, 0))
        skip = Skip(
            pre_shift=int(through["pre_shift"]),
            d_multiplier=gradient.multiplier,
            d_shift=gradient.shift,
            d_gated=int(kind(skipped).function.clamps),
            onto=int(both is None),
            sides=cast("Sides", sides),
            total=cast("Requant", total),
            u_how=own["how"],
            b_how=own["bias"],
        )
        rows, columns = record(first, Convolution).window[0], first.shape[1:]
        e = self.activation("deltas", (rows, *columns), dtype="int16", layer=first.name)
        d = self.activation("deltas", (x.shape[1],), dtype="int16", layer=skipped.name)
        filters = skipped.params["weight"].size + skipped.shape[-1]
        sums = self.activation("sums", (2 * filters,), dtype="int32", layer=skipped.name)
        written = [self.weight(skipped), self._low(skipped), self._bias(skipped), e, d, sums]
        read = [pooling.y, g, image, x, self.weight(first), self._bias(first), self.weight(second), self.rate, self.step]
        how = {"how": self._pair_steps(first, second, x, pooling), "stem": self._stem(skipped, image), "skip": skip}
        self.call("eff_pooled_skip_update_i8", written, read, self._pair(first, second, x) | how, skipped, "update")

    def _pooled_bias(self, layer: Layer, g: Value, pooling: Pooling) -> None:
        bias = self.parameter(layer, "bias")
        if bias is None:
            return
        attrs: Attrs = {**self._image(pooling), **self._grid(pooling)}
        if g.dtype == "float32":
            attrs["lr"] = self.lr
        else:
            attrs["requant"] = self._of(pooling, layer)["bias"]
        kernel = "eff_pooled_bias_update_f32" if g.dtype == "float32" else "eff_pooled_bias_update_i32"
        self.call(kernel, [bias], [pooling.y, g, self.rate], attrs, layer, "update")

    def _bias(self, layer: Layer) -> Value:
        bias = self.parameter(layer, "bias")
        if bias is None:
            raise Unsupported(f"learning in layer {layer.name!r} below a pooled head", got="no bias", allowed="a bias")
        return bias

    @property
    def _fine(self) -> bool:
        return getattr(self.settings, "master", 8) == FINE

    def _low(self, layer: Layer) -> Value:
        """The lower part of a layer's weight, which a saved state holds; one unused byte where weights have none."""
        if not self._fine:
            return self.activation("unused", (1,), dtype="int8")
        name = f"{layer.name}.weight.low"
        return self._values.get(name) or self.add(Tensor(name, layer.params["weight"].shape, "int8", "state", layer=layer.name))

    @staticmethod
    def _of(pooling: Pooling, layer: Layer) -> Mapping[str, Any]:
        """What the general way says of a layer: ``how`` its weight steps, its ``bias``, the ``gradient`` of its input and ``pre_shift``."""
        known: dict[str, Any] = {}
        for call in pooling.draft:
            if call.layer != layer.name:
                continue
            for name, value in call.attrs.items():
                if isinstance(value, Step):
                    known["how"] = value
                elif isinstance(value, Requant):
                    known["gradient" if call.stage == "backward" else "bias"] = value
                elif name == "pre_shift":
                    known[name] = value
        return known

    @staticmethod
    def _grid(pooling: Pooling) -> dict[str, Attr]:
        return {"pool_h": pooling.pool_h, "pool_w": pooling.pool_w, "gated": int(pooling.gated)}

    @staticmethod
    def _image(pooling: Pooling) -> dict[str, Attr]:
        return dict(zip(("out_h", "out_w", "out_c"), pooling.y.shape, strict=True))


def _made(layer: Layer) -> Value:
    """The output of an int8 layer as a value that no call has made."""
    quant = layer.quant["output"]
    return Value(layer.name, layer.shape, "int8", quant.scale[0], quant.zero_point)
