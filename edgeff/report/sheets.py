"""Choices as files for other programs: CSV with the unit in each heading, and a LaTeX table that needs no package."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgeff.report.choices import COLUMNS, Choice, Column, known_columns
from edgeff.report.rows import cells_of
from edgeff.report.style import UNKNOWN, shown

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$",
    UNKNOWN: "--",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_sheet(chosen: Sequence[Choice]) -> str:
    """One line per choice with every column, numbers in full, an unknown one empty. A name cannot become a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    for choice in chosen:
        writer.writerow(["" if (value := column.value(choice)) is None else _safe(value) for column in COLUMNS])
    return text.getvalue()


def _safe(value: str | float) -> str | float:
    if not isinstance(value, str):
        return value
    name = shown(value)
    return f"'{name}" if name.startswith(_FORMULA) else name


def latex_sheet(chosen: Sequence[Choice]) -> str:
    """The known columns as a ``tabular``, as the page shows them."""
    columns = known_columns(chosen)
    texts = [cells_of([column.value(choice) for choice in chosen], column.form, UNKNOWN) for column in columns]
    lines = [
        rf"\begin{{tabular}}{{{''.join('l' if column.form == 'text' else 'r' for column in columns)}}}",
        r"\hline",
        _row([_heading(column) for column in columns]),
        r"\hline",
        *(_row(row) for row in zip(*texts, strict=True)),
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _heading(column: Column) -> str:
    return ": ".join(filter(None, (column.group, column.head)))


def _row(texts: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(character, character) for character in text) for text in texts) + r" \\"
