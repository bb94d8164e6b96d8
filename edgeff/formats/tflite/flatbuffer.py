"""A reader of FlatBuffers that trusts nothing: every offset, length and index is checked against the buffer before it is followed.

In goes a byte string; out come tables, scalars, strings and NumPy views that lie inside it. Field numbers (slots) follow the schema.
Nothing is copied and nothing is read before it is asked for, so a hostile file costs no more than what its reader looks at.
Source: the FlatBuffers binary format (flatbuffers.dev, "FlatBuffer Internals").
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput

MAX_TABLES = 100_000
"""Entries of a vector of tables; the reference models have fewer than 400."""
MAX_STRING_BYTES = 1 << 15
"""Enough for a name of 4,096 characters and what a writer appends to it."""

_I8, _U8, _U16, _I32, _U32, _F32, _U64 = (struct.Struct(f"<{code}") for code in "bBHiIfQ")
FORMATS = {"int8": _I8, "uint8": _U8, "bool": _U8, "int32": _I32, "uint32": _U32, "float32": _F32, "uint64": _U64}


class Table:
    """One table of a FlatBuffer, at ``position`` of ``data``; ``what`` names it in errors."""

    __slots__ = ("_vtable", "_vtable_bytes", "data", "position", "what")

    def __init__(self, data: bytes, position: int, what: str) -> None:
        self.data, self.position, self.what = data, position, what
        self._vtable = position - self._read(_I32, position)
        self._vtable_bytes = self._read(_U16, self._vtable)
        if self._vtable_bytes < 4 or self._vtable + self._vtable_bytes > len(data):
            raise damaged(what, f"a vtable of {self._vtable_bytes} bytes at {self._vtable}")

    def _read(self, form: struct.Struct, position: int) -> Any:
        if not 0 <= position <= len(self.data) - form.size:
            raise damaged(self.what, f"an offset to byte {position} of {len(self.data)}")
        return form.unpack_from(self.data, position)[0]

    def _place(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        offset = self._read(_U16, self._vtable + entry) if entry + 2 <= self._vtable_bytes else 0
        return self.position + offset if offset else None

    def _follow(self, place: int) -> int:
        return place + int(self._read(_U32, place))

    def has(self, slot: int) -> bool:
        """Whether the field is present."""
        return self._place(slot) is not None

    def number(self, slot: int, kind: str, default: float = 0) -> Any:
        """A scalar field as int or float; ``kind`` is a key of FORMATS."""
        place = self._place(slot)
        return default if place is None else self._read(FORMATS[kind], place)

    def table(self, slot: int, what: str) -> Table | None:
        """A table field, None when absent."""
        place = self._place(slot)
        return None if place is None else Table(self.data, self._follow(place), what)

    def _vector(self, slot: int, item_bytes: int) -> tuple[int, int]:
        """Where the items of a vector field begin and how many there are; they lie inside the buffer."""
        place = self._place(slot)
        if place is None:
            return 0, 0
        start = self._follow(place)
        count = int(self._read(_U32, start))
        if count * item_bytes > len(self.data) - start - 4:
            raise damaged(self.what, f"a vector of {count} items at byte {start} of {len(self.data)}")
        return start + 4, count

    def tables(self, slot: int) -> range:
        """The positions of a vector of tables, for ``at``."""
        start, count = self._vector(slot, 4)
        if count > MAX_TABLES:
            raise damaged(self.what, f"a vector of {count} tables (at most {MAX_TABLES})")
        return range(start, start + 4 * count, 4)

    def at(self, place: int, what: str) -> Table:
        """The table that an entry of ``tables`` leads to."""
        return Table(self.data, self._follow(place), what)

    def array(self, slot: int, dtype: str) -> NDArray[Any]:
        """A vector of scalars as a read-only view, empty when absent."""
        form = np.dtype(dtype).newbyteorder("<")
        start, count = self._vector(slot, form.itemsize)
        return np.frombuffer(self.data, form, count, start)

    def string(self, slot: int) -> str:
        """A string field, "" when absent; bytes that are not UTF-8 become backslash escapes."""
        start, count = self._vector(slot, 1)
        if count > MAX_STRING_BYTES:
            raise damaged(self.what, f"a string of {count} bytes (at most {MAX_STRING_BYTES})")
        return self.data[start : start + count].decode("utf-8", "backslashreplace")


def root(data: bytes, what: str) -> Table:
    """The root table of ``data``; raises BadInput if it is too short or its first offset points outside."""
    if len(data) < 8:
        raise damaged(what, f"{len(data)} bytes")
    return Table(data, _U32.unpack_from(data)[0], what)


def damaged(what: str, got: str) -> BadInput:
    """The refusal of a file whose offsets or lengths are invalid."""
    return BadInput(
        f"damaged TFLite file, {what}", got=got, allowed="offsets and lengths inside the file", next_step="export or download it again"
    )
