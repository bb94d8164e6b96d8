"""Small networks over images made by hand: seeded weights, int8 scales that use most of the range, and every kind of layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

import numpy as np

from edgeff.ir import Array, Attr, Layer, Network, Quant
from edgeff.ops import kind, make
from edgeff.program.quantize import in_one_scale

PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


class Builder:
    """Adds layers one after another, each with the shape its kind says; ``network`` gives the result."""

    def __init__(self, input_shape: tuple[int, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.input_shape = input_shape
        self.layers: list[Layer] = []

    def shape(self, name: str) -> tuple[int, ...]:
        return self.input_shape if name == "input" else next(layer.shape for layer in self.layers if layer.name == name)

    @property
    def last(self) -> str:
        return self.layers[-1].name if self.layers else "input"

    def add(
        self,
        name: str,
        op: str,
        inputs: Iterable[str] = (),
        shape: tuple[int, ...] = (),
        params: dict[str, Array] | None = None,
        **attrs: Attr,
    ) -> str:
        """The name of a new layer over ``inputs``, by default the layer before."""
        sources = tuple(inputs) or (self.last,)
        layer = Layer(name, make(op, attrs), sources, shape, params or {})
        self.layers.append(replace(layer, shape=kind(layer).output_shape(layer, tuple(map(self.shape, sources)))))
        return name

    def window(
        self,
        name: str,
        op: str,
        size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, ...] = (0, 0, 0, 0),
        *,
        outputs: int = 0,
        multiplier: int = 1,
        groups: int = 1,
        activation: str = "none",
        bias: bool = True,
        inputs: Iterable[str] = (),
    ) -> str:
        """A convolution or pool; ``outputs`` channels and ``groups`` of a conv2d, ``multiplier`` of a depthwise one."""
        sources = tuple(inputs) or (self.last,)
        channels = self.shape(sources[0])[2]
        what = "pool" if op.endswith("pool2d") else "kernel"
        attrs: dict[str, Attr] = {f"{what}_h": size[0], f"{what}_w": size[1], "stride_h": stride[0], "stride_w": stride[1]}
        attrs |= dict(zip(PADS, pads, strict=True)) | {"activation": activation}
        if op == "depthwise_conv2d":
            attrs["multiplier"], outputs = multiplier, channels * multiplier
        if groups > 1:
            attrs["groups"] = groups
        shapes = {"conv2d": (outputs, *size, channels // groups), "depthwise_conv2d": (*size, outputs)}
        params = self.weights(shapes[op], outputs, bias) if op in shapes else {}
        return self.add(name, op, sources, (0, 0, outputs or channels), params, **attrs)

    def conv1d(
        self,
        name: str,
        size: int,
        outputs: int,
        stride: int = 1,
        pads: tuple[int, int] = (0, 0),
        activation: str = "none",
        *,
        bias: bool = True,
    ) -> str:
        params = self.weights((outputs, size, self.shape(self.last)[1]), outputs, bias)
        attrs: dict[str, Attr] = {"kernel": size, "stride": stride, "pad_left": pads[0], "pad_right": pads[1], "activation": activation}
        return self.add(name, "conv1d", (), (0, outputs), params, **attrs)

    def dense(self, name: str, outputs: int, activation: str = "none") -> str:
        return self.add(
            name, "dense", (), (outputs,), self.weights((outputs, prod(self.shape(self.last))), outputs, True), activation=activation
        )

    def weights(self, shape: tuple[int, ...], outputs: int, bias: bool) -> dict[str, Array]:
        params: dict[str, Array] = {"weight": self.rng.normal(size=shape).astype(np.float32)}
        return params | {"bias": self.rng.normal(size=outputs).astype(np.float32)} if bias else params

    def network(self, name: str = "image network") -> Network:
        return Network(name, self.input_shape, tuple(self.layers), metadata={"seed": 1})


def as_int8(network: Network, seed: int = 0, *, per_channel: bool = True) -> Network:
    """The same layers in int8 with weights from -127 to 127, both ends among them, and random zero points and float32 scales."""
    rng = np.random.default_rng(seed)

    def scale(low: float, high: float) -> float:
        return float(np.float32(rng.uniform(low, high)))

    quants: dict[str, Quant | None] = {"input": Quant((scale(0.01, 0.05),), int(rng.integers(-128, 128)))}
    layers: dict[str, Layer] = {}
    for given in network:
        layer, item = given, kind(given)
        x = quants[layer.inputs[0] if layer.inputs else "input"]
        quant: dict[str, Quant] = {}
        inputs = layer.inputs
        params: dict[str, Array] = {}
        assert x is not None
        spread = x.scale[0]
        if "weight" in layer.params:
            weight = rng.integers(-127, 128, layer.params["weight"].shape).astype(np.int8)
            weight.flat[0], weight.flat[-1] = -127, 127
            count = layer.shape[-1] if per_channel and item.per_channel else 1
            axis = item.weight_axis if count > 1 else None
            scales = tuple(scale(0.001, 0.01) for _ in range(count))
            params["weight"], quant["weight"] = weight, Quant(scales, 0, axis)
            products = np.float64(x.scale[0]) * np.array(scales)
            if "bias" in layer.params:
                params["bias"] = rng.integers(-20_000, 20_000, layer.shape[-1:]).astype(np.int32)
                quant["bias"] = Quant(tuple(products.tolist()), 0, None if axis is None else 0, "int32")
            spread = float(products.mean()) * 60 * np.sqrt(weight.size / layer.shape[-1])
        if layer.kind in ("lstm", "svdf"):
            layer, params, quant = (_lstm if layer.kind == "lstm" else _svdf)(given, x, rng)
        if item.keeps_quant:
            quant["output"] = x
        else:
            output = Quant((float(np.float32(spread * rng.uniform(0.7, 2.0))),), int(rng.integers(-128, 128)))
            quant["output"] = item.fixed_quant("int8") or output
        if item.one_scale:
            inputs = in_one_scale(layer, network, layers, quants, quant["output"])
        quants[layer.name] = quant["output"]
        whole = layer if layer.kind in ("lstm", "svdf") else item.in_integers(layer, quant["output"])
        layers[layer.name] = replace(whole, inputs=inputs, params=params or whole.params, quant=quant)
    read = {name for layer in layers.values() for name in layer.inputs}
    kept = tuple(layer for layer in layers.values() if layer.inputs or layer.name in read)
    return replace(network, layers=kept, input_quant=quants["input"])


def _lstm(layer: Layer, x: Quant, rng: np.random.Generator) -> tuple[Layer, dict[str, Array], dict[str, Quant]]:
    """An int8 LSTM, with a scale for each of its gates."""
    scales = {name: tuple(map(float, rng.uniform(0.005, 0.05, 4).astype(np.float32))) for name in ("input_weights", "recurrent_weights")}
    products = tuple(float(np.float32(x.scale[0] * scale)) for scale in scales["input_weights"])
    params = {name: rng.integers(-127, 128, layer.params[name].shape).astype(np.int8) for name in scales}
    params["biases"] = rng.integers(-900, 900, layer.params["biases"].shape).astype(np.int32)
    quant = {name: Quant(each, 0, 0) for name, each in scales.items()} | {"biases": Quant(products, 0, 0, "int32")}
    return replace(layer, op=kind(layer).replacing(cell_power=int(rng.integers(-15, -8)))), params, quant


def _svdf(layer: Layer, x: Quant, rng: np.random.Generator) -> tuple[Layer, dict[str, Array], dict[str, Quant]]:
    """An int8 layer of filters over int8 or over int16 products."""
    narrow = bool(rng.integers(2))
    dtype, most, time = ("int8", 127, 0.01) if narrow else ("int16", 9000, 0.0002)
    state = float(np.float32(x.scale[0] * 0.02 * (60 if narrow else 0.4)))
    quant = {"features": Quant((0.02,), 0), "time": Quant((time,), 0, None, dtype), "biases": Quant((state * time,), 0, None, "int32")}
    params = {
        "features": rng.integers(-127, 128, layer.params["features"].shape).astype(np.int8),
        "time": rng.integers(-most, most + 1, layer.params["time"].shape).astype(dtype),
        "biases": rng.integers(-500, 500, layer.shape).astype(np.int32),
    }
    zero = int(rng.integers(-128, 128)) if narrow else 0
    return replace(layer, op=kind(layer).replacing(state_scale=state, state_zero=zero)), params, quant


def inputs_for(network: Network, count: int, seed: int = 7) -> Array:
    """Inputs of the network's type; in int8 the last two are all -128 and all 127."""
    rng = np.random.default_rng(seed)
    if network.input_quant is None:
        return rng.normal(size=(count, *network.input_shape)).astype(np.float32)
    x = rng.integers(-128, 128, (count, *network.input_shape)).astype(np.int8)
    x[-2], x[-1] = -128, 127
    return x
