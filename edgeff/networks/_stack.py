"""Builds a network structure layer by layer: each method adds one that reads the last output; shapes follow from the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from edgeff.ir import Attr, Layer, Network
from edgeff.ops import Operator, make
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.batch_norm import BatchNorm
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.dense import Dense
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.max_pool2d import MaxPool2d
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.reshape import Reshape
from edgeff.ops.window_math import same_padding

Pair = tuple[int, int]


class Stack:
    """A structure under construction; ``below`` names the layer the next one reads, ``shape`` its shape without the batch axis."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape
        self.layers: list[Layer] = []
        self.shapes: dict[str, tuple[int, ...]] = {"input": input_shape}
        self.below = "input"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[self.below]

    def add(self, name: str, op: Operator, inputs: tuple[str, ...] = (), shape: tuple[int, ...] = (), channels: int = 0) -> str:
        """Adds a layer that reads ``inputs``, by default the last one. Returns its name.

        Give ``shape`` or ``channels`` if the inputs do not determine the output's shape or its last axis.
        """
        inputs = inputs or (self.below,)
        wish = shape or (*self.shapes[inputs[0]][:-1], channels or self.shapes[inputs[0]][-1])
        layer = Layer(name, op, inputs, wish)
        output = op.output_shape(layer, tuple(self.shapes[i] for i in inputs))
        self.layers.append(replace(layer, shape=output))
        self.shapes[name] = output
        self.below = name
        return name

    def _normalised(self, name: str, activation: str) -> str:
        return self.add(f"{name}_norm", BatchNorm(activation=activation))

    def _window(self, kernel: Pair, stride: Pair) -> dict[str, Attr]:
        """The attributes of a kernel with TFLite's SAME padding."""
        height, width, _ = self.shape
        (top, bottom), (left, right) = same_padding(height, kernel[0], stride[0]), same_padding(width, kernel[1], stride[1])
        return {
            "kernel_h": kernel[0],
            "kernel_w": kernel[1],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "pad_top": top,
            "pad_left": left,
            "pad_bottom": bottom,
            "pad_right": right,
        }

    def conv(
        self,
        name: str,
        channels: int,
        kernel: Pair,
        stride: Pair = (1, 1),
        *,
        groups: int = 1,
        norm: bool = True,
        activation: str = "relu",
    ) -> str:
        """A convolution with SAME padding, then batch normalisation (or a bias instead), then the activation."""
        op = make(Conv2d, self._window(kernel, stride) | {"groups": groups, "activation": "none" if norm else activation, "bias": not norm})
        self.add(name, op, channels=channels)
        return self._normalised(name, activation) if norm else self.below

    def depthwise(self, name: str, kernel: Pair, stride: Pair = (1, 1), *, activation: str = "relu") -> str:
        """A depthwise convolution with SAME padding, batch normalisation and the activation."""
        self.add(name, make(DepthwiseConv2d, self._window(kernel, stride)))
        return self._normalised(name, activation)

    def average_pool(self, name: str, pool: Pair) -> str:
        """The average of adjacent windows, without padding."""
        return self._pool(name, AveragePool2d, pool)

    def max_pool(self, name: str, pool: Pair) -> str:
        """The largest of adjacent windows, without padding."""
        return self._pool(name, MaxPool2d, pool)

    def _pool(self, name: str, operator: type[Pool2d], pool: Pair) -> str:
        return self.add(name, operator(pool_h=pool[0], pool_w=pool[1], stride_h=pool[0], stride_w=pool[1]))

    def conv_1d(self, name: str, channels: int, kernel: int, stride: int) -> str:
        """A convolution over a sequence with SAME padding, batch normalisation and ReLU."""
        before, after = same_padding(self.shape[0], kernel, stride)
        self.add(name, Conv1d(kernel=kernel, stride=stride, pad_left=before, pad_right=after), channels=channels)
        return self._normalised(name, "relu")

    def flatten(self, name: str = "flatten") -> str:
        """The last activation as a vector."""
        return self.add(name, Reshape(), shape=(prod(self.shape),))

    def dense(self, name: str, outputs: int, *, norm: bool = False, activation: str = "none") -> str:
        """A dense layer with a bias, or with batch normalisation before the activation."""
        self.add(name, Dense(activation="none" if norm else activation, bias=not norm), shape=(outputs,))
        return self._normalised(name, activation) if norm else name

    def network(self, name: str, metadata: Mapping[str, Any] | None = None) -> Network:
        """The structure, without parameters."""
        return Network(name, self.input_shape, tuple(self.layers), metadata=metadata or {})
