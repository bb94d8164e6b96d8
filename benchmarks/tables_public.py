"""The tables of docs/results/public_models.md: model files of public repositories, by outcome and one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table

SINGLE = 2
"""A file of so many operators at most is a single layer."""
OUTCOMES = {
    "exact": "equal to the bit",
    "within 1e-4": "float, within 1e-4",
    "exact in TFLM on edgeff's own file": "int8, which TFLM does not run, and equal to the bit to TFLM on edgeff's own file of it",
    "within steps": "int8 in ONNX, within three steps of ONNX Runtime",
    "dynamic range": "dynamic range: int8 weights read as float, where LiteRT rounds activations too",
    "no other runtime": "imported, and no other runtime runs the file",
    "refused": "refused, with the reason",
    "wrong": "wrong",
}


def counts() -> str:
    """How many files have each outcome: networks, and single layers."""
    rows = load("public_models")["rows"]
    kinds = {"networks": [row for row in rows if row["operators"] > SINGLE], "layers": [row for row in rows if row["operators"] <= SINGLE]}
    found = {kind: Counter(row["outcome"] for row in each) for kind, each in kinds.items()}
    lines = [[text, *(str(found[kind][name]) for kind in kinds)] for name, text in OUTCOMES.items()]
    shares = [f"{100 * (1 - found[kind]['refused'] / len(each)):.0f} %" for kind, each in kinds.items()]
    lines.append(["imported", *shares])
    return table(["outcome", "networks", "files of one or two operators"], lines, 1)


def every() -> str:
    """Each network, with what was compared or the reason."""
    lines = []
    for row in sorted(load("public_models")["rows"], key=lambda row: (row["outcome"] == "refused", row["repository"], row["path"])):
        if row["operators"] <= SINGLE:
            continue
        lines.append([f"`{row['path']}`", row["repository"], str(row["operators"]), row.get("numeric", "-"), _outcome(row)])
    return table(["file", "repository", "operators", "numeric", "outcome"], lines, 2)


def _outcome(row: dict[str, Any]) -> str:
    if row["outcome"] == "refused":
        return "refused: " + row["reason"].replace("|", "/")[:160]
    if row["outcome"] == "exact":
        return f"0 of {row['elements']:,} outputs differ from {row['runtime']}'s"
    if row["outcome"] == "within 1e-4":
        return f"at most {row['largest']:.1g} from {row['runtime']}"
    if row["outcome"] == "exact in TFLM on edgeff's own file":
        away = f"{row['differing']} of {row['elements']:,} outputs differ from LiteRT, which rounds otherwise"
        return f"equal to TFLM on edgeff's own file of it; {away}"
    if row["outcome"] == "dynamic range":
        return f"dynamic range: at most {100 * row['largest'] / row['range']:.1f} % of the outputs' range from {row['runtime']}"
    if row["outcome"] == "within steps":
        return f"at most {row['largest']:.0f} steps from {row['runtime']}, best class the same in {100 * row['best_class_equal']:.0f} %"
    return f"{row['outcome']}: {row.get('reason', '')}".replace("|", "/")[:160]


def settings() -> str:
    """The 16 settings of quantize_static by network: import, and ONNX Runtime's accuracy on the file beside ours."""
    rows = [row for row in load("onnx_settings")["rows"] if not row["key"][-1]]
    networks = list(dict.fromkeys(row["key"][0] for row in rows))
    by = {tuple(row["key"]): row for row in rows}
    lines = []
    for _, form, scales, activation, weight, _ in (row["key"] for row in rows if row["key"][0] == networks[0]):
        line = [form, scales, f"{activation.lower()[1:]}, {weight.lower()[1:]}"]
        each = [by[name, form, scales, activation, weight, False] for name in networks]
        line.append("yes" if each[0]["made"] else "no")
        for row in each:
            if row["outcome"] == "refused":
                line.append("refused")
                continue
            split = f", {row['split']} split" if row["split"] else ""
            line.append(f"{row['differing_c'] + row['differing_tflm']} of {row['outputs']:,}{split}")
            line.append("; ".join(_session(row, session) for session in ("exact", "default")))
        lines.append(line)
    heads = [head for name in networks for head in (f"{name}: differing", "ONNX Runtime")]
    return table(["format", "a scale for each", "activations, weights", "made", *heads], lines, 4)


def _session(row: dict[str, Any], session: str) -> str:
    """How far a session of ONNX Runtime is from the imported network, and its accuracy less the network's in points."""
    found = row[session]
    if found is None:
        return "no kernel"
    return f"{found['largest']} ({100 * (found['accuracy'] - row['accuracy']):+.0f})"


def named() -> str:
    """Each network that people name: what was compared, and what an inference takes on the board."""
    lines = []
    for row in load("named_networks")["rows"]:
        there = row["runtime"]
        compared = f"0 of {row['elements']:,}, {there}" if row["outcome"] == "exact" else f"{_outcome(row)}"
        own = f"{row['own_differing']} of {row['own_elements']:,}"
        core = f"{row['emulated_differing']} of {row['emulated_elements']:,}"
        figures = [f"{row[key]:,}" for key in ("macs", "instructions", "flash_bytes", "ram_bytes")]
        lines.append([row["key"][0], f"`{row['origin']}`", row["numeric"], compared, own, core, *figures])
    heads = ["network", "imported from", "numeric", "outputs differing", "calls in C", "calls on the Cortex-M4"]
    return table([*heads, "MACs", "instructions", "flash, bytes", "RAM, bytes"], lines, 6)


SECTIONS: dict[str, Callable[[], str]] = {
    "public_counts": counts,
    "public_models": every,
    "onnx_settings": settings,
    "named_networks": named,
}
