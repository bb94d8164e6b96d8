"""Convolutions over images (H, W, C): the ordinary, the grouped and the depthwise one.

Attributes of all: ``kernel_h kernel_w stride_h stride_w pad_top pad_left pad_bottom pad_right activation``. Padding is explicit; taps
outside the image count for nothing. Dilation is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Attr, Layer
from edgeff.kernels.updates import FRACTION_I8, MOST_POSITIONS
from edgeff.ops.dense import check_bias

Pair = tuple[int, int]


LARGEST_WINDOW = 32_768


def stride(layer: Layer) -> Pair:
    """(vertical, horizontal)."""
    return int(layer.attrs["stride_h"]), int(layer.attrs["stride_w"])


def pads(layer: Layer) -> tuple[int, int, int, int]:
    """(top, left, bottom, right)."""
    top, left, bottom, right = (int(layer.attrs[f"pad_{side}"]) for side in ("top", "left", "bottom", "right"))
    return top, left, bottom, right


def window(layer: Layer) -> Pair:
    """The size (h, w) of a convolution's kernel or of a pool."""
    name = "kernel" if "kernel_h" in layer.attrs else "pool"
    return int(layer.attrs[f"{name}_h"]), int(layer.attrs[f"{name}_w"])


def groups(layer: Layer) -> int:
    """The count of groups of a conv2d; 1 where it says nothing."""
    return int(layer.attrs.get("groups", 1))


def output_size(layer: Layer, height: int, width: int) -> Pair:
    """The output's height and width; BadInput where no window fits."""
    (k_h, k_w), (s_h, s_w), (top, left, bottom, right) = window(layer), stride(layer), pads(layer)
    out = (height + top + bottom - k_h) // s_h + 1, (width + left + right - k_w) // s_w + 1
    if min(out) < 1 or min(s_h, s_w, k_h, k_w) < 1 or min(top, left, bottom, right) < 0:
        raise BadInput(
            f"layer {layer.name!r}",
            got=f"a window of {k_h}x{k_w} in an image of {height}x{width}",
            allowed="one that fits, strides of 1 or more",
        )
    return out


def geometry(layer: Layer, shape: tuple[int, ...]) -> dict[str, Attr]:
    """The attributes that every window kernel takes, for an input of ``shape`` (H, W, C)."""
    (k_h, k_w), (stride_h, stride_w), (pad_h, pad_w, _, _) = window(layer), stride(layer), pads(layer)
    out_h, out_w, out_c = layer.shape
    return {
        "in_h": shape[0],
        "in_w": shape[1],
        "in_c": shape[2],
        "out_h": out_h,
        "out_w": out_w,
        "out_c": out_c,
        "k_h": k_h,
        "k_w": k_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
        "pad_h": pad_h,
        "pad_w": pad_w,
        "groups": groups(layer) if layer.op == "conv2d" else shape[2],
    }


def lower_window(build: Any, layer: Layer, name: str, attrs: dict[str, Attr], x: Any, taps: int) -> Any:
    """Emits the call of the convolution kernel ``name`` with ``attrs``, a window of ``taps`` products; returns the output's value."""
    if layer.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.op} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")
    w, b = build.parameter(layer, "weight"), build.parameter(layer, "bias")
    y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
    if layer.numeric == "float32":
        build.call(f"{name}_f32", [y], [x, w, b], attrs | build.relu(layer), layer)
        return y
    build.at_most(x.dtype, LARGEST_WINDOW, taps, f"a window of layer {layer.name!r}")
    check_bias(layer)
    multiplier, shift, per_channel = build.multipliers(layer, x.scale, y.scale, 1.0)
    attrs = attrs | {"per_channel": int(per_channel), "x_zero": x.zero_point, "y_zero": y.zero_point} | build.ends(layer, y)
    build.call(f"{name}_i8", [y], [x, w, b, multiplier, shift], attrs, layer)
    return y


def lower_window_update(build: Any, layer: Layer, name: str, attrs: dict[str, Attr], delta: Any, x: Any) -> None:
    """Emits the update of a convolution's weight and bias in place by the kernel ``name``, from the gated delta and the input x."""
    if delta.elements != prod(layer.shape):
        raise Unsupported(f"learning in layer {layer.name!r}", got=f"{delta.elements} errors", allowed=f"{layer.shape}, one an output")
    w, b, n = build.parameter(layer, "weight"), build.parameter(layer, "bias"), prod(layer.shape[:-1])
    if layer.numeric == "float32":
        build.call(f"{name}_update_f32", [w], [delta, x, build.rate], attrs | {"lr": build.lr}, layer, "update")
        if b is not None:
            sizes: dict[str, Attr] = {"n": n, "out_c": layer.shape[-1], "lr": build.lr}
            build.call("eff_conv_bias_update_f32", [b], [delta, build.rate], sizes, layer, "update")
        return
    if layer.quant["weight"].per_channel:
        raise Unsupported(
            f"learning in layer {layer.name!r}",
            got="per-channel weight scales",
            allowed="per-tensor",
            next_step="quantise with --per-tensor",
        )
    check_bias(layer, learning=True)
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
    if b is not None:
        build.at_most(x.dtype, MOST_POSITIONS, n, f"the bias of layer {layer.name!r}")
        multiplier, shift = build.fixed_point(build.lr * delta.scale / b.scale, f"the bias update of layer {layer.name!r}")
        sizes = {"n": n, "out_c": layer.shape[-1], "multiplier": multiplier, "shift": shift}
        build.call("eff_conv_bias_update_i32", [b], [delta, build.rate], sizes, layer, "update")


def lower_window_gradient(build: Any, layer: Layer, name: str, attrs: dict[str, Attr], x: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Emits d loss / d x by the kernel ``name``, which reads ``inputs`` (the gated delta first); returns its value. float32 only."""
    if layer.numeric != "float32":
        raise Unsupported(
            f"the gradient through layer {layer.name!r}, {layer.op}",
            got=layer.numeric,
            allowed="float32",
            next_step="use a rule without a backward pass",
        )
    d = build.activation("gradient", x.shape, layer=layer.name)
    build.call(f"{name}_input_gradient_f32", [d], inputs, attrs, layer, "backward")
    return (d,)


def lower_window_tangent(build: Any, layer: Layer, kernel: str, attrs: dict[str, Attr], dx: Any, rest: Sequence[Any]) -> Any:
    """Emits the tangent of a window layer by ``kernel``, which reads dx and then ``rest``; returns its value. float32 only."""
    if layer.numeric != "float32":
        raise Unsupported(
            f"the tangent through layer {layer.name!r}, {layer.op}", got=layer.numeric, allowed="float32", next_step="use another rule"
        )
    dy = build.activation("tangent", layer.shape, layer=layer.name)
    build.call(kernel, [dy], [dx, *rest], attrs, layer, "tangent")
    return dy
