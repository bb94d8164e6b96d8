"""Reads a linker's output: an ELF comes in, the sizes of its parts, its symbols and its load image go out.

Refused: a file that is not a 32-bit little-endian ELF for Arm or RISC-V, or one with a false layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeff.errors import BadInput

MACHINES = ("ARM", "RISC-V")
_ALLOWED = "32-bit little-endian Arm or RISC-V"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named place of an ELF; the address of a function is without the Thumb bit."""

    name: str
    address: int
    size_bytes: int
    function: bool


@dataclass(frozen=True, slots=True)
class Image:
    """The parts of an ELF that matter on a board, all in bytes.

    ``sections`` maps the name of each section that takes memory to its size. ``segments`` are (address, content) of what a loader writes
    to flash. ``symbols`` has one name per address for functions, sorted by address, so that the function of an instruction is unique.
    ``machine`` is one of ``MACHINES``.
    """

    machine: str
    sections: Mapping[str, int]
    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, Symbol]
    functions: tuple[Symbol, ...]

    @property
    def load_bytes(self) -> int:
        """Everything that is written to flash: code, constants, initial values and the gaps between them."""
        return sum(len(content) for _, content in self.segments)


def read_elf(path: Path) -> Image:
    """The image of the ELF at ``path``. Raises BadInput if it cannot be read or is for none of ``MACHINES``."""
    what = f"ELF {path}"
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            machine = elf.get_machine_arch()
            if machine not in MACHINES or elf.elfclass != 32 or not elf.little_endian:
                raise BadInput(what, got=f"{machine}, {elf.elfclass} bits", allowed=_ALLOWED)
            sections = {s.name: int(s["sh_size"]) for s in elf.iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC}
            segments = tuple(
                (int(segment["p_paddr"]), bytes(segment.data()))
                for segment in elf.iter_segments()
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
            )
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise BadInput(what, got="no symbol table", allowed="an ELF that was not stripped")
            symbols = [_symbol(entry) for entry in table.iter_symbols() if entry.name and entry["st_shndx"] != "SHN_UNDEF"]
    except OSError as error:
        raise BadInput(what, got=error.strerror or str(error), allowed="a readable ELF") from None
    except (ELFError, ConstructError, ValueError, KeyError, IndexError, AttributeError, UnicodeError) as error:
        raise BadInput(what, got=f"not an ELF: {error}", allowed=_ALLOWED) from None
    return Image(machine, sections, segments, {s.name: s for s in symbols}, _functions(symbols))


def _symbol(entry: object) -> Symbol:
    function = entry["st_info"]["type"] == "STT_FUNC"  # type: ignore[index]
    address = int(entry["st_value"])  # type: ignore[index]
    return Symbol(str(entry.name), address & ~1 if function else address, int(entry["st_size"]), function)  # type: ignore[attr-defined,index]


def _functions(symbols: list[Symbol]) -> tuple[Symbol, ...]:
    """One symbol per address, in the order of addresses; of several, the name from the Arm run-time ABI, else the first."""
    best: dict[int, Symbol] = {}
    for symbol in sorted((s for s in symbols if s.function), key=lambda s: (not s.name.startswith("__aeabi_"), s.name)):
        best.setdefault(symbol.address, symbol)
    return tuple(best[address] for address in sorted(best))
