"""Mutations of ONNX files that know protobuf.

Of three kinds: fields of the parsed model by its descriptor (dims, types, attributes, names, operators, weights, lists of nodes) serialised
again; the encoding itself (field numbers, wire types, varints, lengths, groups, repeated and nested messages); and bytes anywhere.
"""

from __future__ import annotations

from typing import Any

import onnx
from fuzz_values import Draw
from google.protobuf.descriptor import FieldDescriptor

from edgeff.formats.onnx.nodes import handlers

DEEPER = {"graph": 12, "node": 5, "attribute": 4, "initializer": 3, "opset_import": 1, "metadata_props": 2}
"""How much likelier a field is entered than another."""
NAMES = ("axis", "axes", "perm", "group", "pads", "strides", "kernel_shape", "ceil_mode", "keepdims", "auto_pad", "epsilon", "dilations")
INTEGRAL = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
FLOATING = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
DEEPEST = 200
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5


def mutated(data: bytes, draw: Draw) -> bytes:
    """A damaged copy."""
    way = draw.rng.random()
    if way < 0.55:
        return _fields(data, draw)
    return _encoding(data, draw) if way < 0.85 else draw.bytes_of_a_file(data)


def _fields(data: bytes, draw: Draw) -> bytes:
    model = onnx.load_from_string(data)
    for _ in range(draw.below(3) + 1):
        _change(model, draw, _vocabulary(model))
    return bytes(model.SerializeToString())


def _vocabulary(model: Any) -> list[str]:
    """Names that mean something in this file: tensors, operators, attributes."""
    graph = model.graph
    tensors = [name for node in graph.node for name in (*node.input, *node.output)] + [tensor.name for tensor in graph.initializer]
    return [*tensors, *sorted(handlers()), *NAMES, "", "com.microsoft"]


def _change(message: Any, draw: Draw, words: list[str]) -> None:
    """Goes down from ``message`` at random and changes what it ends at."""
    while True:
        present = message.ListFields()
        fields = [field for field, _ in present]
        if draw.chance(0.06) or not fields:
            fields = list(message.DESCRIPTOR.fields)
        weights = [float(DEEPER.get(field.name, 1)) for field in fields]
        field = fields[int(draw.rng.choice(len(fields), p=[weight / sum(weights) for weight in weights]))]
        value = getattr(message, field.name)
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if field.is_repeated:
                if not len(value) or draw.chance(0.2):
                    _edit(value, draw)
                    return
                message = draw.pick(value)
            elif draw.chance(0.05):
                message.ClearField(field.name)
                return
            else:
                message = value
            continue
        if field.is_repeated:
            _elements(value, field, draw, words)
        else:
            _assign(lambda other, owner=message, name=field.name: setattr(owner, name, other), _other(value, field, draw, words))
        return


def _edit(values: Any, draw: Draw) -> None:
    """A repeated message field with items dropped, repeated, moved or mixed up."""
    edited = draw.edited([type(item).FromString(item.SerializeToString()) for item in values])
    del values[:]
    values.extend(edited)
    if not edited and draw.chance(0.5):
        values.add()


def _elements(values: Any, field: Any, draw: Draw, words: list[str]) -> None:
    if not len(values) or draw.chance(0.3):
        _assign(values.append, _other(values[0] if len(values) else 0, field, draw, words))
    elif draw.chance(0.3):
        del values[draw.below(len(values))]
    else:
        at = draw.below(len(values))
        _assign(lambda other: values.__setitem__(at, other), _other(values[at], field, draw, words))


def _assign(put: Any, value: Any) -> None:
    """Sets a value; one that its field cannot hold leaves it as it was."""
    try:
        put(value)
    except (ValueError, TypeError, OverflowError):
        return


def _other(value: Any, field: Any, draw: Draw, words: list[str]) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return draw.pick([item.number for item in field.enum_type.values])
    if field.cpp_type in INTEGRAL:
        return draw.integer(int(value)) if draw.chance(0.9) else draw.below(25)
    if field.cpp_type in FLOATING:
        return draw.real(float(value))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw.data(bytes(value) if isinstance(value, bytes) else b"")
    return draw.pick(words) if draw.chance(0.6) else draw.text(str(value))


# ---------------------------------------------------------------- the encoding

Field = list[Any]
"""[number, wire type, payload]: an int, bytes, or the fields of a message; a wire type of -1 stands for bytes as they are."""


def varint(value: int, padding: int = 0) -> bytes:
    """``value`` in the wire's base 128, with ``padding`` bytes more than it needs."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def parse(data: bytes, descriptor: Any) -> list[Field]:
    """The fields of a message and, by the descriptor, of the messages in it."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            payload, at = _read_varint(data, at)
            fields.append([number, wire, payload])
            continue
        length = {EIGHT: 8, FOUR: 4}.get(wire)
        if length is None:
            length, at = _read_varint(data, at)
        raw, at = data[at : at + length], at + length
        known = descriptor.fields_by_number.get(number)
        inside = known.message_type if known is not None and wire == LENGTH else None
        fields.append([number, wire, raw if inside is None else parse(raw, inside)])
    return fields


def encode(fields: list[Field]) -> bytes:
    """The inverse of ``parse``."""
    out = bytearray()
    for number, wire, payload in fields:
        if wire == -1:
            out += payload
        elif wire == VARINT and isinstance(payload, int):
            out += varint(number << 3 | wire) + varint(payload)
        else:
            raw = encode(payload) if isinstance(payload, list) else payload
            raw = varint(raw) if isinstance(raw, int) else raw
            out += varint(number << 3 | wire) + (varint(len(raw)) if wire == LENGTH else b"") + raw
    return bytes(out)


def _encoding(data: bytes, draw: Draw) -> bytes:
    top = parse(data, onnx.ModelProto.DESCRIPTOR)
    for _ in range(draw.below(3) + 1):
        fields = top
        while True:
            inside = [payload for _, wire, payload in fields if wire != -1 and isinstance(payload, list) and payload]
            if not inside or draw.chance(0.2):
                break
            sizes = [len(payload) for payload in inside]
            fields = inside[int(draw.rng.choice(len(inside), p=[size / sum(sizes) for size in sizes]))]
        if fields:
            _distort(fields, draw)
    return encode(top)


def _distort(fields: list[Field], draw: Draw) -> None:
    """One field of a message gets another number, type, value, length, place or count."""
    at = draw.below(len(fields))
    number, wire, payload = fields[at]
    if wire == -1:
        return
    raw = encode(payload) if isinstance(payload, list) else varint(payload) if isinstance(payload, int) else payload
    way = draw.below(10)
    if way == 0:
        fields[at] = [draw.pick((0, 1, 2, 3, 5, 8, 15, 16, 20, 100, (1 << 29) - 1)), wire, payload]
    elif way == 1:
        fields[at] = [number, -1, varint(number << 3 | draw.below(8)) + raw]
    elif way == 2:
        fields[at] = [number, VARINT, draw.integer(payload if isinstance(payload, int) else len(raw))]
    elif way == 3:
        fields[at] = [number, -1, varint(number << 3 | VARINT) + varint(draw.integer(1), draw.below(12))]
    elif way == 4:
        length = draw.pick((0, len(raw) + 1, max(len(raw) - 1, 0), len(raw) + 1000, 1 << 31, (1 << 64) - 1))
        fields[at] = [number, -1, varint(number << 3 | LENGTH) + varint(length) + raw]
    elif way == 5:
        del fields[at]
    elif way == 6:
        fields.insert(draw.below(len(fields) + 1), fields[at])
    elif way == 7:
        other = draw.below(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    elif way == 8:
        for _ in range(draw.below(DEEPEST)):
            raw = varint(number << 3 | LENGTH) + varint(len(raw)) + raw
        fields[at] = [number, LENGTH, raw]
    else:
        fields.insert(at, [number, -1, varint(number << 3 | draw.pick((3, 4)))])
