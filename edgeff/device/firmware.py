"""Builds firmware: a folder of generated C and a board come in, a project folder with an ELF and its measured memory goes out.

The project folder is complete: the model's C in ``model/``, the template's files beside it, a Makefile and a README. It builds without
edgeff.
Refused: a folder without a generated model, an unknown template or one without start-up code for the core, a program that does not fit
the board (by how many bytes).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeff.device.cores import core_of
from edgeff.device.toolchains import TOOLCHAINS, Toolchain, choose
from edgeff.device.toolchains.elf import Image, Symbol, read_elf
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Board
from edgeff.resources import templates, templates_folder

if TYPE_CHECKING:
    import jinja2

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ARENA_SYMBOL = "eff_arena"


@dataclass(frozen=True, slots=True)
class Template:
    """A firmware template and its additions to a model, in bytes.

    The static RAM of a firmware is the arena plus ``ram_bytes``, exactly; its constants are the model's plus ``constant_bytes``.
    ``stack_bytes`` is reserved for the stack by the linker script: a program that does not leave that much is refused.
    """

    name: str
    summary: str
    folder: Path
    ram_bytes: int
    constant_bytes: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class Firmware:
    """A linked firmware and its memory in bytes, read from the ELF.

    ``code_bytes`` is the section .text (vector table, code, literals), ``constant_bytes`` .rodata, ``flash_bytes`` everything that is
    written to flash including alignment gaps; ``static_ram_bytes`` is .data and .bss, without the stack.
    """

    elf: Path
    board: Board
    template: Template
    toolchain: str
    code_bytes: int
    constant_bytes: int
    flash_bytes: int
    static_ram_bytes: int
    image: Image

    @property
    def arena_bytes(self) -> int:
        """The size of the one static arena."""
        return self.image.symbols[ARENA_SYMBOL].size_bytes

    @property
    def symbol_bytes(self) -> Mapping[str, int]:
        """The size of every symbol that has one: functions, constants and variables."""
        return {name: symbol.size_bytes for name, symbol in self.image.symbols.items() if symbol.size_bytes}

    @property
    def functions(self) -> tuple[Symbol, ...]:
        """Every function with its address and its size, in the order of the addresses."""
        return self.image.functions


def load_templates() -> dict[str, Template]:
    """Every firmware template by name.

    >>> load_templates()["bare_metal"].ram_bytes
    24
    """
    templates = {}
    for path in sorted(templates_folder().glob("*/template.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        templates[path.parent.name] = Template(name=path.parent.name, folder=path.parent, **values)
    return templates


def build(c_folder: Path, board: Board, out: Path, toolchain: Toolchain | None = None, template: str = "bare_metal") -> Firmware:
    """The firmware of the generated C in ``c_folder`` for ``board``, with its project written to the folder ``out``.

    ``toolchain`` defaults to the first installed one for which the board has flags. Raises BadInput if ``c_folder`` contains no
    model or the template is unknown, DoesNotFit if flash or RAM is too small, MissingTool without a compiler and EdgeffError with the
    compiler's first error.
    """
    project = write_project(c_folder, board, out, toolchain, template)
    used = toolchain or choose(board)
    elf = project / "firmware.elf"
    used.link(sorted([*project.glob("*.c"), *(project / "model").glob("*.c")]), project, board, project / "link.ld", elf)
    return measure(elf, board, used.name, template)


def write_project(c_folder: Path, board: Board, out: Path, toolchain: Toolchain | None = None, template: str = "bare_metal") -> Path:
    """The folder ``out``, after writing the sources of the firmware into it; nothing is compiled. Arguments and errors as in ``build``."""
    templates = load_templates()
    if template not in templates:
        raise BadInput("unknown firmware template", got=repr(template), allowed=", ".join(templates))
    if not (c_folder / "model.c").is_file() or not (c_folder / "model.h").is_file():
        raise BadInput(
            f"folder {c_folder}", got="no model.c and model.h", allowed="a folder of generated C", next_step="see `edgeff export --to c`"
        )
    used = toolchain or choose(board)
    try:
        _copy_model(c_folder, out / "model")
        _render(templates[template], board, used, out)
    except OSError as error:
        raise BadInput(f"folder {out}", got=error.strerror or str(error), allowed="a folder that can be written") from None
    return out


def measure(elf: Path, board: Board, toolchain: str, template: str = "bare_metal") -> Firmware:
    """The record of an ELF that was built for ``board``. Raises BadInput if it is not such an ELF."""
    image = read_elf(elf)
    machine = core_of(board).isa.elf_machine
    if image.machine != machine:
        raise BadInput(f"ELF {elf}", got=f"code for {image.machine}", allowed=f"code for {machine}, the core of {board.name}")
    if ARENA_SYMBOL not in image.symbols:
        raise BadInput(f"ELF {elf}", got=f"no symbol {ARENA_SYMBOL}", allowed="a firmware of edgeff")
    return Firmware(
        elf=elf,
        board=board,
        template=load_templates()[template],
        toolchain=toolchain,
        code_bytes=image.sections.get(".text", 0),
        constant_bytes=image.sections.get(".rodata", 0),
        flash_bytes=image.load_bytes,
        static_ram_bytes=image.sections.get(".data", 0) + image.sections.get(".bss", 0),
        image=image,
    )


def _copy_model(c_folder: Path, model: Path) -> None:
    if model.resolve() == c_folder.resolve():
        raise BadInput(f"folder {c_folder}", got="the model folder of the project itself", allowed="another folder")
    model.mkdir(parents=True, exist_ok=True)
    for old in (*model.glob("*.c"), *model.glob("*.h")):
        old.unlink()
    for source in sorted([*c_folder.glob("*.c"), *c_folder.glob("*.h")]):
        shutil.copyfile(source, model / source.name)


def _render(template: Template, board: Board, toolchain: Toolchain, out: Path) -> None:
    """Writes the template's files and its start-up code for the core: those ending in .j2 are filled in, the others copied."""
    core = core_of(board)
    startup = template.folder / "startup" / f"{core.startup}.c.j2"
    if not startup.is_file():
        known = ", ".join(sorted(path.name.partition(".")[0] for path in startup.parent.glob("*.c.j2")))
        raise Unsupported(f"firmware template {template.name} on a {core.name}", got=f"no start-up code for {core.startup}", allowed=known)
    environment = templates(template.folder)
    values = {
        "board": board,
        "core": core,
        "flash": next(region for region in board.regions if region.kind == "flash"),
        "ram": next(region for region in board.regions if region.kind == "ram"),
        "stack_bytes": template.stack_bytes,
        "toolchain": toolchain,
        "toolchains": [known for name, known in TOOLCHAINS.items() if name in board.toolchains],
    }
    for path in sorted(path for path in template.folder.iterdir() if path.is_file()):
        if path.suffix == ".j2":
            _fill_in(environment, template, path.name, values, out / path.stem)
        elif path.name != "template.toml":
            shutil.copyfile(path, out / path.name)
    _fill_in(environment, template, f"startup/{startup.name}", values, out / "startup.c")


def _fill_in(environment: jinja2.Environment, template: Template, name: str, values: Mapping[str, object], out: Path) -> None:
    import jinja2

    try:
        text = environment.get_template(name).render(values)
    except jinja2.TemplateError as error:
        raise EdgeffError(f"firmware template {template.name}, file {name}", got=str(error)) from None
    out.write_text(text, encoding="utf-8")
