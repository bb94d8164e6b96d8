"""Program -> a package for an environment of firmware: its C, an example that learns from a stream of readings, and a README.

A package is a folder of ``firmware_templates/packages``: ``package.toml`` says where what goes, every file ``*.j2`` is a Jinja template
and keeps its place; ``NAME`` in a file's name becomes the package's, and a file with ``BOARD`` in it is written for each board that it may
be built for. ``stream.h.j2``, beside the packages, is what all examples share. On a second export into the same folder the model's C is
written anew, and so is a list of its files; what stands beside it, which is the user's to change, stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeff.codegen.folder import Source, write_c
from edgeff.codegen.names import comment, file_prefix, prefixed
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Program
from edgeff.resources import packages_folder, templates, templates_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPLATE, STREAM, LIST, BOARD = ".j2", "stream.h.j2", ".pdsc", "BOARD"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class BoardBuild:
    """A board as build files name it: its ``compiler``, and the ``flags`` of its core."""

    name: str
    summary: str
    compiler: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A kind of package: where the model's C goes (``sources``), its check on a computer (``check``), the shared part of the example
    (``stream``) and the serial protocol (``protocol``), as paths in the package; ``next_step``, the command that uses it.
    """

    name: str
    summary: str
    folder: Path
    sources: str
    check: str
    stream: str
    protocol: str
    next_step: str

    @property
    def templates(self) -> dict[str, Path]:
        """Every template by the path of what it becomes."""
        own = {path.relative_to(self.folder).as_posix(): path for path in sorted(self.folder.rglob(f"*{TEMPLATE}"))}
        shared = {f"LICENSE{TEMPLATE}": self.folder.parent / f"LICENSE{TEMPLATE}", self.stream + TEMPLATE: self.folder.parent / STREAM}
        return {name.removesuffix(TEMPLATE): path for name, path in (own | shared).items()}

    def files(self, name: str, boards: Sequence[BoardBuild]) -> Iterator[tuple[str, Path, BoardBuild | None]]:
        """Every file of a package called ``name`` as a path in it, with its template, and with its board where it is of one."""
        for form, path in self.templates.items():
            for board in boards if BOARD in form else [None]:
                yield form.replace("NAME", name).replace(BOARD, board.name if board else BOARD), path, board

    def changeable(self, name: str, boards: Sequence[BoardBuild]) -> list[str]:
        """The files that are the user's to change, as paths in a package called ``name``: all but the model's C and a list of its files."""
        return [file for file, _, _ in self.files(name, boards) if not file.endswith(LIST)]


def load_package(name: str) -> Package:
    """The package called ``name``.

    >>> load_package("arduino").sources
    'src'
    """
    folder = packages_folder() / name
    values = tomllib.loads((folder / "package.toml").read_text(encoding="utf-8"))
    return Package(name=name, folder=folder, next_step=values.pop("next"), **values)


def check_name(name: str) -> str:
    """The name of a package, which is its folder's; raises BadInput for one that environments refuse."""
    if not _NAME.fullmatch(name):
        allowed = "at most 63 letters, digits, - and _, a letter first"
        raise BadInput("name of the package", got=repr(name), allowed=allowed, next_step="choose another folder for -o")
    return name


def write_package(
    package: Package,
    program: Program,
    folder: Path,
    name: str,
    *,
    samples: Array | None = None,
    labels: Array | None = None,
    prefix: str,
    command: str,
    boards: Sequence[BoardBuild] = (),
    keep: Iterable[str] = (),
) -> Source:
    """Writes ``program`` as a ``package`` called ``name`` into ``folder``, but for the files to ``keep``, paths in it.

    ``boards`` are those that it has files for; ``samples``, ``labels``, ``prefix`` and ``command`` as for ``write_c``, whose record is
    returned. Raises BadInput as it does, and Unsupported for a program of several inputs.
    """
    check_name(name)
    if len(program.inputs) > 1:  # the stream of the example fills one
        got = f"{len(program.inputs)} inputs"
        raise Unsupported(f"package of {program.name!r}", got=got, allowed="one", next_step="export it with --to c")
    source = write_c(program, folder / package.sources, samples=samples, labels=labels, prefix=prefix, command=command)
    checks = folder / package.check
    checks.mkdir(parents=True, exist_ok=True)
    example = folder / package.sources / "example"
    for path in example.iterdir():
        path.replace(checks / path.name)
    example.rmdir()
    words = _words(source, name, prefix)
    _render(package, folder, words, boards, set(keep))
    _speak(folder / package.protocol, folder / package.sources / f"{file_prefix(prefix)}model.h", prefix, words)
    return source


def _speak(folder: Path, header: Path, prefix: str, words: dict[str, Any]) -> None:
    """Writes the device side of the serial protocol, that of the firmware template ``serial``, in the names of the model."""
    own = re.compile(rf"\b(?:{prefix}|{prefix.upper()})(\w+)")
    names = {form + name for name in own.findall(header.read_text(encoding="utf-8")) for form in ("eff_", "EFF_")}
    template = templates_folder() / "serial"
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("protocol.h", "protocol.c"):
        text = (template / file).read_text(encoding="utf-8").replace("model/model.h", "model.h")
        (folder / file).write_text(prefixed(text, prefix, {each for each in names if "PROTOCOL" not in each}), encoding="utf-8")
    text = templates(template).get_template("names.h.j2").render(model_name=words["name"])
    (folder / "names.h").write_text(text, encoding="utf-8")


def _words(source: Source, name: str, prefix: str) -> dict[str, Any]:
    """What templates may say."""
    program = source.program
    low, high = {"int8": (-128, 127), "int16": (-32767, 32767)}.get(program.tensors[program.input].dtype, (0, 0))
    what = f"{program.name}, {program.numeric}, " + (f"learns by {program.rule}" if program.learn else "inference only")
    sources = sorted(path.name for path in source.folder.iterdir() if path.suffix in (".c", ".h"))
    return {
        "name": name,
        "sources": sources,
        "target": re.sub(r"\W", "_", name).lower(),
        "what": comment(what),
        "stem": file_prefix(prefix),
        "name_of": prefix,
        "macro": prefix.upper(),
        "inputs": program.tensors[program.input].elements,
        "outputs": program.tensors[program.output].elements,
        "classes": program.classes,
        "learns": bool(program.learn),
        "values": bool(program.target),
        "quantised": program.tensors[program.input].quant is not None,
        "low": low,
        "high": high,
        "arena_bytes": f"{source.memory.arena_bytes:,}",
    }


def _render(package: Package, folder: Path, words: dict[str, Any], boards: Sequence[BoardBuild], keep: set[str]) -> None:
    environment = templates(package.folder.parent)
    for name, path, board in package.files(words["name"], boards):
        if name in keep:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        template = environment.get_template(path.relative_to(package.folder.parent).as_posix())
        target.write_text(template.render(words, board=board), encoding="utf-8")
