"""Kernels: each a C function and its exact NumPy twin, side by side in one pair of files, with its ranges and its cost formula.

An operator's kernels are in its folder (``ops/<op>/kernel.c`` and ``kernel.py``), those shared by several rules in
``rules/words``, all others here, with the arithmetic that all of them share.

A twin's signature is the one place where a kernel's parameters are declared: its outputs first (``Annotated[Array, Out(...)]``), then its
inputs (``In``), then numbers and records (``edgeff.kernels.records``). It determines the C prototype with its comment
(``edgeff.kernels.header``), the checks of every call, and the tests' arguments. A twin without a C body of its name is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeff.errors import EdgeffError
from edgeff.ir import Array, Attr, Parameters
from edgeff.kernels.overlap import Clearance, Overlap, nothing_shared
from edgeff.kernels.records import ANY_FLOAT, ANY_INT, ANY_LONG, ANY_UNSIGNED, Field, Range, Record, field_of, fields_of
from edgeff.registry import kernels as registry

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parent
Arguments = Mapping[str, Any]
Role = Literal["output", "input", "value", "record"]
RANGES: Mapping[str, Range] = {
    "float": ANY_FLOAT,
    "int8_t": Range(-128, 127),
    "int16_t": Range(-32767, 32767),
    "int32_t": ANY_INT,
    "int64_t": ANY_LONG,
    "uint32_t": ANY_UNSIGNED,
    "void": Range(0, 255),
}


class Pointer:
    """A tensor's C type, its shape and the range of its elements, as an annotation of a twin's parameter.

    ``shape`` holds expressions over the kernel's numbers and its records' fields (``"n_out"``, ``"in_c // groups"``), outermost first.
    ``low`` and ``high`` are numbers, or expressions too; by default the range of the C type (int16 without -32768).
    """

    role: Role = "input"

    def __init__(self, ctype: str, *shape: str, low: float | str | None = None, high: float | str | None = None) -> None:
        self.ctype, self.shape, self.low, self.high = ctype, shape, low, high


class In(Pointer):
    """A tensor that the kernel reads."""


class Out(Pointer):
    """A tensor that the kernel writes; ``also_read``: it reads it too."""

    role: Role = "output"

    def __init__(
        self, ctype: str, *shape: str, low: float | str | None = None, high: float | str | None = None, also_read: bool = False
    ) -> None:
        super().__init__(ctype, *shape, low=low, high=high)
        self.also_read = also_read


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a kernel. Pointers have a shape and may be absent (NULL); a value has its ``field``, a record its class."""

    name: str
    ctype: str
    role: Role
    pointer: Pointer | None = None
    optional: bool = False
    number: Field | None = None
    record: type[Record] | None = None

    @property
    def declaration(self) -> str:
        """The declaration in the C prototype."""
        if self.role == "value":
            return f"{self.ctype} {self.name}"
        return f"{'' if self.role == 'output' else 'const '}{self.ctype} *{self.name}"

    def dims(self, arguments: Arguments) -> tuple[int, ...]:
        """The shape of a pointer's tensor in a call with ``arguments`` (numbers and records by name)."""
        names = numbers(arguments)
        return tuple(evaluate(text, names) for text in self.pointer.shape) if self.pointer else ()

    def limits(self, arguments: Arguments) -> tuple[float, float]:
        """The least and the greatest allowed element of a pointer's tensor."""
        if self.pointer is None:
            raise EdgeffError(f"parameter {self.name}", got=self.role, allowed="a pointer")
        whole, names = RANGES[self.ctype], numbers(arguments)
        low, high = (
            default if end is None else evaluate(end, names) if isinstance(end, str) else end
            for end, default in ((self.pointer.low, whole.low), (self.pointer.high, whole.high))
        )
        return low, high


@cache
def _compiled(text: str) -> Any:
    return compile(text, "<kernel parameter>", "eval")


def evaluate(text: str, names: Mapping[str, float]) -> int:
    """The value of a shape's expression."""
    return int(eval(_compiled(text), {"__builtins__": {}, "min": min, "max": max}, dict(names)))  # noqa: S307 (texts of twins' signatures)


def numbers(arguments: Arguments) -> dict[str, float]:
    """Every number of a call by name, including the fields of its records and of the records in them."""
    named: dict[str, float] = {}
    for name, value in arguments.items():
        named |= numbers(value.values()) if isinstance(value, Record) else {name: value}
    return named


@dataclass(frozen=True, slots=True)
class Variant:
    """A faster form of a kernel with bit-identical results: the function ``<kernel>_<name>`` in the C file ``source`` beside the kernel's.

    ``needs`` are the features a core must have; ``accepts`` says whether a call's arguments meet its preconditions, given the data of its
    constant inputs by name; ``pack`` rearranges those (parameter name -> array, None for NULL) if the form reads another layout;
    ``scratch_bytes`` is the memory that it takes as a last parameter ``void *scratch`` (0: no such parameter); ``overlap`` is its own rule
    if the order of its reads and writes differs from the plain loop's; ``wants`` says in words what ``accepts`` asks. The first variant
    that fits is used.
    """

    name: str
    source: str
    needs: frozenset[str] = frozenset()
    accepts: Callable[[Arguments, Mapping[str, Array]], bool] = lambda _arguments, _constants: True
    pack: Callable[[Arguments, Mapping[str, Array]], Mapping[str, Array | None]] | None = None
    scratch_bytes: Callable[[Arguments], int] | None = None
    overlap: Overlap | None = None
    wants: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: ``run(*outputs, *inputs, **arguments)`` writes the outputs; ``macs(arguments)`` counts a call's multiply-accumulates.

    ``overlap(numbers)`` says how far the plain C may write an output into the memory of an input (``kernels.overlap``).
    ``module`` is that of the twin.
    """

    name: str
    source: Path
    params: tuple[Param, ...]
    run: Callable[..., None]
    macs: Callable[[Arguments], int]
    variants: tuple[Variant, ...] = ()
    overlap: Overlap = nothing_shared
    module: str = ""

    @property
    def file(self) -> str:
        """The name of its C file in an export: ``eff_dense.c`` for ``dense/kernel.c``, ``eff_argmax.c`` for ``argmax.c``."""
        return source_name(self.source)

    @property
    def attrs(self) -> tuple[Param, ...]:
        """The numbers and records."""
        return tuple(p for p in self.params if p.role in ("value", "record"))

    @property
    def pointers(self) -> tuple[Param, ...]:
        return tuple(p for p in self.params if p.role in ("output", "input"))

    @property
    def functions(self) -> frozenset[str]:
        """The C functions of the kernel: the plain one and the variants."""
        return frozenset((self.name, *(f"{self.name}_{variant.name}" for variant in self.variants)))

    def variant(self, name: str) -> Variant:
        """The variant called ``name``."""
        return next(variant for variant in self.variants if variant.name == name)

    def clearances(self, arguments: Arguments, variant: str = "") -> Mapping[tuple[str, str], Clearance]:
        """The clearance of each pair (output, input) of parameters that may share memory in a call, by its variant."""
        own = self.variant(variant).overlap if variant else None
        return (own or self.overlap)(numbers(arguments))

    def variant_source(self, name: str) -> Path:
        """The C file of the variant ``name``; the kernel's own for ``""``."""
        return self.source.with_name(self.variant(name).source) if name else self.source


def source_name(source: Path) -> str:
    """The name of a kernel's C file in an export: ``eff_dense.c`` for ``dense/kernel.c``, ``eff_dense_x4.c`` for ``dense/x4.c``."""
    operator = source.parent.parent.name == "ops" or (source.parent / "kernel.c").exists()
    parts = [source.parent.name] * operator + [source.stem] * (source.stem != "kernel")
    return f"eff_{'_'.join(parts)}.c"


@lru_cache(maxsize=1)
def own_sources() -> tuple[Path, ...]:
    """Every C file of edgeff's own kernels."""
    return tuple(sorted((*PACKAGE.glob("ops/*/*.c"), *PACKAGE.glob("rules/words/*.c"), *FOLDER.glob("*.c"))))


def kernel(
    macs: str | Callable[[Arguments], int] = "0", variants: tuple[Variant, ...] = (), overlap: Overlap = nothing_shared
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that registers a twin as the kernel of its name; ``macs`` counts a call's multiply-accumulates from its arguments, as a
    function or as an expression over its numbers and its records' fields (``"n_out * n_in"``); ``overlap`` is its overlap rule.

    The C source is the file beside the twin's with the suffix ``.c``. Raises EdgeffError for a twin without a C body, for a parameter
    without an annotation, and for parameters out of order.
    """

    def register(twin: Callable[..., None]) -> Callable[..., None]:
        source, name = Path(inspect.getfile(twin)).with_suffix(".c"), twin.__name__
        item = Kernel(name, source, tuple(_params(twin)), twin, _counted(macs), variants, overlap, twin.__module__)
        for function, path in ((name, source), *((f"{name}_{v.name}", source.with_name(v.source)) for v in variants)):
            if not path.exists() or not re.search(rf"^void {function}\(", path.read_text(encoding="utf-8"), re.MULTILINE):
                raise EdgeffError(f"kernel {function}", got="no C function", allowed=f"void {function}(...) in {path.name}")
        registry.add(name, item)
        return twin

    return register


def _counted(macs: str | Callable[[Arguments], int]) -> Callable[[Arguments], int]:
    """A cost formula as a function of a call's arguments."""
    return (lambda arguments: evaluate(macs, numbers(arguments))) if isinstance(macs, str) else macs


def _params(twin: Callable[..., None]) -> Iterator[Param]:
    """The parameters that a twin's signature declares, in order."""
    hints, where = get_type_hints(twin, include_extras=True), f"kernel {twin.__name__}"
    order: list[Role] = ["output", "input", "value"]
    last = 0
    for name in inspect.signature(twin).parameters:
        param = _param(name, hints.get(name), where)
        rank = order.index("value" if param.role == "record" else param.role)
        if rank < last:
            raise EdgeffError(
                f"{where}, {name}", got=f"an {param.role} after others", allowed="outputs, then inputs, then numbers and records"
            )
        last = rank
        yield param


def _param(name: str, hint: object, where: str) -> Param:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    pointer = next((mark for mark in marks if isinstance(mark, Pointer)), None)
    if pointer is not None:
        optional = get_origin(get_args(hint)[0]) in (Union, UnionType)
        return Param(name, pointer.ctype, pointer.role, pointer=pointer, optional=optional)
    if isinstance(hint, type) and issubclass(hint, Record):
        return Param(name, hint.ctype(), "record", record=hint)
    base = get_args(hint)[0] if marks else hint
    if base not in (int, float):
        raise EdgeffError(f"{where}, {name}", got=str(hint), allowed="Annotated[Array, Out(...) or In(...)], an int, a float or a Record")
    number = field_of(name, hint)
    return Param(name, number.ctype, "value", number=number)


def check_attrs(item: Kernel, attrs: Mapping[str, int | float | Parameters]) -> None:
    """Refuses a call whose numbers and records are not exactly the kernel's, or are out of range."""
    names = [p.name for p in item.attrs]
    if set(attrs) != set(names):
        raise EdgeffError(f"call of {item.name}", got=f"arguments {sorted(attrs)}", allowed=f"{sorted(names)}")
    for param in item.attrs:
        value = attrs[param.name]
        if param.record is not None and not isinstance(value, param.record):
            raise EdgeffError(f"call of {item.name}, {param.name}", got=type(value).__name__, allowed=param.record.__name__)
        if param.number is not None:
            param.number.check(value, f"call of {item.name}")


def packed(item: Kernel, numbers: Mapping[str, Attr | Parameters]) -> dict[str, int | float | Parameters]:
    """The arguments of a call from its ``numbers`` by name, a record's fields by their own names; those with a default may be left out."""
    left, arguments = dict(numbers), dict[str, Any]()
    for param in item.attrs:
        if param.record is None or param.name in left:
            if param.name in left:
                arguments[param.name] = left.pop(param.name)
            continue
        own = {f.name: left[f.name] for f in fields_of(param.record) if f.name in left}
        try:
            arguments[param.name] = param.record(**own)
        except TypeError as error:
            raise EdgeffError(f"call of {item.name}, {param.name}", got=str(error), allowed="every field without a default") from error
        for name in own:
            left.pop(name)
    check_attrs(item, arguments | left)
    return arguments
