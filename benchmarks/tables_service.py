"""The tables of docs/results/service.md: learning for long, and power that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table
from tables_seeds import NAMES

from edgeff.bench.statistics import paired_difference, summary

USUAL_ANCHOR = 2e-5


def soak() -> str:
    """Each rule and numeric: a drift learned after 150,000 samples and from fresh weights, and what a million steps leave."""
    rows: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in load("soak")["rows"]:
        what, rule, numeric, _ = row["key"]
        rows.setdefault((rule, numeric), {}).setdefault(what, []).append(row)
    lines = []
    for (rule, numeric), kinds in sorted(rows.items()):
        drifts, (ended, *_) = kinds.get("drift", []), kinds.get("soak", [None])
        means = [sum(row[name] for row in drifts) / len(drifts) for name in ("before", "at_once", "fresh", "aged")] if drifts else []
        slower = kinds.get("slower", [])
        anchored = kinds.get("anchored", slower)
        held = f"{sum(row['aged'] - row['fresh'] for row in anchored) / len(anchored):+.1f}" if anchored else ""
        held += " ‡" if any(row.get("anchor", 0.0) > USUAL_ANCHOR for row in anchored) else " §" if slower else ""
        shown = [f"{mean:.1f}" for mean in means] or ["-"] * 4
        off = f"{means[3] - means[2]:+.1f}" if means else "-"
        refused = sum(sum(row["refused"].values()) for row in (*drifts, *([ended] if ended else [])))
        lines.append([NAMES.get(rule, rule), numeric, str(len(drifts)), *shown, off, held, *_ended(ended), f"{refused:,}"])
    heads = ["rule", "numeric", "seeds", "before the drift", "right after it", "fresh device", "aged device", "aged less fresh"]
    heads.append("with an anchor, or § slower")
    return table([*heads, "after a million steps", "largest weight, or share at the limit", "two runs", "steps that diverged"], lines, 2)


def _ended(row: dict[str, Any] | None) -> list[str]:
    """The accuracy after a million steps, how large the weights are then, and whether a second run ends in the same bytes."""
    if row is None:
        return ["-", "-", "-"]
    share = any(row["limits"])
    size = f"{100 * row['at_limits']:.1f} %" if share else f"{max(row['largest']):.3g}"
    return [f"{row['accuracy']:.1f}", size, "equal" if row["identical"] else "differ"]


def power_cuts() -> str:
    """Each model and number of slots: the cuts of power tried, and the states lost."""
    lines = []
    for row in load("power_cuts")["rows"]:
        rule, numeric, slots = row["key"]
        counts = [row[name] for name in ("bytes", "operations_of_a_save", "saves", "cuts", "lost", "most_erases_of_a_slot")]
        lines.append([NAMES.get(rule, rule), numeric, str(slots), *(f"{count:,}" for count in counts)])
    heads = ["rule", "numeric", "slots", "bytes of a state", "operations of a save", "saves", "cuts", "states lost", "erases of a slot"]
    return table(heads, lines, 2)


def stream() -> str:
    """The keyword spotter over whole seconds and on continuous audio: memory, and cycles for a second of audio."""
    rows = {row["key"][0]: row for row in load("stream").get("rows", [])}
    if not rows:
        return "Not measured yet."
    cost, lines = rows["cost"], []
    for name, shown in (("whole", "a second of audio at a time"), ("stream", "hop by hop, `--stream`")):
        row = cost[name]
        hops = cost["hops_a_second"] * row["listen"]["cycles"] if "listen" in row else 0
        once, often = ((hops + count * row["infer"]["cycles"]) / 1e6 for count in (1, 10))
        memory = f"{row['static_ram']:,} + {row['stack']:,}"
        lines.append([shown, memory, f"{row['flash']:,}", f"{once:.1f}", f"{often:.1f}", f"{100e6 * often / cost['clock_hz']:.0f} %"])
    heads = ["DS-CNN of MLPerf Tiny, int8, nucleo_l4r5zi", "static RAM + stack, bytes", "flash", "million cycles, 1 prediction a second"]
    return table([*heads, "10 predictions a second", "of the core, 10 a second"], lines)


def replay() -> str:
    """Each way to keep samples: the accuracy on the known and on all classes after new ones came one after the other."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in load("replay")["rows"]:
        found.setdefault((row["key"][0], row["key"][1]), []).append(row)
    lines = []
    for way in dict.fromkeys(way for way, _ in found):
        shown = []
        for tail in ("float32", "int8"):
            rows = found.get((way, tail), [])
            shown += [f"{100 * sum(row['after'][part] for row in rows) / len(rows):.1f}" if rows else "-" for part in ("known", "all")]
        lines.append([way, *shown, f"{found[way, 'int8'][0]['arena_bytes']:,}" if (way, "int8") in found else "-"])
    heads = ["kept", "float32 tail: known", "all", "int8 tail: known", "all", "arena, int8 tail"]
    return table(heads, lines, 1)


def _schedules(what: str) -> dict[tuple[Any, str], list[dict[str, Any]]]:
    found: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in load("replay_schedule").get("rows", []):
        kind, way, amount, _ = row["key"]
        if kind == what:
            found.setdefault((amount, way), []).append(row)
    return found


def replay_theory() -> str:
    """Each similarity and way: both errors in the end, and the shares of replay."""
    lines = []
    for (similarity, way), (row, *_) in _schedules("theory").items():
        first, second = row["errors"][-1]
        shares = " ".join(f"{100 * share:.0f}" for share in row["shares"])
        lines.append([f"{similarity:g}", way, f"{first:.4f}", f"{second:.4f}", f"{first + second:.4f}", shares])
    heads = ["similarity", "replay", "first task", "second task", "sum", "share of replay by eighth of the time, %"]
    return table(heads, lines, 2) if lines else "Not measured yet."


def replay_schedule() -> str:
    """Each count of stored samples and way: accuracies, and the difference to even replay."""
    lines, found = [], _schedules("device")

    def both(rows: list[dict[str, Any]]) -> dict[int, float | None]:
        return {int(row["key"][-1]): (row["known"] + row["new"]) / 2 for row in rows}

    for (stored, way), rows in found.items():
        difference = None if way == "uniform" else paired_difference(both(rows), both(found.get((stored, "uniform"), [])))
        shown = [f"{sum(row[key] for row in rows) / len(rows):.1f}" for key in ("known", "new")]
        mean = summary(both(rows)).shown()
        lines.append([str(stored), way, str(len(rows)), *shown, mean, difference.shown() if difference else "-", f"{rows[0]['steps']:,}"])
    heads = ["stored samples", "replay", "seeds", "known", "new", "mean of both", "above even replay (95 %)", "replayed steps"]
    return table(heads, lines, 2) if lines else "Not measured yet."


SECTIONS: dict[str, Callable[[], str]] = {
    "soak": soak,
    "power_cuts": power_cuts,
    "replay": replay,
    "stream": stream,
    "replay_theory": replay_theory,
    "replay_schedule": replay_schedule,
}
