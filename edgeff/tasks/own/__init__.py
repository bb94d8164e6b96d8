"""A user's own data where a task is named: an .npz, a .csv, or a folder of one folder a class with recordings or pictures.

A path comes in with the settings of ``Options``; a ``Task`` goes out, whose data say in their metadata under ``own`` how they were read. A
model's file keeps that, so later commands read the same data, or new data of the same form, without being told again. Every sample is
checked; what is wrong ends in one line, what is doubtful is a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeff.errors import BadInput, doubt, short
from edgeff.ir import Array
from edgeff.tasks import Data, Task, numbered
from edgeff.tasks.own.arrays import read_npz
from edgeff.tasks.own.folders import class_files, read_folder
from edgeff.tasks.own.labels import as_classes, as_values, check_classes, check_inputs, holds_values, split
from edgeff.tasks.own.options import AUTO, Options
from edgeff.tasks.own.samples import Samples
from edgeff.tasks.own.tables import read_table

SUFFIXES = (".npz", ".csv")
ALLOWED = ".npz, .csv, or a folder of one folder for each class"


@dataclass(frozen=True)
class Known:
    """What a model's file says of the data it was trained on: the path as given, the settings, the inputs' and the classes' names, and
    the fingerprint of the file or folder.
    """

    path: str
    options: Options
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    fingerprint: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Known | None:
        """Of a model's metadata, which may hold anything; None where it says nothing of own data."""
        data = metadata.get("data")
        own = data.get("own") if isinstance(data, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(own.get("path"), str):
            return None
        columns, classes = _words(own.get("columns")), _words(metadata.get("classes"))
        return cls(own["path"], Options.from_json(own.get("options")), columns, classes, str(own.get("fingerprint", "")))


def _words(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else ()


class OwnData(Task):
    """The data at ``path``; ``known`` is what a model says of the data it was trained on, whose form these then have."""

    def __init__(self, path: Path, options: Options, known: Known | None = None) -> None:
        self.path, self.options, self.known = path, options, known
        self.name, self.summary = str(path), f"your own data, {path}"

    def read(self, *, labelled: bool = True) -> Samples:
        """All samples as the file has them. Raises BadInput."""
        remembered = (self.known.options.groups, *self.known.options.drop) if self.known else ()
        if self.path.is_dir():
            samples = read_folder(self.path, self.options)
        elif self.path.suffix.lower() == ".csv":
            samples = read_table(self.path, self.options, self.known.columns if self.known else (), remembered, labelled=labelled)
        else:
            samples = read_npz(self.path, self.options, remembered, labelled=labelled)
        return samples

    def load(self, seed: int = 0) -> Data:
        return self._data(self.read(), seed, whole=False)

    def whole(self) -> Data:
        """All samples as the test part: new data for a model that was trained on others."""
        return self._data(self.read(), 0, whole=True)

    def _data(self, samples: Samples, seed: int, *, whole: bool) -> Data:
        what = str(self.path)
        labels = samples.labels
        if labels is None:
            raise BadInput(what, got="no labels", allowed="a label for each sample")
        values = holds_values(labels, self.options)
        classes: tuple[str, ...] = ()
        if values:
            y = as_values(labels, what)
            self.metric, self.target = "mse", "value"
        else:
            y, classes = as_classes(labels, samples.classes, self.known.classes if self.known else (), what)
        if whole:
            test = np.ones(len(y), bool)
        elif samples.test is not None:
            test = samples.test
        else:
            samples = self._with_groups(samples)
            test = split(None if values else y, samples.groups, len(y), self._split_options(), seed, what)
        if self.known is None:
            check_inputs(samples.x, test, samples.columns, what)
        if self.known is None and not values:
            check_classes(y, test, classes, what)
        train = np.random.default_rng([seed, 5]).permutation(np.flatnonzero(~test))
        self.input_shape, self.classes = samples.x.shape[1:], classes
        self.standardise = samples.numbers if self.options.standardise == AUTO else self.options.standardise == "yes"
        if samples.recipe is not None:
            self.features, self.samples = samples.recipe, samples.clip
        x_train = samples.x[train]
        part = samples.x if whole else x_train
        metadata: dict[str, Any] = {
            "inputs": samples.inputs,
            "range": [float(part.min()), float(part.max())],
            "split": _split_text(samples, test, self.options),
            "own": {
                "path": str(self.path),
                "options": replace(self.options, kind="value" if values else "class").to_json(),
                "columns": [*samples.columns],
                "fingerprint": fingerprint(self.path),
            },
        }
        if samples.recipe is not None:
            metadata |= {"features": dict(samples.recipe), "samples": samples.clip}
        groups = None if samples.groups is None else numbered(samples.groups[train])
        return Data(x_train, y[train], samples.x[test], y[test], classes, metadata, groups_train=groups)

    def _split_options(self) -> Options:
        """The settings, without the groups that were left out of other data."""
        others = self.known is not None and self.options.leave == self.known.options.leave and self.unseen
        return replace(self.options, leave=()) if others else self.options

    def _with_groups(self, samples: Samples) -> Samples:
        """The samples; without their groups where they are one group that a model meets after others, such as a new machine."""
        names = [] if samples.groups is None else sorted(set(samples.groups.tolist()))
        if self.known is None or len(names) != 1:
            return samples
        doubt(f"{self.path} is of one {self.options.groups}, {short(names[0])}: the samples that test are drawn from each class")
        return replace(samples, groups=None)

    @property
    def unseen(self) -> bool:
        """Whether these are other data than those that the model was trained on, so that all of them test."""
        return self.known is not None and fingerprint(self.path) != self.known.fingerprint


def _split_text(samples: Samples, test: Array, options: Options) -> str:
    if samples.test is not None:
        return "as the file states"
    if samples.groups is not None:
        return f"{options.groups} {', '.join(sorted(set(samples.groups[test].tolist()))[:20])} test"
    return f"{options.test:.0%} of each class test, drawn by the seed"


def is_path(text: str) -> bool:
    """Whether ``text`` names a file or folder of data rather than a task.

    >>> is_path("sensor.csv"), is_path("digits")
    (True, False)
    """
    return Path(text).suffix.lower() in SUFFIXES or "/" in text or "\\" in text or Path(text).exists()


def own_data(text: str, changes: Mapping[str, str], known: Known | None = None) -> OwnData:
    """The data at the path ``text``, read by the settings ``changes``, else as ``known`` says, else by their defaults.

    Raises BadInput where there are none, or of another kind.
    """
    path = Path(text)
    options = (known.options if known else Options()).changed(changes)
    if not path.exists():
        raise BadInput(f"data '{text}'", got="no such file or folder", allowed=ALLOWED)
    if not path.is_dir() and (path.suffix.lower() not in SUFFIXES or not path.is_file()):
        raise BadInput(f"data '{text}'", got=f"the suffix {path.suffix}" if path.suffix else "a file without a suffix", allowed=ALLOWED)
    return OwnData(path, options, known)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of the names and sizes of the files in a folder."""
    made = hashlib.sha256()
    if path.is_dir():
        for file, name in class_files(path):
            made.update(f"{name}/{file.name} {file.stat().st_size}\n".encode())
    else:
        with path.open("rb") as stream:
            for part in iter(lambda: stream.read(1 << 20), b""):
                made.update(part)
    return made.hexdigest()
