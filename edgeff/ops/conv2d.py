"""Convolutions over images (H, W, C): the ordinary, the grouped and the depthwise one.

Attributes of all: ``kernel_h kernel_w stride_h stride_w pad_top pad_left pad_bottom pad_right activation``. Padding is explicit; taps
outside the image count for nothing. Dilation is 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Attr, Layer
from edgeff.kernels.conv import group_channels
from edgeff.kernels.conv_learning import MOST_POSITIONS
from edgeff.kernels.update import FRACTION_I8
from edgeff.ops import windows
from edgeff.ops.dense import check_bias
from edgeff.ops.parallel import column_sums
from edgeff.ops.weighted import Weighted
from edgeff.registry import ops

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
    out_h, out_w, _ = layer.shape
    return {
        "in_h": shape[0],
        "in_w": shape[1],
        "in_c": shape[2],
        "out_h": out_h,
        "out_w": out_w,
        "k_h": k_h,
        "k_w": k_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
        "pad_h": pad_h,
        "pad_w": pad_w,
    }


def lower_window(build: Any, layer: Layer, name: str, attrs: dict[str, Attr], x: Any, taps: int) -> Any:
    """Emits the call of the convolution kernel ``name`` with ``attrs``, a window of ``taps`` products; returns the output's value."""
    if build.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.op} in {build.numeric}", got=build.numeric, allowed="float32, int8")
    w, b = build.parameter(layer, "weight"), build.parameter(layer, "bias")
    y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
    if build.numeric == "float32":
        build.call(f"{name}_f32", [y], [x, w, b], attrs | build.relu(layer), layer)
        return y
    build.at_most(LARGEST_WINDOW, taps, f"a window of layer {layer.name!r}")
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
    if build.numeric == "float32":
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
        build.at_most(MOST_POSITIONS, n, f"the bias of layer {layer.name!r}")
        multiplier, shift = build.fixed_point(build.lr * delta.scale / b.scale, f"the bias update of layer {layer.name!r}")
        sizes = {"n": n, "out_c": layer.shape[-1], "multiplier": multiplier, "shift": shift}
        build.call("eff_conv_bias_update_i32", [b], [delta, build.rate], sizes, layer, "update")


def lower_window_gradient(build: Any, layer: Layer, name: str, attrs: dict[str, Attr], x: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Emits d loss / d x by the kernel ``name``, which reads ``inputs`` (the gated delta first); returns its value. float32 only."""
    if build.numeric != "float32":
        raise Unsupported(
            f"the gradient through layer {layer.name!r}, {layer.op}",
            got=build.numeric,
            allowed="float32",
            next_step="use a rule without a backward pass",
        )
    d = build.activation("gradient", x.shape, layer=layer.name)
    build.call(f"{name}_input_gradient_f32", [d], inputs, attrs, layer, "backward")
    return (d,)


def lower_window_tangent(build: Any, layer: Layer, kernel: str, attrs: dict[str, Attr], dx: Any, rest: Sequence[Any]) -> Any:
    """Emits the tangent of a window layer by ``kernel``, which reads dx and then ``rest``; returns its value. float32 only."""
    if build.numeric != "float32":
        raise Unsupported(
            f"the tangent through layer {layer.name!r}, {layer.op}", got=build.numeric, allowed="float32", next_step="use another rule"
        )
    dy = build.activation("tangent", layer.shape, layer=layer.name)
    build.call(kernel, [dy], [dx, *rest], attrs, layer, "tangent")
    return dy


class Conv2d(Weighted):
    """attrs: also ``groups``, 1 where there is none; params: ``weight`` (C_out, KH, KW, C_in / groups) and, with a bias, ``bias`` (C_out,).

    C_in and C_out are cut into ``groups`` runs of channels, and each run of outputs reads its own run of inputs.
    """

    op = "conv2d"
    summary = "2-D convolution, optional groups, bias and ReLU or ReLU6"
    per_channel = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        count = groups(layer)
        if inputs[0][2] % count or layer.shape[2] % count:
            got = f"{count} groups for {inputs[0][2]} input and {layer.shape[2]} output channels"
            raise BadInput(f"layer {layer.name!r}", got=got, allowed="a count that divides both")
        return (*output_size(layer, *inputs[0][:2]), layer.shape[2])

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / fan_in))`` (He et al. 2015), bias zero."""
        shape = (layer.shape[2], *window(layer), inputs[0][2] // groups(layer))
        limit = sqrt(6.0 / (shape[1] * shape[2] * shape[3]))
        params: dict[str, Array] = {"weight": rng.uniform(-limit, limit, shape).astype(np.float32)}
        if layer.attrs.get("bias"):
            params["bias"] = np.zeros(shape[0], np.float32)
        return params

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        place = stride(layer), pads(layer)
        parts = [windows.conv2d(x[..., seen], weight[made], *place) for seen, made in _cuts(layer, x.shape[3])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        place = window(layer), stride(layer), pads(layer)
        cuts = _cuts(layer, x.shape[3])
        parts = [windows.conv2d_weight_gradient(delta[..., made], x[..., seen], *place) / len(x) for seen, made in cuts]
        gradients = {"weight": parts[0] if len(parts) == 1 else np.concatenate(parts)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        place, shape = (stride(layer), pads(layer)), xs[0].shape
        parts = [
            windows.conv2d_input_gradient(delta[..., made], params["weight"][made], (*shape[:3], seen.stop - seen.start), *place)
            for seen, made in _cuts(layer, shape[3])
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3),)

    def _lowered(self, layer: Layer, x: Any) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        attrs = geometry(layer, x.shape) | {"out_c": layer.shape[2]}
        return ("eff_conv2d", attrs) if groups(layer) == 1 else ("eff_grouped_conv2d", attrs | {"groups": groups(layer)})

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], layer.params["weight"][0].size)

    def lower_update(self, build: Any, layer: Layer, delta: Any, x: Any) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, dxs[0], [build.parameter(layer, "weight"), None])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_gradient(build, layer, name, attrs, xs[0], [delta, build.parameter(layer, "weight")])


def _cuts(layer: Layer, channels: int) -> list[tuple[slice, slice]]:
    """The input and output channels of each group, for an input of so many ``channels``."""
    return group_channels(groups(layer), channels, layer.shape[2])


class DepthwiseConv2d(Weighted):
    """attrs: also ``multiplier``, the outputs of each channel; params: ``weight`` (KH, KW, C * multiplier), ``bias`` (C * multiplier,)."""

    op = "depthwise_conv2d"
    summary = "2-D convolution of each channel alone, optional bias and ReLU or ReLU6"
    weight_axis = 2
    per_channel = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (*output_size(layer, *inputs[0][:2]), inputs[0][2] * int(layer.attrs["multiplier"]))

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / (KH KW)))``, bias zero."""
        k_h, k_w = window(layer)
        limit = sqrt(6.0 / (k_h * k_w))
        channels = inputs[0][2] * int(layer.attrs["multiplier"])
        params: dict[str, Array] = {"weight": rng.uniform(-limit, limit, (k_h, k_w, channels)).astype(np.float32)}
        if layer.attrs.get("bias"):
            params["bias"] = np.zeros(channels, np.float32)
        return params

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return windows.depthwise_conv2d(x, weight, stride(layer), pads(layer), int(layer.attrs["multiplier"]))

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        depth = int(layer.attrs["multiplier"])
        gradients = {"weight": windows.depthwise_weight_gradient(delta, x, window(layer), stride(layer), pads(layer), depth) / len(x)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        depth = int(layer.attrs["multiplier"])
        return (windows.depthwise_input_gradient(delta, params["weight"], xs[0].shape, stride(layer), pads(layer), depth),)

    def _lowered(self, layer: Layer, x: Any) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_depthwise_conv2d", geometry(layer, x.shape) | {"depth": int(layer.attrs["multiplier"])}

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], prod(window(layer)))

    def lower_update(self, build: Any, layer: Layer, delta: Any, x: Any) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, dxs[0], [build.parameter(layer, "weight"), None])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_gradient(build, layer, name, attrs, xs[0], [delta, build.parameter(layer, "weight")])


ops.add("conv2d", Conv2d())
ops.add("depthwise_conv2d", DepthwiseConv2d())
