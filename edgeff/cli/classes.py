"""How a classifier does by class: recall and precision, the confusion matrix, and a note on one that says the same of everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.cli.terminal import percent, print_line, print_note, print_table
from edgeff.ir import Array

MOST_ROWS, WIDEST = 40, 12
"""The most classes of which people see the table, and the matrix; JSON has them all."""
ALWAYS = 0.95


def confusion(best: Array, labels: Array, count: int) -> NDArray[np.int64]:
    """How many samples of each class (rows) were given each class (columns), (C, C).

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(best)), 1)
    return matrix


def described(matrix: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """The matrix and the classes as JSON; recall and precision are null where nothing counts."""
    right, of, given = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    rows = [
        {
            "name": name,
            "samples": int(of[label]),
            "recall": float(right[label] / of[label]) if of[label] else None,
            "precision": float(right[label] / given[label]) if given[label] else None,
        }
        for label, name in enumerate(classes)
    ]
    return {"classes": rows, "confusion": matrix.tolist()}


def print_classes(matrix: NDArray[np.int64], classes: Sequence[str], what: str) -> None:
    """Prints the table of the classes and the confusion matrix of ``what``, as far as there is room for them."""
    rows = described(matrix, classes)["classes"]
    if len(classes) <= MOST_ROWS:
        body = [[row["name"], row["samples"], percent(row["recall"]), percent(row["precision"])] for row in rows]
        print_table((f"class, {what}", "samples", "recall", "precision"), body)
    if len(classes) <= WIDEST:
        print_line("confusion matrix: rows are the true classes, columns what the model says")
        print_table(("", *classes), [[name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)])


def note_majority(matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Prints a note on a model that says one class of nearly everything and is right no more often than that class is there."""
    total = max(int(matrix.sum()), 1)
    given = matrix.sum(axis=0) / total
    most = int(given.argmax())
    share = float(matrix[most].sum()) / total
    if given[most] >= ALWAYS and float(matrix.trace()) / total <= share + 0.02:
        print_note(
            f"the model says {classes[most]} of {percent(float(given[most]))} of the samples, which {percent(share)} are: it tells nothing"
        )
