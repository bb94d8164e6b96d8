"""What ``eff_save`` writes and ``eff_restore`` takes: model number, length, the arena's persistent bytes, CRC-32; words little-endian."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from edgeff.ir import Array, MemoryPlan, Program

SAVE_HEADER_BYTES = 12


def fingerprint(program: Program, memory: MemoryPlan) -> int:
    """A number of 32 bits that two programs share only if a saved state of one means the same to the other."""
    layout = [(t.name, t.shape, t.dtype, t.quant, memory.offsets[t.name]) for t in program.by_role("variable", "state")]
    return zlib.crc32(repr((program.name, program.rule, program.numeric, layout)).encode())


def saved(program: Program, memory: MemoryPlan, values: Mapping[str, Array]) -> bytes:
    """The bytes that ``eff_save`` writes when the variables and states, by name, are ``values``."""
    persistent = bytearray(memory.persistent_bytes)
    for tensor in program.by_role("variable", "state"):
        first = memory.offsets[tensor.name]
        persistent[first : first + tensor.size_bytes] = values[tensor.name].tobytes()
    text = struct.pack("<II", fingerprint(program, memory), memory.persistent_bytes) + persistent
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

size_t eff_save(uint8_t *buffer)
{
    eff_put(buffer, EFF_MODEL_NUMBER);
    eff_put(buffer + 4, EFF_PAYLOAD_BYTES);
    eff_copy(buffer + 8, eff_arena, EFF_PAYLOAD_BYTES);
    eff_put(buffer + 8 + EFF_PAYLOAD_BYTES, eff_crc(buffer, 8u + EFF_PAYLOAD_BYTES));
    return EFF_SAVE_BYTES;
}

int eff_restore(const uint8_t *buffer)
{
    uint8_t word[4];
    uint8_t difference = 0;
    eff_put(word, EFF_MODEL_NUMBER);
    for (int i = 0; i < 4; ++i) {
        difference |= (uint8_t)(word[i] ^ buffer[i]);
    }
    eff_put(word, EFF_PAYLOAD_BYTES);
    for (int i = 0; i < 4; ++i) {
        difference |= (uint8_t)(word[i] ^ buffer[4 + i]);
    }
    eff_put(word, eff_crc(buffer, 8u + EFF_PAYLOAD_BYTES));
    for (size_t i = 0; i < 4; ++i) {
        difference |= (uint8_t)(word[i] ^ buffer[8u + EFF_PAYLOAD_BYTES + i]);
    }
    if (difference) {
        return -1;
    }
    eff_copy(eff_arena, buffer + 8, EFF_PAYLOAD_BYTES);
    return 0;
}
"""
