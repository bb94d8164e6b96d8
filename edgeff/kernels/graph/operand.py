"""Graphs of operators as Python expressions: operands with NumPy's operators, and the nodes that they become.

The vocabulary is that of ONNX's default domain (operator set OPSET), each node with one output, and three words for which file formats have
sentences of their own: ``ShiftRight`` of signed integers, ``PowerOfTwo`` and ``IntegerRoot``. A format writes the nodes, word by word, or
gives ``expansions`` that say some words by others. The same operator on the same inputs is one node. Shapes are known throughout, so a form
that does not fit is refused when the graph is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from edgeff.errors import EdgeffError
from edgeff.ir import Array

OPSET = 18
"""The first with BitwiseXor and BitwiseAnd (2023)."""
Attribute: TypeAlias = int | str | tuple[int, ...]
Number: TypeAlias = "Operand | Array | np.generic | float"
Expansions: TypeAlias = "Mapping[str, Callable[..., Operand]]"
"""For a word, what makes of its inputs the output by other words."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node: its operator, the names of its inputs and of its output, its attributes in a fixed order."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, Attribute], ...] = ()


class NodeList:
    """The nodes and constants made so far. ``place`` is where the next ones belong: what their names begin with.

    ``limits`` are the least and the greatest value of operands by name, as far as kernels and forms state these. ``noise`` are the
    operands that random bits are fed by, in place of those that the graph draws; None where it draws them.
    """

    def __init__(self, expansions: Expansions | None = None, *, noise: bool = False) -> None:
        self.nodes: list[GraphNode] = []
        self.noise: dict[str, Operand] | None = {} if noise else None
        self.limits: dict[str, tuple[int, int]] = {}
        self._expansions = expansions or {}
        self.constants: dict[str, Array] = {}
        self.place = "graph"
        self._same_constant: dict[tuple[str, tuple[int, ...], bytes], Operand] = {}
        self._same_node: dict[tuple[str, tuple[str, ...], tuple[tuple[str, Attribute], ...]], Operand] = {}

    def named(self, name: str, dtype: str, shape: Sequence[int]) -> Operand:
        """An operand that is fed: an input of the graph."""
        return Operand(self, name, dtype, tuple(shape))

    def fed_noise(self, *shape: int) -> Operand | None:
        """int8 numbers that are fed to the present place, uniform over all 256; None where the graph draws its own."""
        if self.noise is None:
            return None
        again = sum(name.startswith(f"{self.place}.noise") for name in self.noise)
        name = f"{self.place}.noise" + (f"_{again + 1}" if again else "")
        self.noise[name] = self.named(name, "int8", shape)
        return self.noise[name]

    def constant(self, values: Array | np.generic | float, dtype: str | None = None) -> Operand:
        """A constant; equal ones are one initialiser."""
        array = np.asarray(values, dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._same_constant:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = array
            self._same_constant[key] = Operand(self, name, array.dtype.name, array.shape, array)
        return self._same_constant[key]

    def counter(self, count: int) -> Operand:
        """0 .. count - 1, int64, made in the graph: as a constant it would rival the weights in size."""
        ends = [self.constant(np.int64(v)) for v in (0, count, 1)]
        return self.node("Range", ends, "int64", (count,))

    def node(self, op: str, inputs: Iterable[Operand], dtype: str, shape: Sequence[int], **attributes: Attribute) -> Operand:
        """The output of a node, which is of ``dtype`` and ``shape``."""
        if op in self._expansions:
            return self._expansions[op](*inputs)
        names, own = tuple(operand.name for operand in inputs), tuple(sorted(attributes.items()))
        key = op, names, own
        if key not in self._same_node:
            output = f"{self.place}/{op}_{len(self.nodes)}"
            self.nodes.append(GraphNode(op, names, output, own))
            self._same_node[key] = Operand(self, output, dtype, tuple(shape))
        return self._same_node[key]

    def needed(self, outputs: Iterable[str]) -> list[GraphNode]:
        """The nodes on which ``outputs`` depend, in order."""
        names = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if node.output in names:
                names.update(node.inputs)
                kept.append(node)
        return kept[::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A value of the graph. ``data`` is known where it is a constant.

    ``//`` and ``%`` are for numbers >= 0; ``>>`` is for int64 of less than 2**62, whose sign it keeps, and for unsigned integers; what is
    computed of a count is at most 31.
    """

    nodes: NodeList
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Array | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def known(self) -> Array:
        """Its value. Raises EdgeffError where it is no constant."""
        if self.data is None:
            raise EdgeffError(f"operand {self.name!r}", got="a value that is computed", allowed="a constant")
        return self.data

    def of(self, value: Number) -> Operand:
        """``value`` as an operand of this one's dtype."""
        return value if isinstance(value, Operand) else self.nodes.constant(np.asarray(value, self.dtype))

    def _with(self, op: str, other: Number, dtype: str | None = None, *, swapped: bool = False) -> Operand:
        b = self.of(other)
        if b.dtype != self.dtype:
            raise EdgeffError(f"{op} of {self.name!r} and {b.name!r}", got=f"{self.dtype} and {b.dtype}", allowed="one dtype")
        return self.nodes.node(op, (b, self) if swapped else (self, b), dtype or self.dtype, np.broadcast_shapes(self.shape, b.shape))

    def _alone(self, op: str, dtype: str | None = None) -> Operand:
        return self.nodes.node(op, (self,), dtype or self.dtype, self.shape)

    def __add__(self, other: Number) -> Operand:
        return self._with("Add", other)

    def __sub__(self, other: Number) -> Operand:
        return self._with("Sub", other)

    def __rsub__(self, other: Number) -> Operand:
        return self._with("Sub", other, swapped=True)

    def __mul__(self, other: Number) -> Operand:
        return self._with("Mul", other)

    def __truediv__(self, other: Number) -> Operand:
        return self._with("Div", other)

    def __rtruediv__(self, other: Number) -> Operand:
        return self._with("Div", other, swapped=True)

    def __floordiv__(self, other: Number) -> Operand:
        return self._with("Div", other)

    def __rfloordiv__(self, other: Number) -> Operand:
        return self._with("Div", other, swapped=True)

    def __mod__(self, other: Number) -> Operand:
        return self._with("Mod", other)

    def __neg__(self) -> Operand:
        return self._alone("Neg")

    def __xor__(self, other: Number) -> Operand:
        return self._with("BitwiseXor", other)

    def __and__(self, other: Number) -> Operand:
        return self._with("And" if self.dtype == "bool" else "BitwiseAnd", other)

    def __or__(self, other: Number) -> Operand:
        return self._with("Or", other)

    def __invert__(self) -> Operand:
        return self._alone("Not")

    def __lt__(self, other: Number) -> Operand:
        return self._with("Less", other, "bool")

    def __le__(self, other: Number) -> Operand:
        return self._with("LessOrEqual", other, "bool")

    def __gt__(self, other: Number) -> Operand:
        return self._with("Greater", other, "bool")

    def __ge__(self, other: Number) -> Operand:
        return self._with("GreaterOrEqual", other, "bool")

    def equals(self, other: Number) -> Operand:
        """Where the two are equal, bool."""
        return self._with("Equal", other, "bool")

    def __rshift__(self, count: Operand | int) -> Operand:
        places = count if isinstance(count, Operand) else self.of(count)
        shape = np.broadcast_shapes(self.shape, places.shape)
        if self.dtype == "int64":
            return self.nodes.node("ShiftRight", (self, places), self.dtype, shape)
        return self.nodes.node("BitShift", (self, places), self.dtype, shape, direction="RIGHT")

    def towards_zero(self, divisor: Number) -> Operand:
        """This integer divided by one >= 1, rounded towards zero."""
        quotient = self.abs() // divisor
        return (-quotient).where(self < 0, quotient)

    def times_power(self, count: Operand) -> Operand:
        """This int64 times 2**count, ``count`` int64 from 0 to 62."""
        return self * self.nodes.node("PowerOfTwo", (count,), "int64", count.shape)

    def __matmul__(self, other: Operand) -> Operand:
        if self.dtype != other.dtype or self.shape[-1] != other.shape[-2]:
            raise EdgeffError(
                f"MatMul of {self.name!r} and {other.name!r}", got=f"{self.shape} and {other.shape}", allowed="shapes that fit"
            )
        shape = (*np.broadcast_shapes(self.shape[:-2], other.shape[:-2]), self.shape[-2], other.shape[-1])
        return self.nodes.node("MatMul", (self, other), self.dtype, shape)

    def cast(self, dtype: str) -> Operand:
        """The values as ``dtype``."""
        return self if dtype == self.dtype else self.nodes.node("Cast", (self,), dtype, self.shape, to=dtype)

    def reshape(self, *shape: int) -> Operand:
        """Another shape; -1 stands for what is left."""
        left = self.size // max(prod(size for size in shape if size >= 0), 1)
        sizes = tuple(left if size < 0 else size for size in shape)
        if prod(sizes) != self.size:
            raise EdgeffError(f"operand {self.name!r}", got=f"shape {self.shape}", allowed=f"one that fits {shape}")
        return self if sizes == self.shape else self.nodes.node("Reshape", (self, self._list(sizes)), self.dtype, sizes)

    def transpose(self, *order: int) -> Operand:
        """The axes in another order."""
        return self.nodes.node("Transpose", (self,), self.dtype, [self.shape[axis] for axis in order], perm=order)

    def part(self, *slices: slice) -> Operand:
        """Slices along the first axes, as NumPy takes them."""
        ranges = [range(size)[item] for size, item in zip(self.shape, slices, strict=False)]
        cut = [axis for axis, chosen in enumerate(ranges) if chosen != range(self.shape[axis])]
        if not cut:
            return self
        steps = [ranges[axis].step for axis in cut]
        ends = [ranges[axis].start + len(ranges[axis]) * ranges[axis].step for axis in cut]
        lists = ([ranges[axis].start for axis in cut], [end if end >= 0 else -(1 << 31) for end in ends], cut, steps)
        shape = (*map(len, ranges), *self.shape[len(ranges) :])
        return self.nodes.node("Slice", (self, *(self._list(item) for item in lists)), self.dtype, shape)

    def pad(self, before: Sequence[int], after: Sequence[int], value: Number = 0) -> Operand:
        """Elements ``value`` around it; a negative count cuts off."""
        if not any((*before, *after)):
            return self
        shape = [size + low + high for size, low, high in zip(self.shape, before, after, strict=True)]
        return self.nodes.node("Pad", (self, self._list((*before, *after)), self.of(value)), self.dtype, shape)

    def expand(self, *shape: int) -> Operand:
        """The values repeated to a shape that they broadcast to."""
        return self.nodes.node("Expand", (self, self._list(shape)), self.dtype, shape)

    def within(self, low: int, high: int) -> Operand:
        """These integers, of which the graph is told that they are from ``low`` to ``high``; nothing is computed."""
        least, greatest = self.nodes.limits.get(self.name, (low, high))
        self.nodes.limits[self.name] = max(low, least), min(high, greatest)
        return self

    def clip(self, low: float, high: float) -> Operand:
        """The values within ``low`` .. ``high``."""
        return self.nodes.node("Clip", (self, self.of(low), self.of(high)), self.dtype, self.shape)

    def sum(self, *axes: int) -> Operand:
        """The sums over ``axes`` (all: none given), which are gone."""
        return self._reduced("ReduceSum", axes)

    def max(self, *axes: int) -> Operand:
        """The largest over ``axes`` (all: none given), which are gone."""
        return self._reduced("ReduceMax", axes)

    def _reduced(self, op: str, axes: tuple[int, ...]) -> Operand:
        chosen = axes or tuple(range(len(self.shape)))
        shape = [size for axis, size in enumerate(self.shape) if axis not in chosen]
        return self.nodes.node(op, (self, self._list(chosen)), self.dtype, shape, keepdims=0)

    def argmax(self) -> Operand:
        """The index of the first largest value of a vector, int64, shape (1,)."""
        return self.nodes.node("ArgMax", (self,), "int64", (1,), axis=0, keepdims=1)

    def take(self, indices: Operand) -> Operand:
        """The elements, or rows, at ``indices``."""
        return self.nodes.node("Gather", (self, indices), self.dtype, (*indices.shape, *self.shape[1:]), axis=0)

    def where(self, condition: Operand, other: Number) -> Operand:
        """This value where ``condition`` holds, ``other`` elsewhere."""
        b = self.of(other)
        return self.nodes.node("Where", (condition, self, b), self.dtype, np.broadcast_shapes(condition.shape, self.shape, b.shape))

    def abs(self) -> Operand:
        """|x|."""
        return self._alone("Abs")

    def sqrt(self) -> Operand:
        """The square root of a float."""
        return self._alone("Sqrt")

    def isqrt(self) -> Operand:
        """The integer square root of int64 from 0 to 2**52."""
        return self._alone("IntegerRoot")

    def exp(self) -> Operand:
        """e to the power of a float."""
        return self._alone("Exp")

    def unary(self, op: str) -> Operand:
        """Another operator of one input that keeps shape and dtype."""
        return self._alone(op)

    def flat(self) -> Operand:
        """One axis."""
        return self.reshape(-1)

    def _list(self, values: Sequence[int]) -> Operand:
        return self.nodes.constant(np.array(values, np.int64))


def largest(parts: Sequence[Operand]) -> Operand:
    """The largest of operands of one shape, element by element."""
    return parts[0] if len(parts) == 1 else parts[0].nodes.node("Max", parts, parts[0].dtype, parts[0].shape)


def concat(parts: Sequence[Operand], axis: int = 0) -> Operand:
    """The parts one after the other along ``axis``."""
    first = parts[0]
    if len(parts) == 1:
        return first
    shape = list(first.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return first.nodes.node("Concat", parts, first.dtype, shape, axis=axis % len(shape))
