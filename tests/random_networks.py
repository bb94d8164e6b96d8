"""Networks drawn at random, float32: every kind of layer that a model file can hold, over images, sequences and vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from edgeff.ir import Attr, Layer, Network
from edgeff.ops import make

IMAGE = (
    "conv2d",
    "depthwise_conv2d",
    "average_pool2d",
    "max_pool2d",
    "global_average_pool",
    "add",
    "relu",
    "reshape",
    "transpose",
    "dense",
)
PAIRWISE = ("add", "mul", "sub", "minimum", "maximum")
MOVES = ("concat", "slice", "pad")
KINDS = {
    1: ("dense", "relu", "softmax", "reshape", "normalise", "label", "requantise", *PAIRWISE, *MOVES),
    2: ("conv1d", "conv1d", "reshape", "transpose", "dense", "relu", "requantise", *PAIRWISE, *MOVES),
    3: (*IMAGE, "conv2d", "requantise", *PAIRWISE, *MOVES),
}
BENT = ("logistic", "tanh", "leaky_relu", "hard_swish", "prelu", "abs", "rsqrt")
EVERY = {
    1: (*KINDS[1], *BENT, "softmax", "svdf", "recent", "batch_norm"),
    2: (*KINDS[2], *BENT, "softmax", "lstm", "recent", "batch_norm"),
    3: (*KINDS[3], *BENT, "softmax", "upsample2d", "resize_bilinear", "recent", "batch_norm"),
}
"""What both float32 and int8 can hold."""
WHOLE = ("normalise", "standardise")
FLOAT = ("log_softmax", "gru")
INT16 = ("dense", "reshape", "label", "softmax", *WHOLE)
"""What TFLite has no word for, what float32 has beyond int8, and all that int16 has."""
FIRST: dict[str, tuple[int, ...]] = {"scale_input": (3, 5), "mfcc": (1200,), "audio_frontend": (120,)}
"""What reads the input as a user has it, and the shape of that."""
AUDIO: dict[str, tuple[dict[str, Attr], tuple[int, ...]]] = {
    "mfcc": ({"bands": 20, "coefficients": 6, "hop": 360, "gain": 0.5}, (3, 6, 1)),
    "audio_frontend": ({"frame": 120, "fft": 128, "bands": 8}, (2, 4)),
}
"""The attributes of what reads audio, and the shape of its features."""


class Draw:
    """The layers so far, each reading the last one; ``layer`` adds one of a kind."""

    def __init__(self, input_shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.rng = rng
        self.shapes = {"input": input_shape}
        self.layers: list[Layer] = []

    @property
    def last(self) -> str:
        return self.layers[-1].name if self.layers else "input"

    @property
    def readable(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what a layer can read: the input as a user has it is its first layer's alone."""
        raw = bool(self.layers) and self.layers[0].kind in FIRST
        return {name: shape for name, shape in self.shapes.items() if name != "input" or not raw}

    def below(self, limit: int, low: int = 0) -> int:
        return int(self.rng.integers(low, limit))

    def layer(self, op: str, name: str) -> None:
        """One more layer, with random attributes and parameters."""
        if op == "rsqrt":
            self._at_least(name)
        last = self.last
        shape = self.shapes[last]
        inputs: tuple[str, ...] = (last,)
        if op in (*PAIRWISE, "prelu"):
            same = [known for known, size in self.readable.items() if size == shape]
            other = same[self.below(len(same))] if self.below(3) else self._constant(name, shape)
            inputs = (other, last) if self.below(2) else (last, other)
        if op == "concat":
            inputs += tuple(known for known, size in self.readable.items() if size == shape)[: self.below(3, 1)]
        if op in ("constant", "input"):
            inputs = ()
        attrs, wish = self._attributes(op, shape)
        known = {layer.name: layer.shape for layer in self.layers} | {"input": self.shapes["input"]}
        sizes = tuple(known[source] for source in inputs)
        record, bias = make(op, attrs), bool(self.below(2))
        made = record.output_shape(Layer(name, record, inputs, wish), sizes)
        wanted = record.replacing(bias=bias) if record.weighted else record
        params = wanted.initial(Layer(name, record, inputs, made), sizes, self.rng)
        if "bias" in params:
            params["bias"] = (self.rng.normal(size=made[-1]) / 3).astype(np.float32)
        if op in ("batch_norm", "scale_input"):
            params = {key: self.rng.uniform(0.25, 2, value.shape).astype(np.float32) for key, value in params.items()}
        self.layers.append(Layer(name, record, inputs, made, params))
        self.shapes[name] = made

    def _at_least(self, name: str) -> None:
        """A layer that keeps what is read above zero."""
        last, shape, constant = self.last, self.shapes[self.last], f"{name}_least"
        self.layers.append(Layer(constant, make("constant", {}), (), (1,), {"output": np.full(1, 0.125, np.float32)}))
        self.layers.append(Layer(f"{name}_above", make("maximum", {}), (last, constant), shape))
        self.shapes[f"{name}_above"] = shape

    def _constant(self, name: str, shape: tuple[int, ...]) -> str:
        """A constant of that shape, or of one that broadcasts to it."""
        axes = shape[self.below(len(shape)) :]
        size = tuple(length if self.below(2) else 1 for length in axes)
        array = self.rng.normal(size=size).astype(np.float32)
        self.layers.append(Layer(f"{name}_constant", make("constant", {}), (), size, {"output": array}))
        return f"{name}_constant"

    def _attributes(self, op: str, shape: tuple[int, ...]) -> tuple[dict[str, Attr], tuple[int, ...]]:
        """The attributes, and the shape as far as the attributes do not give it."""
        activation: dict[str, Attr] = {"activation": ("none", "relu", "relu6")[self.below(3)]}
        if op == "conv2d":
            groups = self._divisor(shape[2])
            cut: dict[str, Attr] = {"groups": groups} if groups > 1 else {}
            return self._window("kernel", shape) | activation | cut, (0, 0, groups * self.below(max(7 // groups, 1) + 1, 1))
        if op == "depthwise_conv2d":
            return self._window("kernel", shape) | activation | {"multiplier": self.below(3, 1)}, shape
        if op.endswith("pool2d"):
            return self._window("pool", shape) | activation, shape
        if op == "conv1d":
            taps = self.below(min(shape[0], 4) + 1, 1)
            pads = {"pad_left": self.below(3), "pad_right": self.below(3)}
            return {"kernel": taps, "stride": self.below(3, 1)} | pads | activation, (0, self.below(7, 1))
        if op == "dense":
            return activation, (self.below(12, 1),)
        if op == "reshape":
            first = self._divisor(prod(shape))
            second = self._divisor(prod(shape) // first)
            rest = prod(shape) // first
            return {}, ((prod(shape),), (first, rest), (first, second, rest // second))[self.below(3)]
        if op == "gru":
            return {"reset_after": bool(self.below(2))}, (shape[0], self.below(6, 1))
        if op in AUDIO:
            return AUDIO[op]
        if op == "lstm":
            return {"stateful": bool(self.below(2)), "clip": 0.5 * self.below(2)}, (shape[0], self.below(6, 1))
        if op == "upsample2d":
            return {"factor_h": self.below(4, 1), "factor_w": self.below(3, 1), "zeros": bool(self.below(2))}, shape
        if op == "resize_bilinear":
            half = bool(self.below(2))
            return {"height": self.below(12, 1), "width": self.below(12, 1), "half_pixel": half, "align_corners": not half}, shape
        if op == "recent":
            return {"kept": self.below(6, 1)}, shape
        if op == "svdf":
            return {"rank": self.below(3, 1)} | activation, (self.below(6, 1),)
        if op == "slice":
            begin = [self.below(size) for size in shape]
            step = [self.below(3, 1) for _ in shape]
            count = [self.below((size - 1 - first) // by + 2, 1) for size, first, by in zip(shape, begin, step, strict=True)]
            return {name: ",".join(map(str, each)) for name, each in (("begin", begin), ("size", count), ("step", step))}, shape
        if op == "pad":
            sides = {name: ",".join(str(self.below(3)) for _ in shape) for name in ("before", "after")}
            return {**sides, "value": (0.0, 0.5, -1.25)[self.below(3)]}, shape
        fixed: dict[str, dict[str, Attr]] = {
            "add": activation,
            "mul": activation,
            "sub": activation,
            "concat": {"axis": self.below(len(shape))},
            "relu": {"activation": ("relu", "relu6")[self.below(2)]},
            "transpose": {"perm": ",".join(map(str, self.rng.permutation(len(shape))))},
            "normalise": {"eps": 1e-4},
            "batch_norm": {**activation, "eps": 1e-3, "momentum": 0.9},
            "standardise": {"eps": 1e-4},
            "label": {"classes": 3, "neutral": 0.125},
            "leaky_relu": {"alpha": 0.3},
        }
        return fixed.get(op, {}), shape

    def _divisor(self, number: int) -> int:
        found = [size for size in range(1, number + 1) if number % size == 0]
        return found[self.below(len(found))]

    def _window(self, name: str, shape: tuple[int, ...]) -> dict[str, Attr]:
        """A window that fits; no window of a pool lies outside the image."""
        attrs: dict[str, Attr] = {}
        for size, axis, sides in zip(shape[:2], "hw", (("top", "bottom"), ("left", "right")), strict=True):
            taps, stride = self.below(min(size, 4) + 1, 1), self.below(3, 1)
            most = 2 if name == "kernel" else taps - 1
            before, after = self.below(most + 1), self.below(most + 1)
            if name == "pool" and (size + before + after - taps) // stride * stride - before >= size:
                after = 0
            attrs |= {f"{name}_{axis}": taps, f"stride_{axis}": stride, f"pad_{sides[0]}": before, f"pad_{sides[1]}": after}
        return attrs


def random_network(seed: int, layers: int = 7, kinds: Mapping[int, Sequence[str]] = KINDS, first: str = "", **metadata: Any) -> Network:
    """A network of up to ``layers`` layers of ``kinds``, by the axes of what they read, without those that its output does not depend on;
    the ``first`` of FIRST or none.
    """
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 2, 3, 3, 3]))
    sizes = rng.integers(1, 8, rank)
    shape = (int(rng.integers(2, 20)),) if rank == 1 else (*map(int, sizes[:-1]), int(rng.integers(1, 5)))
    draw = Draw(FIRST.get(first, shape), rng)
    if first:
        draw.layer(first, "first")
    for number in range(layers):
        choices = kinds[len(draw.shapes[draw.last])]
        op = choices[draw.below(len(choices))]
        if number >= layers - 3 or op not in ("global_average_pool", "softmax"):  # these end what can still be tried
            draw.layer(op, f"layer_{number}")
    needed = {draw.last}
    for layer in reversed(draw.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return Network(f"random {seed}", draw.shapes["input"], tuple(layer for layer in draw.layers if layer.name in needed), metadata=metadata)


def one_layer(op: str, seed: int) -> Network:
    """A network that is one layer of a kind, or where it needs them two inputs of it."""
    rng = np.random.default_rng(seed)
    vectors = {"dense": (64,), "softmax": (12,), "normalise": (32,), "svdf": (8,)}
    shape = {"conv1d": (20, 6), "gru": (4, 5), "lstm": (4, 5), "audio_frontend": (120,), **vectors}.get(op, (9, 8, 6))
    draw = Draw(shape, rng)
    if op in (*PAIRWISE, "prelu", "concat", "requantise"):
        draw.layer("relu", "before")
    name = "further" if op == "input" else op
    draw.layer(op, name)
    if op in ("constant", "input"):
        draw.layers.append(Layer("sum", make("add", {}), ("input", name), shape))
    return Network(op, shape, tuple(draw.layers))
