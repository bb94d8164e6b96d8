"""What each TFLite operator means for the Network being put together: one small function an operator, and the table of them.

A function gets the values its operator reads (None for an absent optional input) and the tensor it makes, and returns the value. The
caller then gives an int8 result the scale of its tensor. Shapes of values are without the batch axis, those of tensors with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.importers.assembly import Assembly
from edgeff.importers.flatbuffer import Table
from edgeff.importers.tflite_schema import names_of, schema
from edgeff.importers.values import Constant, Node, Value
from edgeff.ir import Quant

_ACTIVATIONS = names_of(schema.ActivationFunctionType)

Values = list[Value | None]
Options = Callable[[Table], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's entry in the subgraph; ``shape`` with the batch axis, ``buffer`` the number of its data (0: none)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: Quant | None
    buffer: int


@dataclass(frozen=True, slots=True)
class Handler:
    """How to read an operator: the function, the least and largest count of inputs, its options as attributes."""

    read: Callable[[Assembly, Node, Values, Tensor], Value]
    inputs: tuple[int, int]
    options_type: int
    options: Options = lambda table: {}


def _only_fused(node: Node, *allowed: str) -> str:
    fused = str(node.attributes.get("fused_activation_function", "NONE"))
    if fused not in allowed:
        raise node.unsupported(f"fused activation {fused}", ", ".join(allowed))
    return fused


def _fully_connected(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x, weight = node.activation(values[0]), node.constant(values[1], "weight")
    bias = None if values[2] is None else node.constant(values[2], "bias")
    fused = _only_fused(node, "NONE", "RELU")
    if node.attributes.get("weights_format"):
        raise node.unsupported("shuffled weights", "weights_format 0")
    if x.integer != (weight.array.dtype == np.int8):
        raise node.unsupported(
            f"an input of {'int8' if x.integer else 'float32'} and a weight of {weight.array.dtype}", "both float32 or both int8"
        )
    if weight.array.dtype != np.int8:
        weight = Constant(weight.array)
    if bias is not None and weight.quant is None:
        bias = Constant(bias.array)
    if weight.array.ndim != 2 or output.shape[-1:] != weight.array.shape[:1]:
        raise node.bad(f"an output of shape {output.shape}", f"(batch, n_out) for a weight of shape {weight.array.shape}")
    y = assembly.dense(node, x, weight, bias)
    return assembly.relu(node, y) if fused == "RELU" else y


def _relu(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    return assembly.relu(node, node.activation(values[0]))


def _softmax(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if node.attributes.get("beta", 0.0) != 1.0:
        raise node.unsupported("a beta other than 1", "beta 1")
    return assembly.softmax(node, node.activation(values[0]))


def _reshape(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if len(output.shape) < 2:
        raise node.unsupported(f"a reshape to {output.shape}", "the batch axis kept")
    return assembly.reshape(node, node.activation(values[0]), output.shape[1:])


def _quantize(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    return node.activation(values[0])


def _dequantize(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x = node.activation(values[0])
    if x.quant is None or not x.integer:
        raise node.bad("a float tensor to dequantise", "int8")
    return assembly.dequantise(node, x, x.quant)


def _mul(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    _only_fused(node, "NONE")
    return assembly.square(node, node.real(values[0]), node.real(values[1]))


def _mean(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    axes = node.constant(values[1], "axis").array.reshape(-1).tolist()
    if axes not in ([1], [-1]) or not node.attributes.get("keep_dims"):
        raise node.unsupported("a mean over other axes", "the last axis, kept")
    return assembly.step(node, node.present(values[0]), "square", "mean")


def _pad(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    pads = node.constant(values[1], "pads").array
    if pads.shape != (2, 2) or pads.dtype != np.int32 or pads[0].any():
        raise node.unsupported(f"pads {pads.dtype} {pads.reshape(-1)[:8].tolist()}", "[[0, 0], [classes, 0]]")
    return assembly.pad(node, node.real(values[0]), int(pads[1, 0]), int(pads[1, 1]), node.scalar(values[2], "padding"))


def _sqrt(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    return assembly.step(node, node.present(values[0]), "mean", "root")


def _add(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    _only_fused(node, "NONE")
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    return assembly.step(node, node.present(first), "root", "divisor", node.scalar(second, "eps"))


def _div(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    _only_fused(node, "NONE")
    return assembly.divide(node, node.real(values[0]), node.present(values[1]))


def _fused_option(table: Table) -> dict[str, Any]:
    number = int(table.number(0, "int8"))
    return {"fused_activation_function": _ACTIVATIONS.get(number, number)}


def _dense_options(table: Table) -> dict[str, Any]:
    return _fused_option(table) | {"weights_format": int(table.number(1, "int8"))}


_TYPES = schema.BuiltinOptions
HANDLERS = {
    "ADD": Handler(_add, (2, 2), _TYPES.AddOptions, _fused_option),
    "DEQUANTIZE": Handler(_dequantize, (1, 1), _TYPES.DequantizeOptions),
    "DIV": Handler(_div, (2, 2), _TYPES.DivOptions, _fused_option),
    "FULLY_CONNECTED": Handler(_fully_connected, (2, 3), _TYPES.FullyConnectedOptions, _dense_options),
    "MEAN": Handler(_mean, (2, 2), _TYPES.ReducerOptions, lambda table: {"keep_dims": bool(table.number(0, "bool"))}),
    "MUL": Handler(_mul, (2, 2), _TYPES.MulOptions, _fused_option),
    "PADV2": Handler(_pad, (3, 3), _TYPES.PadV2Options),
    "QUANTIZE": Handler(_quantize, (1, 1), _TYPES.QuantizeOptions),
    "RELU": Handler(_relu, (1, 1), _TYPES.NONE),
    "RESHAPE": Handler(_reshape, (1, 2), _TYPES.ReshapeOptions),
    "SOFTMAX": Handler(_softmax, (1, 1), _TYPES.SoftmaxOptions, lambda table: {"beta": float(table.number(0, "float32"))}),
    "SQRT": Handler(_sqrt, (1, 1), _TYPES.NONE),
}
