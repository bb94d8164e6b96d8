"""Values of a TFLite subgraph with the range they can have, and exact arithmetic over them from the operators that LiteRT has.

The range of every integer is followed from what is fed. It chooses the type, int32 where operands and result fit, int64 else, and it proves
the one shortcut: a product of matrices of integers runs in float32 where no sum can reach 2**24, below which float32 counts exactly. What
does not fit is cut into pieces that do. LiteRT has no shift and no division of int64: a shift takes the two halves of the words, a division
estimates in float32 and corrects. Words of 32 bits (uint32) multiply, shift and XOR as they are; their sums are those of int32, which wrap
in LiteRT and TFLM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

import numpy as np

from edgeff.formats.tflite.container import Subgraph
from edgeff.formats.tflite.tensors import DTYPES
from edgeff.ir import Array

INT32, INT64, WORD = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1), (0, 2**32 - 1)
RANGES: Mapping[str, tuple[float, float]] = {
    "bool": (0, 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": INT32,
    "int64": INT64,
    "uint32": WORD,
    "float32": (-inf, inf),
}
EXACT = 1 << 24
"""float32 holds every integer of at most this size."""
FLOAT_BITS = 22
"""By how many bits an estimate of a quotient in float32 is right: three roundings of 2**-24."""
MAX_PIECES = 4
"""How many products of matrices are added up before the wider one is cut into bytes instead."""
_FOLDED: Mapping[str, Any] = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "MINIMUM": np.minimum, "MAXIMUM": np.maximum}
"""Operators of constants alone are computed when the file is written."""
SHORT = 64
"""Counters up to here, such as those of the classes, are constants."""
STORED = 16
"""Constants of more elements are stored in the narrowest type that holds them."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of a subgraph, or a constant that becomes one in the type in which it is used.

    ``dtype`` is that of the tensor; integers but words are exact numbers from ``low`` to ``high``, whatever their tensor's type.
    """

    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float
    index: int = -1
    data: Array | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether it is an integer as a number, not a word of 32 bits."""
        return self.dtype in ("int8", "uint8", "int16", "int32", "int64")

    @property
    def narrow(self) -> bool:
        """Whether int32 holds it."""
        return self.whole and INT32[0] <= self.low and self.high <= INT32[1]

    @property
    def magnitude(self) -> int:
        return int(max(abs(self.low), abs(self.high)))


def known(values: Array) -> Value:
    """A constant."""
    number = int if np.issubdtype(values.dtype, np.integer) else float
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    return Value(values.dtype.name, values.shape, number(low), number(high), data=values)


class Arithmetic:
    """Adds operators to a subgraph. The same operator on the same tensors is one operator. ``place`` begins the names of tensors."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self.place = subgraph.name
        self._same: dict[tuple[Any, ...], Value] = {}

    # ------------------------------------------------------------------ tensors

    def fed(self, index: int, dtype: str, shape: Sequence[int]) -> Value:
        """A tensor that there is."""
        return Value(dtype, tuple(shape), *RANGES[dtype], index)

    def given(self, value: Value, dtype: str) -> int:
        """The tensor of ``dtype`` that leaves the subgraph with a value."""
        return self.index(self.typed(value, dtype))

    def limited(self, value: Value, low: float, high: float) -> Value:
        """An integer that is known to be from ``low`` to ``high``."""
        return replace(value, low=max(value.low, low), high=min(value.high, high))

    def index(self, value: Value) -> int:
        """The tensor of a value; a large constant is stored in the narrowest type that holds it."""
        if value.data is None:
            return value.index
        stored = _narrowest(value.data) if value.size > STORED else value.data
        if stored.dtype == value.data.dtype:
            return self.subgraph.constant(stored)
        made = Value(stored.dtype.name, value.shape, value.low, value.high, self.subgraph.constant(stored))
        return self.typed(made, value.dtype).index

    def operator(
        self, op: str, inputs: Sequence[Value], dtype: str, shape: Sequence[int], low: float, high: float, **options: Any
    ) -> Value:
        """The output of an operator: of ``dtype`` and ``shape``, from ``low`` to ``high``."""
        indices = tuple(self.index(value) for value in inputs)
        key = op, indices, dtype, tuple(shape), str(options)
        if key not in self._same:
            output = self.subgraph.tensor(f"{self.place}/{op}_{len(self.subgraph.operators)}", dtype, shape)
            self.subgraph.operator(op, indices, [output], version=2 if op == "BROADCAST_TO" else 1, **options)
            self._same[key] = Value(dtype, tuple(shape), low, high, output)
        made = self._same[key]
        return replace(made, low=max(made.low, low), high=min(made.high, high))

    def typed(self, value: Value, dtype: str) -> Value:
        """The same numbers in a tensor of ``dtype``; words and int64 are cut to the low bits, floats towards zero."""
        if value.dtype == dtype:
            return value
        low, high = RANGES[dtype]
        fits = dtype == "float32" or low <= value.low <= value.high <= high
        ends = (value.low, value.high) if fits else (low, high)
        if value.data is not None:
            return Value(dtype, value.shape, *ends, data=value.data.astype(dtype))
        types = {"inDataType": DTYPES[value.dtype], "outDataType": DTYPES[dtype]}
        return self.operator("CAST", [value], dtype, value.shape, *ends, **types)

    def number(self, value: Value) -> Value:
        """A word or a truth value as an integer."""
        return value if value.whole else self.typed(value, "int64" if value.dtype == "uint32" else "int32")

    def working(self, value: Value) -> Value:
        """An integer as int32 if that holds it, else as int64: the types that operators take."""
        return self.typed(value, "int32" if value.narrow else "int64")

    def alike(self, *values: Value) -> list[Value]:
        """Values in one type: that of all, or for integers int32 or int64."""
        if not values[0].whole:
            return list(values)
        dtype = "int32" if all(value.narrow for value in values) else "int64"
        return [self.typed(value, dtype) for value in values]

    # ------------------------------------------------------------------ element by element

    def elementwise(self, op: str, a: Value, b: Value, low: float, high: float, **options: Any) -> Value:
        """An operator of two operands, computed in a type that holds both and the result."""
        if a.data is not None and b.data is not None and a.whole and op in _FOLDED:
            return known(_FOLDED[op](a.data.astype(np.int64), b.data.astype(np.int64)))
        low, high = max(low, INT64[0]), min(high, INT64[1])
        dtype = a.dtype
        if a.whole:
            result = Value("int64", (), low, high)
            dtype = "int32" if a.narrow and b.narrow and result.narrow else "int64"
        operands = [self.typed(value, dtype) for value in (a, b)]
        return self._narrowed(self.operator(op, operands, dtype, np.broadcast_shapes(a.shape, b.shape), low, high, **options))

    def _narrowed(self, value: Value) -> Value:
        return self.typed(value, "int32") if value.dtype == "int64" and value.narrow else value

    def add(self, a: Value, b: Value) -> Value:
        if a.dtype == "uint32":
            signed, shape = [self.typed(value, "int32") for value in (a, b)], np.broadcast_shapes(a.shape, b.shape)
            return self.typed(self.operator("ADD", signed, "int32", shape, *INT32), "uint32")
        return self.elementwise("ADD", a, b, a.low + b.low, a.high + b.high)

    def subtract(self, a: Value, b: Value) -> Value:
        if a.dtype == "uint32":
            return self.typed(self.subtract(self.number(a), self.number(b)), "uint32")
        return self.elementwise("SUB", a, b, a.low - b.high, a.high - b.low)

    def multiply(self, a: Value, b: Value) -> Value:
        if not a.whole:
            return self.elementwise("MUL", a, b, *RANGES[a.dtype])
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        low = 0 if a is b or (a.index == b.index and a.data is None and b.data is None) else min(ends)
        return self.elementwise("MUL", a, b, low, max(ends))

    def times(self, value: Value, factor: int) -> Value:
        return value if factor == 1 else self.multiply(value, known(np.array(factor)))

    def plus(self, value: Value, term: int) -> Value:
        return self.add(value, known(np.array(term)))

    def minimum(self, a: Value, b: Value) -> Value:
        return self.elementwise("MINIMUM", a, b, min(a.low, b.low), min(a.high, b.high))

    def maximum(self, a: Value, b: Value) -> Value:
        return self.elementwise("MAXIMUM", a, b, max(a.low, b.low), max(a.high, b.high))

    def clip(self, v: Value, low: Value, high: Value) -> Value:
        """Values within the constants ``low`` .. ``high``."""
        if v.dtype == "uint32":
            return self.typed(self.clip(self.number(v), self.number(low), self.number(high)), "uint32")
        raised = v if v.low >= low.low else self.maximum(v, low)
        return raised if raised.high <= high.high else self.minimum(raised, high)

    def compare(self, op: str, a: Value, b: Value) -> Value:
        a, b = (self.number(value) if value.dtype == "uint32" else value for value in (a, b))
        a, b = self.alike(a, b)
        return self.operator(op, [a, b], "bool", np.broadcast_shapes(a.shape, b.shape), 0, 1)

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        a, b = self.alike(a, b)
        shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
        return self.operator("SELECT_V2", [condition, a, b], a.dtype, shape, min(a.low, b.low), max(a.high, b.high))

    # ------------------------------------------------------------------ shifts and bits

    def shift_right(self, v: Value, count: Value) -> Value:
        """Integers divided by 2**count, rounded downwards; a count that is computed is from 0 to 31."""
        if count.data is None:
            count = replace(count, low=max(count.low, 0), high=min(count.high, 31))
        ends = [int(end) >> int(places) for end in (v.low, v.high) for places in (count.low, count.high)]
        low, high, shape = min(ends), max(ends), np.broadcast_shapes(v.shape, count.shape)
        if v.narrow:
            places = self.minimum(count, known(np.array(31))) if count.high > 31 else count
            return self.operator("RIGHT_SHIFT", [self.typed(v, "int32"), self.typed(places, "int32")], "int32", shape, low, high)
        halves = self.operator("BITCAST", [self.typed(v, "int64")], "int32", (*v.shape, 2), *INT32)
        top, bottom = (self.gather(halves, known(np.array(half, np.int32)), len(v.shape)) for half in (1, 0))
        top = replace(top, low=int(v.low) >> 32, high=int(v.high) >> 32)
        if count.low == count.high and count.low >= 32:
            made = self.shift_right(top, known(np.array(int(count.low) - 32)))
            return replace(made, low=low, high=high)
        places = self.typed(self.typed(count, "int32"), "uint32")
        lower = self.number(
            self.operator("RIGHT_SHIFT", [self.typed(bottom, "uint32"), places], "uint32", shape, 0, WORD[1] >> int(count.low))
        )
        lower = self._narrowed(replace(lower, low=0, high=WORD[1] >> int(count.low)))
        upper = self.multiply(top, self.power_of_two(self.subtract(known(np.array(32)), count)))
        made = self.add(upper, lower)
        return self._narrowed(replace(made, low=max(made.low, low), high=min(made.high, high)))

    def power_of_two(self, count: Value) -> Value:
        """2**count for counts from 0 to 62."""
        if count.data is not None:
            return known(np.int64(1) << count.data.astype(np.int64))
        count = replace(count, low=max(count.low, 0), high=min(count.high, 62))
        powers = known(np.int64(1) << np.arange(int(count.high) + 1, dtype=np.int64))
        made = self.gather(powers, self.typed(count, "int32"), 0)
        return replace(made, low=1 << int(count.low), high=1 << int(count.high))

    def low_bits(self, v: Value, count: int) -> Value:
        """The lowest bits of integers or words, as numbers >= 0."""
        places = known(np.array(count))
        if v.dtype == "uint32":
            return self.xor(v, self.word_product(self.word_shift(v, places), known(np.array(1 << count, np.uint32))))
        made = self.subtract(v, self.times(self.shift_right(v, places), 1 << count))
        return self._narrowed(replace(made, low=0, high=(1 << count) - 1))

    def bits_of(self, v: Value, mask: int) -> Value:
        """The bits of ``mask``, which are in one run."""
        lowest = (mask & -mask).bit_length() - 1
        if mask + (1 << lowest) & mask:
            raise ValueError(f"mask {mask:#x}")
        if not lowest:
            return self.low_bits(v, mask.bit_length())
        part = self.low_bits(self.shift_right(v, known(np.array(lowest))), mask.bit_length() - lowest)
        return self.times(part, 1 << lowest)

    def xor(self, a: Value, b: Value) -> Value:
        return self.operator("BITWISE_XOR", [a, b], "uint32", np.broadcast_shapes(a.shape, b.shape), *WORD)

    def word_shift(self, v: Value, count: Value) -> Value:
        return self.operator("RIGHT_SHIFT", [v, self.typed(count, "uint32")], "uint32", np.broadcast_shapes(v.shape, count.shape), *WORD)

    def word_product(self, a: Value, b: Value) -> Value:
        return self.operator("MUL", [a, b], "uint32", np.broadcast_shapes(a.shape, b.shape), *WORD)

    # ------------------------------------------------------------------ division and roots of numbers >= 0

    def divide(self, a: Value, b: Value) -> Value:
        """Numbers a >= 0 divided by b >= 1, rounded downwards."""
        a, b = replace(a, low=max(a.low, 0)), replace(b, low=max(b.low, 1))
        low, high = int(a.low) // int(b.high), int(a.high) // int(b.low)
        if b.low == b.high and int(b.low).bit_count() == 1:
            return self.shift_right(a, known(np.array(int(b.low).bit_length() - 1)))
        if a.narrow and b.narrow:
            return self.elementwise("DIV", a, b, low, high)
        divisor, quotient, rest = self.typed(b, "float32"), known(np.array(0)), a
        for _ in range(high.bit_length() // FLOAT_BITS + 1):
            estimate = self.typed(self.elementwise("DIV", self.typed(rest, "float32"), divisor, -inf, inf), "int64")
            quotient, rest = self.add(quotient, estimate), self.subtract(rest, self.multiply(estimate, b))
        below, above = (self.compare(op, rest, end) for op, end in (("LESS", known(np.array(0))), ("GREATER_EQUAL", b)))
        exact = self.add(quotient, self.subtract(self.number(above), self.number(below)))
        return self._narrowed(replace(exact, low=low, high=high))

    def remainder(self, a: Value, b: Value) -> Value:
        """Numbers a >= 0 modulo b >= 1."""
        if a.dtype == "uint32":
            return self.typed(self.remainder(self.number(a), self.number(b)), "uint32")
        return self.elementwise("FLOOR_MOD", a, b, 0, min(a.high, b.high - 1))

    def integer_root(self, v: Value) -> Value:
        """The integer square root of numbers from 0 to 2**52: one step of Newton's from that in float32, then at most one off."""
        v = replace(v, low=max(v.low, 0), high=min(v.high, 1 << 52))
        root = self.operator("SQRT", [self.typed(v, "float32")], "float32", v.shape, 0, inf)
        start = replace(self.typed(root, "int64"), low=0, high=(1 << 26) + 16)
        slope = self.maximum(self.add(root, root), known(np.array(1, np.float32)))
        rest = self.subtract(v, self.multiply(start, start))
        change = self.typed(self.elementwise("DIV", self.typed(rest, "float32"), slope, -inf, inf), "int64")
        near = replace(self.add(start, replace(change, low=-32, high=32)), low=0, high=(1 << 26) + 2)
        near = self.subtract(near, self.number(self.compare("GREATER", self.multiply(near, near), v)))
        above = self.plus(near, 1)
        near = self.add(near, self.number(self.compare("LESS_EQUAL", self.multiply(above, above), v)))
        return self._narrowed(replace(near, low=0, high=1 << 26))

    # ------------------------------------------------------------------ shapes

    def reshape(self, v: Value, shape: Sequence[int]) -> Value:
        sizes = tuple(shape)
        if v.data is not None:
            return replace(v, shape=sizes, data=v.data.reshape(sizes))
        return v if sizes == v.shape else self.operator("RESHAPE", [v, _list(sizes)], v.dtype, sizes, v.low, v.high, newShape=sizes)

    def gather(self, v: Value, indices: Value, axis: int) -> Value:
        """The elements at ``indices`` (int32) along an axis."""
        shape = (*v.shape[:axis], *indices.shape, *v.shape[axis + 1 :])
        return self.operator("GATHER", [v, indices], v.dtype, shape, v.low, v.high, axis=axis)

    def part(self, v: Value, starts: Sequence[int], sizes: Sequence[int]) -> Value:
        """A run along each axis."""
        return self.operator("SLICE", [v, _list(starts), _list(sizes)], v.dtype, sizes, v.low, v.high)

    def strided(self, v: Value, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Value:
        """Every so many elements along each axis."""
        ranges = (range(*slice(*ends).indices(size)) for *ends, size in zip(starts, ends, steps, v.shape, strict=True))
        lists = [_list(values) for values in (starts, ends, steps)]
        return self.operator("STRIDED_SLICE", [v, *lists], v.dtype, [len(run) for run in ranges], v.low, v.high)

    def counter(self, count: int) -> Value:
        """0 .. count - 1; long ones are made in the graph: as constants they would rival the weights in size."""
        if count <= SHORT:
            return known(np.arange(count, dtype=np.int32))
        ends = [known(np.array(value, np.int32)) for value in (0, count, 1)]
        return self.operator("RANGE", ends, "int32", (count,), 0, count - 1)

    def transposed(self, v: Value, order: Sequence[int]) -> Value:
        """The axes in another order."""
        return self.operator("TRANSPOSE", [v, _list(order)], v.dtype, [v.shape[axis] for axis in order], v.low, v.high)

    def expanded(self, v: Value, shape: Sequence[int]) -> Value:
        """The values repeated to a shape."""
        v = self.working(v) if v.whole else v
        return self.operator("BROADCAST_TO", [v, _list(shape)], v.dtype, shape, v.low, v.high)

    def joined(self, parts: Sequence[Value], axis: int) -> Value:
        """The parts one after the other along an axis."""
        every = self.alike(*parts)
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        low, high = min(part.low for part in every), max(part.high for part in every)
        return self.operator("CONCATENATION", every, every[0].dtype, shape, low, high, axis=axis)

    def largest(self, v: Value, axes: Sequence[int]) -> Value:
        """The largest over axes, which are gone."""
        v = self.working(v) if v.whole else v
        shape = [size for axis, size in enumerate(v.shape) if axis not in axes]
        return self.operator("REDUCE_MAX", [v, _list(axes)], v.dtype, shape, v.low, v.high, keepDims=False)

    def best(self, v: Value) -> Value:
        """The index of the first largest value of a vector, in a vector."""
        v = self.typed(v, "int32") if v.narrow else v
        return self.reshape(self.operator("ARG_MAX", [v, _list([0])], "int32", (), 0, v.size - 1, outputType=2), (1,))

    def total(self, v: Value, axes: Sequence[int]) -> Value:
        """The sums over axes, which are gone."""
        count = prod(v.shape[axis] for axis in axes)
        shape = [size for axis, size in enumerate(v.shape) if axis not in axes]
        low, high = v.low * count, v.high * count
        dtype = v.dtype if not v.whole else "int32" if Value("int64", (), low, high).narrow else "int64"
        return self._narrowed(self.operator("SUM", [self.typed(v, dtype), _list(axes)], dtype, shape, low, high, keepDims=False))

    # ------------------------------------------------------------------ products of matrices

    def product(self, a: Value, b: Value) -> Value:
        """The product of matrices, or of stacks of them. Integers are exact."""
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        if not a.whole:
            return self.operator("BATCH_MATMUL", [a, b], a.dtype, shape, -inf, inf)
        terms, largest = a.shape[-1], max(a.magnitude * b.magnitude, 1)
        if terms * largest <= EXACT:
            made = self.product(self.typed(a, "float32"), self.typed(b, "float32"))
            return replace(self.typed(made, "int32"), low=-terms * largest, high=terms * largest)
        piece = EXACT // largest
        if piece and (-(-terms // piece) <= MAX_PIECES or max(a.magnitude, b.magnitude) <= 1 << 8):
            starts = range(0, terms, piece)
            every = [self.product(*self._terms(a, b, start, min(piece, terms - start))) for start in starts]
            return self._sum(every)
        if a.magnitude >= b.magnitude:
            upper, lower = self._bytes(a)
            pieces = self.times(self.product(upper, b), 1 << 8), self.product(lower, b)
        else:
            upper, lower = self._bytes(b)
            pieces = self.times(self.product(a, upper), 1 << 8), self.product(a, lower)
        made = self._sum(pieces)
        return self._narrowed(replace(made, low=max(made.low, -terms * largest), high=min(made.high, terms * largest)))

    def _terms(self, a: Value, b: Value, start: int, count: int) -> tuple[Value, Value]:
        """Columns of a and rows of b."""
        first = [0] * len(a.shape), [0] * len(b.shape)
        sizes = list(a.shape), list(b.shape)
        first[0][-1] = first[1][-2] = start
        sizes[0][-1] = sizes[1][-2] = count
        return self.part(a, first[0], sizes[0]), self.part(b, first[1], sizes[1])

    def _bytes(self, v: Value) -> tuple[Value, Value]:
        """An integer without its lowest byte, and that byte."""
        upper = self.shift_right(v, known(np.array(8)))
        return upper, self.low_bits(v, 8)

    def _sum(self, values: Sequence[Value]) -> Value:
        total = values[0]
        for value in values[1:]:
            total = self.add(total, value)
        return total


def _narrowest(values: Array) -> Array:
    """Integers, and floats that are integers, in the smallest type from which they come back."""
    for dtype in ("int8", "int16", "int32"):
        if np.dtype(dtype).itemsize < values.itemsize and values.astype(dtype).astype(values.dtype).tobytes() == values.tobytes():
            return values.astype(dtype)
    return values


def _list(values: Sequence[int]) -> Value:
    return known(np.array(values, np.int32))
