"""Labels written into the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.overlap import Clearance, Overlap
from edgeff.kernels.records import Range, Record, Size, Zero

LabelI32 = Annotated[Array, In("int32_t", "1", low=-1, high="classes - 1")]


def _embed(y: Array, x: Array, label: Array, places: int, classes: int, on: float, off: float, neutral: float) -> None:
    rows = y.reshape(places, -1)
    rows[:, :classes] = neutral if label[0] < 0 else off
    if label[0] >= 0:
        rows[:, label[0]] = on
    rows[:, classes:] = x.reshape(places, -1)


@dataclass(frozen=True, slots=True)
class LabelF32(Record):
    """How a label is written: the number of places, the classes and other entries of each, and the values."""

    places: Size
    classes: Size
    n: Size
    on: float
    off: float
    neutral: float


@dataclass(frozen=True, slots=True)
class LabelI8(Record):
    """How a label is written in int8, already quantised."""

    places: Size
    classes: Size
    n: Size
    on: Zero
    off: Zero
    neutral: Zero


@dataclass(frozen=True, slots=True)
class LabelI16(Record):
    """How a label is written in int16, already quantised."""

    places: Size
    classes: Size
    n: Size
    on: Annotated[int, Range(-32767, 32767)]
    off: Annotated[int, Range(-32767, 32767)]
    neutral: Annotated[int, Range(-32767, 32767)]


def _after_labels(size: int) -> Overlap:
    """At each place the label's entries are written, then each element of x is read and written: x ends up ``places * classes`` higher."""
    return lambda attrs: {("y", "x"): Clearance(below=int(attrs["places"]) * int(attrs["classes"]) * size)}


@kernel(overlap=_after_labels(4))
def eff_embed_label_f32(
    y: Annotated[Array, Out("float", "places", "classes + n")],
    x: Annotated[Array, In("float", "places", "n")],
    label: LabelI32,
    entries: LabelF32,
) -> None:
    """y (places, classes + n) = at each place the label's entries, ``off`` except ``on`` at the label (a negative label: all ``neutral``),
    then x (places, n).
    """
    _embed(y, x, label, entries.places, entries.classes, entries.on, entries.off, entries.neutral)


@kernel(overlap=_after_labels(1))
def eff_embed_label_i8(
    y: Annotated[Array, Out("int8_t", "places", "classes + n")],
    x: Annotated[Array, In("int8_t", "places", "n")],
    label: LabelI32,
    entries: LabelI8,
) -> None:
    """The int8 form; the values are already quantised, and y keeps x's scale."""
    _embed(y, x, label, entries.places, entries.classes, entries.on, entries.off, entries.neutral)


@kernel(overlap=_after_labels(2))
def eff_embed_label_i16(
    y: Annotated[Array, Out("int16_t", "places", "classes + n")],
    x: Annotated[Array, In("int16_t", "places", "n")],
    label: LabelI32,
    entries: LabelI16,
) -> None:
    """The int16 form."""
    _embed(y, x, label, entries.places, entries.classes, entries.on, entries.off, entries.neutral)
