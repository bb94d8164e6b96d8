"""Labels written into the input."""

from __future__ import annotations

from edgeff.ir import Array
from edgeff.kernels import kernel


def _embed(y: Array, x: Array, label: Array, places: int, classes: int, on: float, off: float, neutral: float) -> None:
    rows = y.reshape(places, -1)
    rows[:, :classes] = neutral if label[0] < 0 else off
    if label[0] >= 0:
        rows[:, label[0]] = on
    rows[:, classes:] = x.reshape(places, -1)


@kernel()
def eff_embed_label_f32(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: float, off: float, neutral: float) -> None:
    """y (places, classes + n) = at each place the label's entries, ``off`` but ``on`` at the label (a negative label: all ``neutral``),
    then x (places, n).
    """
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel()
def eff_embed_label_i8(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int8 form; the values are already quantised, and y keeps x's scale."""
    _embed(y, x, label, places, classes, on, off, neutral)


@kernel()
def eff_embed_label_i16(y: Array, x: Array, label: Array, places: int, classes: int, n: int, on: int, off: int, neutral: int) -> None:
    """The int16 form."""
    _embed(y, x, label, places, classes, on, off, neutral)
