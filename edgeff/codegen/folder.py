"""Program -> a folder of C99 that any compiler builds.

It holds the kernels the program uses, its constants, one arena and two flat lists of calls. ``model.h`` is the interface (init, input,
predict, output, learn, save, restore); ``example/main.c``, apart from what a firmware takes, checks the C against values computed by the
NumPy twins. No malloc, no stdio outside the example; the arena's layout is the memory plan's. Models whose names begin with prefixes of
their own share a folder, and the kernels in it. Refused: a folder that holds C of something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from edgeff import registry
from edgeff.atomic import new_folder
from edgeff.codegen.example import example
from edgeff.codegen.names import PREFIX, check_prefix, file_prefix, names_in, prefixed
from edgeff.codegen.neighbours import MODEL, carry_over, check_folder, check_shared, is_generated, is_stale, needed_by, neighbours
from edgeff.codegen.scan import called, defined, included
from edgeff.codegen.source import RUNTIME, Shared, Text
from edgeff.errors import BadInput
from edgeff.ir import Array, MemoryPlan, Program
from edgeff.kernels import FOLDER, own_sources, source_name
from edgeff.kernels.header import KERNELS_HEADER, header_of
from edgeff.program.binding import binding
from edgeff.program.plan import guard_bytes, plan
from edgeff.program.select import select

RUNTIME_FOLDER = Path(__file__).parent / "runtime"


@dataclass(frozen=True)
class Source:
    """The written export: the folder, the C sources a build needs without the example, and the memory plan they follow.

    ``program`` is what was written, with the variants of its kernels; ``guard_bytes`` is the static RAM beside the arena.
    """

    folder: Path
    sources: tuple[Path, ...]
    memory: MemoryPlan
    program: Program
    guard_bytes: int = 0


def write_c(
    program: Program,
    folder: Path,
    *,
    samples: Array | None = None,
    labels: Array | None = None,
    prefix: str = PREFIX,
    features: frozenset[str] = frozenset(),
    command: str = "edgeff",
    shared: Shared | None = None,
) -> Source:
    """Writes the C of ``program`` into ``folder`` (made if missing) and returns what was written.

    An earlier export of that prefix is replaced, the whole folder at once; files of other names are kept, and so are models of other
    prefixes.

    Args:
        program: what to write.
        folder: where to.
        samples: (n, inputs) of the program's input dtype, for the example; by default four seeded random ones.
        labels: (n,), what the example learns them as, or (n, outputs) of the target's dtype; by default seeded random ones.
        prefix: what the names of the model begin with: with ``wake_`` ``wake_init`` and so on stand in ``wake_model.h``.
        features: what the core has, for the choice of kernels' variants; none: C for any core.
        command: what the files' heads say made them.
        shared: what the model has from others in the folder.
    Raises: BadInput for a prefix that is not valid in C, when the folder holds C files of something else or a model that needs kernels of
    another version of edgeff, and when samples and labels do not fit.
    """
    folder = Path(folder)
    stem = file_prefix(check_prefix(prefix))
    check_folder(folder, prefix)
    samples, labels = _samples(program, samples, labels)
    chosen = select(without_data(program, shared.stored) if shared else program, features)
    memory = plan(chosen)
    text = Text(chosen, memory, command, binding(program, memory), shared)
    files = kernel_files(text.sources)
    headers = {path.with_suffix(".h").name: path.with_suffix(".h") for path in files.values() if path.with_suffix(".h").exists()}
    runtime = {name: RUNTIME_FOLDER / name for name in RUNTIME} if program.learn else {}
    copied = {**files, **headers, **shared_headers(files.values()), **runtime}
    header = text.header()
    written = {
        f"{stem}model.h": header,
        f"{stem}model.c": text.source(sorted(headers)),
        f"example/{stem}main.c": example(program, memory, samples, labels, command),
    }
    common = {name for path in runtime.values() for name in names_in(path.read_text(encoding="utf-8"))} | {shared.arena if shared else ""}
    written = {name: prefixed(content, prefix, names_in(header) - common) for name, content in written.items()}
    check_shared(copied, needed_by(neighbours(folder, prefix)))
    if any(is_generated(path) for path in folder.glob(MODEL)):
        with new_folder(folder, is_stale) as fresh:
            carry_over(folder, fresh, prefix)
            _fill(fresh, copied, written)
    else:
        _fill(folder, copied, written)
    sources = sorted(name for name in {*files, *runtime} if name.endswith(".c"))
    return Source(folder, (*(folder / name for name in sources), folder / f"{stem}model.c"), memory, chosen, guard_bytes(chosen))


def without_data(program: Program, names: Collection[str]) -> Program:
    """``program`` whose constants called ``names`` lie elsewhere, so that no variant of a kernel packs them anew."""
    tensors = {name: replace(tensor, data=None) if name in names else tensor for name, tensor in program.tensors.items()}
    return replace(program, tensors=tensors)


def _fill(folder: Path, copied: Mapping[str, Path], written: Mapping[str, str]) -> None:
    """Puts kernels and headers that are ``copied``, and texts that are ``written``, into ``folder`` by their names."""
    (folder / "example").mkdir(parents=True, exist_ok=True)
    for name, path in copied.items():
        shutil.copyfile(path, folder / name)
    (folder / KERNELS_HEADER).write_text(kernels_header(folder), encoding="utf-8")
    for name, content in written.items():
        (folder / name).write_text(content, encoding="utf-8")


def write_trace(program: Program, source: Source) -> tuple[Path, ...]:
    """The C sources of a build of ``source``, the export of ``program``, which can be watched call by call on the host.

    ``eff_trace(out)`` runs inference on the input and copies the outputs of each call to ``out``, one after the other.
    """
    trace = source.folder / "trace.c"
    trace.write_text(Text(select(program), source.memory, "edgeff", binding(program, source.memory)).trace(), encoding="utf-8")
    return (*(path for path in source.sources if path.name != "model.c"), trace)


def _samples(program: Program, samples: Array | None, labels: Array | None) -> tuple[Array, Array]:
    """The example's samples and labels, seeded random ones if None is given."""
    tensor = program.tensors[program.input]
    rng = np.random.default_rng(0)
    if samples is None:
        size = (4, sum(each.elements for each in program.inputs))
        samples = rng.random(size, np.float32) if tensor.dtype == "float32" else rng.integers(-128, 128, size).astype(tensor.dtype)
    if labels is None and program.target:
        goal = program.tensors[program.target]
        size = (len(samples), goal.elements)
        labels = rng.random(size, np.float32) if goal.dtype == "float32" else rng.integers(-100, 100, size).astype(goal.dtype)
    elif labels is None:
        labels = rng.integers(0, max(program.classes, 1), len(samples))
    if len(samples) == 0 or len(samples) != len(labels):
        raise BadInput(
            "samples of the example", got=f"{len(samples)} with {len(labels)} labels", allowed="at least one, and one label each"
        )
    return samples, labels


def kernel_files(sources: Iterable[Path]) -> dict[str, Path]:
    """The C files ``sources`` of kernels by the name they get, with those of edgeff's own whose functions they call.

    Raises BadInput if two kernels' files would get the same name.
    """
    files: dict[str, Path] = {}
    waiting = sorted(set(sources))
    while waiting:
        path = waiting.pop()
        known = files.setdefault(source_name(path), path)
        if known != path:
            both = " and ".join(sorted((str(known), str(path))))
            raise BadInput(f"kernel file {source_name(path)}", got=both, allowed="one file of that name", next_step="rename one of the two")
        names = called(path.read_text(encoding="utf-8"))
        waiting += sorted({home for name, home in _homes().items() if name in names} - set(files.values()))
    return files


def kernels_header(folder: Path) -> str:
    """The text of ``eff_kernels.h`` for the kernels whose C lies in ``folder``, of one model or several."""
    there = {name for path in folder.glob("eff_*.c") for name in defined(path.read_text(encoding="utf-8"))}
    return header_of(registry.kernels.values(), there)


def shared_headers(files: Iterable[Path]) -> dict[str, Path]:
    """The headers of edgeff's own that ``files`` include, directly or through one another, by name; ``edgeff.h`` always."""
    headers = {"edgeff.h": FOLDER / "edgeff.h"}
    waiting = list(files)
    while waiting:
        for name in included(waiting.pop().read_text(encoding="utf-8")):
            if name not in headers and (FOLDER / name).exists():
                headers[name] = FOLDER / name
                waiting.append(FOLDER / name)
    return headers


@cache
def _homes() -> dict[str, Path]:
    """Where each C function of edgeff's own is defined."""
    return {name: path for path in own_sources() for name in defined(path.read_text(encoding="utf-8"))}
