"""Kernels: each a C function and its exact NumPy twin, side by side in one pair of files, with its rule of cost.

An operator's kernels stand in its folder (``ops/<op>/kernel.c`` and ``kernel.py``), those of the words that several rules say in
``rules/words``, what belongs to neither here, with the arithmetic that all of them share.

``edgeff.h`` is the only place where a signature is written. A twin has the C function's name and parameter names; it receives the output
arrays first and writes into them, as the C does. Registering a twin without a prototype, or with other parameters, is refused, and a test
refuses a prototype without a twin.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeff.errors import EdgeffError
from edgeff.ir import Attr
from edgeff.kernels.overlap import Overlap, nothing_shared
from edgeff.registry import kernels as registry

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parent
SCALARS: Mapping[str, type] = {"int32_t": int, "uint32_t": int, "float": float}
LARGEST_FLOAT = 3.4028234e38
_PROTOTYPE = re.compile(r"^void (eff_\w+)\(([^)]*)\);", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One C parameter: its type without qualifiers (``"float"``, ``"int8_t"``), and whether it is an output, an input or an attribute."""

    name: str
    ctype: str
    kind: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: ``run(*outputs, *inputs, **attrs)`` writes the outputs; ``macs(attrs)`` is the count of multiply-accumulates of a call.

    ``overlap(attrs)`` says how far the C may write an output into the memory of an input (``kernels.overlap``).
    """

    name: str
    source: Path
    parameters: tuple[Parameter, ...]
    run: Callable[..., None]
    macs: Callable[[Mapping[str, Any]], int]
    overlap: Overlap = nothing_shared

    @property
    def file(self) -> str:
        """The name of its C file in an export: ``eff_dense.c`` for ``dense/kernel.c``, ``eff_select.c`` for ``select.c``."""
        return source_name(self.source)

    @property
    def attrs(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.kind == "attr")

    @property
    def pointers(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.kind != "attr")


def source_name(source: Path) -> str:
    """The name of a kernel's C file in an export."""
    return f"eff_{source.parent.name if source.stem == 'kernel' else source.stem}.c"


@lru_cache(maxsize=1)
def own_sources() -> tuple[Path, ...]:
    """Every C file of edgeff's own kernels."""
    return tuple(sorted((*PACKAGE.glob("ops/*/kernel.c"), *PACKAGE.glob("rules/words/*.c"), *FOLDER.glob("*.c"))))


@lru_cache
def prototypes(header: Path) -> dict[str, tuple[Parameter, ...]]:
    """The parameters of every ``void eff_...`` prototype in ``header`` by function name: const pointers are inputs, others outputs."""
    found: dict[str, tuple[Parameter, ...]] = {}
    for name, arguments in _PROTOTYPE.findall(header.read_text(encoding="utf-8")):
        parameters = []
        for text in " ".join(arguments.split()).split(", "):
            declaration, _, identifier = text.rpartition(" ")
            pointer = identifier.startswith("*")
            ctype = declaration.replace("const", "").strip()
            kind = ("input" if "const" in declaration else "output") if pointer else "attr"
            parameters.append(Parameter(identifier.lstrip("*"), ctype, kind))
        found[name] = tuple(parameters)
    return found


def kernel(
    macs: Callable[[Mapping[str, Any]], int] = lambda _: 0, overlap: Overlap = nothing_shared
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that registers a twin as the kernel of its name, with its rules of cost and of overlap, both of a call's attributes.

    The C source is the file beside the twin's, with the suffix ``.c``; the header is ``edgeff.h``, or for a plugin the file of the twin's
    name with the suffix ``.h``.
    """

    def register(twin: Callable[..., None]) -> Callable[..., None]:
        path = Path(inspect.getfile(twin))
        source = path.with_suffix(".c")
        header = path.with_suffix(".h") if path.with_suffix(".h").exists() else FOLDER / "edgeff.h"
        name = twin.__name__
        parameters = prototypes(header).get(name)
        expected = tuple(inspect.signature(twin).parameters)
        if parameters is None or not source.exists():
            raise EdgeffError(f"kernel {name}", got="no C half", allowed=f"a prototype in {header.name} and a body in {source.name}")
        if expected != tuple(p.name for p in parameters):
            raise EdgeffError(f"kernel {name}", got=f"twin parameters {expected}", allowed=str(tuple(p.name for p in parameters)))
        registry.add(name, Kernel(name, source, parameters, twin, macs, overlap))
        return twin

    return register


def check_attrs(item: Kernel, attrs: Mapping[str, Attr]) -> None:
    """Refuses a call whose attributes are not exactly the kernel's, whose integers leave 32 bits or whose floats are not finite."""
    names = tuple(p.name for p in item.attrs)
    if set(attrs) != set(names):
        raise EdgeffError(f"call of {item.name}", got=f"attributes {sorted(attrs)}", allowed=f"{sorted(names)}")
    for parameter in item.attrs:
        value = attrs[parameter.name]
        if parameter.ctype == "float":
            if not isinstance(value, (int, float)) or not abs(value) <= LARGEST_FLOAT:
                raise EdgeffError(f"call of {item.name}, attribute {parameter.name}", got=repr(value), allowed="a finite float32")
            continue
        low, high = (0, 2**32) if parameter.ctype == "uint32_t" else (-(2**31), 2**31)
        if not isinstance(value, int) or not low <= value < high:
            raise EdgeffError(f"call of {item.name}, attribute {parameter.name}", got=repr(value), allowed=f"an integer in [{low}, {high})")
