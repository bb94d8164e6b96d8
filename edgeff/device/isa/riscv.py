"""RV32 with compressed instructions (The RISC-V Instruction Set Manual, volume I, 20191213)."""

from __future__ import annotations

from typing import NamedTuple

from edgeff.device.isa import Read

_LINK = 1  # ra, written by calls
_FIRST_ARGUMENT = 10
_CAUSES = {
    0: "misaligned instruction",
    1: "instruction fetch outside of memory",
    2: "undefined instruction",
    3: "the firmware's own breakpoint",
    4: "misaligned data access",
    5: "data access outside of memory",
    6: "misaligned data access",
    7: "data access outside of memory",
    11: "supervisor call",
}
# For the offset in a compressed jump: the bit in the code, the bit in the offset.
_SHORT_OFFSET = ((12, 11), (11, 4), (10, 9), (9, 8), (8, 10), (7, 6), (6, 7), (5, 3), (4, 2), (3, 1), (2, 5))


class RiscV:
    """The code of a 32-bit RISC-V core."""

    elf_machine = "RISC-V"
    wait = ("ebreak", b"\x73\x00\x10\x00")  # in its long form
    goes_round = b"\x6f\x00\x00\x00"
    gdb_pc = 32
    gdb_return = _LINK

    def fault(self, register: Read, word: Read) -> tuple[str, int]:  # noqa: ARG002 - other instruction sets read memory
        """The cause and place of a fault: the start-up code passes ``mcause`` and ``mepc`` to the handler as arguments."""
        cause, place = register(_FIRST_ARGUMENT), register(_FIRST_ARGUMENT + 1)
        return _CAUSES.get(cause, f"trap {cause}"), place

    def lengths(self, code: bytes) -> list[int]:
        """The sizes of the instructions: 4 bytes if the two lowest bits are set, else 2 (section 1.5).

        >>> RiscV().lengths(bytes.fromhex("0100" "13000000"))
        [2, 4]
        """
        sizes, place = [], 0
        while place < len(code):
            sizes.append(_size(code[place]))
            place += sizes[-1]
        return sizes

    def next_return(self, code: bytes, address: int, start: int) -> int | None:
        """The return address of the next call; None if the function ends first."""
        place = start
        while address <= place < address + len(code):
            word = int.from_bytes(code[place - address : place - address + 4], "little")
            size = _size(word)
            jump = _long_jump(word) if size == 4 else _short_jump(word & 0xFFFF)
            if jump is None:
                place += size
            elif jump.links:
                return place + size
            elif jump.offset is None or jump.offset <= 0:
                return None
            else:
                place += jump.offset
        return None


class _Jump(NamedTuple):
    """``links``: it is a call; ``offset`` of its target in bytes, None if a register holds the target."""

    links: bool
    offset: int | None


def _size(low: int) -> int:
    return 4 if low & 3 == 3 else 2


def _long_jump(word: int) -> _Jump | None:
    """JAL and JALR (section 2.5); None for every other instruction."""
    opcode, links = word & 0x7F, word >> 7 & 0x1F == _LINK
    if opcode == 0x67:
        return _Jump(links, None)
    if opcode != 0x6F:
        return None
    offset = (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
    return _Jump(links, _signed(offset, 21))


def _short_jump(half: int) -> _Jump | None:
    """C.JAL, C.J, C.JALR and C.JR (section 16.4); None for every other instruction."""
    if half & 0x6003 == 0x2001:
        offset = sum((half >> source & 1) << to for source, to in _SHORT_OFFSET)
        return _Jump(not half & 0x8000, _signed(offset, 12))
    if half & 0xE07F == 0x8002 and half >> 7 & 0x1F:
        return _Jump(bool(half & 0x1000), None)
    return None


def _signed(value: int, bits: int) -> int:
    return value - (value >> (bits - 1) << bits)


RISCV = RiscV()
