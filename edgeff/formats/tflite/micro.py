"""The arithmetic of ``ranged`` from the operators that TFLite Micro has: int32 and float32, no int64, no shifts, no XOR.

- An integer beyond int32 is several: ``Wide`` parts of 12 bits each, so that columns of a product of two stay within int32. Carries are
  taken where a result is cut: by a shift, a clip, or because its range says that int32 holds it. int32 wraps, so what is cut may be
  computed modulo 2**32.
- A word of 32 bits is an int32 tensor with the same bits. XOR is on its bits, one element each; a product of matrices joins them again.
- A shift is a division, of numbers made >= 0 first. Tables, sums, largest and transposed values go through float32, which holds 24 bits.

Refused: integer roots, and divisions and remainders of ``Wide``, for which rules that measure a goodness in integers ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.formats.tflite.ranged import EXACT, INT32, INT64, WORD, Arithmetic, Value, known
from edgeff.formats.tflite.tensors import DTYPES
from edgeff.ir import Array

PART_BITS = 12
PART = 1 << PART_BITS
WHOLE_FACTOR = 1 << 17
"""A factor of at most this size is not cut: its products with parts stay within int32."""
COLUMN = 1 << 30
"""The largest sum of products that is left as it is."""
TOP = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Wide(Value):
    """An integer that int32 need not hold: the sum of parts[i] * 2**(12 i), each part of any int32 value."""

    parts: tuple[Value, ...] = ()


class MicroArithmetic(Arithmetic):
    """Adds operators that TFLite Micro's Python interpreter resolves. Raises Unsupported for what it has none for."""

    # ------------------------------------------------------------------ tensors

    def operator(
        self, op: str, inputs: Sequence[Value], dtype: str, shape: Sequence[int], low: float, high: float, **options: Any
    ) -> Value:
        if dtype == "int64":
            raise self._refused(f"{op} of integers beyond int32")
        if dtype != "uint32":
            return super().operator(op, inputs, dtype, shape, low, high, **options)
        made = super().operator(op, inputs, "int32", shape, *INT32, **options)
        return replace(made, dtype="uint32", low=WORD[0], high=WORD[1])

    def index(self, value: Value) -> int:
        if value.data is not None and value.dtype in ("uint32", "int64"):
            value = replace(value, dtype="int32", data=_modulo(value.data))
        return super().index(value)

    def fed(self, index: int, dtype: str, shape: Sequence[int]) -> Value:
        value = super().fed(index, dtype, shape)
        return self._word(super().typed(value, "int32")) if dtype == "uint32" else value

    def given(self, value: Value, dtype: str) -> int:
        if dtype != "uint32":
            return super().given(value, dtype)
        return self.index(self._cast_word(self.typed(value, dtype)))

    def limited(self, value: Value, low: float, high: float) -> Value:
        value = super().limited(value, low, high)
        return self._made(value.parts, value.low, value.high, value.shape) if isinstance(value, Wide) else value

    def typed(self, value: Value, dtype: str) -> Value:
        if dtype == "int64":
            return self.number(value)
        if isinstance(value, Wide):
            if dtype == "float32":
                raise self._refused("a float32 of an integer beyond int32")
            value = self._together(value.parts)
        if value.data is not None and dtype != "float32":
            whole = value.data if dtype in ("int8", "int16", "bool") else _modulo(value.data)
            return replace(known(whole.astype(dtype)), shape=value.shape)
        if value.data is not None:
            return super().typed(value, dtype)
        if dtype == "uint32":
            return self._word(super().typed(value, "int32")) if value.dtype != dtype else value
        if value.dtype == "uint32" and dtype == "int32":
            return replace(value, dtype=dtype, low=value.low if value.high < TOP else INT32[0], high=min(value.high, INT32[1]))
        return super().typed(self._cast_word(value) if value.dtype == "uint32" else value, dtype)

    def number(self, value: Value) -> Value:
        if value.data is not None:
            return known(value.data.astype(np.int64))
        if value.whole or value.dtype != "uint32":
            return value if value.whole else super().number(value)
        if value.high < TOP:
            return self.typed(value, "int32")
        signed = self.typed(value, "int32")
        upper = self._floor(signed, PART_BITS)
        lower = self._rest(signed, upper, PART_BITS)
        upper = self.add(upper, self.times(self.number(self.compare("LESS", signed, known(np.array(0)))), 1 << (32 - PART_BITS)))
        return self._made([lower, replace(upper, low=0, high=(1 << (32 - PART_BITS)) - 1)], *WORD, value.shape)

    def working(self, value: Value) -> Value:
        return value if isinstance(value, Wide) else self.typed(value, "int32")

    def alike(self, *values: Value) -> list[Value]:
        return [self.working(value) for value in values] if values[0].whole else list(values)

    def _word(self, value: Value) -> Value:
        return replace(value, dtype="uint32", low=WORD[0], high=WORD[1])

    def _cast_word(self, word: Value) -> Value:
        """A word in a tensor that says so."""
        types = {"inDataType": DTYPES["int32"], "outDataType": DTYPES["uint32"]}
        return super().operator("CAST", [self.typed(word, "int32")], "uint32", word.shape, *WORD, **types)

    # ------------------------------------------------------------------ parts

    def _parts(self, value: Value) -> list[Value]:
        if isinstance(value, Wide):
            return list(value.parts)
        if value.data is None or value.narrow:
            return [self.typed(value, "int32")]
        return [known(part) for part in _cut(value.data.astype(np.int64))]

    def _normal(self, value: Value) -> list[Value]:
        """The parts, each of at most 12 bits and a sign."""
        if value.data is not None:
            return [known(part) for part in _cut(value.data.astype(np.int64))]
        parts, done, carry = self._parts(value), list[Value](), None
        while parts or carry is not None:
            part = parts.pop(0) if parts else known(np.array(0))
            part = part if carry is None else self.add(part, carry)
            carry = None
            if part.magnitude >= PART:
                carry = self.elementwise("DIV", part, known(np.array(PART)), _towards_zero(part.low), _towards_zero(part.high))
                rest = self._wrapping("SUB", part, self._wrapping("MUL", carry, known(np.array(PART))))
                part = replace(rest, low=0 if part.low >= 0 else 1 - PART, high=PART - 1)
            done.append(part)
        return done

    def _made(self, parts: Sequence[Value], low: float, high: float, shape: tuple[int, ...]) -> Value:
        """The sum of the parts, known to be from ``low`` to ``high``: in int32 if that holds it."""
        low, high = max(low, INT64[0]), min(high, INT64[1])
        if INT32[0] <= low and high <= INT32[1]:
            return replace(self._together(parts), low=low, high=high)
        return Wide("int64", shape, low, high, parts=tuple(parts))

    def _together(self, parts: Sequence[Value]) -> Value:
        """The sum of the parts modulo 2**32."""
        made = parts[0]
        for place, part in enumerate(parts[1:3], 1):
            made = self._wrapping("ADD", made, self._wrapping("MUL", part, known(np.array(1 << place * PART_BITS))))
        return made

    def _wrapping(self, op: str, a: Value, b: Value) -> Value:
        """int32 modulo 2**32."""
        a, b = (self.typed(value, "int32") for value in (a, b))
        if a.data is not None and b.data is not None:
            operation: Callable[[Array, Array], Array] = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}[op]
            return known(_modulo(operation(a.data.astype(np.int64), b.data.astype(np.int64))))
        return self.operator(op, [a, b], "int32", np.broadcast_shapes(a.shape, b.shape), *INT32)

    def _by_part(self, value: Wide, change: Callable[[Value], Value]) -> Value:
        """The parts after the same change of shape."""
        parts = [change(part) for part in value.parts]
        return self._made(parts, value.low, value.high, parts[0].shape)

    # ------------------------------------------------------------------ element by element

    def add(self, a: Value, b: Value) -> Value:
        return self._summed("ADD", a, b, a.low + b.low, a.high + b.high) if a.whole else super().add(a, b)

    def subtract(self, a: Value, b: Value) -> Value:
        if a.dtype == "uint32":
            return self._word(self._wrapping("SUB", a, b))
        return self._summed("SUB", a, b, a.low - b.high, a.high - b.low) if a.whole else super().subtract(a, b)

    def _summed(self, op: str, a: Value, b: Value, low: float, high: float) -> Value:
        narrow = Value("int64", (), low, high).narrow
        if (a.data is not None and b.data is not None) or (a.narrow and b.narrow and narrow):
            return self.elementwise(op, a, b, low, high)
        shape, pair = np.broadcast_shapes(a.shape, b.shape), [self._parts(value) for value in (a, b)]
        if not narrow and any(part.magnitude > COLUMN for parts in pair for part in parts):
            pair = [self._normal(value) for value in (a, b)]
        zero = known(np.array(0))
        parts = []
        for place in range(max(map(len, pair))):
            x, y = (parts[place] if place < len(parts) else zero for parts in pair)
            if place >= len(pair[1]):
                parts.append(x)
            elif narrow:
                parts.append(self._wrapping(op, x, y))
            else:
                parts.append(
                    self.elementwise(op, x, y, *((x.low + y.low, x.high + y.high) if op == "ADD" else (x.low - y.high, x.high - y.low)))
                )
        return self._made(parts, low, high, shape)

    def multiply(self, a: Value, b: Value) -> Value:
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)] if a.whole else [0.0]
        low, high = min(ends), max(ends)
        if not a.whole or (a.data is not None and b.data is not None):
            return super().multiply(a, b)
        if a.narrow and b.narrow and Value("int64", (), low, high).narrow:
            return super().multiply(a, b)
        low = 0 if a is b else low
        if a.magnitude > b.magnitude:
            a, b = b, a
        first = self._parts(a) if a.narrow and a.magnitude <= WHOLE_FACTOR else self._normal(a)
        columns: dict[int, Value] = {}
        for i, x in enumerate(first):
            for j, y in enumerate(self._normal(b)):
                product = self.multiply(x, y)
                columns[i + j] = self.add(columns[i + j], product) if i + j in columns else product
        return self._made([columns[place] for place in sorted(columns)], low, high, np.broadcast_shapes(a.shape, b.shape))

    def minimum(self, a: Value, b: Value) -> Value:
        return super().minimum(a, b) if not a.whole or (a.narrow and b.narrow) else self.where(self.compare("LESS", a, b), a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        return super().maximum(a, b) if not a.whole or (a.narrow and b.narrow) else self.where(self.compare("LESS", a, b), b, a)

    def clip(self, v: Value, low: Value, high: Value) -> Value:
        if not isinstance(v, Wide) or not (low.narrow and high.narrow):
            return super().clip(v, low, high)
        places = 16 if v.low >= -(1 << 47) and v.high < 1 << 47 else 31
        upper, inside = self.shift_right(v, known(np.array(places))), self._together(v.parts)
        for op, end in (("GREATER", INT32[1]), ("LESS", INT32[0])):
            if (v.high > end) if op == "GREATER" else (v.low < end):
                inside = self.where(self.compare(op, upper, known(np.array(end >> places))), known(np.array(end)), inside)
        return super().clip(inside, low, high)

    def compare(self, op: str, a: Value, b: Value) -> Value:
        a, b = (self.number(value) if value.dtype == "uint32" else value for value in (a, b))
        if not a.whole or (a.narrow and b.narrow):
            return super().compare(op, a, b)
        if op == "EQUAL":
            both = [self.compare(each, a, b) for each in ("LESS_EQUAL", "GREATER_EQUAL")]
            return self.operator("LOGICAL_AND", both, "bool", np.broadcast_shapes(a.shape, b.shape), 0, 1)
        difference = self.subtract(a, b) if op in ("LESS", "GREATER_EQUAL") else self.subtract(b, a)
        sign = difference if difference.narrow else self.shift_right(difference, known(np.array(31)))
        return self.compare("LESS" if op in ("LESS", "GREATER") else "GREATER_EQUAL", sign, known(np.array(0)))

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        if not (a.whole or a.dtype == "uint32"):
            return super().where(condition, a, b)
        chosen, pair = self.number(condition), [self._parts(value) for value in (a, b)]
        zero, parts = known(np.array(0)), []
        for place in range(max(map(len, pair))):
            x, y = (parts_[place] if place < len(parts_) else zero for parts_ in pair)
            made = self._wrapping("ADD", y, self._wrapping("MUL", chosen, self._wrapping("SUB", x, y)))
            parts.append(replace(made, low=min(x.low, y.low), high=max(x.high, y.high)))
        shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
        made = self._made(parts, min(a.low, b.low), max(a.high, b.high), shape) if a.whole else parts[0]
        return self._word(made) if a.dtype == "uint32" else made

    # ------------------------------------------------------------------ shifts and bits

    def shift_right(self, v: Value, count: Value) -> Value:
        if count.data is None:
            count = replace(count, low=max(count.low, 0), high=min(count.high, 31))
        ends = [int(end) >> int(places) for end in (v.low, v.high) for places in (count.low, count.high)]
        low, high, least = min(ends), max(ends), int(count.low)
        if v.narrow and count.high <= 30:
            powers = least if count.low == count.high else self.power_of_two(count)
            return replace(self._floor(v, powers), low=low, high=high)
        if v.narrow and count.low == count.high:
            return self.subtract(known(np.array(0)), self.number(self.compare("LESS", v, known(np.array(0)))))
        if count.data is not None and count.low != count.high:
            return self._shifted_each(v, count.data)
        if count.low != count.high:
            if not least:
                raise self._refused("a shift of integers beyond int32 by a count that is computed")
            return self.shift_right(self.shift_right(v, known(np.array(least))), self.subtract(count, known(np.array(least))))
        parts, carry = self._parts(v), known(np.array(0))
        for _ in range(least // PART_BITS):
            part = self.add(parts.pop(0), carry) if parts else carry
            carry = self._floor(part, PART_BITS)
        places = least % PART_BITS
        first = self._floor(self.add(parts[0], carry) if parts else carry, places)
        result = Value("int64", (), low, high)
        if not result.narrow and len(parts) > 1:
            parts = [parts[0], *self._normal(Wide("int64", v.shape, *INT64, parts=tuple(parts[1:])))]
        upper = known(np.array(1 << (PART_BITS - places)))
        raised = [self._wrapping("MUL", part, upper) if result.narrow else self.multiply(part, upper) for part in parts[1:]]
        if raised:
            first = self._wrapping("ADD", first, raised.pop(0)) if result.narrow else self.add(first, raised.pop(0))
        return self._made([first, *raised], low, high, np.broadcast_shapes(v.shape, count.shape))

    def _shifted_each(self, v: Value, counts: Array) -> Value:
        """Integers divided by powers of two of their own: once for each power."""
        every = np.unique(counts)
        made = self.shift_right(v, known(every[0]))
        for places in every[1:]:
            made = self.where(known(counts == places), self.shift_right(v, known(places)), made)
        return made

    def _floor(self, v: Value, power: int | Value) -> Value:
        """int32 divided by 2**power, or by powers of two up to 2**30, rounded downwards."""
        if power == 0:
            return v
        divisor = known(np.array(1 << power)) if isinstance(power, int) else power
        if v.data is not None and divisor.data is not None:
            return known(v.data.astype(np.int64) // divisor.data)
        ends = [int(end) // int(by) for end in (v.low, v.high) for by in (divisor.low, divisor.high)]
        low, high = min(ends), max(ends)
        if v.low >= 0:
            return self.elementwise("DIV", v, divisor, low, high)
        if v.low >= -COLUMN and v.high < COLUMN and isinstance(power, int):
            raised = self.elementwise("DIV", self.plus(v, COLUMN), divisor, 0, INT32[1] >> power)
            return replace(self.plus(raised, -(COLUMN >> power)), low=low, high=high)
        quotient = self.elementwise("DIV", v, divisor, _towards_zero(v.low, int(divisor.low)), _towards_zero(v.high, int(divisor.low)))
        rest = self._wrapping("SUB", v, self._wrapping("MUL", quotient, divisor))
        made = self.subtract(quotient, self.number(self.compare("LESS", rest, known(np.array(0)))))
        return replace(made, low=low, high=high)

    def _rest(self, v: Value, quotient: Value, power: int) -> Value:
        """What the division by 2**power, rounded downwards, leaves."""
        rest = self._wrapping("SUB", v, self._wrapping("MUL", quotient, known(np.array(1 << power))))
        return replace(rest, low=0, high=(1 << power) - 1)

    def power_of_two(self, count: Value) -> Value:
        if count.data is not None:
            return super().power_of_two(count)
        count = replace(count, low=max(count.low, 0), high=min(count.high, 62))
        made = self.gather(known(np.int64(1) << np.arange(int(count.high) + 1, dtype=np.int64)), self.typed(count, "int32"), 0)
        return self.limited(made, 1 << int(count.low), 1 << int(count.high))

    def low_bits(self, v: Value, count: int) -> Value:
        signed = self.typed(v, "int32")
        if (v.dtype == "uint32" and v.high < TOP) or (v.whole and v.narrow and v.low >= 0):
            signed = replace(signed, low=max(v.low, 0), high=v.high)
        return self._rest(signed, self._floor(signed, count), count)

    def word_shift(self, v: Value, count: Value) -> Value:
        if count.data is None:
            raise self._refused("a shift of words by a count that is computed")
        places = count.data.astype(np.int64)
        shape = np.broadcast_shapes(v.shape, count.shape)
        lower, negative = self._sign_apart(v)
        quotient = self.operator("DIV", [lower, known((1 << np.minimum(places, 30)).astype(np.int32))], "int32", shape, *INT32)
        if count.high > 30:  # 2**31 is no int32
            quotient = self._wrapping("MUL", quotient, known((places < 31).astype(np.int64)))
        raised = self._wrapping("MUL", negative, known(np.int64(1) << (31 - places)))
        return replace(self._word(self._wrapping("ADD", quotient, raised)), high=WORD[1] >> int(count.low))

    def _sign_apart(self, word: Value) -> tuple[Value, Value]:
        """The lower 31 bits of a word, and the highest one."""
        signed = self.typed(word, "int32")
        if word.high < TOP:
            return signed, known(np.zeros(word.shape, np.int64))
        negative = self.number(self.compare("LESS", signed, known(np.array(0))))
        lower = self._wrapping("SUB", signed, self._wrapping("MUL", negative, known(np.array(-TOP))))
        return replace(lower, low=0, high=TOP - 1), negative

    def xor(self, a: Value, b: Value) -> Value:
        shape = np.broadcast_shapes(a.shape, b.shape)
        first, second = self._bits(a), self._bits(b)
        difference = self.subtract(first, second)
        bits = replace(self.multiply(difference, difference), low=0, high=1)
        places = np.zeros((32, 2), np.int64)
        places[:16, 0] = places[16:, 1] = 1 << np.arange(16)
        halves = replace(self.product(bits, known(places)), low=0, high=(1 << 16) - 1)
        lower, upper = (self.part(halves, (0, half), (prod(shape), 1)) for half in (0, 1))
        word = self._wrapping("ADD", lower, self._wrapping("MUL", upper, known(np.array(1 << 16))))
        return self._word(self.reshape(word, shape))

    def _bits(self, word: Value) -> Value:
        """The bits of words, (words, 32), the lowest first."""
        if word.data is not None:
            return known(word.data.reshape(-1, 1).astype(np.int64) >> np.arange(32) & 1)
        lower, negative = (self.reshape(value, (word.size, 1)) for value in self._sign_apart(word))
        pieces = self.elementwise("DIV", lower, known((1 << np.arange(31)).reshape(1, 31)), 0, INT32[1])
        twice = self.times(self.elementwise("DIV", pieces, known(np.array(2)), 0, INT32[1] >> 1), 2)
        return self.joined([replace(self.subtract(pieces, twice), low=0, high=1), negative], 1)

    # ------------------------------------------------------------------ division and roots

    def divide(self, a: Value, b: Value) -> Value:
        power = b.low == b.high and int(b.low).bit_count() == 1
        if not power and not (a.narrow and b.narrow):
            raise self._refused("a division of integers beyond int32")
        return super().divide(a, b)

    def remainder(self, a: Value, b: Value) -> Value:
        a, b = (self.number(value) for value in (a, b))
        if not (a.narrow and b.narrow):
            raise self._refused("a remainder of integers beyond int32")
        rest = self._wrapping("SUB", a, self._wrapping("MUL", self.divide(a, b), b))
        return replace(rest, low=0, high=min(a.high, b.high - 1))

    def integer_root(self, v: Value) -> Value:  # noqa: ARG002 - the base class's
        raise self._refused("an integer root")

    def _refused(self, what: str) -> Unsupported:
        return Unsupported("training graph for TFLite Micro", got=f"{what}, for which it has no operator", next_step="use the C (--to c)")

    # ------------------------------------------------------------------ shapes and sums

    def reshape(self, v: Value, shape: Sequence[int]) -> Value:
        return self._by_part(v, lambda part: self.reshape(part, shape)) if isinstance(v, Wide) else super().reshape(v, shape)

    def part(self, v: Value, starts: Sequence[int], sizes: Sequence[int]) -> Value:
        if isinstance(v, Wide):
            return self._by_part(v, lambda part: self.part(part, starts, sizes))
        return super().part(self.typed(v, "int32") if v.whole else v, starts, sizes)

    def strided(self, v: Value, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Value:
        if isinstance(v, Wide):
            return self._by_part(v, lambda part: self.strided(part, starts, ends, steps))
        return super().strided(self.typed(v, "int32") if v.whole else v, starts, ends, steps)

    def gather(self, v: Value, indices: Value, axis: int) -> Value:
        return self._in_float(v, lambda part: super(MicroArithmetic, self).gather(part, indices, axis))

    def transposed(self, v: Value, order: Sequence[int]) -> Value:
        return self._in_float(v, lambda part: super(MicroArithmetic, self).transposed(part, order))

    def total(self, v: Value, axes: Sequence[int]) -> Value:
        count = prod(v.shape[axis] for axis in axes)
        if not v.whole:
            return super().total(v, axes)
        parts = [v] if v.narrow and v.magnitude * count <= EXACT else self._normal(v)
        if max(part.magnitude for part in parts) * count > EXACT:
            raise self._refused(f"a sum of {count:,} integers")
        totals = []
        for part in parts:
            made = super().total(self.typed(part, "float32"), axes)
            totals.append(replace(self.typed(made, "int32"), low=part.low * count, high=part.high * count))
        return self._made(totals, v.low * count, v.high * count, totals[0].shape)

    def largest(self, v: Value, axes: Sequence[int]) -> Value:
        return self._as_float(v, lambda value: super(MicroArithmetic, self).largest(value, axes))

    def best(self, v: Value) -> Value:
        self._check_float(v)
        return super().best(self.typed(v, "float32") if v.whole else v)

    def counter(self, count: int) -> Value:
        return known(np.arange(count, dtype=np.int32))

    def _in_float(self, v: Value, change: Callable[[Value], Value]) -> Value:
        """Integers moved about as float32, in parts where that does not hold them."""
        if not v.whole:
            return change(v)
        parts = [v] if v.narrow and v.magnitude <= EXACT else self._normal(v)
        moved = [replace(self.typed(change(self.typed(part, "float32")), "int32"), low=part.low, high=part.high) for part in parts]
        return self._made(moved, v.low, v.high, moved[0].shape)

    def _as_float(self, v: Value, change: Callable[[Value], Value]) -> Value:
        self._check_float(v)
        return replace(self.typed(change(self.typed(v, "float32")), "int32"), low=v.low, high=v.high) if v.whole else change(v)

    def _check_float(self, v: Value) -> None:
        if v.whole and v.magnitude > EXACT:
            raise self._refused("the largest of integers beyond 24 bits")


def _modulo(values: Array) -> Array:
    """Integers modulo 2**32 as int32."""
    return np.asarray((values.astype(np.int64) + TOP) % (2 * TOP) - TOP, np.int32)


def _cut(values: Array) -> list[Array]:
    """Integers as parts of 12 bits, the lowest first, the last one with the sign."""
    parts = []
    while values.min() < 1 - PART or values.max() >= PART:
        parts.append(values & (PART - 1))
        values = values >> PART_BITS
    return [*parts, values]


def _towards_zero(end: float, divisor: int = PART) -> int:
    return int(abs(end)) // divisor * (1 if end >= 0 else -1)
