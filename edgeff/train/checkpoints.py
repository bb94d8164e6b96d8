"""What a training run keeps in a folder: a log, a curve, and a checkpoint from which the same run goes on to the same bits.

In go the run, its optimiser and what was measured, after each epoch; out come ``log.csv`` (a line an epoch), ``curve.svg`` and
``checkpoint.npz``, each whole or not at all. The checkpoint holds arrays and one JSON text, no pickled object: every array, number and
generator that the run and the optimiser reach, by its path. A checkpoint of another run (other data, network, rule, settings or seed), or
one that is damaged, is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any, cast

import numpy as np

from edgeff import atomic
from edgeff.errors import BadInput
from edgeff.ir import Array, Layer, Network
from edgeff.rules import Rule, Run, Settings
from edgeff.train.optimisers import Optimiser

CHECKPOINT, LOG, CURVE = "checkpoint.npz", "log.csv", "curve.svg"
FORMAT = 1
HEADINGS = ("epoch", "rate", "training measure", "seconds")
NEXT_STEP = "choose another folder, or remove it"
_DAMAGES = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError)


@dataclass
class Checkpoints:
    """The folder of a run, and what stands in it so far. ``every`` so many epochs, and after the last one, there is a checkpoint.

    ``measure`` names what ``fit`` measures after each epoch. Raises BadInput for a folder that cannot be written.
    """

    folder: Path
    every: int = 1
    measure: str = "accuracy of 256 training samples"
    rows: list[tuple[int, float, float, float]] = field(default_factory=list)
    _identity: Mapping[str, Any] = field(default_factory=dict)
    _began: float = 0.0

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from None

    def begin(self, run: Run, optimiser: Optimiser, rule: Rule, x: Array, targets: Array) -> int:
        """The epochs that were done before; ``run`` and ``optimiser``, at their first step, are then as they were after these.

        Raises BadInput for a checkpoint of another run, and for one that cannot be read.
        """
        self._identity, self._began = _identity(run, rule, x, targets), monotonic()
        path = self.folder / CHECKPOINT
        if not path.exists():
            return 0
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            described = json.loads(bytes(arrays.pop("described")).decode())
            if described["format"] != FORMAT:
                raise ValueError(f"format {described['format']}")
        except _DAMAGES as error:
            raise BadInput(
                f"checkpoint {path}", got=str(error) or type(error).__name__, allowed="one that `edgeff train` wrote", next_step=NEXT_STEP
            ) from None
        if other := [name for name, value in self._identity.items() if described["run"].get(name) != value]:
            got = f"a run with another {', '.join(other[:5])}"
            raise BadInput(f"checkpoint {path}", got=got, allowed="the run that is begun again as it was", next_step=NEXT_STEP)
        self.rows = [(int(epoch), float(rate), float(share), float(seconds)) for epoch, rate, share, seconds in described["rows"]]
        self._began -= self.rows[-1][3]
        for name, array in arrays.items():
            _put({"run": run, "optimiser": optimiser}, json.loads(name), array)
        for path_of_number, number in described["numbers"]:
            _put({"run": run, "optimiser": optimiser}, path_of_number, number)
        return len(self.rows)

    def keep(self, run: Run, optimiser: Optimiser, measured: float) -> None:
        """Adds an epoch to the log and, where one is due, writes a checkpoint and the curve. Raises BadInput if they cannot be written."""
        self.rows.append((len(self.rows) + 1, float(run.lr), float(measured), round(monotonic() - self._began, 3)))
        try:
            atomic.write_text(self.folder / LOG, self._log())
            if len(self.rows) % self.every == 0 or len(self.rows) == run.settings.epochs:
                self._save(run, optimiser)
                atomic.write_text(self.folder / CURVE, curve([row[2] for row in self.rows], self.measure))
        except OSError as error:
            raise self._refused(error) from None

    def _save(self, run: Run, optimiser: Optimiser) -> None:
        arrays: dict[str, Array] = {}
        numbers: list[Any] = []
        for path, value in _leaves({"run": run, "optimiser": optimiser}):
            if isinstance(value, np.ndarray):
                arrays[json.dumps(path)] = value
            else:
                numbers.append([path, value])
        described = {"format": FORMAT, "run": self._identity, "rows": self.rows, "numbers": numbers}
        arrays["described"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
        with atomic.new_file(self.folder / CHECKPOINT) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _log(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([HEADINGS, *((epoch, f"{rate:.6g}", f"{share:.6g}", seconds) for epoch, rate, share, seconds in self.rows)])
        return text.getvalue()

    def _refused(self, error: OSError) -> BadInput:
        return BadInput(f"folder of the run '{self.folder}'", got=error.strerror or str(error), allowed="a folder that can be written")


def _identity(run: Run, rule: Rule, x: Array, targets: Array) -> dict[str, Any]:
    """What makes a run what it is, as JSON: the same values, the same run to the bit."""
    start = hashlib.sha256()
    for name, parameters in sorted(run.params.items()):
        for parameter, values in sorted(parameters.items()):
            start.update(f"{name}.{parameter} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    data = hashlib.sha256(np.ascontiguousarray(x).tobytes() + np.ascontiguousarray(targets).tobytes()).hexdigest()
    layers = [f"{layer.name} {layer.op} {layer.inputs} {layer.shape}" for layer in run.network]
    settings = json.loads(json.dumps(asdict(run.settings)))
    return {"rule": rule.name, "network": layers, "data": data, "seed": run.seed, "start": start.hexdigest()} | settings


def _leaves(value: Any, path: tuple[Any, ...] = (), seen: set[int] | None = None) -> Iterator[tuple[list[Any], Any]]:
    """Every array, number and generator that changes while a run goes on, with its path; what several paths reach comes once."""
    seen = set() if seen is None else seen
    if isinstance(value, bool | int | float):
        yield [*path], value
        return
    if isinstance(value, str | bytes | None | Network | Layer | Rule | Settings) or callable(value) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield [*path], value
    elif isinstance(value, np.random.Generator):
        yield [*path, "generator"], value.bit_generator.state
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, [*key] if isinstance(key, tuple) else key), seen)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index), seen)
    elif hasattr(value, "__dict__"):
        for name, item in vars(value).items():
            yield from _leaves(item, (*path, name), seen)


def _put(root: Any, path: Sequence[Any], value: Any) -> None:
    """Sets what ``_leaves`` found at ``path``: an array in place where it has the same form, else as a new one."""
    holder = root
    for step, following in pairwise(path):
        key: Any = tuple(step) if isinstance(step, list) else step
        if isinstance(holder, dict):
            holder = holder.setdefault(key, [] if isinstance(following, int) else {})
        else:
            holder = holder[key] if isinstance(holder, list | tuple) else getattr(holder, key)
    last: Any = tuple(path[-1]) if isinstance(path[-1], list) else path[-1]
    if isinstance(holder, np.random.Generator):
        holder.bit_generator.state = value
    elif isinstance(holder, list) and last == len(holder):
        holder.append(value)
    elif isinstance(holder, dict):
        if not _copied(holder.get(last), value):
            holder[last] = value
    elif isinstance(holder, list | tuple):
        if not _copied(holder[last], value):
            cast("list[Any]", holder)[last] = value
    elif not _copied(getattr(holder, last), value):
        setattr(holder, last, value)


def _copied(old: Any, value: Any) -> bool:
    """Whether ``value`` is an array of the form of ``old``, which then holds it."""
    if not isinstance(old, np.ndarray) or not isinstance(value, np.ndarray) or (old.shape, old.dtype) != (value.shape, value.dtype):
        return False
    old[...] = value
    return True


def curve(values: Sequence[float], measure: str) -> str:
    """A picture of what was measured after each epoch, SVG.

    >>> "1 to 2" in curve([0.5, 0.75], "accuracy")
    True
    """
    width, height, left, top = 480, 260, 56, 34
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (width - left - 16) / max(len(values) - 1, 1)
    points = [(left + index * step, top + (height - top - 40) * (1.0 - (value - low) / span)) for index, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#0b5fa5"/>' for x, y in points) if len(points) < 60 else ""
    texts = [(8, 18, "start", f"{measure}, after each epoch"), (left - 6, top + 4, "end", f"{high:.4g}")]
    texts += [(left - 6, height - 36, "end", f"{low:.4g}"), (left, height - 14, "start", f"epochs 1 to {len(values)}")]
    frame = f"M{left},{top}V{height - 40}H{width - 16}"
    words = "".join(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>' for x, y, anchor, text in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/><path d="{frame}" fill="none" stroke="#999"/>'
        f'<polyline points="{line}" fill="none" stroke="#0b5fa5" stroke-width="1.8"/>{marks}{words}</svg>\n'
    )
