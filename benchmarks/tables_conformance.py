"""The tables of docs/results/conformance.md: others' test vectors, every operator in every format, and random networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from results import load
from tables_rules import table

from edgeff.registry import ops

CORPORA = {"onnx": "node tests of the `onnx` package"}
OUTCOMES = ("ok", "refused", "wrong")
NUMERICS = ("float32", "int8", "int16", "16x8")
CELLS = (*(("infer", form) for form in ("C", "TFLite", "ONNX", "Keras")), *(("learn", form) for form in ("C", "ONNX", "TFLite", "TFLM")))
EXACT, REFUSED = "to the bit", "refused"


def _rows(corpus: str) -> list[dict[str, Any]]:
    return [row for row in load("conformance").get("rows", []) if row["key"][0] == corpus]


def _sum(counters: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counters:
        total.update(each)
    return total


def corpora() -> str:
    """How many cases of each corpus are ok, refused and wrong."""
    lines = []
    for corpus, name in CORPORA.items():
        rows = _rows(corpus)
        if rows:
            found = _sum(row["outcomes"] for row in rows)
            lines.append([name, f"{sum(row['cases'] for row in rows):,}", *(f"{found[what]:,}" for what in OUTCOMES)])
    return table(["corpus", "cases", *OUTCOMES], lines)


def cases() -> str:
    """The operators of the corpora of which a case is ok, and why others are refused."""
    lines = []
    for corpus in CORPORA:
        for row in _rows(corpus):
            if set(row["outcomes"]) - {"refused"}:
                why = next(iter(row["reasons"]), "").replace("|", "/")
                counts = [str(row["outcomes"].get(what, 0)) for what in OUTCOMES]
                lines.append([row["key"][1], corpus, *counts, f"`{why}`" if why else ""])
    return table(["operator", "corpus", *OUTCOMES, "the reason seen most"], lines, 2)


def _mark(said: str | None) -> str:
    if said is None or said.startswith(REFUSED):
        return "·"
    return {EXACT: "="}.get(said, "wrong" if said.startswith("wrong") else "~")


def operators() -> str:
    """Each operator: how it infers and learns in float32, int8, int16 and 16x8, in C and in files."""
    found = {tuple(row["key"][1:]): row for row in _rows("operators")}
    lines = []
    for name in ops:
        cells = []
        for line, form in CELLS:
            each = [found.get((name, numeric), {}).get(line, {}).get(form) for numeric in NUMERICS]
            cells.append(" ".join(_mark(said) for said in (each[:1] if form == "Keras" else each)))
        lines.append([f"`{name}`", *cells])
    return table(["operator", *(f"{line}: {form}" for line, form in CELLS)], lines)


def drawn() -> str:
    """What the random networks were and what was compared."""
    rows = load("drawn_networks").get("rows", [])
    total = sum(row["networks"] for row in rows)
    lines = [["networks", f"{total:,}"]]
    lines += [[f"- in {name}", f"{count:,}"] for name, count in _sum(row["formats"] for row in rows).items()]
    lines += [[f"- with {name}", f"{count:,}"] for name, count in _sum(row["with"] for row in rows).items()]
    outcomes = _sum(row["outcomes"] for row in rows)
    titles = {
        "C": "the C on this machine",
        "TFLM float32": "TFLM, float32",
        "TFLM int8": "TFLM, int8",
        "refused by TFLM": "refused by TFLM",
    }
    lines += [[titles.get(name, name), f"{count:,}"] for name, count in outcomes.items()]
    lines.append(["**differing**", f"**{sum(len(row['failures']) for row in rows)}**"])
    return table(["random networks", "how many"], lines)


def drawn_operators() -> str:
    """In how many of the random networks each operator stands."""
    found = _sum(row["operators"] for row in load("drawn_networks").get("rows", []))
    return ", ".join(f"`{name}` {found[name]:,}" for name in ops)


SECTIONS: dict[str, Callable[[], str]] = {
    "conformance_corpora": corpora,
    "conformance_cases": cases,
    "conformance_operators": operators,
    "drawn_networks": drawn,
    "drawn_operators": drawn_operators,
}
