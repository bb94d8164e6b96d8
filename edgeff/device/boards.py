"""Reads board files: one TOML file per board comes in, a checked ``ir.Board`` goes out.

The core gives the compilers' flags; a board file may replace them.
Refused: a file that is not TOML, unknown or missing keys, a core that is not registered, values without a source, memory regions that
overlap or pass 32 bits, and compiler flags other than ``-target X`` and ``-m...`` (a board file does not run plug-ins of the compiler).
Besides edgeff's boards, those in the folder named by the environment variable ``EDGEFF_BOARDS_DIR`` are found.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgeff.device.cores import core_of
from edgeff.errors import BadInput, pass_over
from edgeff.ir import Board, Flasher, Power, Region, Uart
from edgeff.resources import boards_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ADDRESS_LIMIT = 1 << 32
_REGION_LIMIT_BYTES = 1 << 28  # an emulator allocates memory for it
_FILE_LIMIT_BYTES = 1 << 20
_NAME = r"^[a-z][a-z0-9_]{0,63}$"
_FLAG = re.compile(r"-m[a-zA-Z0-9_.+=-]{1,100}")
_TRIPLE = re.compile(r"[a-z0-9_]+(-[a-z0-9_.]+){1,3}")
_ALWAYS_SOURCED = ("core", "fpu", "clock_hz")
_SOURCED_WHERE_GIVEN = ("toolchains", "machines", "uart", "flasher", "power")

Name = Annotated[str, Field(pattern=_NAME)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _RegionFile(_Strict):
    name: Name
    kind: Literal["flash", "ram"]
    origin: Annotated[int, Field(ge=0, lt=_ADDRESS_LIMIT, multiple_of=8)]
    length_bytes: Annotated[int, Field(gt=0, le=_REGION_LIMIT_BYTES, multiple_of=8)]

    @property
    def end(self) -> int:
        return self.origin + self.length_bytes


class _UartFile(_Strict):
    kind: Name
    base: Annotated[int, Field(ge=0, lt=_ADDRESS_LIMIT, multiple_of=4)]
    clock_hz: Annotated[int, Field(gt=0, le=10_000_000_000)]
    tx_pin: Annotated[int, Field(ge=0, lt=256)] | None = None
    rx_pin: Annotated[int, Field(ge=0, lt=256)] | None = None

    @model_validator(mode="after")
    def _pins_are_named(self) -> _UartFile:
        if self.kind == "nrf" and (self.tx_pin is None or self.rx_pin is None):
            raise ValueError("kind nrf needs tx_pin and rx_pin")
        return self


class _FlasherFile(_Strict):
    tool: Literal["openocd", "probe-rs", "picotool", "bossac", "esptool"]
    argument: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}$")] | None = None


class _PowerFile(_Strict):
    microamps_per_mhz: Annotated[float, Field(gt=0, le=10_000)]
    supply_v: Annotated[float, Field(gt=0, le=12)]


class _BoardFile(_Strict):
    name: Name
    summary: Annotated[str, Field(min_length=1, max_length=200)]
    core: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    fpu: bool
    clock_hz: Annotated[int, Field(gt=0, le=10_000_000_000)]
    flash_wait_states: Annotated[int, Field(ge=0, le=64)] | None = None
    targets: Annotated[list[Name], Field(min_length=1)]
    regions: Annotated[list[_RegionFile], Field(min_length=2, max_length=32)]
    toolchains: dict[Name, list[str]] = {}
    machines: dict[Name, Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]] = {}
    uart: _UartFile | None = None
    flasher: _FlasherFile | None = None
    power: _PowerFile | None = None
    sources: dict[str, Annotated[str, Field(min_length=1)]]

    @field_validator("toolchains")
    @classmethod
    def _flags_choose_a_core(cls, toolchains: dict[str, list[str]]) -> dict[str, list[str]]:
        for flags in toolchains.values():
            after_target = False
            for flag in flags:
                if not (_TRIPLE if after_target else _FLAG).fullmatch(flag) and not (flag == "-target" and not after_target):
                    raise ValueError(f"flag {flag!r} is neither -target TRIPLE nor -m...")
                after_target = flag == "-target" and not after_target
            if after_target:
                raise ValueError("-target without a triple")
        return toolchains

    @model_validator(mode="after")
    def _regions_are_disjoint(self) -> _BoardFile:
        if {r.kind for r in self.regions} != {"flash", "ram"}:
            raise ValueError("at least one region of kind flash and one of kind ram are needed")
        if len({r.name for r in self.regions}) != len(self.regions):
            raise ValueError("two regions have the same name")
        ordered = sorted(self.regions, key=lambda region: region.origin)
        for region in ordered:
            if region.end > _ADDRESS_LIMIT:
                raise ValueError(f"region {region.name} exceeds the 32-bit address space")
        for low, high in itertools.pairwise(ordered):
            if high.origin < low.end:
                raise ValueError(f"regions {low.name} and {high.name} overlap")
        return self

    @model_validator(mode="after")
    def _every_value_has_a_source(self) -> _BoardFile:
        needed = {*_ALWAYS_SOURCED, *(key for key in _SOURCED_WHERE_GIVEN if getattr(self, key)), *(r.name for r in self.regions)}
        needed |= {"flash_wait_states"} if self.flash_wait_states is not None else set()
        if missing := sorted(needed - self.sources.keys()):
            raise ValueError(f"no source for {', '.join(missing)}")
        if unknown := sorted(self.sources.keys() - needed):
            raise ValueError(f"a source for {', '.join(unknown)}, which the board does not have")
        return self

    @model_validator(mode="after")
    def _machines_are_of_its_targets(self) -> _BoardFile:
        if unknown := sorted(self.machines.keys() - set(self.targets)):
            raise ValueError(f"a machine for {', '.join(unknown)}, which is not one of the targets")
        return self


_EXAMPLES = {
    "name": 'name = "my_board", the name of the file',
    "summary": 'summary = "Acme One: Cortex-M4F at 80 MHz, 1 MB flash, 128 KB RAM"',
    "core": 'core = "cortex-m4", see `edgeff list cores`',
    "fpu": "fpu = true",
    "clock_hz": "clock_hz = 80_000_000",
    "flash_wait_states": "flash_wait_states = 4, or no such line where it is not known",
    "targets": 'targets = ["unicorn"]',
    "regions": '[[regions]] with name = "sram", kind = "ram" (or "flash"), origin = 0x20000000, length_bytes = 131_072',
    "toolchains": '[toolchains] with gcc = ["-mcpu=cortex-m4", "-mthumb"]',
    "machines": 'machines = { qemu = "mps2-an386" }, the name of a QEMU machine',
    "uart": '[uart] with kind = "cmsdk", base = 0x40004000, clock_hz = 25_000_000',
    "flasher": 'flasher = { tool = "openocd", argument = "board/st_nucleo_l4.cfg" }',
    "power": "power = { microamps_per_mhz = 110.0, supply_v = 3.3 }",
    "sources": '[sources] with clock_hz = "datasheet DS12023: up to 120 MHz", one line for each value',
}
"""Each key of a board file with an example."""


def _refusal(what: str, error: ValidationError) -> BadInput:
    """The first thing that is wrong with a board file, and every key that is missing, with an example of it."""
    errors = error.errors()
    missing = [".".join(map(str, each["loc"])) for each in errors if each["type"] == "missing"]
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    key = str(first["loc"][0]) if first["loc"] else "sources" if "source" in reason else "regions" if "region" in reason else ""
    if missing and first["type"] == "missing":
        got, key = f"no {', no '.join(missing)}", missing[0].partition(".")[0]
    else:
        got = f"{where}: {reason}" if where else reason
    allowed = _EXAMPLES.get(key, f"the keys {', '.join(_EXAMPLES)}")
    return BadInput(what, got=got, allowed=allowed, next_step="begin from another board: edgeff board new NAME --like OTHER")


def new_board(name: str, like: str, folder: Path) -> Path:
    """The path of a new board file ``name``.toml in ``folder``: that of the board ``like``, with each source marked to be replaced.

    The values are still those of the other board: they and their sources are the author's to change. Raises BadInput for a name that
    a board cannot have or has already, and for a file that is there.
    """
    if not re.fullmatch(_NAME, name):
        raise BadInput("name of a board", got=repr(name), allowed="a-z, 0-9 and _, a letter first, at most 64")
    known, target = load_boards(), folder / f"{name}.toml"
    other = load_board(like)
    if name in known:
        raise BadInput("name of a board", got=f"{name!r}, which there is already", allowed="a new name")
    if target.exists():
        raise BadInput(f"board file {target}", got="a file that is there", allowed="a new name")
    origin = Path(like) if like.endswith(".toml") else path_of(other.name)
    text = origin.read_text(encoding="utf-8")
    text = re.sub(r'^name = "[^"]*"', f'name = "{name}"', text, count=1, flags=re.MULTILINE)
    text = re.sub(r'^summary = "[^"]*"', f'summary = "TO DO, like {other.name}"', text, count=1, flags=re.MULTILINE)
    before, heading, sources = text.partition("[sources]\n")
    marked = re.sub(r"""^(\w+ = ["'])""", rf"\1TO DO, of {other.name}: ", sources, flags=re.MULTILINE)
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text(before + heading + marked, encoding="utf-8")
    _read(target)
    return target


def path_of(name: str) -> Path:
    """The file of a board that ``load_boards`` gives."""
    return next(path for folder in _folders() for path in folder.glob("*.toml") if path.stem == name)


def load_boards() -> dict[str, Board]:
    """Every board by name, in the order of the names: edgeff's own and those of the folder ``EDGEFF_BOARDS_DIR``.

    A file that is not a valid board, or whose name is already used, is reported, and the others are loaded. Raises BadInput if
    ``EDGEFF_BOARDS_DIR`` is not a folder.

    >>> load_boards()["rpi_pico"].core
    'cortex-m0plus'
    """
    boards, failed = _read_all()
    for error in failed.values():
        pass_over(error)
    return dict(sorted(boards.items()))


def load_board(name_or_path: str | Path) -> Board:
    """The board of that name, or the one in that TOML file (anything that ends in ``.toml``).

    Raises BadInput for an unknown name (the message lists the known ones), a missing file and a file that is not a valid board.

    >>> load_board("nucleo_l4r5zi").clock_hz
    120000000
    """
    if str(name_or_path).endswith(".toml"):
        return _read(Path(name_or_path))
    boards, failed = _read_all()
    if str(name_or_path) in failed:
        raise failed[str(name_or_path)]
    if str(name_or_path) not in boards:
        raise BadInput(
            "unknown board", got=repr(str(name_or_path)), allowed=", ".join(boards), next_step="or give the path of a board file (.toml)"
        )
    return boards[str(name_or_path)]


def _read_all() -> tuple[dict[str, Board], dict[str, BadInput]]:
    """The boards of all folders by name, and by file name the errors of those that cannot be used."""
    boards: dict[str, Board] = {}
    failed: dict[str, BadInput] = {}
    for path in sorted(path for folder in _folders() for path in folder.glob("*.toml")):
        try:
            board = _read(path)
        except BadInput as error:
            failed[path.stem] = error
            continue
        if board.name in boards:
            got = f"the name {board.name!r}, used by another board"
            failed[path.stem] = BadInput(f"board file {path}", got=got, allowed="a unique name")
        boards.setdefault(board.name, board)
    return boards, failed


def _folders() -> list[Path]:
    folders = [boards_folder()]
    if extra := os.environ.get("EDGEFF_BOARDS_DIR"):
        if not Path(extra).is_dir():
            raise BadInput("EDGEFF_BOARDS_DIR", got=repr(extra), allowed="a folder of board files (.toml)")
        if Path(extra).resolve() != folders[0].resolve():
            folders.append(Path(extra))
    return folders


def _read(path: Path) -> Board:
    what = f"board file {path}"
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # reading a pipe would block
            raise BadInput(what, got="a device", allowed="a readable TOML file")
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInput(what, got=getattr(error, "strerror", None) or str(error), allowed="a readable TOML file") from None
    if len(content) > _FILE_LIMIT_BYTES:
        raise BadInput(what, got="more than 1 MB", allowed="a board file")
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise BadInput(what, got=f"not TOML: {str(error) or type(error).__name__}", allowed="TOML in UTF-8") from None
    try:
        board = _BoardFile.model_validate(table)
    except ValidationError as error:
        raise _refusal(what, error) from None
    if path.stem != board.name:
        raise BadInput(what, got=f"the name {board.name!r}", allowed=f"the file's own: {path.stem!r}")
    result = Board(
        name=board.name,
        summary=board.summary,
        core=board.core,
        fpu=board.fpu,
        clock_hz=board.clock_hz,
        regions=tuple(Region(r.name, r.kind, r.origin, r.length_bytes) for r in board.regions),
        flash_wait_states=board.flash_wait_states,
        toolchains={name: tuple(flags) for name, flags in board.toolchains.items()},
        targets=tuple(board.targets),
        sources=dict(board.sources),
        machines=dict(board.machines),
        uart=None if board.uart is None else Uart(**board.uart.model_dump()),
        flasher=None if board.flasher is None else Flasher(board.flasher.tool, board.flasher.argument or ""),
        power=None if board.power is None else Power(**board.power.model_dump()),
    )
    try:
        core = core_of(result)
    except BadInput as error:
        raise BadInput(f"{what}, {error.what}", got=error.got, allowed=error.allowed, next_step=error.next_step) from None
    return result if result.toolchains else replace(result, toolchains=core.toolchains)
