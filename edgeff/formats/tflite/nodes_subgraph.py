"""Nodes under construction (``edgeff.kernels.graph``) -> the operators of a TFLite subgraph, word by word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from math import inf

import numpy as np

from edgeff.errors import Unsupported
from edgeff.formats.tflite.container import Subgraph
from edgeff.formats.tflite.ranged import Arithmetic, Value, known
from edgeff.formats.training import Output
from edgeff.ir import Array, Quant
from edgeff.kernels.graph.operand import GraphNode, NodeList, Operand


class NodesSubgraph:
    """Values of nodes by name in one subgraph: first those that are fed, then all that outputs need."""

    def __init__(self, subgraph: Subgraph, nodes: NodeList, arithmetic: Callable[[Subgraph], Arithmetic] = Arithmetic) -> None:
        self.arithmetic = arithmetic(subgraph)
        self._nodes = nodes
        self._values: dict[str, Value] = {}

    def feed(self, operand: Operand, index: int, dtype: str) -> None:
        """Makes the tensor ``index`` of ``dtype`` what ``operand`` is."""
        self._values[operand.name] = self._limited(operand.name, self.arithmetic.fed(index, dtype, operand.shape))

    def add(self, outputs: Iterable[Output]) -> list[int]:
        """The tensors of outputs, with all that they need. Raises Unsupported for words that TFLite cannot say."""
        every = list(outputs)
        for node in self._nodes.needed(output.operand.name for output in every):
            if node.output not in self._values:
                self.arithmetic.place = node.output.rpartition("/")[0]
                self._values[node.output] = self._limited(node.output, self._operator(node))
        return [self._tensor(output) for output in every]

    def give(self, outputs: Mapping[str, Output], quants: Mapping[str, Quant | None] | None = None) -> None:
        """Makes tensors outputs of the subgraph, each one of its own: no two outputs, and no output and input, are one."""
        subgraph = self.arithmetic.subgraph
        for index, (name, output) in zip(self.add(outputs.values()), outputs.items(), strict=True):
            subgraph.output(name, index, output.dtype, output.shape, (quants or {}).get(name))

    def _tensor(self, output: Output) -> int:
        value = self.arithmetic.reshape(self._value(output.operand.name), output.shape)
        return self.arithmetic.given(value, output.dtype)

    def _value(self, name: str) -> Value:
        return self._values[name] if name in self._values else known(self._nodes.constants[name])

    def _limited(self, name: str, value: Value) -> Value:
        """A value within the limits that kernels state of it."""
        if name not in self._nodes.limits or not value.whole:
            return value
        return self.arithmetic.limited(value, *self._nodes.limits[name])

    def _operator(self, node: GraphNode) -> Value:
        if node.op not in _WORDS:
            raise Unsupported(f"word {node.op} in a TFLite training graph", got="no operators for it", next_step="export to C instead")
        return _WORDS[node.op](self.arithmetic, *(self._value(name) for name in node.inputs), **dict(node.attributes))


Word = Callable[..., Value]


def _floats(op: str, low: float = -inf, high: float = inf) -> Word:
    return lambda a, x: a.operator(op, [x], x.dtype, x.shape, low, high)


def _comparison(op: str) -> Word:
    return lambda a, x, y: a.compare(op, x, y)


def _logical(op: str) -> Word:
    return lambda a, x, y: a.operator(op, [x, y], "bool", np.broadcast_shapes(x.shape, y.shape), 0, 1)


def _multiply(a: Arithmetic, x: Value, y: Value) -> Value:
    return a.word_product(x, y) if x.dtype == "uint32" else a.multiply(x, y)


def _divide(a: Arithmetic, x: Value, y: Value) -> Value:
    return a.divide(x, y) if x.whole else a.elementwise("DIV", x, y, -inf, inf)


def _cast(a: Arithmetic, x: Value, to: str) -> Value:
    """Integers keep their tensors: int64 is a word for any number."""
    if to in ("float32", "bool"):
        return a.typed(x, to)
    if to == "uint32":
        return a.typed(x, to) if x.whole else a.typed(a.typed(x, "int64"), to)
    if x.dtype in ("uint32", "bool"):
        return a.number(x)
    return x if x.whole else a.typed(x, "int32" if -(2**31) <= x.low <= x.high < 2**31 else "int64")


def _pad(a: Arithmetic, x: Value, counts: Value, value: Value) -> Value:
    """TFLite does not cut where a count is negative: a slice does first."""
    before, after = np.split(_integers(counts), 2)
    cut_before, cut_after = np.maximum(-before, 0), np.maximum(-after, 0)
    if cut_before.any() or cut_after.any():
        x = a.part(x, cut_before, np.array(x.shape) - cut_before - cut_after)
    around = np.maximum(np.stack([before, after], 1), 0).astype(np.int32)
    if not around.any():
        return x
    x, value = a.alike(x, a.reshape(value, (1,)))
    shape = np.array(x.shape) + around.sum(1)
    return a.operator("PADV2", [x, known(around), value], x.dtype, shape, min(x.low, value.low), max(x.high, value.high))


def _slice(a: Arithmetic, x: Value, starts: Value, ends: Value, axes: Value, steps: Value) -> Value:
    rank = len(x.shape)
    begin, end, stride = [0] * rank, list(x.shape), [1] * rank
    for start, stop, axis, step in zip(*map(_integers, (starts, ends, axes, steps)), strict=True):
        begin[axis], end[axis], stride[axis] = int(start), int(stop), int(step)
    if set(stride) == {1}:
        return a.part(x, begin, [last - first for first, last in zip(begin, end, strict=True)])
    return a.strided(x, begin, end, stride)


def _expand(a: Arithmetic, x: Value, sizes: Value) -> Value:
    return a.expanded(x, np.broadcast_shapes(x.shape, tuple(_integers(sizes))))


def _gather(a: Arithmetic, x: Value, indices: Value, axis: int) -> Value:
    return a.gather(a.working(x) if x.whole else x, a.typed(indices, "int32"), axis)


def _absolute(a: Arithmetic, x: Value) -> Value:
    if not x.whole:
        return a.operator("ABS", [x], x.dtype, x.shape, 0, inf)
    made = a.maximum(x, a.subtract(known(np.array(0)), x))
    return replace(made, low=0)


def _softmax(a: Arithmetic, x: Value, axis: int) -> Value:
    made = a.operator("SOFTMAX", [a.reshape(x, (1, x.size))], x.dtype, (1, x.size), 0, 1, beta=1.0)
    return a.reshape(made, x.shape)


def _integers(value: Value) -> Array:
    if value.data is None:
        raise ValueError("a list that is computed")
    return value.data


_WORDS: Mapping[str, Word] = {
    "Abs": _absolute,
    "Add": lambda a, x, y: a.add(x, y),
    "And": _logical("LOGICAL_AND"),
    "ArgMax": lambda a, x, axis, keepdims: a.best(x),
    "BitShift": lambda a, x, count, direction: a.word_shift(x, count),
    "BitwiseAnd": lambda a, x, mask: a.bits_of(x, int(mask.high)),
    "BitwiseXor": lambda a, x, y: a.xor(x, y),
    "Cast": _cast,
    "Clip": lambda a, x, low, high: a.clip(x, low, high),
    "Concat": lambda a, *parts, axis: a.joined(parts, axis),
    "Div": _divide,
    "Equal": _comparison("EQUAL"),
    "Exp": _floats("EXP", 0),
    "Expand": _expand,
    "Gather": _gather,
    "Greater": _comparison("GREATER"),
    "GreaterOrEqual": _comparison("GREATER_EQUAL"),
    "IntegerRoot": lambda a, x: a.integer_root(x),
    "Less": _comparison("LESS"),
    "LessOrEqual": _comparison("LESS_EQUAL"),
    "MatMul": lambda a, x, y: a.product(x, y),
    "Max": lambda a, *parts: reduce(a.maximum, parts),
    "Mod": lambda a, x, y: a.remainder(x, y),
    "Mul": _multiply,
    "Neg": lambda a, x: a.subtract(known(np.array(0)), x) if x.whole else a.operator("NEG", [x], x.dtype, x.shape, -x.high, -x.low),
    "Not": lambda a, x: a.operator("LOGICAL_NOT", [x], "bool", x.shape, 0, 1),
    "Or": _logical("LOGICAL_OR"),
    "Pad": _pad,
    "PowerOfTwo": lambda a, count: a.power_of_two(count),
    "Range": lambda a, start, end, step: a.counter(int(end.high)),
    "ReduceMax": lambda a, x, axes, keepdims: a.largest(x, [int(axis) for axis in _integers(axes)]),
    "ReduceSum": lambda a, x, axes, keepdims: a.total(x, [int(axis) for axis in _integers(axes)]),
    "Relu": _floats("RELU", 0),
    "Reshape": lambda a, x, sizes: a.reshape(x, [int(size) for size in _integers(sizes)]),
    "Round": lambda a, x: a.operator("ROUND", [x], x.dtype, x.shape, x.low, x.high),
    "ShiftRight": lambda a, x, count: a.shift_right(x, count),
    "Sigmoid": _floats("LOGISTIC", 0, 1),
    "Slice": _slice,
    "Softmax": _softmax,
    "Sqrt": _floats("SQRT", 0),
    "Sub": lambda a, x, y: a.subtract(x, y),
    "Tanh": _floats("TANH", -1, 1),
    "Transpose": lambda a, x, perm: a.transposed(x, perm),
    "Where": lambda a, condition, x, y: a.where(condition, x, y),
}
