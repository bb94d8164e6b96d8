"""The last step to a TFLite file: the schema's objects packed, with every data buffer on a multiple of 16 bytes.

In go a ModelT without its buffers and the buffers' bytes; out comes the file. The schema's own ``BufferT.Pack`` aligns to 1 byte, though
the schema demands 16 (interpreters on boards read weights in place), hence a class of our own for the buffers.
"""

from __future__ import annotations

from typing import Any

import flatbuffers

from edgeff.formats.tflite import IDENTIFIER
from edgeff.formats.tflite.schema import schema

ALIGNMENT_BYTES = 16


class _Buffer:
    """One entry of ``Model.buffers``; empty bytes make an entry without data."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the name that ModelT.Pack calls)
        vector = None
        if self.data:
            builder.StartVector(1, len(self.data), ALIGNMENT_BYTES)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def pack(model: Any, buffers: list[bytes]) -> bytes:
    """The file of ``model`` (a schema.ModelT whose buffers are still unset) with ``buffers``."""
    model.buffers = [_Buffer(data) for data in buffers]
    builder = flatbuffers.Builder(1024 + sum(len(data) + 64 for data in buffers))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())
