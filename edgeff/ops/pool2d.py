"""Pooling over images (H, W, C): the average or the largest of a window's taps inside the image, and the mean of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, LayerKind, Named, activate, gated
from edgeff.ops.window import geometry, lower_window_gradient, lower_window_tangent, output_size, pads, stride, window


class Pool2d(LayerKind):
    """attrs: ``pool_h pool_w stride_h stride_w pad_top pad_left pad_bottom pad_right activation``. Every window has a tap inside."""

    keeps_quant = True
    kernel = ""
    gradient_reads_input = False
    pool: Callable[..., Array]
    pool_gradient: Callable[..., Array]

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (*output_size(layer, *inputs[0][:2]), inputs[0][2])

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return activate(layer, type(self).pool(xs[0], window(layer), stride(layer), pads(layer)))

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, self.slope(layer, dxs[0], xs[0]), y)

    def slope(self, layer: Layer, dx: Array, x: Array) -> Array:
        """What the pool of x moves by along dx."""
        return type(self).pool(dx, window(layer), stride(layer), pads(layer))

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        if layer.numeric not in ("float32", "int8"):
            raise Unsupported(f"layer {layer.name!r}, {layer.op} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        ends = build.relu(layer) if layer.numeric == "float32" else build.ends(layer, y)
        build.call(f"{self.kernel}_{layer.suffix}", [y], [xs[0]], geometry(layer, xs[0].shape) | ends, layer)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        return lower_window_tangent(build, layer, f"{self.kernel}_f32", geometry(layer, xs[0].shape) | {"relu": 0}, dxs[0], [])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """The largest of a window is found again in its input."""
        read = [delta, xs[0]] if self.gradient_reads_input else [delta]
        return lower_window_gradient(build, layer, self.kernel, geometry(layer, xs[0].shape), xs[0], read)
