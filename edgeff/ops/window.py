"""Windows over images (H, W, C): the common part of convolutions and pools.

Padding is explicit; taps outside the image are ignored. Dilation is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Attr, Layer
from edgeff.kernels.updates import FRACTION_I8, MOST_POSITIONS
from edgeff.ops import Activated
from edgeff.ops.attributes import Count, Padding
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.dense import accumulator_shift, check_bias, lower_wide
from edgeff.ops.numerics import check_per_tensor
from edgeff.ops.weighted import Weighted

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Shape = tuple[int, ...]


LARGEST_WINDOW = 32_768


@dataclass(frozen=True, kw_only=True)
class Windowed(Activated):
    """An operator that reads an image through windows, ``window`` (h, w) in size."""

    input_axes: ClassVar[int | None] = 3
    stride_h: Count = 1
    stride_w: Count = 1
    pad_top: Padding = 0
    pad_left: Padding = 0
    pad_bottom: Padding = 0
    pad_right: Padding = 0

    @property
    def window(self) -> Pair:
        """(h, w)."""
        raise NotImplementedError

    @property
    def stride(self) -> Pair:
        """(vertical, horizontal)."""
        return self.stride_h, self.stride_w

    @property
    def pads(self) -> Pads:
        """(top, left, bottom, right)."""
        return self.pad_top, self.pad_left, self.pad_bottom, self.pad_right

    def padded_elements(self, x: Shape) -> int:
        (top, left, bottom, right), (height, width, channels) = self.pads, x
        return (height + top + bottom) * (width + left + right) * channels

    def channel_groups(self, channels: int) -> int:
        """Into how many runs, read separately by outputs, the input's ``channels`` are split: by default one per channel."""
        return channels

    def output_size(self, layer: Layer, height: int, width: int) -> Pair:
        """The output's height and width; raises BadInput if no window fits."""
        (k_h, k_w), (s_h, s_w), (top, left, bottom, right) = self.window, self.stride, self.pads
        out = (height + top + bottom - k_h) // s_h + 1, (width + left + right - k_w) // s_w + 1
        if min(out) < 1:
            got = f"a window of {k_h}x{k_w} in an image of {height}x{width}"
            raise BadInput(f"layer {short(layer.name)}", got=got, allowed="one that fits")
        return out

    def geometry(self, layer: Layer, x: Shape) -> dict[str, Attr]:
        """The attributes that every window kernel takes, for an input of shape ``x`` (H, W, C)."""
        (k_h, k_w), (stride_h, stride_w), (pad_h, pad_w, _, _) = self.window, self.stride, self.pads
        out_h, out_w, out_c = layer.shape
        return {
            "in_h": x[0],
            "in_w": x[1],
            "in_c": x[2],
            "out_h": out_h,
            "out_w": out_w,
            "out_c": out_c,
            "k_h": k_h,
            "k_w": k_w,
            "stride_h": stride_h,
            "stride_w": stride_w,
            "pad_h": pad_h,
            "pad_w": pad_w,
            "groups": self.channel_groups(x[2]),
        }


@dataclass(frozen=True, kw_only=True)
class Convolution(Windowed, Weighted):
    """A convolution over images; its window is the size of its kernel."""

    per_channel: ClassVar[bool] = True

    kernel_h: Count
    kernel_w: Count

    @property
    def window(self) -> Pair:
        return self.kernel_h, self.kernel_w


def lower_window(build: OperatorBuilder, layer: Layer, name: str, attrs: dict[str, Attr], x: Value, taps: int) -> Value:
    """Emits the call of the convolution kernel ``name`` with ``attrs``, a window of ``taps`` products; returns the output's value."""
    if layer.params["weight"].dtype == np.int16:
        allowed = "float32, int8; int16 with int8 weights, from a file"
        raise Unsupported(f"layer {layer.name!r}, {layer.kind} in int16", got="int16 weights", allowed=allowed)
    y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
    if layer.numeric == "int16":
        lower_wide(build, layer, name, attrs, (x, y), taps)
        return y
    w, b = build.weight(layer), build.parameter(layer, "bias")
    if layer.numeric == "float32":
        build.call(f"{name}_f32", [y], [x, w, b], attrs | build.relu(layer), layer)
        return y
    build.at_most(x.dtype, LARGEST_WINDOW, taps, f"a window of layer {layer.name!r}")
    check_bias(layer)
    multiplier, shift, per_channel = build.multipliers(layer, x.scale, y.scale, 1.0)
    attrs = attrs | {"per_channel": int(per_channel), "x_zero": x.zero_point, "y_zero": y.zero_point} | build.ends(layer, y)
    build.call(f"{name}_i8", [y], [x, w, b, multiplier, shift], attrs, layer)
    return y


def lower_window_update(build: OperatorBuilder, layer: Layer, name: str, attrs: dict[str, Attr], delta: Value, x: Value) -> None:
    """Emits the update of a convolution's weight and bias in place by the kernel ``name``, from the gated delta and the input x."""
    if delta.elements != prod(layer.shape):
        raise Unsupported(f"learning in layer {layer.name!r}", got=f"{delta.elements} errors", allowed=f"{layer.shape}, one per output")
    w = build.weight(layer)
    if layer.numeric == "float32":
        build.call(f"{name}_update_f32", [w], [delta, x, build.rate], attrs | {"lr": build.lr}, layer, "update")
        lower_channel_bias_update(build, layer, delta)
        return
    check_per_tensor(layer, "learning in")
    real = build.lr * delta.scale * x.scale / w.scale * 2.0**FRACTION_I8
    multiplier, shift = build.fixed_point(real, f"the update of layer {layer.name!r}")
    attrs = attrs | {
        "a_zero": x.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        "stochastic": int(build.stochastic),
        "key": build.key("rounding", layer.name),
    }
    build.call(f"{name}_update_i8", [w], [delta, x, build.rate, build.step], attrs, layer, "update")
    lower_channel_bias_update(build, layer, delta)


def lower_channel_bias_update(build: OperatorBuilder, layer: Layer, delta: Value) -> None:
    """Emits the update of a convolution's bias in place, from the gated delta; nothing without a bias."""
    b, n = build.parameter(layer, "bias"), prod(layer.shape[:-1])
    if b is None:
        return
    sizes: dict[str, Attr] = {"n": n, "out_c": layer.shape[-1]}
    if layer.numeric == "float32":
        build.call("eff_conv_bias_update_f32", [b], [delta, build.rate], sizes | {"lr": build.lr}, layer, "update")
        return
    check_bias(layer, learning=True)
    build.at_most(layer.numeric, MOST_POSITIONS, n, f"the bias of layer {layer.name!r}")
    multiplier, shift = build.fixed_point(build.lr * delta.scale / b.scale, f"the bias update of layer {layer.name!r}")
    build.call("eff_conv_bias_update_i32", [b], [delta, build.rate], sizes | {"multiplier": multiplier, "shift": shift}, layer, "update")


def lower_window_gradient(
    build: OperatorBuilder, layer: Layer, name: str, attrs: dict[str, Attr], x: Value, inputs: Sequence[Value]
) -> tuple[Value, ...]:
    """Emits d loss / d x by the float32 kernel ``name``, which reads ``inputs`` (the gated delta first); returns its value."""
    if layer.numeric != "float32":
        raise Unsupported(
            f"the gradient through layer {layer.name!r}, {layer.kind}",
            got=layer.numeric,
            allowed="float32, int8",
            next_step="use a rule without a backward pass",
        )
    d = build.activation("gradient", x.shape, layer=layer.name)
    build.call(f"{name}_input_gradient_f32", [d], inputs, attrs, layer, "backward")
    return (d,)


def lower_convolution_gradient(
    build: OperatorBuilder, layer: Layer, name: str, attrs: dict[str, Attr], delta: Value, x: Value, most: int | None = None
) -> tuple[Value, ...]:
    """Emits d loss / d x of a convolution by the kernel ``name`` from the gated delta; returns its value.

    int8: a 64-bit sum, or one of at most ``most`` products in 32 bits; where the step cannot be tried, the gradient spans sqrt(products)
    times the largest, which sums of random signs rarely exceed.
    """
    w = build.weight(layer)
    if layer.numeric != "int8":
        return lower_window_gradient(build, layer, name, attrs, x, [delta, w])
    check_per_tensor(layer, "the gradient through")
    terms = layer.params["weight"].size // x.shape[-1]
    scale = build.gradient_scale(sqrt(terms) * 127 * w.scale * 32767 * delta.scale)
    pre_shift = max(accumulator_shift(terms) - 8, 0)
    if most is None:
        attrs = attrs | {"pre_shift": pre_shift}
    else:
        build.at_most(x.dtype, most, terms, f"the gradient through layer {layer.name!r}")
        pre_shift = 0
    real = delta.scale * w.scale / scale * 2.0**pre_shift
    multiplier, shift = build.fixed_point(real, f"the gradient through layer {layer.name!r}")
    d = build.activation("gradient", x.shape, dtype="int16", scale=scale, layer=layer.name)
    attrs = attrs | {"multiplier": multiplier, "shift": shift, "add": 0}
    build.call(f"{name}_input_gradient_i8", [d], [delta, w], attrs, layer, "backward")
    return (d,)


def lower_window_tangent(
    build: OperatorBuilder, layer: Layer, kernel: str, attrs: dict[str, Attr], dx: Value, rest: Sequence[Value | None]
) -> Value:
    """Emits the tangent of a window layer by ``kernel``, which reads dx and then ``rest``; returns its value. float32 only."""
    if layer.numeric != "float32":
        raise Unsupported(
            f"the tangent through layer {layer.name!r}, {layer.kind}", got=layer.numeric, allowed="float32", next_step="use another rule"
        )
    dy = build.activation("tangent", layer.shape, layer=layer.name)
    build.call(kernel, [dy], [dx, *rest], attrs, layer, "tangent")
    return dy
