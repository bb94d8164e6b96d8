"""The first section of a page with many runs: which to choose. Filters, the picture of accuracy against RAM, and the front first.

The page's script applies the filters to every table, finds the front among what is left, and draws the picture again. What belongs to
one task, network, rule, numeric or board carries its number in the filter's list as ``data-rule="3"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgeff.ir import Trace
from edgeff.report.choices import KINDS, Choice, choices, known_columns
from edgeff.report.evidence import figure_evidence
from edgeff.report.evidence import kind as evidence_kind
from edgeff.report.figures import choices_figure
from edgeff.report.html.parts import Codes, Page, badges, over_cell, swatch
from edgeff.report.rows import cells_of, in_shown_units
from edgeff.report.style import CONTROL, UNKNOWN, shown


def chosen_by(traces: Sequence[Trace]) -> tuple[Choice, ...]:
    """The choices of a page where they are of use: if there is more than one place, network or seed."""
    chosen = choices(traces)
    several = {(choice.place, choice.first.network) for choice in chosen}
    return chosen if len(several) > 1 or any(len(choice.traces) > 1 for choice in chosen) else ()


def codes_of(chosen: Sequence[Choice]) -> Codes:
    """The numbers of what the choices have of each kind."""
    return Codes({kind: tuple(dict.fromkeys(choice.of(kind) for choice in chosen)) for kind in KINDS})


def choices_section(chosen: Sequence[Choice], codes: Codes, page: Page) -> str:
    """The section as HTML; empty without choices."""
    if not chosen:
        return ""
    total = any(choice.most(lambda memory: memory.total_ram_bytes) is not None for choice in chosen)
    ram = "total RAM" if total else "RAM of the arena, without the stack"
    picture = page.picture(choices_figure(chosen, ram), f"accuracy against {ram}, every choice")
    return f"""<section id="choices"><h2>Which to choose</h2>
<p>First, and marked: the choices that no other on the same board and task beats in accuracy and {ram}. Each is the mean over its seeds.
The control is hollow and grey: a rule below it has learned nothing of use in its hidden layers.</p>
{_filters(codes)}<figure>{picture}</figure>{_table(chosen, codes)}</section>"""


def _filters(codes: Codes) -> str:
    lists = []
    for kind, names in codes.names.items():
        if len(names) > 1:
            options = "".join(f'<option value="{number}">{escape(shown(name, 40))}</option>' for number, name in enumerate(names))
            select = f'<select data-filter="{kind}" autocomplete="off"><option value="">all</option>{options}</select>'
            lists.append(f"<label>{kind} {select}</label>")
    front = '<label><input type="checkbox" data-front autocomplete="off"> only the best trade-offs</label>'
    return f'<div class="choice filters">{"".join(lists)}{front}<output></output></div>'


def _table(chosen: Sequence[Choice], codes: Codes) -> str:
    columns = [column for column in known_columns(chosen) if column.name != "pareto"]
    css = [
        " ".join(filter(None, ["figure" if c.form != "text" else "", "first" if i and c.group != columns[i - 1].group else ""]))
        for i, c in enumerate(columns)
    ]
    groups = list(dict.fromkeys(column.group for column in columns))
    over = "".join(over_cell(group, sum(column.group == group for column in columns)) for group in groups)
    heads = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(column.head)}</button></th>'
        for column, kind in zip(columns, css, strict=True)
    )
    kinds = "".join(
        f'<td class="{kind}">{badges(_evidence(column.figure, chosen))}</td>' for column, kind in zip(columns, css, strict=True)
    )
    texts = [cells_of([column.value(choice) for choice in chosen], column.form, UNKNOWN) for column in columns]
    places = list(dict.fromkeys(choice.place for choice in chosen))
    rows = []
    for index, choice in enumerate(chosen):
        cells = []
        for column, kind, column_texts in zip(columns, css, texts, strict=True):
            value = column.value(choice)
            mark = swatch(choice.first.rule) if column.name == "rule" else ""
            data = f' data-value="{"" if value is None else in_shown_units(value, column.form)}"' if column.form != "text" else ""
            cells.append(f'<td class="{kind}{" unknown" if value is None else ""}"{data}>{mark}{escape(column_texts[index])}</td>')
        classes = " ".join(filter(None, ["control" if choice.first.rule == CONTROL else "", "best" if choice.best else ""]))
        mean, ram = ("" if value is None else f"{value:.6g}" for value in (choice.mean, choice.ram_bytes))
        point = f'data-point="{index}" data-place="{places.index(choice.place)}" data-up="{mean}" data-across="{ram}"'
        marks = codes.marks(**{name: choice.of(name) for name in KINDS})
        rows.append(f'<tr data-run class="{classes}" {point}{marks}>{"".join(cells)}</tr>')
    top = f'<thead><tr class="over">{over}</tr><tr class="heads">{heads}</tr><tr class="kinds">{kinds}</tr></thead>'
    return f'<div class="wide tall"><table class="results">{top}<tbody>{"".join(rows)}</tbody></table></div>'


def _evidence(figure: str, chosen: Sequence[Choice]) -> tuple[str, ...]:
    """The kinds of evidence of a column, each once."""
    if not figure:
        return ()
    labels = (figure_evidence(trace, figure) for choice in chosen for trace in choice.traces)
    return tuple(sorted({word for label in labels if (word := evidence_kind(label))}))
