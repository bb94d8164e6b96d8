"""Builds firmware: a folder of generated C and a board come in, a project folder with an ELF and its measured memory goes out.

The project folder is complete: the model's C in ``model/``, the template's files beside it, a Makefile and a README. It builds without
edgeff.
Refused: a folder without a generated model, an unknown template or one without start-up code for the core, a program that does not fit
the board (by how many bytes).
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeff.device.boards import load_boards
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
_MODEL_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Template:
    """A firmware template and its additions to a model, in bytes.

    The static RAM of a firmware is the arena plus ``beside_arena(...)``, exactly: ``ram_bytes``, and ``input_copies`` places for an input.
    Its constants are the model's plus ``constant_bytes`` (None where that depends on the compiler). ``stack_bytes`` is reserved for the
    stack by the linker script: a program that does not leave that much is refused. Files and start-up code that the template does not
    have are those of the template ``base``. With ``needs_uart`` it is for boards with a serial line; with ``ticks`` SysTick interrupts.
    """

    name: str
    summary: str
    folder: Path
    ram_bytes: int
    stack_bytes: int
    constant_bytes: int | None = None
    input_copies: int = 0
    base: str = ""
    needs_uart: bool = False
    ticks: bool = False

    def beside_arena(self, input_bytes: int) -> int:
        """The static RAM beside the arena, in bytes, of a model whose input takes ``input_bytes``; each copy of it takes whole words of 8.

        >>> load_templates()["serial"].beside_arena(490)
        624
        """
        return self.ram_bytes + self.input_copies * (-(-input_bytes // 8) * 8)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where its files are: those of the base, then its own, which replace them."""
        return (*([self.folder.parent / self.base] if self.base else []), self.folder)


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


def build(
    c_folder: Path, board: Board, out: Path, toolchain: Toolchain | None = None, template: str = "bare_metal", model_name: str = "model"
) -> Firmware:
    """The firmware of the generated C in ``c_folder`` for ``board``, with its project written to the folder ``out``.

    ``toolchain`` defaults to the first installed one for which the board has flags; ``model_name`` is what the firmware calls the model
    where it speaks. Raises BadInput if ``c_folder`` contains no
    model or the template is unknown, DoesNotFit if flash or RAM is too small, MissingTool without a compiler and EdgeffError with the
    compiler's first error.
    """
    project = write_project(c_folder, board, out, toolchain, template, model_name)
    used = toolchain or choose(board)
    elf = project / "firmware.elf"
    used.link(sorted([*project.glob("*.c"), *(project / "model").glob("*.c")]), project, board, project / "link.ld", elf)
    return measure(elf, board, used.name, template)


def write_project(
    c_folder: Path, board: Board, out: Path, toolchain: Toolchain | None = None, template: str = "bare_metal", model_name: str = "model"
) -> Path:
    """The folder ``out``, after writing the sources of the firmware into it; nothing is compiled. Arguments and errors as in ``build``."""
    templates = load_templates()
    if template not in templates:
        raise BadInput("unknown firmware template", got=repr(template), allowed=", ".join(templates))
    if not (c_folder / "model.c").is_file() or not (c_folder / "model.h").is_file():
        raise BadInput(
            f"folder {c_folder}", got="no model.c and model.h", allowed="a folder of generated C", next_step="see `edgeff export --to c`"
        )
    if not _MODEL_NAME.fullmatch(model_name):
        raise BadInput("name of the model", got=repr(model_name), allowed="1 to 32 letters, digits, _ and -")
    if templates[template].needs_uart and board.uart is None:
        known = ", ".join(name for name, other in load_boards().items() if other.uart)
        raise Unsupported(
            f"firmware template {template} on board {board.name}",
            got="no [uart] in its file",
            allowed=known,
            next_step="or take a package of the board's environment, see `edgeff export --to arduino`",
        )
    used = toolchain or choose(board)
    try:
        _copy_model(c_folder, out / "model")
        _render(templates[template], board, used, out, model_name)
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


def _render(template: Template, board: Board, toolchain: Toolchain, out: Path, model_name: str) -> None:
    """Writes the template's files, its start-up code for the core and its UART: those ending in .j2 are filled in, the others copied."""
    core = core_of(board)
    environment = templates(template.folder.parent)
    values = {
        "board": board,
        "core": core,
        "flash": next(region for region in board.regions if region.kind == "flash"),
        "ram": next(region for region in board.regions if region.kind == "ram"),
        "stack_bytes": template.stack_bytes,
        "ticks": template.ticks,
        "uart": board.uart,
        "model_name": model_name,
        "toolchain": toolchain,
        "toolchains": [known for name, known in TOOLCHAINS.items() if name in board.toolchains],
    }
    files = {path.name: path for folder in template.folders for path in sorted(folder.iterdir()) if path.is_file()}
    files["startup.c.j2"] = _chosen(template, "startup", core.startup, f"firmware template {template.name} on a {core.name}")
    if template.needs_uart and board.uart:
        files["uart.c.j2"] = _chosen(template, "uart", board.uart.kind, f"firmware template {template.name} on board {board.name}")
    for name, path in files.items():
        if path.suffix == ".j2":
            _fill_in(environment, template, path.relative_to(template.folder.parent).as_posix(), values, out / Path(name).stem)
        elif name != "template.toml":
            shutil.copyfile(path, out / name)
    if (template.folder / "host").is_dir():
        shutil.copytree(template.folder / "host", out / "host", dirs_exist_ok=True)


def _chosen(template: Template, kind: str, name: str, what: str) -> Path:
    """The file of the template, or of its base, for one of several ``kind``s. Raises Unsupported if there is none, with those there are."""
    known = {path.name.partition(".")[0]: path for folder in template.folders for path in sorted((folder / kind).glob("*.c.j2"))}
    if name not in known:
        raise Unsupported(what, got=f"no {kind} code for {name}", allowed=", ".join(sorted(known)))
    return known[name]


def _fill_in(environment: jinja2.Environment, template: Template, name: str, values: Mapping[str, object], out: Path) -> None:
    import jinja2

    try:
        text = environment.get_template(name).render(values)
    except jinja2.TemplateError as error:
        raise EdgeffError(f"firmware template {template.name}, file {name}", got=str(error)) from None
    out.write_text(text, encoding="utf-8")
