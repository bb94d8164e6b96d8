"""Mutations of TFLite files that know FlatBuffers.

Of three kinds: fields of the unpacked model (shapes, indices, enums, strides, scales, buffers, lists of tensors and operators), packed
again; words that the reader follows (offsets, vtables, lengths, scalars) in place, pointing astray or at each other; and bytes anywhere.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
from fuzz_corpus import packed
from fuzz_values import Draw

from edgeff.errors import EdgeffError
from edgeff.formats import from_tflite
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.schema import names_of, schema

DEEPER = {"subgraphs": 12, "tensors": 3, "operators": 4, "quantization": 4, "builtinOptions": 5, "operatorCodes": 2}
"""How much likelier a field is entered than another."""
ENUMS: dict[str, Any] = {
    "type": schema.TensorType,
    "builtinCode": schema.BuiltinOperator,
    "builtinOptionsType": schema.BuiltinOptions,
    "fusedActivationFunction": schema.ActivationFunctionType,
    "padding": schema.Padding,
    "detailsType": schema.QuantizationDetails,
}


def mutated(data: bytes, draw: Draw) -> bytes:
    """A damaged copy."""
    way = draw.rng.random()
    if way < 0.55:
        return _fields(data, draw)
    return _words(data, draw) if way < 0.85 else draw.bytes_of_a_file(data)


def _fields(data: bytes, draw: Draw) -> bytes:
    """One to three fields changed; what cannot be packed is drawn anew."""
    for _ in range(20):
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        for _ in range(draw.below(3) + 1):
            _change(model, draw)
        try:
            return packed(model)
        except (struct.error, TypeError, ValueError, OverflowError, AttributeError, KeyError):  # a value that its field cannot hold
            continue
    return draw.bytes_of_a_file(data)


def _change(owner: Any, draw: Draw) -> None:
    """Goes down from ``owner`` at random and changes what it ends at."""
    while True:
        fields = [name for name, value in vars(owner).items() if value is not None]
        if not fields:
            return
        weights = np.array([DEEPER.get(name, 1) for name in fields], float)
        name = fields[int(draw.rng.choice(len(fields), p=weights / weights.sum()))]
        value = getattr(owner, name)
        items = isinstance(value, list) and value and hasattr(value[0], "__dict__")
        if items and not draw.chance(0.15):
            owner = draw.pick(value)
        elif hasattr(value, "__dict__") and not isinstance(value, np.ndarray):
            if draw.chance(0.05):
                setattr(owner, name, None)
                return
            owner = value
        else:
            setattr(owner, name, _other(name, value, draw))
            return


def _other(name: str, value: Any, draw: Draw) -> Any:
    if name in ENUMS and draw.chance(0.8):
        return draw.pick(sorted(names_of(ENUMS[name])))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.integer(value)
    if isinstance(value, float):
        return draw.real(value)
    if isinstance(value, bytes):
        return draw.text(value.decode("utf-8", "replace"))
    if isinstance(value, np.ndarray):
        return draw.array(value)
    if isinstance(value, list):
        numbers = bool(value) and isinstance(value[0], int)
        return draw.array(np.array(value, np.int32)).tolist() if numbers else draw.edited(value)
    return None


@functools.lru_cache(maxsize=256)
def places(data: bytes) -> tuple[tuple[int, int], ...]:
    """Where the reader reads numbers and offsets in ``data``: (position, bytes)."""
    found = {(0, 4)}
    read = Table._read

    def recorded(table: Table, form: struct.Struct, position: int) -> Any:
        found.add((position, form.size))
        return read(table, form, position)

    Table._read = recorded  # type: ignore[method-assign, assignment]
    try:
        from_tflite(data)
    except EdgeffError:
        pass
    finally:
        Table._read = read  # type: ignore[method-assign]
    return tuple(sorted(place for place in found if 0 <= place[0] <= len(data) - place[1]))


def _words(data: bytes, draw: Draw) -> bytes:
    """One to three of the words that the reader follows: extreme, a little off, or leading where another one is."""
    copy, known = bytearray(data), places(data)
    for _ in range(draw.below(3) + 1):
        at, size = draw.pick(known)
        old = int.from_bytes(copy[at : at + size], "little")
        elsewhere = draw.pick(known)[0] - at
        value = draw.pick((draw.integer(old), old + 4, old - 4, old + 2, elsewhere, len(data) - at, len(data) - at - 4, 0))
        copy[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return bytes(copy)
