"""Instruction sets: what has to be known of machine code to count it, to watch it and to drive it. One instruction set a file.

A core (``edgeff.device.cores``) names its instruction set. To count instructions only their lengths are needed, which the first halfword
tells on every core here; a cycle model that looks at more brings a decoder of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Read = Callable[[int], int]
"""Gives a register of a halted core by its number for a debugger, or a word of its memory by its address."""


class InstructionSet(Protocol):
    """The machine code of a family of cores."""

    @property
    def elf_machine(self) -> str:
        """The machine that an ELF names, in the words of pyelftools."""

    @property
    def wait(self) -> tuple[str, bytes]:
        """The instruction at which a firmware waits for a command (``main.c`` has it), as assembly and as code."""

    @property
    def gdb_pc(self) -> int:
        """The number by which a debugger knows the program counter."""

    @property
    def gdb_return(self) -> int:
        """The number by which a debugger knows the register that holds the return address on entry to a function."""

    def fault(self, register: Read, word: Read) -> tuple[str, int]:
        """What went wrong and the address of the instruction, told on entry to the handler of faults, ``eff_fault``."""

    def lengths(self, code: bytes) -> list[int]:
        """The sizes in bytes of the instructions in ``code``, in turn."""

    def next_return(self, code: bytes, address: int, start: int) -> int | None:
        """The address that the next call returns to; None when the function ends first.

        ``code`` is a whole function that lies at ``address`` and is followed from ``start`` on. It must be a straight line: its only
        branches step over constants that the compiler put in its midst.
        """
