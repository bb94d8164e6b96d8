"""What a cycle model is, and the instructions it is asked about: the bytes of a straight run of Thumb code come in, instructions go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import capstone
from capstone.arm import ARM_CC_AL

from edgeff.errors import Unsupported

_BRANCHES = frozenset({"b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One Thumb instruction: ``name`` without condition and suffixes, registers in lower case.

    ``listed`` is the number of words that the register list in braces moves, 0 without one; ``indexed`` says that the address is a sum of
    two registers; ``conditional`` that it may be skipped; ``branch`` that it may write the program counter.
    """

    address: int
    size_bytes: int
    name: str
    reads: frozenset[str]
    writes: frozenset[str]
    listed: int
    indexed: bool
    conditional: bool
    branch: bool


class CycleModel(Protocol):
    """The cycles of a core, with zero wait states."""

    @property
    def core(self) -> str:
        """The core, as board files name it."""

    @property
    def evidence(self) -> str:
        """The label that every figure of this model carries."""

    @property
    def notes(self) -> str:
        """What the model rests on and what it leaves out, in one sentence or two."""

    def cycles(self, block: Sequence[Instruction], taken: bool) -> int:
        """The cycles of one pass through a block.

        ``block`` is a straight run of instructions, of which only the last may branch; ``taken`` says whether the next instruction executed
        is another than the one that follows in memory. An instruction that its condition skips takes the time of one that is executed.
        """


def count_instructions(code: bytes) -> int:
    """The number of Thumb instructions in ``code``, by the length rule of the architecture (a first halfword from 0xE800 has a second).

    >>> count_instructions(bytes.fromhex("00bf" "aff30080"))
    2
    """
    return len(_offsets(code))


def decode(code: bytes, address: int) -> tuple[Instruction, ...]:
    """The instructions of the straight run ``code`` that lies at ``address``. Raises Unsupported on one that the decoder does not know."""
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    decoded = tuple(_instruction(entry) for entry in decoder.disasm(code, address))
    offsets = _offsets(code)
    if [entry.address - address for entry in decoded] != offsets:
        known = sum(entry.size_bytes for entry in decoded)
        found = f"{code[known : known + 4].hex()} at {address + known:#010x}"
        raise Unsupported("an instruction that the decoder does not know", got=found)
    return decoded


def _offsets(code: bytes) -> list[int]:
    offsets, place = [], 0
    while place < len(code):
        offsets.append(place)
        place += 4 if code[place + 1] >= 0xE8 else 2
    return offsets


def _instruction(entry: capstone.CsInsn) -> Instruction:
    reads, writes = ({entry.reg_name(register) for register in registers} for registers in entry.regs_access())
    name = entry.insn_name()
    in_list = entry.op_str.partition("{")[2].partition("}")[0]
    in_address = entry.op_str.partition("[")[2].partition("]")[0]
    return Instruction(
        address=entry.address,
        size_bytes=entry.size,
        name=name,
        reads=frozenset(reads),
        writes=frozenset(writes),
        listed=sum(2 if register.strip().startswith("d") else 1 for register in in_list.split(",")) if in_list else 0,
        indexed="," in in_address and "#" not in in_address.split(",")[1],
        conditional=entry.cc != ARM_CC_AL or name in {"cbz", "cbnz"},
        branch=name in _BRANCHES or "pc" in writes,
    )
