"""The dense layer, ``y = activation(W x + b)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, prod, sqrt
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.kernels.updates import BIAS_LIMIT
from edgeff.kernels.wide import BIAS_LIMIT_I64, MOST_SHIFT
from edgeff.ops import Shape, kind, operator
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_per_tensor, is_wide
from edgeff.ops.parallel import empty, outer_sum, product
from edgeff.ops.weighted import Weighted

MOST_WIDE_TERMS = 1 << 23
"""Products of an int16 and an int8 whose sum is less than 2**46."""


def accumulator_shift(terms: int) -> int:
    """The rounding shift that keeps a 64-bit sum of ``terms`` products of 16-bit numbers within 2**30 (int16 layers).

    >>> accumulator_shift(64)
    7
    """
    return terms.bit_length()


def check_bias(layer: Layer, *, learning: bool = False) -> None:
    """Raises Unsupported when an integer bias could carry a sum out of 32 bits.

    Any bias up to BIAS_LIMIT is safe whatever the weights become. A larger one (TFLite's converter gives dead channels slightly more than
    2**30) is accepted if |b| + 255 sum |w| of its channel stays below 2**31, but not if the weights will change.
    """
    bias = layer.params.get("bias")
    if bias is None or (largest := int(np.abs(bias.astype(np.int64)).max())) <= BIAS_LIMIT:
        return
    weight = np.moveaxis(np.abs(layer.params["weight"].astype(np.int64)), kind(layer).weight_axis, 0).reshape(len(bias), -1)
    if (
        learning
        or layer.params["weight"].dtype != np.int8
        or int((np.abs(bias.astype(np.int64)) + 255 * weight.sum(axis=1)).max()) >= 2**31
    ):
        raise Unsupported(f"the bias of layer {layer.name!r}", got=f"{largest:,} steps", allowed=f"at most {BIAS_LIMIT:,}")


def lower_wide(build: OperatorBuilder, layer: Layer, name: str, attrs: dict[str, Attr], ends: tuple[Value, Value], terms: int) -> None:
    """Emits the call of the kernel ``name`` with int16 activations, ``ends`` x and y, and int8 weights; ``terms`` products in a sum.

    Sums have 64 bits unless the bias has 32, as in TFLite. Raises Unsupported for sums or factors beyond their ranges.
    """
    x, y = ends
    build.at_most(x.dtype, MOST_WIDE_TERMS, terms, f"layer {layer.name!r}")
    bias, quant = layer.params.get("bias"), layer.quant["weight"]
    if bias is not None and (largest := int(np.abs(bias.astype(object)).max())) > BIAS_LIMIT_I64:
        raise Unsupported(f"the bias of layer {layer.name!r}", got=f"{largest:,} steps", allowed=f"at most {BIAS_LIMIT_I64:,}")
    multiplier, shift, per_channel = build.multipliers(layer, x.scale, y.scale, 1.0)
    if float(quant.scales().max()) * x.scale / y.scale >= 2.0**MOST_SHIFT:
        got, step = f"output steps of {y.scale:g} for products of {x.scale * max(quant.scale):g}", "calibrate on representative data"
        raise Unsupported(f"requantisation of layer {layer.name!r}", got=got, allowed=f"a factor below {2**MOST_SHIFT}", next_step=step)
    b = None if bias is None else build.constant(f"{layer.name}.bias", bias.astype(np.int64), layer.quant.get("bias"), layer.name)
    stage = {"per_channel": int(per_channel), "wide": int(bias is None or bias.dtype == np.int64), **build.ends(layer, y)}
    build.call(f"{name}_i16x8", [y], [x, build.weight(layer), b, multiplier, shift], attrs | stage, layer)


@operator
@dataclass(frozen=True, kw_only=True)
class Dense(Weighted):
    """params: ``weight`` (n_out, n_in) and, with a bias, ``bias`` (n_out,). An int8 weight of -128, which the TFLite 8-bit specification
    excludes and some of its files have, is read; nothing learns then.
    """

    name: ClassVar[str] = "dense"
    summary: ClassVar[str] = "fully connected, optional bias and ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    least_weight: ClassVar[int] = -128

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(layer.shape) != 1:
            raise BadInput(f"layer {short(layer.name)}", got=f"shape {layer.shape}", allowed="(n_out,)")
        return layer.shape

    def weight_shape(self, layer: Layer, x: Shape) -> Shape:
        return layer.shape[-1], prod(x)

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return product(x.reshape(len(x), -1), weight.T)

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        share = np.divide(delta, len(x), out=empty(delta.shape, delta.dtype))
        gradients = {"weight": outer_sum(share, x.reshape(len(x), -1))}
        if "bias" in params:
            gradients["bias"] = share.sum(axis=0)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (product(delta, params["weight"]).reshape(xs[0].shape),)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        n_out, n_in = layer.params["weight"].shape
        if layer.numeric == "int8":
            build.at_most(x.dtype, 32_768, n_in, f"layer {layer.name!r}")
        y = build.activation(layer.name, (n_out,), quant=layer.quant.get("output"), layer=layer.name)
        if is_wide(layer):
            lower_wide(build, layer, "eff_dense", {"n_out": n_out, "n_in": n_in}, (x, y), n_in)
            return y
        w, b = build.weight(layer), build.parameter(layer, "bias")
        if layer.numeric == "float32":
            build.call("eff_dense_f32", [y], [x, w, b], {"n_out": n_out, "n_in": n_in} | build.relu(layer), layer)
            return y
        check_bias(layer)
        pre_shift = accumulator_shift(n_in) if layer.numeric == "int16" else 0
        multiplier, shift, per_channel = build.multipliers(layer, x.scale, y.scale, 2.0**pre_shift)
        attrs = {"n_out": n_out, "n_in": n_in, "per_channel": int(per_channel)}
        if layer.numeric == "int8":
            attrs |= {"x_zero": x.zero_point, "y_zero": y.zero_point} | build.ends(layer, y)
            build.call("eff_dense_i8", [y], [x, w, b, multiplier, shift], attrs, layer)
        else:
            y_min, _ = self.function.ends(y.scale, 0, -32767, 32767)
            if self.function.high != inf:
                raise Unsupported(f"layer {layer.name!r} in int16", got=self.activation, allowed="an activation without an upper end")
            attrs |= {"pre_shift": pre_shift, "y_min": y_min}
            build.call("eff_dense_i16", [y], [x, w, b, multiplier, shift], attrs, layer)
        return y

    def lower_update(self, build: OperatorBuilder, layer: Layer, delta: Value, x: Value) -> None:
        n_out, n_in = layer.params["weight"].shape
        w = build.weight(layer)
        lr, sizes = build.lr, {"n_out": n_out, "n_in": n_in}
        if layer.numeric == "float32":
            build.call("eff_dense_update_f32", [w], [delta, x, build.rate], sizes | {"lr": lr}, layer, "update")
            self.lower_bias_update(build, layer, delta)
            return
        check_per_tensor(layer, "learning in")
        fraction = {"int8": 22, "int16": 16}[layer.numeric]
        multiplier, shift = build.fixed_point(lr * delta.scale * x.scale / w.scale * 2.0**fraction, f"the update of layer {layer.name!r}")
        attrs = sizes | {
            "multiplier": multiplier,
            "shift": shift,
            "stochastic": int(build.stochastic),
            "key": build.key("rounding", layer.name),
        }
        if layer.numeric == "int8":
            attrs["a_zero"] = x.zero_point
        build.call(f"eff_dense_update_{layer.suffix}", [w], [delta, x, build.rate, build.step], attrs, layer, "update")
        self.lower_bias_update(build, layer, delta)

    def lower_bias_update(self, build: OperatorBuilder, layer: Layer, delta: Value) -> None:
        """Nothing without a bias."""
        b, n = build.parameter(layer, "bias"), layer.shape[0]
        if b is None:
            return
        if layer.numeric == "float32":
            build.call("eff_bias_update_f32", [b], [delta, build.rate], {"n": n, "lr": build.lr}, layer, "update")
            return
        check_bias(layer, learning=True)
        multiplier, shift = build.fixed_point(build.lr * delta.scale / b.scale, f"the bias update of layer {layer.name!r}")
        attrs = {"n": n, "multiplier": multiplier, "shift": shift}
        build.call("eff_bias_update_i32", [b], [delta, build.rate], attrs, layer, "update")

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        """Integers: the output spans sqrt(n_in) times the largest product, which sums of products of random signs rarely exceed."""
        n_out, n_in = layer.params["weight"].shape
        dx, w = only(dxs), build.weight(layer)
        sizes = {"n_out": n_out, "n_in": n_in}
        if layer.numeric == "float32":
            dy = build.activation("tangent", (n_out,), layer=layer.name)
            build.call("eff_dense_f32", [dy], [dx, w, None], sizes | {"relu": 0}, layer, "tangent")
            return dy
        if layer.quant["weight"].per_channel:
            raise Unsupported(f"a tangent through layer {layer.name!r}", got="per-channel weight scales", allowed="per-tensor")
        limit = 127 if layer.numeric == "int8" else 32767
        scale = sqrt(n_in) * limit * w.scale * dx.scale
        dy = build.activation("tangent", (n_out,), dtype="int16", scale=scale, layer=layer.name)
        pre_shift = max(accumulator_shift(n_in) - (8 if layer.numeric == "int8" else 0), 0)
        multiplier, shift = build.fixed_point(dx.scale * w.scale / scale * 2.0**pre_shift, f"the tangent through layer {layer.name!r}")
        attrs = sizes | {"pre_shift": pre_shift, "multiplier": multiplier, "shift": shift}
        build.call(f"eff_dense_tangent_{layer.suffix}", [dy], [dx, w], attrs, layer, "tangent")
        return dy

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """Integers: the output spans the largest |d| that a sum of |delta| up to ``build.largest_error`` allows; 2 after a softmax."""
        n_out, n_in = layer.params["weight"].shape
        w = build.weight(layer)
        sizes = {"n_out": n_out, "n_in": n_in}
        if layer.numeric == "float32":
            d = build.activation("gradient", (n_in,), layer=layer.name)
            build.call("eff_input_gradient_f32", [d], [delta, w], sizes, layer, "backward")
            return (d,)
        limit = 127 if layer.numeric == "int8" else 32767
        scale = build.largest_error * limit * w.scale / 32767
        d = build.activation("gradient", (n_in,), dtype="int16", scale=scale, layer=layer.name)
        pre_shift = max(accumulator_shift(n_out) - (8 if layer.numeric == "int8" else 0), 0)
        multiplier, shift = build.fixed_point(delta.scale * w.scale / scale * 2.0**pre_shift, f"the gradient through layer {layer.name!r}")
        attrs = sizes | {"pre_shift": pre_shift, "multiplier": multiplier, "shift": shift}
        build.call(f"eff_input_gradient_{layer.suffix}", [d], [delta, w], attrs, layer, "backward")
        return (d,)
