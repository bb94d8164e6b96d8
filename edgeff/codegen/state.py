"""What ``eff_save`` writes and ``eff_restore`` takes: binding number, length, the arena's persistent bytes, CRC-32; little-endian."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from edgeff.codegen.binding import binding
from edgeff.ir import Array, MemoryPlan, Program

SAVE_HEADER_BYTES = 16


def saved(program: Program, memory: MemoryPlan, values: Mapping[str, Array]) -> bytes:
    """The bytes that ``eff_save`` writes when the variables and states, by name, are ``values``."""
    persistent = bytearray(memory.saved_bytes)
    for tensor in program.saved:
        first = memory.offsets[tensor.name]
        persistent[first : first + tensor.size_bytes] = values[tensor.name].tobytes()
    text = struct.pack("<QI", binding(program, memory), memory.saved_bytes) + persistent
    return text + struct.pack("<I", zlib.crc32(text))


SAVE_AND_RESTORE = """\
static void eff_put(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; ++i) {
        to[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint32_t eff_crc(const uint8_t *from, size_t n)
{
    uint32_t crc = UINT32_C(0xFFFFFFFF);
    for (size_t i = 0; i < n; ++i) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static void eff_put_header(uint8_t *to)
{
    eff_put(to, EFF_BINDING_LOW);
    eff_put(to + 4, EFF_BINDING_HIGH);
    eff_put(to + 8, EFF_PAYLOAD_BYTES);
}

size_t eff_save(uint8_t *buffer)
{
    eff_put_header(buffer);
    eff_copy(buffer + 12, eff_arena, EFF_PAYLOAD_BYTES);
    eff_put(buffer + 12 + EFF_PAYLOAD_BYTES, eff_crc(buffer, 12u + EFF_PAYLOAD_BYTES));
    return EFF_SAVE_BYTES;
}

int eff_restore(const uint8_t *buffer)
{
    uint8_t expected[12];
    uint8_t difference = 0;
    eff_put_header(expected);
    for (size_t i = 0; i < sizeof expected; ++i) {
        difference |= (uint8_t)(expected[i] ^ buffer[i]);
    }
    eff_put(expected, eff_crc(buffer, 12u + EFF_PAYLOAD_BYTES));
    for (size_t i = 0; i < 4; ++i) {
        difference |= (uint8_t)(expected[i] ^ buffer[12u + EFF_PAYLOAD_BYTES + i]);
    }
    if (difference) {
        return -1;
    }
    eff_copy(eff_arena, buffer + 12, EFF_PAYLOAD_BYTES);
    return 0;
}
"""
