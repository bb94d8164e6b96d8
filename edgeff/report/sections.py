"""The content of the page, section by section: what was measured, the table, the pictures, what is exact and what is modelled, the versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from edgeff.ir import Trace
from edgeff.report.evidence import cost_evidence, detail, trace_evidence
from edgeff.report.evidence import kind as evidence_kind
from edgeff.report.figures import (
    Figure,
    accuracy_against_ram,
    cost_by_layer,
    cost_by_run,
    learning_curves,
    metric,
    ordered_numerics,
    plottable,
)
from edgeff.report.memory_figure import memory_figure, ram_parts
from edgeff.report.record import Versions
from edgeff.report.rows import (
    Column,
    Group,
    Value,
    beyond_control,
    cells,
    control_accuracy,
    evidence_kinds,
    figure_columns,
    groups,
    key_columns,
)
from edgeff.report.style import CONTROL, CONTROL_MEANING, ROLES, STATIC_COLOUR, UNKNOWN, markup, rule_look, shown

_LIST_LIMIT = 8
_TITLE_LIMIT = 3
_FOLDED_FROM = 30


@dataclass
class Page:
    """The figures of a page by name, collected while its sections are written."""

    figures: dict[str, Figure] = field(default_factory=dict)

    def picture(self, figure: Figure, label: str) -> str:
        """The place of a figure in the page; ``label`` says to a screen reader what it shows."""
        name = f"figure-{len(self.figures) + 1}"
        self.figures[name] = figure
        height = int(figure["layout"]["height"])
        return f'<div class="picture" data-figure="{name}" role="img" aria-label="{escape(label)}" style="min-height:{height}px"></div>'


def title(traces: Sequence[Trace]) -> str:
    """The page's title: the one configuration that was measured, or how many."""
    found = groups(traces)
    if len(found) == 1:
        return found[0].title
    if not traces:
        return "No runs"
    networks, tasks = ({getattr(trace, name): None for trace in traces} for name in ("network", "task"))
    counted = f"{len(traces)} runs"
    return (
        f"{counted}: {', '.join(map(shown, networks))} on {', '.join(map(shown, tasks))}"
        if max(len(networks), len(tasks)) <= _TITLE_LIMIT
        else counted
    )


def sections(traces: Sequence[Trace], versions: Versions, page: Page) -> str:
    """The page's content as HTML; its figures go to ``page``."""
    parts = [_header(traces)]
    if traces:
        parts += [
            _results(traces),
            _ram(traces, page),
            _curves(traces, page),
            _costs(traces, page),
            _inside(traces, page),
            _evidence(traces),
        ]
    return "\n".join([*filter(None, parts), _versions(versions)])


# ---------------------------------------------------------------- what was measured


def _header(traces: Sequence[Trace]) -> str:
    facts = _facts(traces)
    listed = f'<ul class="facts">{"".join(f"<li>{fact}.</li>" for fact in facts)}</ul>' if facts else ""
    return f'<header><p class="kicker">edgeff report</p><h1>{escape(title(traces))}</h1><p>{_lede(traces)}</p>{listed}</header>'


def _lede(traces: Sequence[Trace]) -> str:
    """The sentence on what was measured."""
    if not traces:
        return "The report holds no run."
    rules = _listed(trace.rule for trace in traces)
    places = _listed(trace.board or "the host" for trace in traces)
    seeds = sorted({trace.seed for trace in traces})
    counted = f"{len(traces)} runs" if len(traces) > 1 else "One run"
    return (
        f"{counted} of {_listed(trace.network for trace in traces)} on {_listed(trace.task for trace in traces)}, learning by {rules} in "
        f"{_listed(ordered_numerics(traces))}, on {places} ({_listed(trace.target for trace in traces)}), "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_listed(map(str, seeds))}. "
        "Accuracy is the share of the test samples answered right; &ldquo;before&rdquo; and &ldquo;learned&rdquo; are those of the generated C, before and after "
        "it learned one sample at a time."
    )


def _listed(names: object) -> str:
    """Names in the order of their first appearance, as a list in a sentence, escaped."""
    distinct = list(dict.fromkeys(names))  # type: ignore[call-overload]
    cut = [markup(name, 40) for name in distinct[:_LIST_LIMIT]]
    if len(distinct) > _LIST_LIMIT:
        cut.append(f"{len(distinct) - _LIST_LIMIT} more")
    return cut[0] if len(cut) == 1 else f"{', '.join(cut[:-1])} and {cut[-1]}"


def _facts(traces: Sequence[Trace]) -> list[str]:
    """What a reader wants to know first, for a report of one group: the best, the smallest that beats the control, those that do not beat it."""
    found = groups(traces)
    runs = [trace for trace in plottable(traces) if trace.rule != CONTROL]
    if len(found) != 1 or len(found[0].seeds) != 1 or not runs:
        return []
    best = max(runs, key=lambda run: run.accuracy["after"] or 0.0)
    facts = [f"Highest accuracy learned on the device: {_run_words(best, traces)}"]
    known = [(run, control) for run in runs if (control := control_accuracy(run, traces)) is not None]
    above = [run for run, control in known if (run.accuracy["after"] or 0.0) > control]
    below = [run for run, control in known if (run.accuracy["after"] or 0.0) <= control]
    if above:
        least = min(above, key=lambda run: run.memory.total_ram_bytes or 0)
        if least is best:
            facts[0] += "; no other run above the frozen control takes less RAM"
        else:
            facts.append(f"Least RAM among the runs above the frozen control: {_run_words(least, traces)}")
    if below:
        facts.append(f"Not above the frozen control: {_listed(f'{run.rule} {run.numeric}' for run in below)}")
    return facts


def _run_words(run: Trace, traces: Sequence[Trace]) -> str:
    control = control_accuracy(run, traces)
    against = f", control {100 * control:.1f} %" if control is not None else ""
    return (
        f"<strong>{markup(run.rule)} {markup(run.numeric)}</strong>, {100 * (run.accuracy['after'] or 0.0):.1f} % in "
        f"{run.memory.total_ram_bytes:,} bytes of RAM{against}"
    )


# ---------------------------------------------------------------- the table


def _results(traces: Sequence[Trace]) -> str:
    tables = "".join(_table(group) for group in groups(traces))
    if len(groups(traces)) > 1:
        tables = "".join(
            f"<details{'' if index and len(traces) > _FOLDED_FROM else ' open'}><summary>{escape(group.title)}</summary>{_table(group)}</details>"
            for index, group in enumerate(groups(traces))
        )
    control = f" {escape(CONTROL_MEANING[0].upper() + CONTROL_MEANING[1:])}." if any(t.rule == CONTROL for t in traces) else ""
    return f'<section><h2>Results</h2><p class="muted small">RAM is static RAM and stack together. A dash is a figure that is not known.{control}</p>{tables}</section>'


def _columns(group: Group) -> tuple[Column, ...]:
    """The columns of the page's table: those of the terminal's, and the difference to the control where there is one."""
    columns = [*key_columns(group), *figure_columns(group)]
    difference = beyond_control(group)
    if any(difference.value(trace) is not None for trace in group.traces):
        place = max(i for i, column in enumerate(columns) if column.group == difference.group) + 1
        columns.insert(place, difference)
    return tuple(columns)


def _table(group: Group) -> str:
    columns = _columns(group)
    names = list(dict.fromkeys(column.group for column in columns))
    over = "".join(_over(name, [c for c in columns if c.group == name]) for name in names)
    heads = "".join(
        f'<th scope="col" class="{_css(columns, i)}"><button type="button">{escape(column.head)}</button></th>'
        for i, column in enumerate(columns)
    )
    texts = [cells(column, group.traces, UNKNOWN) for column in columns]
    rows = "".join(
        f'<tr data-run class="{"control" if trace.rule == CONTROL else ""}">'
        + "".join(_cell(columns, i, trace, texts[i][index]) for i in range(len(columns)))
        + "</tr>"
        for index, trace in enumerate(group.traces)
    )
    kinds = "".join(f'<td class="{_css(columns, i)}">{_kinds(column, group)}</td>' for i, column in enumerate(columns))
    return (
        f'<div class="wide"><table class="results"><thead><tr class="over">{over}</tr><tr class="heads">{heads}</tr><tr class="kinds">{kinds}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _over(name: str, columns: Sequence[Column]) -> str:
    if not name:
        return f'<td colspan="{len(columns)}"></td>'
    return f'<th colspan="{len(columns)}" scope="colgroup" class="first"><span class="heading">{escape(name)}</span></th>'


def _kinds(column: Column, group: Group) -> str:
    return " ".join(f'<span class="kind {kind}">{kind}</span>' for kind in evidence_kinds(column, group.traces))


def _css(columns: Sequence[Column], index: int) -> str:
    first = index > 0 and columns[index].group != columns[index - 1].group
    return " ".join(filter(None, ["figure" if columns[index].right else "", "first" if first else ""]))


def _cell(columns: Sequence[Column], index: int, trace: Trace, text: str) -> str:
    column = columns[index]
    value: Value = column.value(trace)
    swatch = _swatch(trace.rule) if column.head == "rule" else ""
    data = f' data-value="{"" if value is None else value}"' if column.right else ""
    classes = " ".join(filter(None, [_css(columns, index), "unknown" if value is None else ""]))
    return f'<td class="{classes}"{data}>{swatch}{escape(text)}</td>'


def _swatch(rule: str) -> str:
    colour, _ = rule_look(rule)
    style = f'class="swatch hollow" style="border-color:{colour}"' if rule == CONTROL else f'class="swatch" style="background:{colour}"'
    return f"<span {style}></span>"


def _badge(kind: str) -> str:
    return f'<span class="badge {kind}">{kind}</span>'


# ---------------------------------------------------------------- the pictures


def _choice(name: str, label: str, options: Sequence[tuple[str, str, str]]) -> str:
    """One panel of HTML at a time, chosen from a list: ``options`` are (group, name, panel). A single one is shown as it is."""
    if len(options) == 1:
        return options[0][2]
    texts, previous = [], None
    for group, text, _ in options:
        if group and group != previous:
            texts.append(f'{"</optgroup>" if previous else ""}<optgroup label="{escape(group)}">')
        previous = group
        texts.append(f"<option>{escape(text)}</option>")
    texts.append("</optgroup>" if previous else "")
    panels = "".join(
        f'<div data-panel="{name}"{"" if index == 0 else " hidden"}>{panel}</div>' for index, (_, _, panel) in enumerate(options)
    )
    chooser = f'<div class="choice"><label for="{name}">{escape(label)}</label><select id="{name}" data-choice="{name}" autocomplete="off">{"".join(texts)}</select></div>'
    return chooser + panels


def _ram(traces: Sequence[Trace], page: Page) -> str:
    options = []
    for task in dict.fromkeys(trace.task for trace in traces):
        runs = [trace for trace in traces if trace.task == task]
        found = groups(runs)
        if len(found) > 1 and plottable(runs):
            options.append(("", f"{shown(task)}: all networks and boards", _ram_panel(runs, shown(task), page)))
        options += [("", group.title, _ram_panel(group.traces, group.title, page)) for group in found if plottable(group.traces)]
    if not options:
        return ""
    return f"""<section><h2>Accuracy against total RAM</h2>
<p>Up and to the left is better. A rule has to stay above the hollow marks of the control of the same numeric to be worth its memory; a thin line ties
the numerics of one rule together.</p>{_choice("ram", "Show", options)}</section>"""


def _ram_panel(runs: Sequence[Trace], name: str, page: Page) -> str:
    missing = len(runs) - len(plottable(runs))
    note = (
        f'<p class="muted small">{missing} of {len(runs)} runs are not in the picture: their RAM or their accuracy is not known.</p>'
        if missing
        else ""
    )
    return f"<figure>{page.picture(accuracy_against_ram(runs), f'accuracy against total RAM, {name}')}</figure>{note}"


def _curves(traces: Sequence[Trace], page: Page) -> str:
    options = [
        ("", group.title, f"<figure>{page.picture(learning_curves(group), f'learning curves, {group.title}')}</figure>")
        for group in groups(traces)
        if any(len(trace.curve) > 1 for trace in group.traces)
    ]
    if not options:
        return ""
    seeds = " Lines are means over the seeds, bands reach from the least to the greatest." if len({t.seed for t in traces}) > 1 else ""
    return f"""<section><h2>Learning on the device</h2>
<p>Accuracy on the test samples against samples learned, one at a time. The dotted grey line is the control: what a rule learns in its hidden layers is
what it gains beyond it.{seeds}</p>{_choice("curve", "Show", options)}</section>"""


def _costs(traces: Sequence[Trace], page: Page) -> str:
    options = [
        ("", group.title, f"<figure>{page.picture(cost_by_run(group), f'cost by stage, {group.title}')}</figure>")
        for group in groups(traces)
        if any(trace.infer_layers or trace.learn_layers for trace in group.traces)
    ]
    if not options:
        return ""
    what = "Instructions" if metric(traces) == "instructions" else "Multiply-accumulates"
    return f"""<section><h2>{what} by stage</h2>
<p>One learning step and one inference of every run, on one scale.</p>{_choice("cost", "Show", options)}</section>"""


def _inside(traces: Sequence[Trace], page: Page) -> str:
    """The memory map and the layers of one run at a time."""
    options = []
    for group in groups(traces):
        for trace in group.traces:
            if trace.memory_map or trace.infer_layers or trace.learn_layers:
                seed = f", seed {trace.seed}" if len(group.seeds) > 1 else ""
                options.append((group.title, f"{shown(trace.rule)} {shown(trace.numeric)}{seed}", _run_panel(trace, page)))
    if not options:
        return ""
    if len({group for group, _, _ in options}) == 1:
        options = [("", name, panel) for _, name, panel in options]
    return f"<section><h2>Inside one run</h2>{_choice('run', 'Run', options)}</section>"


def _run_panel(trace: Trace, page: Page) -> str:
    name = f"{shown(trace.rule)} {shown(trace.numeric)}"
    parts = []
    if trace.memory_map:
        parts.append(f"""<h3>RAM, {escape(name)}</h3>{_proportions(trace)}<figure>{page.picture(memory_figure(trace), f"memory map, {name}")}</figure>
<p class="muted small">Each rectangle is a tensor: the calls during which it is needed across, its bytes up, counted from the start of the arena. Persistent
part, scratch part and stack each have their own scale; the bar above has all of them in proportion.</p>""")
    if trace.infer_layers or trace.learn_layers:
        what = "Instructions" if metric([trace]) == "instructions" else "Multiply-accumulates"
        parts.append(
            f"<h3>{what} by layer, {escape(name)}</h3><figure>{page.picture(cost_by_layer(trace), f'cost by layer, {name}')}</figure>"
        )
    return "".join(parts)


def _proportions(trace: Trace) -> str:
    parts = [(name, size, role) for name, size, role in ram_parts(trace) if size > 0]
    total = sum(size for _, size, _ in parts)
    if not total:
        return ""
    bars = "".join(f'<span {_fill(role)[0]} style="width:{100 * size / total:.3f}%;{_fill(role)[1]}"></span>' for _, size, role in parts)
    keys = "".join(
        f'<li><span class="swatch {"hatched" if role == "stack" else ""}" style="{_fill(role)[1]}"></span>{escape(name)} {size:,} B</li>'
        for name, size, role in parts
    )
    known = trace.memory.total_ram_bytes
    keys += f"<li><strong>total {known:,} B</strong></li>" if known is not None else ""
    return f'<div class="ram"><div class="bar" role="img" aria-label="parts of the RAM in proportion">{bars}</div><ul>{keys}</ul></div>'


def _fill(role: str) -> tuple[str, str]:
    """The class and the style that fill a part of the RAM."""
    if role == "stack":
        return 'class="hatched"', ""
    return "", f"background:{STATIC_COLOUR if role == 'static' else ROLES[role][1]}"


# ---------------------------------------------------------------- what is exact, what is modelled


def _evidence(traces: Sequence[Trace]) -> str:
    rows = "".join(
        f"<tr><td>{what}</td><td>{_badge(kind) if kind else UNKNOWN}</td><td>{how}</td></tr>" for what, kind, how in _known(traces)
    )
    return f"""<section><h2>What is exact, what is modelled</h2>
<p>Exact figures are counted, not estimated: the same sources, tools and seed give them again to the last digit. Measured ones come from a board. Modelled ones come from
a model of the core, whose error the label states where it is known.</p>
<table class="plain"><thead><tr><th scope="col">Figure</th><th scope="col">Evidence</th><th scope="col">Where it comes from</th></tr></thead><tbody>{rows}</tbody></table></section>"""


def _known(traces: Sequence[Trace]) -> list[tuple[str, str | None, str]]:
    """The figures that are known: what, kind of evidence, source, escaped."""
    found: dict[tuple[str, str | None, str], None] = {}
    for trace in traces:
        known = trace_evidence(trace)
        if known["accuracy"]:
            found[
                "Accuracy",
                known["accuracy"],
                "share of the test samples answered right; float in NumPy on the host, before and learned by the generated C",
            ] = None
        if known["memory"]:
            found[
                "Flash, static RAM, arena",
                known["memory"],
                "sections and symbols of the linked firmware; the memory map is the plan that the arena is laid out by",
            ] = None
        if trace.memory.stack_bytes is not None:
            found[
                "Stack",
                known["memory"],
                "the RAM between arena and stack is painted before the start; what is no longer painted afterwards was used",
            ] = None
        for cost in (trace.infer, trace.learn):
            labels = cost_evidence(cost)
            if cost.macs is not None:
                found["Multiply-accumulates", "exact", "shapes of the tensors of each call"] = None
            for name, figure, value in (
                ("Instructions", "instructions", cost.instructions),
                ("Cycles, milliseconds", "cycles", cost.cycles),
            ):
                if value is not None:
                    label = labels[figure]
                    place = f", {markup(trace.board)}" if trace.board else ""
                    found[name, evidence_kind(label), f"{markup(detail(label), 120) or _PLAIN[name]}{place}".replace("+-", "&plusmn;")] = (
                        None
                    )
    return sorted(found, key=lambda row: _ORDER.index(row[0]))


_PLAIN = {"Instructions": "counted", "Cycles, milliseconds": "cycles of the core at its clock"}
_ORDER = ("Accuracy", "Flash, static RAM, arena", "Stack", "Multiply-accumulates", "Instructions", "Cycles, milliseconds")


def _versions(versions: Versions) -> str:
    if not versions:
        return ""
    known = ", ".join(f"{markup(name, 40)} {markup(version, 60)}" for name, version in versions.items() if version is not None)
    absent = _absent([name for name, version in versions.items() if version is None])
    return f'<footer class="small muted"><p>Made with {known or "unknown versions"}.{absent} The figures behind this page are in report.json beside it.</p></footer>'


def _absent(names: Sequence[str]) -> str:
    return f" Not installed: {', '.join(markup(name, 40) for name in names)}." if names else ""
