"""How much memory a protobuf message would take once parsed, computed without parsing it.

A few hundred kilobytes of protobuf can unfold into gigabytes of objects. ``check_expansion`` walks the wire format along the message's
descriptor, adds up an upper bound and stops with BadInput as soon as it exceeds the limit. Cost: one step per field, at most half a
million steps. Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from typing import Any

from edgeff.errors import BadInput

LIMIT_BYTES = 1 << 29
FIELD_BYTES = 1000
"""Charged for each field met: more than the parser's object for an empty submessage."""
MAX_DEPTH = 64

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_TYPES = frozenset({3, 4, 5, 8, 13, 14, 17, 18})
_MESSAGE_TYPE = 11


def check_expansion(data: bytes, descriptor: Any, what: str) -> None:
    """Returns nothing; raises BadInput if ``data`` is not a message of ``descriptor`` (a protobuf Descriptor), or one that expands past the
    limit.
    """
    estimate = 0
    pending: list[tuple[Any, int, int, int]] = [(descriptor, 0, len(data), 0)]
    while pending:
        message, position, end, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise BadInput(what, got=f"messages nested deeper than {MAX_DEPTH}", allowed="an ONNX model")
        while position < end:
            key, start = _varint(data, position, end, what)
            position = _end_of_field(data, key & 7, start, end, what)
            estimate += FIELD_BYTES
            field = message.fields_by_number.get(key >> 3)
            if key & 7 == _BYTES and field is not None and field.type == _MESSAGE_TYPE:
                length, inner = _varint(data, start, end, what)
                pending.append((field.message_type, inner, inner + length, depth + 1))
            elif field is not None and field.type in _VARINT_TYPES:
                estimate += 8 * (position - start)  # a packed vector: each byte may be a number of 8 bytes
            else:
                estimate += position - start
            if estimate > LIMIT_BYTES:
                raise BadInput(what, got=f"more than {LIMIT_BYTES} bytes once unpacked", allowed="a smaller model")


def _end_of_field(data: bytes, wire_type: int, start: int, end: int, what: str) -> int:
    if wire_type == _VARINT:
        position = _varint(data, start, end, what)[1]
    elif wire_type == _BYTES:
        length, inner = _varint(data, start, end, what)
        position = inner + length
    elif wire_type in (_FIXED64, _FIXED32):
        position = start + (8 if wire_type == _FIXED64 else 4)
    else:
        raise _garbage(what, start)
    if position > end:
        raise _garbage(what, start)
    return position


def _varint(data: bytes, position: int, end: int, what: str) -> tuple[int, int]:
    """The number that begins at ``position`` and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _garbage(what, position)


def _garbage(what: str, position: int) -> BadInput:
    return BadInput(what, got=f"no protobuf at byte {position}", allowed="an ONNX model", next_step="export or download it again")
