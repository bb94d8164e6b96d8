"""Instruction sets: the knowledge of machine code needed to count, watch and drive it. One instruction set per file.

A core (``edgeff.device.cores``) names its instruction set. To count instructions only their lengths are needed, which the first halfword
gives on every core here; a cycle model that needs more has its own decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Read = Callable[[int], int]
"""Returns a register of a halted core by its debugger number, or a word of its memory by its address."""


class InstructionSet(Protocol):
    """The machine code of a family of cores."""

    @property
    def elf_machine(self) -> str:
        """The machine named in an ELF, as pyelftools spells it."""

    @property
    def wait(self) -> tuple[str, bytes]:
        """The instruction at which a firmware waits for a command (it is in ``main.c``), as assembly and as code."""

    @property
    def goes_round(self) -> bytes:
        """The code of a branch to itself, of the length of ``wait``."""

    @property
    def gdb_pc(self) -> int:
        """The debugger's number of the program counter."""

    @property
    def gdb_return(self) -> int:
        """The debugger's number of the register that holds the return address on entry to a function."""

    def fault(self, register: Read, word: Read) -> tuple[str, int]:
        """The cause of a fault and the address of the instruction, on entry to the fault handler ``eff_fault``."""

    def lengths(self, code: bytes) -> list[int]:
        """The sizes in bytes of the instructions in ``code``, in turn."""

    def next_return(self, code: bytes, address: int, start: int) -> int | None:
        """The return address of the next call; None if the function ends first.

        ``code`` is a whole function at ``address`` and is followed from ``start`` on. It must be straight-line code: its only
        branches skip constants that the compiler placed inside it.
        """
