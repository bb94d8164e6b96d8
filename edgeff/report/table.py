"""Traces -> the table of results for a terminal or a pipe (rich) and as Markdown.

The table is as wide as the console allows: groups of columns that do not fit continue in a second table below. A pipe gets plain
text, and ASCII if its encoding requires it. Runs of one program on several boards share a line, with one column per board; refused
runs are listed below with their reasons.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from edgeff.ir import Trace
from edgeff.report.comparison import comparisons, is_comparison
from edgeff.report.comparison import grid as compared
from edgeff.report.overview import Heading, has_figures, has_several_boards, overview, refusals
from edgeff.report.rows import Column, Group, cells, evidence_by_kind, figure_columns, groups, key_columns
from edgeff.report.style import CONTROL, CONTROL_MEANING, NO_RULE, shown

_UNKNOWN = "-"
_HEADINGS = {"accuracy, %": "accuracy %", "accuracy on the device, %": "on device %", "memory, bytes": "bytes"}
# Blanks between the columns of a group, and between groups: from the widest to the tightest that is still legible.
_SPACINGS = ((2, 4), (2, 3), (1, 3), (1, 2))
_PACKED = (2, 3)


@dataclass(frozen=True)
class _Part:
    """Columns under one heading with their cells; ``widths`` are those of the columns, ``width`` that of the part with its heading."""

    heading: str
    columns: tuple[Column | Heading, ...]
    texts: tuple[tuple[str, ...], ...]

    @property
    def widths(self) -> list[int]:
        return [max(len(column.short), *map(len, texts)) for column, texts in zip(self.columns, self.texts, strict=True)]

    def width(self, inner: int) -> int:
        return max(len(self.heading), sum(self.widths) + inner * (len(self.columns) - 1))

    def line(self, texts: Sequence[str], inner: int) -> str:
        cells = [
            text.rjust(width) if column.right else text.ljust(width)
            for column, text, width in zip(self.columns, texts, self.widths, strict=True)
        ]
        joined = (" " * inner).join(cells)
        return joined.rjust(self.width(inner)) if self.heading else joined

    def row(self, index: int, inner: int) -> str:
        return self.line([texts[index] for texts in self.texts], inner)


def print_table(traces: Sequence[Trace], console: Console | None = None) -> None:
    """Prints the table of results, one for each group of comparable runs, and below it what is exact and what is modelled."""
    console = console or Console()
    ascii_only = console.options.ascii_only
    for line in table_lines(traces, console.width, ascii_only=ascii_only):
        console.print(line, no_wrap=True, overflow="ignore", crop=False, highlight=False)


def table_lines(traces: Sequence[Trace], width: int, *, ascii_only: bool = False) -> list[Text]:
    """The lines that ``print_table`` prints, none wider than ``width`` characters unless a single name or number is."""
    if not traces:
        return [Text("no runs")]
    lines: list[Text] = []
    stroke = "-" if ascii_only else "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
    for title, parts, control in _tables(traces):
        lines += [Text(title, style="bold"), Text("")]
        blocks = _blocks(parts, width)
        for block, (inner, outer) in blocks:
            shown_rows = _known_rows(block) if len(blocks) > 1 else range(len(control))
            lines += [*_lines(block, shown_rows, control, inner, " " * outer, stroke), Text("")]
    for line in refusal_lines(traces, width):
        lines.append(Text(line))
    lines += [Text(line, style="dim") for line in notes(traces, width)]
    return [_ascii(line) for line in lines] if ascii_only else lines


def refusal_lines(traces: Sequence[Trace], width: int = 10_000) -> list[str]:
    """The refused runs, one configuration with its reason per line, under a title; nothing if everything ran."""
    refused = refusals(traces)
    if not refused:
        return []
    lines = ["Did not run", ""]
    for item in refused:
        rule = "inference" if item.rule in NO_RULE else shown(item.rule, 16)
        place = f"{shown(item.network, 24)} ({shown(item.task, 16)}), {rule}, {shown(item.numerics)}, {shown(item.boards, 120)}"
        lines += textwrap.wrap(f"{place}: {shown(item.reason, 300)}", max(width, 30), subsequent_indent="    ", break_on_hyphens=False)
    return [*lines, ""]


def notes(traces: Sequence[Trace], width: int = 10_000) -> list[str]:
    """The lines below a table: what is exact, what is modelled, what the control is."""
    texts = [f"{word + ':':<10}{', '.join(figures)}" for word, figures in evidence_by_kind(traces).items()]
    if any(trace.rule == CONTROL for trace in traces):
        texts.append(f"{'control:':<10}{CONTROL_MEANING}")
    return [line for text in texts for line in textwrap.wrap(text, max(width, 30), subsequent_indent=" " * 10)]


def _title(group: Group) -> str:
    return f"{group.title}, seed {group.seeds[0]}" if len(group.seeds) == 1 else group.title


def _tables(traces: Sequence[Trace]) -> Iterator[tuple[str, list[_Part], list[bool]]]:
    """The title of each table, its parts (the first names the rows), and for each row whether it is the control."""
    if has_several_boards(traces) or is_comparison(traces):
        for grid in [compared(item) for item in comparisons(traces)] if is_comparison(traces) else overview(traces):
            texts = tuple(zip(*grid.rows, strict=True))
            names = dict.fromkeys(heading.group for heading in grid.headings)
            yield grid.title, [_part(name, grid.headings, texts) for name in names], [*grid.control]
        return
    for group in groups([trace for trace in traces if has_figures(trace)]):
        columns = (*key_columns(group), *figure_columns(group))
        cell_texts = tuple(tuple(cells(column, group.traces, _UNKNOWN)) for column in columns)
        names = dict.fromkeys(column.group for column in columns)
        yield _title(group), [_part(name, columns, cell_texts) for name in names], [trace.rule == CONTROL for trace in group.traces]


def _part(name: str, columns: Sequence[Column | Heading], texts: Sequence[Sequence[str | None]]) -> _Part:
    """The columns of one group of columns, with their cells."""
    chosen = [index for index, column in enumerate(columns) if column.group == name]
    written = tuple(tuple(_UNKNOWN if text is None else text for text in texts[index]) for index in chosen)
    return _Part(_HEADINGS.get(name, name), tuple(columns[index] for index in chosen), written)


def _blocks(parts: list[_Part], width: int) -> list[tuple[list[_Part], tuple[int, int]]]:
    """The parts of each table and its spacing: all in one if they fit, else packed part by part, each after the names of the runs."""
    keys, *others = parts
    for spacing in _SPACINGS:
        if _width(parts, spacing) <= width:
            return [(parts, spacing)]
    blocks: list[list[_Part]] = []
    for part in others:
        if not blocks or _width([*blocks[-1], part], _PACKED) > width:
            blocks.append([keys])
        blocks[-1].append(part)
    return [(block, _PACKED) for block in blocks]


def _known_rows(parts: Sequence[_Part]) -> list[int]:
    """The rows for which a part after the names has a value: a continued table needs no lines of dashes."""
    return [index for index in range(len(parts[0].texts[0])) if any(t[index] != _UNKNOWN for part in parts[1:] for t in part.texts)]


def _width(parts: Sequence[_Part], spacing: tuple[int, int]) -> int:
    inner, outer = spacing
    return sum(part.width(inner) for part in parts) + outer * (len(parts) - 1)


def _lines(parts: Sequence[_Part], rows: Iterable[int], control: Sequence[bool], inner: int, between: str, stroke: str) -> list[Text]:
    widths = [part.width(inner) for part in parts]
    headings = between.join(part.heading.center(width) for part, width in zip(parts, widths, strict=True))
    strokes = between.join((stroke if part.heading else " ") * width for part, width in zip(parts, widths, strict=True))
    heads = between.join(part.line([column.short for column in part.columns], inner) for part in parts)
    lines = [Text(headings.rstrip(), style="bold"), Text(strokes, style="dim"), Text(heads, style="bold")]
    lines.append(Text(stroke * sum((*widths, len(between) * (len(parts) - 1))), style="dim"))
    for index in rows:
        text = between.join(part.row(index, inner) for part in parts)
        lines.append(Text(text.rstrip(), style="italic" if control[index] else ""))
    return lines


def _ascii(line: Text) -> Text:
    return Text(line.plain.encode("ascii", "replace").decode(), style=line.style)


def markdown_table(traces: Sequence[Trace]) -> str:
    """The same as Markdown, ending in a newline."""
    lines: list[str] = []
    for title, parts, _ in _tables(traces):
        columns = [column for part in parts for column in part.columns]
        heads = [_escaped(": ".join(filter(None, (column.group, _head(column))))) for column in columns]
        rules = ["---:" if column.right else "---" for column in columns]
        rows = zip(*([_escaped(text) for text in texts] for part in parts for texts in part.texts), strict=True)
        lines += [f"**{_escaped(title)}**", "", _row(heads), _row(rules), *(_row(row) for row in rows), ""]
    refused = refusal_lines(traces)
    lines += [f"**{refused[0]}**", "", *(f"- {_escaped(line)}" for line in refused[2:-1]), ""] if refused else []
    return "\n".join([*lines, *(f"{_escaped(' '.join(line.split()))}  " for line in notes(traces))]).rstrip() + "\n"


def _head(column: Column | Heading) -> str:
    return column.head if isinstance(column, Column) else column.short


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    """Text that Markdown does not interpret."""
    return "".join(f"\\{c}" if c in "\\`*[]<>|#~" else c for c in shown(text, 300))
