"""Records of comparisons: two executions' results come in, the count and the size of their differences go out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, overload

import numpy as np

from edgeff.errors import CheckFailed
from edgeff.ir import Array


@dataclass(frozen=True, slots=True)
class Comparison:
    """``differing`` of ``elements`` values of execution ``b`` differ from those of ``a``, by at most ``max_difference``.

    Differences are in steps of the integers (LSB), or for floats in the value's own unit; ``allowed`` is the largest one that passes: 0
    means equal to the bit, None that differences are expected, explained in ``note`` and only counted. ``max_difference`` is None if it
    has no finite value.
    """

    a: str
    b: str
    what: str
    elements: int
    differing: int
    max_difference: float | None
    allowed: float | None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is no forbidden difference.

        >>> Comparison("a", "b", "scores", 10, 1, 0.0, 0).ok  # +0.0 and -0.0 are equal numbers, not equal bits
        False
        """
        if self.allowed is None or self.differing == 0:
            return True
        return self.allowed > 0 and self.max_difference is not None and self.max_difference <= self.allowed

    def with_more(self, other: Comparison) -> Comparison:
        """This row and that of further samples as one; both compare the same values of the same executions."""
        sizes = (self.max_difference, other.max_difference)
        return replace(
            self,
            elements=self.elements + other.elements,
            differing=self.differing + other.differing,
            max_difference=None if None in sizes else max(size for size in sizes if size is not None),
            note=self.note or other.note,
        )

    def to_json(self) -> dict[str, Any]:
        """This row as printed by ``edgeff verify --json``."""
        names = ("a", "b", "what", "elements", "differing", "max_difference", "allowed", "note")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Skipped:
    """An execution that did not take part, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verification(Sequence[Comparison]):
    """The comparisons, in order, and the executions that did not take part."""

    comparisons: tuple[Comparison, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no comparison found a forbidden difference."""
        return all(comparison.ok for comparison in self.comparisons)

    def check(self) -> None:
        """Raises CheckFailed with the first forbidden difference and the count of them."""
        failed = [c for c in self.comparisons if not c.ok]
        if failed:
            first = failed[0]
            size = "" if first.max_difference is None else f" by up to {first.max_difference:g}"
            raise CheckFailed(
                f"{len(failed)} of {len(self.comparisons)} comparisons failed; {first.a} against {first.b}, {first.what}",
                got=f"{first.differing:,} of {first.elements:,} differ{size}",
                allowed="none" if first.allowed == 0 else f"up to {first.allowed:g}",
                next_step=first.note,
            )

    def to_json(self) -> dict[str, Any]:
        """``{"ok", "comparisons", "skipped"}`` as printed by ``edgeff verify --json``."""
        skipped = [{"name": item.name, "reason": item.reason} for item in self.skipped]
        return {"ok": self.ok, "comparisons": [c.to_json() for c in self.comparisons], "skipped": skipped}

    @overload
    def __getitem__(self, index: int) -> Comparison: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Comparison, ...]: ...

    def __getitem__(self, index: int | slice) -> Comparison | tuple[Comparison, ...]:
        return self.comparisons[index]

    def __len__(self) -> int:
        return len(self.comparisons)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.comparisons)


def bits(values: Array) -> Array:
    """The values as unsigned integers of their width, so that equality is equality of bits."""
    flat = np.ascontiguousarray(values)
    return flat.view(f"u{flat.dtype.itemsize}")


def largest_difference(x: Array, y: Array) -> float | None:
    """The largest |x - y|: an int for integers, a float for floats; None if some difference is not finite."""
    if np.issubdtype(x.dtype, np.integer):
        return int(np.abs(x.astype(np.int64) - y.astype(np.int64)).max(initial=0))
    with np.errstate(all="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        largest = float(np.where(same, 0.0, np.abs(x.astype(np.float64) - y.astype(np.float64))).max(initial=0.0))
    return largest if np.isfinite(largest) else None


def compare(a: str, b: str, what: str, x: Array, y: Array, allowed: float | None = 0, note: str = "") -> Comparison:
    """The comparison of ``a``'s values x with ``b``'s values y, of the same shape and dtype.

    Values differ if their bits do. Raises CheckFailed if the shapes or dtypes are not the same.
    """
    if x.shape != y.shape or x.dtype != y.dtype:
        raise CheckFailed(f"{a} against {b}, {what}", got=f"{y.dtype} {y.shape}", allowed=f"{x.dtype} {x.shape}")
    differing = int(np.count_nonzero(bits(x) != bits(y)))
    return Comparison(a, b, what, x.size, differing, largest_difference(x, y), allowed, note)


def compare_all(a: str, b: str, what: str, values: Iterable[tuple[str, Array, Array]]) -> Comparison:
    """The comparison of several pairs of arrays (name, a's, b's), to the bit, as one; the note names the first pair that differs."""
    rows = [compare(a, b, what, x, y, note=name) for name, x, y in values]
    named = [replace(row, note=f"first in {row.note}" if row.differing else "") for row in rows]
    return reduce(Comparison.with_more, named, Comparison(a, b, what, 0, 0, 0, 0))
