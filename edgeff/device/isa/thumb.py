"""Thumb, the code of every Cortex-M: instruction lengths and calls, and the decoded instructions for cycle models.

The decoder is capstone, which does not know all of Helium (MVE); lengths and calls do not need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeff.device.isa import Read
from edgeff.errors import Unsupported

if TYPE_CHECKING:
    import capstone

_GDB_SP, _GDB_XPSR = 13, 25
_STACKED_PC = 24  # bytes from the stack pointer on entry to a handler
_SUPERVISOR_CALL = 11
_FAULT_STATUS = 0xE000ED28  # CFSR; zero on cores without it
_FAULTS = (
    (0x0101, "instruction fetch outside of memory"),
    (0x9E02, "data access outside of memory"),
    (0x0001_0000, "undefined instruction"),
    (0xFFFE_0000, "a fault of the instruction"),
)

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


class Thumb:
    """The code of a Cortex-M core."""

    elf_machine = "ARM"
    wait = ("bkpt 0", b"\x00\xbe")
    goes_round = b"\xfe\xe7"
    gdb_pc = 15
    gdb_return = 14

    def fault(self, register: Read, word: Read) -> tuple[str, int]:
        """Cause and place of a fault, from the exception's number, its stacked frame and the fault status (Armv8-M ARM, B3.19, D1.2.7)."""
        status = word(_FAULT_STATUS)
        why = next((text for bits, text in _FAULTS if status & bits), "the firmware's own fault handler")
        if register(_GDB_XPSR) & 0x1FF == _SUPERVISOR_CALL:
            why = "supervisor call"
        return why, word(register(_GDB_SP) + _STACKED_PC)

    def lengths(self, code: bytes) -> list[int]:
        """The sizes of the instructions: 4 bytes if the first halfword is 0xE800 or above, else 2 (Armv8-M ARM, A5.1).

        >>> Thumb().lengths(bytes.fromhex("00bf" "aff30080"))
        [2, 4]
        """
        sizes, place = [], 0
        while place < len(code):
            sizes.append(4 if code[place + 1] >= 0xE8 else 2)
            place += sizes[-1]
        return sizes

    def next_return(self, code: bytes, address: int, start: int) -> int | None:
        """The return address of the next call; None if the function ends first."""
        place = start
        while address <= place < address + len(code):
            first, second = (int.from_bytes(code[place - address + k : place - address + k + 2], "little") for k in (0, 2))
            long = first >= 0xE800
            if long and first & 0xF800 == 0xF000 and second & 0xD000 == 0xD000:  # BL
                return place + 4
            if first & 0xFF87 == 0x4780:  # BLX of a register
                return place + 2
            if first & 0xFF87 == 0x4700 or first & 0xFF00 == 0xBD00 or (first == 0xE8BD and second & 0x8000):  # BX, POP with pc
                return None
            step = 4 if long else 2
            if first & 0xF800 == 0xE000:  # B
                step = 4 + _signed((first & 0x7FF) << 1, 12)
            elif long and first & 0xF800 == 0xF000 and second & 0xD000 == 0x9000:  # B.W
                step = 4 + _long_offset(first, second)
            if step <= 0:
                return None
            place += step
        return None


THUMB = Thumb()


def _signed(value: int, bits: int) -> int:
    return value - (value >> (bits - 1) << bits)


def _long_offset(first: int, second: int) -> int:
    """The offset of B.W in bytes (encoding T4)."""
    sign = first >> 10 & 1
    j1, j2 = (1 - ((second >> bit & 1) ^ sign) for bit in (13, 11))
    return _signed(sign << 24 | j1 << 23 | j2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1, 25)


def decode(code: bytes, address: int) -> tuple[Instruction, ...]:
    """The instructions of the straight run ``code`` that lies at ``address``. Raises Unsupported for one that the decoder does not know."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    decoded = tuple(_instruction(entry) for entry in decoder.disasm(code, address))
    if [instruction.size_bytes for instruction in decoded] != THUMB.lengths(code):
        known = sum(instruction.size_bytes for instruction in decoded)
        unknown = f"{code[known : known + 4].hex()} at {address + known:#010x}"
        raise Unsupported("an instruction that the decoder does not know", got=unknown)
    return decoded


def _instruction(entry: capstone.CsInsn) -> Instruction:
    from capstone.arm import ARM_CC_AL

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
