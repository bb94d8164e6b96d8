"""The end of the page: what is exact, what is modelled, and the versions of the software that made the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from edgeff.ir import Trace
from edgeff.report.evidence import ENERGY_SOURCE, cost_evidence, detail, trace_evidence
from edgeff.report.evidence import kind as evidence_kind
from edgeff.report.html.parts import badge
from edgeff.report.record import Versions
from edgeff.report.style import UNKNOWN, markup

_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "Accuracy": "share of the test samples classified correctly; float in NumPy on the host, all others by the generated C",
        "Flash, static RAM, arena": "the linked firmware; the memory map is the plan of the arena",
        "Stack": "the RAM between arena and stack is filled with a pattern before the start; bytes that have changed afterwards were used",
        "Multiply-accumulates": "shapes of the tensors of each call",
        "Instructions": "counted",
        "Cycles, milliseconds": "cycles of the core at the board's clock",
        "Microjoules": ENERGY_SOURCE,
    }
)


def evidence(traces: Sequence[Trace]) -> str:
    """The section on what is exact, what is measured and what is modelled."""
    rows = "".join(
        f"<tr><td>{what}</td><td>{badge(kind) if kind else UNKNOWN}</td><td>{how}</td></tr>" for what, kind, how in _known(traces)
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Figure", "Evidence", "Where it comes from"))
    return f"""<section><h2>What is exact, what is modelled</h2>
<p>Exact figures are counted, not estimated: the same sources, tools and seed reproduce them to the last digit. Measured ones come from
a board. Modelled ones come from a model of the core, whose error the label states if it is known.</p>
<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"""


def _known(traces: Sequence[Trace]) -> list[tuple[str, str | None, str]]:
    """The known figures: what, kind of evidence, source, escaped."""
    rows: dict[tuple[str, str | None, str], None] = {}
    for trace in traces:
        known = trace_evidence(trace)
        if known["accuracy"]:
            rows["Accuracy", known["accuracy"], _SOURCES["Accuracy"]] = None
        if known["memory"]:
            rows["Flash, static RAM, arena", known["memory"], _SOURCES["Flash, static RAM, arena"]] = None
        if trace.memory.stack_bytes is not None:
            rows["Stack", known["memory"], _SOURCES["Stack"]] = None
        for cost in (trace.infer, trace.learn):
            if cost.macs is not None:
                rows["Multiply-accumulates", "exact", _SOURCES["Multiply-accumulates"]] = None
            labels = cost_evidence(cost)
            if cost.instructions is not None:
                rows["Instructions", evidence_kind(labels["instructions"]), _source("Instructions", labels["instructions"], trace)] = None
            if cost.cycles is not None or cost.latency_s is not None:
                rows["Cycles, milliseconds", evidence_kind(labels["cycles"]), _source("Cycles, milliseconds", labels["cycles"], trace)] = (
                    None
                )
            if cost.energy_j is not None:
                rows["Microjoules", "modelled", _SOURCES["Microjoules"]] = None
    return sorted(rows, key=lambda row: list(_SOURCES).index(row[0]))


def _source(what: str, label: str | None, trace: Trace) -> str:
    """The part of a cost's label after its kind, and its board."""
    text = markup(detail(label), 120).replace("+-", "&plusmn;") or _SOURCES[what]
    return f"{text}, {markup(trace.board)}" if trace.board else text


def versions_footer(versions: Versions) -> str:
    """The foot of the page; empty without versions."""
    if not versions:
        return ""
    known = ", ".join(f"{markup(name, 40)} {markup(version, 60)}" for name, version in versions.items() if version is not None)
    absent = ", ".join(markup(name, 40) for name, version in versions.items() if version is None)
    sentences = [f"Made with {known}." if known else "", f"Not installed: {absent}." if absent else ""]
    return f'<footer class="small muted"><p>{" ".join(filter(None, sentences))}</p></footer>'
