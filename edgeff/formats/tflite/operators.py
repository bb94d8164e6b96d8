"""The inputs and shared parts of all TFLite operator readers: tensors, table entries, fused activations and the operands of a weight.

Shapes of values are without the batch axis, those of tensors with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.checks import check_finite, short
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.values import Activation, Constant, Node, Value
from edgeff.ir import Quant
from edgeff.kernels.activation import ACTIVATIONS

_ACTIVATIONS = names_of(schema.ActivationFunctionType)

Values = list[Value | None]
Options = Callable[[Table], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's entry in the subgraph; ``shape`` with the batch axis, ``buffer`` the number of its data (0: none); ``variable``: an
    operator keeps it from one inference to the next.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: Quant | None
    buffer: int
    variable: bool = False


@dataclass(frozen=True, slots=True)
class TfliteNode(Node):
    """A node and its output tensor."""

    output: Tensor


@dataclass(frozen=True, slots=True)
class Handler:
    """How to read an operator: the function, the least and largest count of inputs, its options as attributes; ``several``: it may have
    several outputs, for each of which it is read; ``silent``: it has none.
    """

    read: Callable[[Assembly, TfliteNode, Values], Value | None]
    inputs: tuple[int, int]
    options_type: int
    options: Options = lambda table: {}
    several: bool = False
    silent: bool = False


def fused_option(table: Table, slot: int = 0) -> dict[str, Any]:
    """The fused activation's name as an attribute; its number if it has no name."""
    number = int(table.number(slot, "int8"))
    return {"fused_activation_function": _ACTIVATIONS.get(number, number)}


def fused(assembly: Assembly, node: Node, y: Activation) -> Activation:
    """``y``, the node's output so far, with the node's fused activation."""
    functions = {function.tflite: function for function in ACTIVATIONS.values()}
    function = functions[only_fused(node, *functions)]
    made = assembly.fuse(y, function) if function.clamps else y
    if made is None:
        raise node.unsupported(f"a fused activation on the output of layer {short(y.layer)}", "NONE")
    return made


def only_fused(node: Node, *allowed: str) -> str:
    """The name of the fused activation, which must be one of ``allowed``."""
    name = str(node.attributes.get("fused_activation_function", "NONE"))
    if name not in allowed:
        raise node.unsupported(f"fused activation {name}", ", ".join(allowed))
    return name


def alike(assembly: Assembly, node: Node, values: Sequence[Value | None]) -> list[Activation]:
    """Activations, and constants as layers, which must be all of one type: TFLite converts nothing by itself."""
    xs = assembly.operands(node, values)
    if len({x.integer for x in xs}) > 1:
        raise node.bad("inputs of which only some are integers", "all float32, or all integers with scales")
    return xs


def operands(assembly: Assembly, node: Node, values: Values) -> tuple[Activation, Constant, Constant | None]:
    """Input, weight and bias. An int8 weight on a float input ("hybrid", dynamic range) is dequantised."""
    given = values[0]
    x = assembly.numbers(node, given, max(given.array.ndim - 1, 1)) if isinstance(given, Constant) else node.activation(given)
    weight = node.constant(values[1], "weight")
    bias = None if values[2] is None else node.constant(values[2], "bias")
    if weight.array.dtype == np.int8 and weight.quant is not None and not x.integer:
        weight = dequantised(assembly, node, weight)
    if x.integer != (weight.array.dtype == np.int8):
        raise node.unsupported(
            f"an input of {'int8' if x.integer else 'float32'} and a weight of {weight.array.dtype}",
            "both float32 or both int8 with scales",
        )
    if x.integer and bias is not None and (bias.quant is None or weight.quant is None):
        raise node.unsupported("an int8 layer whose weight or bias has no scale", "int8 and int32 with scales")
    if x.quant is not None and x.quant.dtype == "int16":
        _check_sums(node, bias)
    elif x.integer and bias is not None and bias.array.dtype != np.int32:
        raise node.unsupported(f"a bias of {bias.array.dtype}", "int32 beside int8 activations")
    if not x.integer:
        weight, bias = Constant(weight.array), None if bias is None else Constant(bias.array)
    return x, weight, bias


def _check_sums(node: Node, bias: Constant | None) -> None:
    """Raises Unsupported where TFLM and LiteRT do not agree what the sums of int16 activations and int8 weights are."""
    if bias is None and node.attributes.get("quantized_bias_type") == schema.TensorType.INT32:
        raise node.unsupported("sums of 32 bits without a bias", "sums of 64 bits, or a bias")
    allowed = ("int32", "int64") if node.operator in ("CONV_2D", "FULLY_CONNECTED") else ("int64",)
    if bias is not None and str(bias.array.dtype) not in allowed:
        raise node.unsupported(f"a bias of {bias.array.dtype} beside int16 activations", " or ".join(allowed))


def dequantised(assembly: Assembly, node: Node, constant: Constant) -> Constant:
    """An int8 constant as float32, (q - zero point) * scale with one rounding; counted in ``assembly.dequantised``."""
    array, quant = constant.array, constant.quant
    if quant is None or array.dtype != np.int8:
        raise node.unsupported(f"a constant of {array.dtype} to dequantise", "int8 with scales")
    along = [1] * array.ndim
    if quant.axis is not None:
        if not 0 <= quant.axis < array.ndim or array.shape[quant.axis] != len(quant.scale):
            raise node.bad(f"{len(quant.scale)} scales along axis {quant.axis} of {array.shape}", "one scale, or one for each channel")
        along[quant.axis] = len(quant.scale)
    assembly.charge(4 * array.size)
    with np.errstate(over="ignore"):
        real = (array.astype(np.float32) - np.float32(quant.zero_point)) * np.array(quant.scale, np.float32).reshape(along)
    check_finite(real, f"node {short(node.name)}, a dequantised constant")
    assembly.dequantised += 1
    return Constant(real.astype(np.float32, copy=False))
