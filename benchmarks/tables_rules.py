"""The tables on learning rules, for the README and docs/rules/README.md, from ``benchmarks/results/*.json`` and from the registry."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from results import load

from edgeff import registry
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
    """The comparison of rules on a task's network."""
    rows = [row["run"] for row in load("rules").get("rows", []) if row["key"][0] == task]
    found = comparisons(from_json({"schema": 1, "runs": rows})) if rows else ()
    parts = []
    for comparison in found:
        made = grid(comparison)
        head = [f"{comparison.title}: rule", *(f"{h.group}: {h.short}" if h.group else h.short for h in made.headings[1:-1])]
        cells = [[text or "-" for text in row[:-1]] for row in made.rows]
        bold = [[f"**{row[0]}**" if control else row[0], *row[1:]] for row, control in zip(cells, made.control, strict=True)]
        parts.append(table(head, bold))
    return "\n\n".join(parts)


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


UNSEEN = {"frozen": "**frozen** (control)", "majority": "the largest class"}


def unseen() -> str:
    """Accuracy of each rule with its defaults on data nobody chose them for, n of m seeds that did not diverge, and above the control."""
    rows = load("unseen").get("rows", [])
    by: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        task, network, rule, _ = row["key"]
        by.setdefault((task, network), {}).setdefault(rule, []).append(row)
    lines = []
    for (task, network), rules in by.items():
        control = {row["key"][3]: row["accuracy"] for row in rules.get("frozen", [])}
        lines.append([f"{task}, {network}", UNSEEN["majority"], f"{rows_share(rules):.1f}", "", "", ""])
        for rule, found in rules.items():
            ended = [row for row in found if not row["diverged"]]
            above = [row["accuracy"] - control[row["key"][3]] for row in ended if row["key"][3] in control]
            doubts = sum(bool(row["doubts"]) for row in ended)
            accuracies = [row["accuracy"] for row in ended]
            margin = "-" if rule == "frozen" or not above else signed(above)
            cells = [UNSEEN.get(rule, rule), mean_of(accuracies), margin, f"{len(ended)} of {len(found)}", str(doubts)]
            lines.append([f"{task}, {network}", *cells])
    heads = ["task, network", "rule", "test accuracy, %", "above frozen, paired", "seeds that did not diverge", "runs with a warning"]
    return table(heads, lines, 2)


def rows_share(rules: dict[str, list[dict[str, Any]]]) -> float:
    """The share of the largest class of the test part, per cent: the mean over the seeds, whose test parts may differ."""
    return fmean({row["key"][3]: float(row["largest_class"]) for found in rules.values() for row in found}.values())


def signed(values: list[float]) -> str:
    """The mean of paired differences with its sign, and their deviation."""
    return f"{fmean(values):+.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else " (1 seed)")


SECTIONS = {
    "unseen": unseen,
    "published": published,
    "attack": attack,
    "theory": theory,
    "rules_list": rules_list,
    "rules_digits": lambda: compared("digits"),
    "rules_mnist": lambda: compared("mnist"),
    "rules_cifar10": lambda: compared("cifar10"),
    "host_speed_rules": host_speed_rules,
}
