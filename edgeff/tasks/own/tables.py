"""A .csv as samples: one line a sample, one column a number; one column is the target, one may name groups.

Read are UTF-8 files with commas, semicolons or tabs. Without a line of names the columns are called ``column_1``, ``column_2`` and so on.
Refused, naming the line and the column: cells that are empty, no number, NaN or infinite, lines with more or fewer cells than the first,
files without samples, targets and groups that are no column.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput, one_line, short
from edgeff.ir import Array
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples

LARGEST_BYTES = 1 << 30
MOST_COLUMNS = 32_768
TARGETS = ("y", "label", "class", "target")
"""What a column of the target is usually called."""
Rows = list[tuple[int, list[str]]]
"""Lines with their numbers."""


def read_table(
    path: Path, options: Options, columns: Sequence[str] = (), remembered: Collection[str] = (), *, labelled: bool = True
) -> Samples:
    """The samples of a .csv.

    Args: ``columns``, the inputs by name in the order of a model that reads them (empty: every column that is nothing else);
    ``remembered``: columns of groups and dropped ones that only a model's file names, which new data need not have; ``labelled``: False
    for new data, whose target may be missing. Raises BadInput.
    """
    names, rows = _cells(path)
    target = _target(path, names, options, labelled=labelled)
    for name, what in ((options.groups, "groups"), *((name, "drop") for name in options.drop)):
        if name and name not in names and name not in remembered and labelled:
            raise BadInput(f"{what} of {path}", got=f"no column {short(name)}", allowed=_listed(names))
    others = {target, options.groups, *options.drop}
    inputs = [*columns] or [name for name in names if name not in others]
    if missing := [name for name in inputs if name not in names]:
        raise BadInput(
            f"data file {path}", got=f"no column {short(missing[0])}", allowed=f"the columns that the model reads, {_listed(inputs)}"
        )
    if not inputs:
        raise BadInput(f"data file {path}", got="no column beside the target", allowed="at least one column of numbers")
    places = [names.index(name) for name in inputs]
    x = np.array([_numbers(path, number, row, places, names) for number, row in rows], np.float32)
    labels = np.array([row[names.index(target)].strip() for _, row in rows]) if target in names else None
    groups = np.array([row[names.index(options.groups)].strip() for _, row in rows]) if options.groups in names else None
    return Samples(x, labels, groups, columns=tuple(inputs), inputs=f"columns {_listed(inputs)}", numbers=True)


def _cells(path: Path) -> tuple[list[str], Rows]:
    """The names of the columns, and the cells of each sample."""
    if path.stat().st_size > LARGEST_BYTES:
        raise BadInput(f"data file {path}", got=f"{path.stat().st_size:,} bytes", allowed=f"at most {LARGEST_BYTES:,}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            separator = max(",;\t", key=head.count)
            lines = [
                (number, row) for number, row in enumerate(csv.reader(file, delimiter=separator), 1) if any(cell.strip() for cell in row)
            ]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise BadInput(
            f"data file {path}", got=str(error), allowed="a table in UTF-8, one line a sample, cells separated by , or ; or tabs"
        ) from None
    named = bool(lines) and not all(_is_number(cell) for cell in lines[0][1])
    if len(lines) <= named:
        raise BadInput(f"data file {path}", got="no samples", allowed="a line of names, then one line a sample")
    width = len(lines[0][1])
    names = [cell.strip() for cell in lines[0][1]] if named else [f"column_{number}" for number in range(1, width + 1)]
    if width > MOST_COLUMNS or len(set(names)) < width or not all(names):
        repeated = next((name for name in names if names.count(name) > 1 or not name), "")
        got = (
            f"{width:,} columns" if width > MOST_COLUMNS else f"the name {short(repeated)} twice" if repeated else "a column without a name"
        )
        raise BadInput(
            f"data file {path}, line {lines[0][0]}", got=got, allowed=f"up to {MOST_COLUMNS:,} columns, each with a name of its own"
        )
    for number, row in lines:
        if len(row) != width:
            raise BadInput(f"data file {path}, line {number}", got=f"{len(row)} cells", allowed=f"{width}, as in line {lines[0][0]}")
    return names, lines[1:] if named else lines


def _target(path: Path, names: Sequence[str], options: Options, *, labelled: bool) -> str:
    """The name of the target's column; empty where new data have none."""
    if options.target:
        if options.target not in names and labelled:
            raise BadInput(f"target of {path}", got=f"no column {short(options.target)}", allowed=_listed(names))
        return options.target
    usual = [name for name in names if name.lower() in TARGETS]
    if len(usual) == 1:
        return usual[0]
    if not labelled:
        return ""
    got = f"the columns {_listed(usual)}" if usual else "no column of a usual name"
    raise BadInput(f"target of {path}", got=got, allowed=_listed(names), next_step="name the column to learn: --data target=NAME")


def _numbers(path: Path, line: int, row: Sequence[str], places: Sequence[int], names: Sequence[str]) -> list[float]:
    numbers = []
    for place in places:
        cell = row[place]
        value = float(cell) if _is_number(cell) else float("nan")
        if not isfinite(value) or abs(value) > float(np.finfo(np.float32).max):
            shown = "an empty cell" if not cell.strip() else one_line(repr(cell.strip()), 60)
            step = f"correct it, remove the line, or leave the column out: --data drop={names[place]}"
            raise BadInput(
                f"data file {path}, line {line}, column {short(names[place])}", got=shown, allowed="a finite number", next_step=step
            )
        numbers.append(value)
    return numbers


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def as_numbers(labels: Array) -> Array | None:
    """Labels (n,) as float64 numbers, None if one of them is no finite number."""
    if labels.dtype.kind in "iufb":
        values = labels.astype(np.float64)
        return values if np.isfinite(values).all() else None
    if not all(_is_number(label) for label in labels.tolist()):
        return None
    values = labels.astype(np.float64)
    return values if np.isfinite(values).all() else None
