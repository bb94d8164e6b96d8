"""The tables of results on the page: one for each group of comparable runs, with columns that sort on a click.

With several boards there is an overview first, one line per program and one column per board; runs that were refused come last, with
reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgeff.ir import Trace
from edgeff.report.comparison import comparisons, grid, is_comparison
from edgeff.report.figures import rules_compared
from edgeff.report.html.parts import Codes, Page, badges, over_cell, swatch
from edgeff.report.overview import Grid, has_figures, has_several_boards, overview, refusals
from edgeff.report.rows import Column, Group, beyond_control, cells, evidence_kinds, figure_columns, groups, in_shown_units, key_columns
from edgeff.report.style import CONTROL, CONTROL_MEANING, NO_RULE, UNKNOWN, markup

_FOLDED_FROM = 30
NO_FILTERS = Codes()


def results(traces: Sequence[Trace], codes: Codes = NO_FILTERS) -> str:
    """The section as HTML; with several groups each can be collapsed, and with many runs only the first group is open."""
    members = groups([trace for trace in traces if has_figures(trace)])
    tables = [_table(group, codes) for group in members]
    if len(members) > 1:
        closed = len(traces) > _FOLDED_FROM
        tables = [
            f"<details{'' if closed and index else ' open'}{_group_marks(group, codes)}>"
            f"<summary>{escape(group.title)}</summary>{table}</details>"
            for index, (group, table) in enumerate(zip(members, tables, strict=True))
        ]
    control = f" {escape(CONTROL_MEANING[0].upper() + CONTROL_MEANING[1:])}." if any(t.rule == CONTROL for t in traces) else ""
    note = f"RAM total is static RAM and stack together. A dash is an unknown figure.{control}"
    return f'<section><h2>Results</h2><p class="muted small">{note}</p>{"".join(tables)}</section>' if tables else ""


def comparison_section(traces: Sequence[Trace], page: Page, codes: Codes = NO_FILTERS) -> str:
    """Rules trained on the host side by side as HTML, a picture and a table for each network and task; empty for other traces."""
    if not is_comparison(traces):
        return ""
    parts = []
    for item in comparisons(traces):
        picture = page.picture(rules_compared(item), f"accuracy by rule, {item.title}")
        marks = codes.marks(task=item.task, network=item.network)
        parts.append(f"<div{marks}><h3>{escape(item.title)}</h3><figure>{picture}</figure>{_grid(grid(item), codes)}</div>")
    return f"""<section><h2>Rules compared</h2>
<p>Test accuracy of the same network trained from the same initial weights by each rule: the mean over the seeds, one standard deviation to
each side, and every seed as a faint mark. The dotted line is the control: random hidden layers, only the last layer learns.</p>
<p class="muted small">Seeds: how many ended and how many diverged. Above frozen: the mean difference to the control of the same seeds, in
points, with its 95 % interval (Student's t). int8: the trained network quantised, by the generated C. RAM to learn: the arena of the rule's
float32 program, learned weights and activations, without the stack; a dash: it runs on the host only.</p>{"".join(parts)}</section>"""


def boards_section(traces: Sequence[Trace], codes: Codes = NO_FILTERS) -> str:
    """The overview of several boards as HTML; empty for one board."""
    if not has_several_boards(traces):
        return ""
    grids = list(overview(traces))
    closed = sum(len(grid.rows) for grid in grids) > _FOLDED_FROM and bool(codes.names)
    tables = "".join(
        f"<details{'' if closed else ' open'}><summary>{escape(grid.title)}</summary>{_grid(grid, codes)}</details>" for grid in grids
    )
    return f"""<section><h2>Boards</h2>
<p class="muted small">RAM and flash are those of the board where the program needs most. Under a board a dash means that the program does
not fit; elsewhere it is an unknown figure.</p>{tables}</section>"""


def refused_section(traces: Sequence[Trace]) -> str:
    """The runs that were refused, with reasons, as HTML; empty if everything ran."""
    refused = refusals(traces)
    if not refused:
        return ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Network", "Rule", "Numeric", "Board", "Reason"))
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{markup(text, limit)}</td>"
            for text, limit in (
                (f"{item.network} on {item.task}", 60),
                ("inference" if item.rule in NO_RULE else item.rule, 24),
                (item.numerics, 60),
                (item.boards, 200),
                (item.reason, 400),
            )
        )
        + "</tr>"
        for item in refused
    )
    return f"""<section><h2>What did not run</h2>
<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"""


def _grid(grid: Grid, codes: Codes) -> str:
    names = list(dict.fromkeys(heading.group for heading in grid.headings))
    counts = {name: sum(heading.group == name for heading in grid.headings) for name in names}
    over = "".join(over_cell(name, counts[name]) for name in names)
    css = [
        " ".join(filter(None, ["figure" if h.right else "", "first" if i and h.group != grid.headings[i - 1].group else ""]))
        for i, h in enumerate(grid.headings)
    ]
    heads = "".join(
        f'<th scope="col" class="{c}">{markup(h.short).replace("_", "_<wbr>") if h.right else markup(h.short)}</th>'
        for h, c in zip(grid.headings, css, strict=True)
    )
    kinds = "".join(f'<td class="{c}">{badges(kinds)}</td>' for c, kinds in zip(css, grid.evidence, strict=True))
    rows = "".join(
        f'<tr class="{"control" if control else ""}"{codes.marks(**names)}>'
        + "".join(
            f'<td class="{c}{" unknown" if text is None else ""}">{UNKNOWN if text is None else escape(text)}</td>'
            for text, c in zip(row, css, strict=True)
        )
        + "</tr>"
        for row, control, names in zip(grid.rows, grid.control, grid.names or [{}] * len(grid.rows), strict=True)
    )
    top = f'<thead><tr class="over">{over}</tr><tr class="heads">{heads}</tr><tr class="kinds">{kinds}</tr></thead>'
    return f'<div class="wide"><table class="results">{top}<tbody>{rows}</tbody></table></div>'


def _columns(group: Group) -> tuple[Column, ...]:
    """The columns of the page's table: those of the terminal's, and the difference to the control if there is one."""
    columns = [*key_columns(group), *figure_columns(group)]
    difference = beyond_control(group)
    if any(difference.value(trace) is not None for trace in group.traces):
        place = max(i for i, column in enumerate(columns) if column.group == difference.group) + 1
        columns.insert(place, difference)
    return tuple(columns)


def _table(group: Group, codes: Codes) -> str:
    columns = _columns(group)
    names = list(dict.fromkeys(column.group for column in columns))
    over = "".join(over_cell(name, sum(c.group == name for c in columns)) for name in names)
    heads = "".join(
        f'<th scope="col" class="{_css(columns, i)}"><button type="button">{escape(column.head)}</button></th>'
        for i, column in enumerate(columns)
    )
    texts = [cells(column, group.traces, UNKNOWN) for column in columns]
    rows = "".join(
        f'<tr data-run class="{"control" if trace.rule == CONTROL else ""}"{codes.marks(rule=_rule(trace.rule), numeric=trace.numeric)}>'
        + "".join(_cell(columns, i, trace, texts[i][index]) for i in range(len(columns)))
        + "</tr>"
        for index, trace in enumerate(group.traces)
    )
    kinds = "".join(f'<td class="{_css(columns, i)}">{_kinds(column, group)}</td>' for i, column in enumerate(columns))
    return (
        f'<div class="wide"><table class="results"><thead><tr class="over">{over}</tr><tr class="heads">{heads}</tr>'
        f'<tr class="kinds">{kinds}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _group_marks(group: Group, codes: Codes) -> str:
    return codes.marks(task=group.task, network=group.network, board=group.board or group.target)


def _rule(rule: str) -> str:
    """A rule as the filters name it."""
    return "inference" if rule in NO_RULE else rule


def _kinds(column: Column, group: Group) -> str:
    return badges(evidence_kinds(column, group.traces))


def _css(columns: Sequence[Column], index: int) -> str:
    first = index > 0 and columns[index].group != columns[index - 1].group
    return " ".join(filter(None, ["figure" if columns[index].right else "", "first" if first else ""]))


def _cell(columns: Sequence[Column], index: int, trace: Trace, text: str) -> str:
    column = columns[index]
    value = column.value(trace)
    mark = swatch(trace.rule) if column.head == "rule" else ""
    data = f' data-value="{"" if value is None else in_shown_units(value, column.form)}"' if column.right else ""
    classes = " ".join(filter(None, [_css(columns, index), "unknown" if value is None else ""]))
    return f'<td class="{classes}"{data}>{mark}{escape(text)}</td>'
