"""Saved states in Python: the bytes that a model's ``eff_save`` writes and its ``eff_restore`` takes, with the same checks and codes.

The format stands in ``codegen/runtime/eff_state.h``: a header with version, sequence number and binding hash, what persists of the arena,
and a check sum of each. Refused: what is absent, truncated, damaged, of another version or another model, and weights that are not finite.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, MemoryPlan, Program
from edgeff.program.binding import binding

MARK, VERSION = b"EFS", 1
BIG_ENDIAN = 128
"""What a big-endian machine adds to the version."""
HEADER_BYTES = 20
OVERHEAD_BYTES = HEADER_BYTES + 4
"""The bytes of a saved state beside its payload."""


class StateCode(IntEnum):
    """What the functions of ``eff_state.h`` return."""

    OK = 0
    ABSENT = -1
    TRUNCATED = -2
    DAMAGED = -3
    VERSION = -4
    FOREIGN = -5
    NOT_FINITE = -6
    NO_WRITE = -7
    LOST = -8


REFUSALS = {
    StateCode.ABSENT: "bytes that are no saved state",
    StateCode.TRUNCATED: "a saved state without its end",
    StateCode.DAMAGED: "a damaged state: a check sum is wrong",
    StateCode.VERSION: f"a state of another version than {VERSION}, or of another byte order",
    StateCode.FOREIGN: "the state of another model",
    StateCode.NOT_FINITE: "a state with NaN or infinity among its weights",
    StateCode.LOST: "a state that changed while it was read",
}


@dataclass(frozen=True)
class Learned:
    """What ``eff_learned`` in a model's C says of its states.

    ``binding`` is the hash they carry, ``payload_bytes`` the size of what persists, ``float_runs`` the first byte and the one past the last
    of each run of float32 numbers in it.
    """

    binding: int
    payload_bytes: int
    float_runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Header:
    """What a state says of itself. ``binding`` is the hash of the model that saved it."""

    version: int
    byte_order: Literal["little", "big"]
    sequence: int
    binding: int


def learned_of(program: Program, memory: MemoryPlan) -> Learned:
    """What the C of ``program`` says of its states."""
    return Learned(binding(program, memory), memory.saved_bytes, tuple(float_runs(program, memory)))


def header_of(state: bytes) -> Header:
    """The header of a state of this version, in either byte order. Raises BadInput for anything else, and for a damaged header.

    The check sum of the payload is not looked at.
    """
    if state[:3] != MARK:
        raise _no_header(StateCode.ABSENT)
    if len(state) < HEADER_BYTES:
        raise _no_header(StateCode.TRUNCATED)
    byte_order = _byte_order(state)
    sequence, low, high, check = struct.unpack("<4I" if byte_order == "little" else ">4I", state[4:HEADER_BYTES])
    if check != zlib.crc32(state[:16]):
        raise _no_header(StateCode.DAMAGED)
    version = state[3] % BIG_ENDIAN
    if version != VERSION:
        raise _no_header(StateCode.VERSION)
    return Header(version, byte_order, sequence, low | high << 32)


def _no_header(code: StateCode) -> BadInput:
    return BadInput("saved state", got=REFUSALS[code], allowed=f"the bytes of version {VERSION} that eff_save wrote")


def _byte_order(state: bytes) -> Literal["little", "big"]:
    return "little" if state[3] < BIG_ENDIAN else "big"


def payload_of(state: bytes) -> bytes | None:
    """The payload of a state whose header is good and whose model is not known; None where no check sum holds.

    Erased flash, 0xFF, may follow the state. Of what else follows only a model can tell that it is not the state's.
    """
    order = _byte_order(state)
    written = len(state.rstrip(b"\xff"))
    for end in (len(state), *range(written, min(written + 4, len(state)))):
        payload = state[HEADER_BYTES : end - 4]
        if end >= OVERHEAD_BYTES and int.from_bytes(state[end - 4 : end], order) == zlib.crc32(payload):
            return payload
    return None


def float_runs(program: Program, memory: MemoryPlan) -> list[tuple[int, int]]:
    """The first byte and the one past the last of each run of float32 numbers in a payload; neighbours are one run."""
    runs: list[tuple[int, int]] = []
    for tensor in program.saved:
        first = memory.offsets[tensor.name]
        if tensor.dtype != "float32":
            continue
        if runs and runs[-1][1] == first:
            first = runs.pop()[0]
        runs.append((first, memory.offsets[tensor.name] + tensor.size_bytes))
    return runs


def state_bytes(memory: MemoryPlan) -> int:
    """The bytes of a saved state of a program with this plan."""
    return memory.saved_bytes + OVERHEAD_BYTES


def place_bytes(memory: MemoryPlan, erase_bytes: int) -> int:
    """The bytes of the whole erase blocks, of ``erase_bytes`` each, that hold a saved state."""
    return -(-state_bytes(memory) // erase_bytes) * erase_bytes


def saved(program: Program, memory: MemoryPlan, values: Mapping[str, Array], sequence: int = 0) -> bytes:
    """The state of ``program`` when its variables and states, by name, are ``values``."""
    payload = bytearray(memory.saved_bytes)
    for tensor in program.saved:
        first = memory.offsets[tensor.name]
        payload[first : first + tensor.size_bytes] = values[tensor.name].tobytes()
    header = MARK + struct.pack("<BIQ", VERSION, sequence, binding(program, memory))
    return header + struct.pack("<I", zlib.crc32(header)) + bytes(payload) + struct.pack("<I", zlib.crc32(payload))


def saved_from(program: Program, memory: MemoryPlan, path: Path) -> bytes:
    """The state that a device takes from what ``edgeff.graphs.Learner.save`` wrote, or any .npz of a learning graph's state tensors.

    Raises BadInput for a file that is none, and for arrays that are missing or of another dtype or shape.
    """
    what = f"state file '{path}'"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: np.asarray(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:  # AttributeError: a lone array
        raise BadInput(what, got=getattr(error, "strerror", None) or str(error), allowed="a .npz of a learning graph's state") from None
    for tensor in program.saved:
        array = values.get(tensor.name)
        if array is None or (array.shape, array.dtype.name) != (tensor.shape, tensor.dtype):
            got = "no such array" if array is None else f"{array.dtype} {array.shape}"
            raise BadInput(f"{what}, {tensor.name!r}", got=got, allowed=f"{tensor.dtype} {tensor.shape}, as this model and rule keep it")
    return saved(program, memory, values)


def state_code(learned: Learned, state: bytes) -> StateCode:
    """What the C of a little-endian machine says of ``state``. Bytes after its end are not looked at."""
    if len(state) < HEADER_BYTES:
        return StateCode.TRUNCATED
    version, _, bound, check = struct.unpack("<BIQI", state[3:HEADER_BYTES])
    if state[:3] != MARK:
        return StateCode.ABSENT
    if check != zlib.crc32(state[:16]):
        return StateCode.VERSION if version == VERSION + BIG_ENDIAN else StateCode.DAMAGED
    if version != VERSION:
        return StateCode.VERSION
    if bound != learned.binding:
        return StateCode.FOREIGN
    end = HEADER_BYTES + learned.payload_bytes
    if len(state) < end + 4:
        return StateCode.TRUNCATED
    if struct.unpack("<I", state[end : end + 4])[0] != zlib.crc32(state[HEADER_BYTES:end]):
        return StateCode.DAMAGED
    numbers = (state[HEADER_BYTES + first : HEADER_BYTES + last] for first, last in learned.float_runs)
    finite = all(np.isfinite(np.frombuffer(run, np.float32)).all() for run in numbers)
    return StateCode.OK if finite else StateCode.NOT_FINITE


def restored(program: Program, memory: MemoryPlan, state: bytes) -> dict[str, Array]:
    """The variables and states that ``state`` holds, by name. Raises BadInput for a state that the C would refuse."""
    require_taken(state_code(learned_of(program, memory), state))
    values = {}
    for tensor in program.saved:
        first = HEADER_BYTES + memory.offsets[tensor.name]
        values[tensor.name] = np.frombuffer(state[first : first + tensor.size_bytes], tensor.dtype).reshape(tensor.shape).copy()
    return values


def require_taken(code: int) -> None:
    """Raises BadInput unless ``code``, of a restore, is ``OK``."""
    if code != StateCode.OK:
        raise BadInput(
            "saved state", got=REFUSALS.get(StateCode(code), str(code)), allowed="what this model, or one that means the same, saved"
        )
