"""The tables on learning rules, for the README and docs/rules/README.md, from ``benchmarks/results/*.json`` and from the registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from results import is_stale, load
from tables_seeds import HEADS, NAMES, STALE, cells, marked, of_rows, with_note

from edgeff import registry
from edgeff.bench.rules import changes_of
from edgeff.networks import recipe
from edgeff.report.comparison import comparisons, grid
from edgeff.report.record import from_json


def table(head: list[str], rows: Iterable[list[str]], left: int = 1) -> str:
    """A Markdown table; the columns after the first ``left`` are right-aligned."""
    rule = ["---" if index < left else "---:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def mean_of(values: list[float], digits: int = 1) -> str:
    """The mean with its deviation, and how many seeds where there are not several."""
    if not values:
        return "-"
    return f"{fmean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else " (1 seed)")


def rules_list() -> str:
    """Every rule with its page, source, where its step runs and what it keeps."""
    lines = []
    for name, rule in registry.rules.items():
        where = ", ".join(rule.numerics) or "host only"
        lines.append([f"[`{name}`]({name}.md)", rule.summary, rule.source, where, rule.stores])
    return table(["rule", "in a line", "source", "learns on a device in", "a step keeps"], lines, 5)


def compared(task: str) -> str:
    """The comparison of rules on a task's network. Rows of another recipe than the present one do not take part, and are named below."""
    rows = [row for row in load("rules").get("rows", []) if row["key"][0] == task]
    older = [row for row in rows if "recipe" in row and row["recipe"] != recipe_of(row["key"], row["recipe"])]
    runs = [row["run"] for row in rows if row not in older]
    stale = {row["key"][2] for row in rows if is_stale(row)}
    parts = []
    for comparison in comparisons(from_json({"schema": 1, "runs": runs})) if runs else ():
        made = grid(comparison)
        head = [f"{comparison.title}: rule", *(f"{h.group}: {h.short}" if h.group else h.short for h in made.headings[1:-1])]
        lines = []
        for row, control in zip(made.rows, made.control, strict=True):
            name = f"**{row[0]}**" if control else str(row[0])
            lines.append([f"{name} {STALE}" if row[0] in stale else name, *(text or "-" for text in row[1:-1])])
        parts.append(with_note(table(head, lines)))
    parts += [left_out(row) for row in older]
    return "\n\n".join(parts)


def recipe_of(key: Sequence[Any], names: Iterable[str]) -> dict[str, Any]:
    """The present settings called ``names`` of the point with ``key``."""
    task, network, rule, _seed = key
    settings = {**recipe(network, rule), **changes_of(task, network, rule)}
    return {name: settings.get(name) for name in names}


def left_out(row: dict[str, Any]) -> str:
    """A sentence on a row of an older recipe."""
    _, _, rule, seed = row["key"]
    settings = ", ".join(f"{name} {value:g}" for name, value in row["recipe"].items())
    what = "diverged" if "diverged" in row["run"].get("refused", "") else f"{100 * row['run']['accuracy']['float']:.1f} %"
    return f"Left out, of an older recipe ({settings}): {rule}, seed {seed}, {what}."


def rows_by(name: str, part: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The rows of a results file by the part of their key that names the configuration."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in load(name).get("rows", []):
        found.setdefault(str(row["key"][part]), []).append(row)
    return found


def host_speed_rules() -> str:
    lines = [
        [
            f"{row['key'][0]}, {row['key'][1]}",
            f"{row['epoch_s_edgeff']:.2f}",
            f"{row['epoch_s_torch']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f}",
        ]
        for row in load("host_speed_rules").get("rows", [])
    ]
    return table(["an epoch of 60,000 samples", "edgeff, s", "PyTorch, s", "edgeff / PyTorch, median", "epochs between"], lines)


PEPITA = {
    "bp": "BP",
    "dfa": "DFA",
    "pepita": "PEPITA",
    "pepita+wd": "PEPITA, weight decay 3e-5",
    "pepita+wm": "PEPITA, weight mirroring",
    "pepita+wd+wm": "PEPITA, weight decay 3e-5 and mirroring",
    "pepita+wd1e-4+wm": "PEPITA, weight decay 1e-4 (the paper's) and mirroring",
    "pepita+norm+wm": "PEPITA, normalised, mirroring",
    "pepita conv": "PEPITA, conv 32 5x5",
    "frozen": "**frozen hidden layer** (control)",
    "frozen conv": "**frozen filters** (control)",
}


def beside(shown: str, network: str, ours: list[float], their_network: str = "-", theirs: str = "-") -> list[str]:
    """A line of the table of published figures."""
    return [shown, network, their_network, mean_of(ours, 2).removesuffix(" (1 seed)"), str(len(ours)), theirs]


def published() -> str:
    """The published figures on MNIST beside ours: accuracy in per cent, seeds and schedule."""
    lines = []
    found = rows_by("published_pepita")
    for name, shown in PEPITA.items():
        rows = found.get(name, [])
        if rows:
            paper = rows[0]["published"]
            network = f"{rows[0]['network']}, {rows[0]['settings']['epochs']} epochs"
            ours = [row["test"] for row in rows]
            lines.append(beside(shown, network, ours, *(() if paper is None else (network, f"{paper:.2f}"))))
    tests = [row for row in load("published_ff").get("rows", []) if row["key"][0] == "test"]
    if tests:
        network = f"{tests[0]['network']}, 40 epochs"
        for shown, key in (
            ("FF, probing all labels", "probe_error"),
            ("FF, softmax head", "head_error"),
            ("FF, LightFF's early exit", "early_exit_error"),
        ):
            theirs = ("4 x 2000, 60 epochs; 3 x 1000", "98.64; 98.55") if key == "probe_error" else ()
            lines.append(beside(shown, network, [100 - row[key] for row in tests], *theirs))
    rows = [row for row in load("published_scff").get("rows", []) if row["key"][0] == "mnist" and "-" in row["key"][1]]
    for rule, shown, paper in (
        ("scff", "SCFF, linear read-out, images moved", "98.70"),
        ("unmoved", "SCFF, linear read-out, images not moved", ""),
        ("frozen", "**frozen hidden layers**, the same read-out (control)", ""),
    ):
        own = [row for row in rows if row["key"][2] == rule]
        if own:
            ours = [row["test"] for row in own]
            epochs = "" if rule == "frozen" else f", {own[0]['epochs']} epochs"
            lines.append(beside(shown, own[0]["key"][1] + epochs, ours, *(("2 x 2000, 20 + 9 epochs", paper) if paper else ())))
    rows = load("published_cwc").get("rows", [])
    if rows:
        network, ours = f"conv 30-60-120 5x5, {rows[0]['settings']['epochs']} epochs", [100 - row["test_error"] for row in rows]
        lines.append(beside("CwC, softmax head", network, ours, "a CNN with grouped convolutions", "99.42"))
    return table(["MNIST, test accuracy %", "here", "the paper's", "edgeff", "seeds", "published"], lines, 3)


def attack() -> str:
    """Accuracy under PGD by epsilon, of PEPITA and of back-propagation stopped at PEPITA's natural accuracy."""
    rows = load("attack").get("rows", [])
    names = {"pepita": "PEPITA", "bp, stopped": "BP, stopped at PEPITA's accuracy", "bp": "BP, 20 epochs", "frozen": "**frozen** (control)"}
    shown = [0.02, 0.05, 0.1]
    lines = []
    for name, words in names.items():
        models = [row["models"][name] for row in rows if name in row["models"]]
        if models:
            cells = [mean_of([100 * model["natural"] for model in models])]
            for epsilon in shown:
                points = [point for model in models for point in model["points"] if point["epsilon"] == epsilon]
                cells.append(mean_of([100 * point["pgd"] for point in points]))
            lines.append([words, *cells])
    return table(["784-1024-10 on MNIST, accuracy %", "natural", *(f"PGD {epsilon}" for epsilon in shown)], lines)


def theory() -> str:
    """The largest relative error of the equations over the whole curve, and how far PEPITA is from AFA."""
    lines = []
    for row in load("theory").get("rows", []):
        n, hidden, teacher, start = row["key"]
        afa, near = row["largest"]["afa 0"], row["largest"]["pepita 0.05"]
        far, tiny = near["beyond_afa"], row["largest"]["pepita 0.005"]["beyond_afa"]
        cells = [100 * value for value in (afa["relative_error"], near["relative_error"], far, tiny)]
        lines.append([f"N = {n:,}, student {hidden}, teacher {teacher}, start {start}", *(f"{value:.1f}" for value in cells)])
    heads = [
        "largest over the curve, %",
        "AFA from its equations",
        "PEPITA from its first-order equations",
        "PEPITA .05 from AFA",
        "PEPITA .005 from AFA",
    ]
    return table(heads, lines)


def unseen(settings: str = "") -> str:
    """Accuracy of each rule on data nobody chose the defaults for: with the defaults, or with ``settings`` chosen by the protocol."""
    by: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in load("unseen").get("rows", []):
        task, network, rule, *rest, _seed = row["key"]
        if rest == ([settings] if settings else []):
            by.setdefault((task, network), {}).setdefault(rule, []).append(row)
    lines = []
    for (task, network), rules in by.items():
        place = f"{task}, {network}"
        control = of_rows(rules.get("frozen", []))
        if not settings:
            lines.append([place, NAMES["majority"], f"{rows_share(rules):.1f}", "", "", ""])
        for rule, rows in rules.items():
            doubts = [str(sum(bool(row.get("doubts")) for row in rows))] if not settings else []
            lines.append(
                [place, marked(NAMES.get(rule, rule), rows), *cells(of_rows(rows), None if rule == "frozen" else control), *doubts]
            )
    heads = ["task, network", "rule", *HEADS, *([] if settings else ["runs with a warning"])]
    return with_note(table(heads, lines, 2)) if lines else "Not measured yet."


def rows_share(rules: dict[str, list[dict[str, Any]]]) -> float:
    """The share of the largest class of the test part, per cent: the mean over the seeds, whose test parts may differ."""
    return fmean({row["key"][3]: float(row["largest_class"]) for found in rules.values() for row in found}.values())


SECTIONS = {
    "unseen": unseen,
    "unseen_chosen": lambda: unseen("protocol"),
    "published": published,
    "attack": attack,
    "theory": theory,
    "rules_list": rules_list,
    "rules_digits": lambda: compared("digits"),
    "rules_mnist": lambda: compared("mnist"),
    "rules_cifar10": lambda: compared("cifar10"),
    "host_speed_rules": host_speed_rules,
}
