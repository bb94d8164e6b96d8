"""How each figure of a trace is known: exact, measured on a board, or modelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from edgeff.ir import Cost, Trace

KINDS = ("exact", "measured", "modelled")
_TWO_PARTS = re.compile(r"instructions (?P<instructions>.+?), cycles (?P<cycles>.+)")
_ON_A_BOARD = frozenset({"serial"})
ENERGY_SOURCE = "the modelled cycles at the core's typical run current by its data sheet; not validated"
_MEMORY_WORDS: Mapping[str, str] = MappingProxyType({"exact": "exact (linked firmware, painted stack)", "measured": "measured (board)"})


def kind(label: str | None) -> str | None:
    """The first word of an evidence label if it is one of the three kinds, else None.

    >>> kind("modelled, validated +-20 %")
    'modelled'
    """
    word = re.match(r"\w*", label or "")
    return word[0] if word and word[0] in KINDS else None


def detail(label: str | None) -> str:
    """The part of a label after its kind.

    >>> detail("modelled, validated +-20 %")
    'validated +-20 %'
    """
    return (label or "").removeprefix(kind(label) or "").strip(" ,()")


def cost_evidence(cost: Cost) -> dict[str, str | None]:
    """The labels of a cost's ``instructions`` and ``cycles``; milliseconds follow the cycles. A label without parts applies to both.

    >>> cost_evidence(Cost(instructions=9, evidence="instructions exact (emulated), cycles modelled, unvalidated"))
    {'instructions': 'exact (emulated)', 'cycles': 'modelled, unvalidated'}
    """
    parts = _TWO_PARTS.fullmatch(cost.evidence or "")
    return dict(parts.groupdict()) if parts else {"instructions": cost.evidence, "cycles": cost.evidence}


def trace_evidence(trace: Trace) -> dict[str, str | None]:
    """The labels of a trace's ``accuracy`` and ``memory``, None if nothing is known of them.

    Accuracies are counts over the test samples; bytes come from the linked program, or from the board that ran it.
    """
    place = "measured" if trace.target in _ON_A_BOARD else "exact"
    memory = (trace.memory.flash_bytes, trace.memory.arena_bytes, trace.memory.static_ram_bytes, trace.memory.stack_bytes)
    return {
        "accuracy": place if any(value is not None for value in trace.accuracy.values()) else None,
        "memory": place if any(value is not None for value in memory) else None,
    }


def figure_evidence(trace: Trace, figure: str) -> str | None:
    """The label of one figure of a table: ``accuracy``, ``memory``, ``instructions``, ``cycles`` or ``energy``; None if it is unknown.

    Costs are those of a learning step, or of an inference if no step is known.
    """
    if figure == "accuracy":
        label = trace_evidence(trace)["accuracy"]
        return f"{label} (share of the test samples)" if label else None
    if figure == "memory":
        label = trace_evidence(trace)["memory"]
        if label and trace.memory.static_ram_bytes is None:
            return f"{label} (arena as planned)"
        return _MEMORY_WORDS[label] if label else None
    if figure == "energy":
        known = any(cost.energy_j is not None for cost in (trace.learn, trace.infer))
        return f"modelled ({ENERGY_SOURCE})" if known else None
    for cost in (trace.learn, trace.infer):
        if getattr(cost, figure) is not None:
            return cost_evidence(cost)[figure]
    return None
