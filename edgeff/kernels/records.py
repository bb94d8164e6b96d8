"""Records of kernel parameters: frozen dataclasses that are small C structs, each range stated once.

A field is an ``int`` (C ``int32_t``, or ``uint32_t`` with ``Key``) or a ``float``, with its range as ``Annotated[int, Range(low, high)]``,
or another record (in C a struct within the struct). A record refuses a value outside its range when it is created, so a call that breaks
a kernel's promise cannot exist; the generated header prints the same ranges, and the tests draw from them. A kernel's C takes a pointer
to the struct, its twin the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, get_args, get_origin, get_type_hints

from edgeff.errors import EdgeffError
from edgeff.ir import Parameters
from edgeff.kernels.activation import ACTIVATIONS

LARGEST_FLOAT = 3.4028234e38
LARGEST_INT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Range:
    """The values from ``low`` to ``high``, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.high in (LARGEST_INT, LARGEST_FLOAT) and self.low not in (-self.high, -self.high - 1):
            return f"{self.low:g} or more"
        return f"{self.low:,} to {self.high:,}" if isinstance(self.low, int) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Marks an ``int`` that is ``uint32_t`` in C."""


ANY_INT = Range(-(2**31), LARGEST_INT)
ANY_LONG = Range(-(2**63), 2**63 - 1)
ANY_UNSIGNED = Range(0, 2**32 - 1)
ANY_FLOAT = Range(-LARGEST_FLOAT, LARGEST_FLOAT)

Size = Annotated[int, Range(1, LARGEST_INT)]
Count = Annotated[int, Range(0, LARGEST_INT)]
Flag = Annotated[int, Range(0, 1)]
Key = Annotated[int, Unsigned()]
Multiplier = Annotated[int, Range(0, LARGEST_INT)]
Shift = Annotated[int, Range(-31, 30)]
Zero = Annotated[int, Range(-128, 127)]
StepI16 = Annotated[int, Range(-32768, 32767)]
Relu = Annotated[int, Range(0, max(function.code for function in ACTIVATIONS.values()))]


@dataclass(frozen=True, slots=True)
class Field:
    """One number: its name, its C type and its range; or one record, of the class ``record``."""

    name: str
    ctype: str
    range: Range
    record: type[Record] | None = None

    def check(self, value: object, where: str) -> None:
        """Returns nothing; raises EdgeffError, naming the field, for a value of another type or out of range."""
        if self.record is not None:
            if not isinstance(value, self.record):
                raise EdgeffError(f"{where}, {self.name}", got=type(value).__name__, allowed=self.record.__name__)
            return
        numbers = (int, float) if self.ctype == "float" else (int,)
        if not isinstance(value, numbers) or value not in self.range:
            kind = "a float32" if self.ctype == "float" else "an integer"
            raise EdgeffError(f"{where}, {self.name}", got=repr(value), allowed=f"{kind}, {self.range}")


def field_of(name: str, annotation: object) -> Field:
    """The field that a record, an annotated ``int`` or a ``float`` declares."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return Field(name, annotation.ctype(), ANY_INT, annotation)
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    base = get_args(annotation)[0] if marks else annotation
    unsigned = any(isinstance(mark, Unsigned) for mark in marks)
    ctype = "float" if base is float else "uint32_t" if unsigned else "int32_t"
    whole = {"float": ANY_FLOAT, "uint32_t": ANY_UNSIGNED, "int32_t": ANY_INT}[ctype]
    return Field(name, ctype, next((mark for mark in marks if isinstance(mark, Range)), whole))


class Record(Parameters):
    """Base of the records; a subclass is a frozen dataclass with slots, and its C struct is ``eff_<name in snake case>``."""

    __slots__ = ()
    _NAME: ClassVar[re.Pattern[str]] = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            field.check(getattr(self, field.name), self.ctype())

    @classmethod
    def ctype(cls) -> str:
        """The name of the C struct."""
        return "eff_" + cls._NAME.sub("_", cls.__name__).lower()

    def values(self) -> Mapping[str, int | float | Record]:
        """The fields' values by name, in the struct's order."""
        return {field.name: getattr(self, field.name) for field in fields_of(type(self))}


_FIELDS: dict[type[Record], tuple[Field, ...]] = {}


def fields_of(record: type[Record]) -> tuple[Field, ...]:
    """The fields of a record, in the struct's order."""
    if record not in _FIELDS:
        hints = get_type_hints(record, include_extras=True)
        _FIELDS[record] = tuple(field_of(item.name, hints[item.name]) for item in fields(record))  # type: ignore[arg-type]  # a dataclass
    return _FIELDS[record]


@dataclass(frozen=True, slots=True)
class Matrix(Record):
    """A matrix [n_out][n_in], row by row."""

    n_out: Size
    n_in: Size


@dataclass(frozen=True, slots=True)
class Window(Record):
    """Windows over an image [in_h][in_w][in_c], giving [out_h][out_w][out_c]. Taps outside the image are ignored.

    ``pad_h`` and ``pad_w`` are the rows above and the columns left of the image. Channels are split into ``groups`` runs: each run of
    outputs reads its own run of inputs. One group is the ordinary convolution, ``groups == in_c`` one that convolves each channel
    separately.
    """

    in_h: Size
    in_w: Size
    in_c: Size
    out_h: Size
    out_w: Size
    out_c: Size
    k_h: Size
    k_w: Size
    stride_h: Size
    stride_w: Size
    pad_h: Count
    pad_w: Count
    groups: Size = 1


@dataclass(frozen=True, slots=True)
class OutputI8(Record):
    """The output stage of an int8 layer with weights: zero points, the output's limits, and whether scales are per channel."""

    x_zero: Zero
    y_zero: Zero
    y_min: Zero
    y_max: Zero
    per_channel: Flag


@dataclass(frozen=True, slots=True)
class OutputI16(Record):
    """The output stage of a layer of int16 activations and int8 weights: the output's limits, whether scales are per channel, and whether
    the sums are of 64 bits and rescaled by 15 (TFLite's where the bias is int64 or absent) or of 32 and rescaled by 31.
    """

    y_min: StepI16
    y_max: StepI16
    per_channel: Flag
    wide: Flag


@dataclass(frozen=True, slots=True)
class Requant(Record):
    """The factor ``multiplier * 2**(shift - 31)``."""

    multiplier: Multiplier
    shift: Shift


@dataclass(frozen=True, slots=True)
class Rescale(Record):
    """int8 values in another scale: ``(x - x_zero) * multiplier * 2**(shift - 31) + y_zero``, within the limits."""

    multiplier: Multiplier
    shift: Shift
    x_zero: Zero = 0
    y_zero: Zero = 0
    y_min: Zero = -128
    y_max: Zero = 127


@dataclass(frozen=True, slots=True)
class RescaleWide(Record):
    """Values as int16 in another scale: ``(x - x_zero) * multiplier * 2**(shift - 31)``, within the limits; the output's zero is 0."""

    multiplier: Multiplier
    shift: Shift
    x_zero: Zero = 0
    y_min: StepI16 = -32768
    y_max: StepI16 = 32767


@dataclass(frozen=True, slots=True)
class Sides(Record):
    """Two tensors brought to a common scale: each side's zero point and factor."""

    a_multiplier: Multiplier
    a_shift: Shift
    c_multiplier: Multiplier
    c_shift: Shift
    a_zero: Zero = 0
    c_zero: Zero = 0


@dataclass(frozen=True, slots=True)
class Step(Record):
    """The step of integer weights: the gain's factor, the rounding (stochastic by the stream ``key``, or to nearest), the input's zero."""

    multiplier: Multiplier
    shift: Shift
    stochastic: Flag
    key: Key
    a_zero: Zero = 0


@dataclass(frozen=True, slots=True)
class Squares(Record):
    """A sum of squares of ``h - h_zero``, times ``multiplier * 2**(shift - 31)``."""

    multiplier: Multiplier
    shift: Shift
    h_zero: Zero = 0


@dataclass(frozen=True, slots=True)
class Broadcast(Record):
    """An output of n0 x n1 x n2 x n3 elements from two tensors: how many elements further each side is at the next place along each axis.

    0 where a side is of length 1: its element serves every place.
    """

    n0: Size
    n1: Size
    n2: Size
    n3: Size
    a0: Count
    a1: Count
    a2: Count
    a3: Count
    c0: Count
    c1: Count
    c2: Count
    c3: Count
