"""Labels written into the input."""

from __future__ import annotations

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.overlap import Clearance, Overlap


def _embed(y: Array, x: Array, label: Array, places: int, classes: int, on: float, off: float, neutral: float) -> None:
    rows = y.reshape(places, -1)
    rows[:, :classes] = neutral if label[0] < 0 else off
    if label[0] >= 0:
        rows[:, label[0]] = on
    rows[:, classes:] = x.reshape(places, -1)


def _after_labels(size: int) -> Overlap:
    """At each place the label's entries are written, then each element of x is read and written: x ends up ``places * classes`` higher."""
    return lambda attrs: {("y", "x"): Clearance(below=int(attrs["places"]) * int(attrs["classes"]) * size)}


@kernel(overlap=_after_labels(4))
def eff_embed_label_f32(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: float, off: float, neutral: float) -> None:
    """y (places, classes + n) = at each place the label's entries, ``off`` but ``on`` at the label (a negative label: all ``neutral``),
    then x (places, n).
    """
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel(overlap=_after_labels(1))
def eff_embed_label_i8(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int8 form; the values are already quantised, and y keeps x's scale."""
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel(overlap=_after_labels(2))
def eff_embed_label_i16(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int16 form."""
    _embed(y, x, label, places, classes, on, off, neutral)
