"""The tables on learning rules, for the README and docs/rules/README.md, from ``benchmarks/results/*.json`` and from the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Any

from results import is_stale, load
from tables_seeds import HEADS, NAMES, PROTOCOL, STALE, cells, marked, of_rows, with_note

from edgeff import registry
from edgeff.bench.statistics import Difference, Summary, paired_difference
from edgeff.networks import initialised, recipe, structure
from edgeff.ops.canonical import canonical
from edgeff.report.comparison import comparisons, grid
from edgeff.report.record import from_json
from edgeff.rules import Settings


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
    """The comparison of rules on a task's network, with settings chosen by the protocol."""
    rows = [row for row in load("rules").get("rows", []) if row["key"][0] == task and PROTOCOL in row["key"]]
    runs, stale = [row["run"] for row in rows], {row["key"][2] for row in rows if is_stale(row)}
    parts = []
    for comparison in comparisons(from_json({"schema": 1, "runs": runs})) if runs else ():
        made = grid(comparison)
        head = [f"{comparison.title}: rule", *(f"{h.group}: {h.short}" if h.group else h.short for h in made.headings[1:-1])]
        lines = []
        for row, control in zip(made.rows, made.control, strict=True):
            name = f"**{row[0]}**" if control else str(row[0])
            lines.append([f"{name} {STALE}" if row[0] in stale else name, *(text or "-" for text in row[1:-1])])
        parts.append(with_note(table(head, lines)))
    return "\n\n".join(parts) or "Not measured yet."


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


DENSE, CONV = "784-1024-10, 100 epochs", "conv 32 5x5, 100 epochs"
NOT_RUN = "none run"


@dataclass(frozen=True)
class Claim:
    """A published figure, the rows beside it with their schedule, the paper's schedule where it is another, and the control's rows."""

    shown: str
    ours: Sequence[dict[str, Any]]
    schedule: str
    published: float | None = None
    theirs: str = ""
    control: Sequence[dict[str, Any]] = ()
    field: str = "test"
    control_field: str = ""

    def cells(self) -> list[str]:
        values = [row[self.field] if self.field == "test" else 100 - row[self.field] for row in self.ours]
        control = [row["test"] if "test" in row else 100 - row[self.control_field] for row in self.control]
        beside = f"{Summary(tuple(control)).shown(2)} ({len(control)})" if control else NOT_RUN
        published = "-" if self.published is None else f"{self.published:.2f}"
        name = marked(self.shown, self.ours)
        interval = mean_interval(values)
        return [name, self.schedule, self.theirs or "the same", published, interval, str(len(values)), beside, self.verdict(values)]

    def verdict(self, values: Sequence[float]) -> str:
        """What the runs say of the figure. Fewer than three are no answer; another schedule is no comparison."""
        if self.published is None:
            return "-"
        if self.theirs:
            return f"not comparable ({fmean(values) - self.published:+.2f})"
        if len(values) < FEWEST_SEEDS:
            return f"open, {'one seed' if len(values) == 1 else f'{len(values)} seeds'} ({fmean(values) - self.published:+.2f})"
        half = half_interval(values)
        return "reproduced" if abs(fmean(values) - self.published) <= half else "not reproduced"


FEWEST_SEEDS = 3


def half_interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean, in per cent; at least half a unit of the second decimal, which papers give."""
    difference = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))
    return max(difference.half or 0.0, 0.005) if difference else 0.005


def mean_interval(values: Sequence[float]) -> str:
    """The mean, and its 95 % interval for two seeds and more."""
    return f"{fmean(values):.2f}" + (f" ± {half_interval(values):.2f}" if len(values) > 1 else "")


def claims() -> Iterator[Claim]:
    """The published figures on MNIST and what was run beside each."""
    pepita = rows_by("published_pepita")
    frozen = pepita.get("frozen", [])
    for name, words, paper, theirs in (
        ("bp", "BP", 98.63, "with dropout"),
        ("dfa", "DFA", None, "-"),
        ("pepita", "PEPITA", 98.01, ""),
        ("pepita+wd", "PEPITA, weight decay", 98.12, "weight decay 1e-4"),
        ("pepita+wm", "PEPITA, weight mirroring", 98.05, ""),
        ("pepita+wd1e-4+wm", "PEPITA, weight decay 1e-4 and mirroring", 98.10, ""),
        ("pepita+wd+wm", "PEPITA, weight decay 3e-5 and mirroring", 98.10, "weight decay 1e-4"),
        ("pepita+norm+wm", "PEPITA, normalised, mirroring", 98.42, ""),
    ):
        if name in pepita:
            yield Claim(words, pepita[name], DENSE, paper, theirs, frozen)
    if "pepita conv" in pepita:
        yield Claim("PEPITA, convolutional", pepita["pepita conv"], CONV, 98.29, "", pepita.get("frozen conv", []))
    tests, drawn = ([row for row in load("published_ff").get("rows", []) if row["key"][0] == part] for part in ("test", "control"))
    if tests:
        network = f"{tests[0]['network']}, 40 epochs"
        beside: dict[str, Any] = {"control": drawn, "control_field": "head_error"}
        yield Claim("FF, probing all labels (Hinton)", tests, network, 98.64, "4 x 2000, 60 epochs", field="probe_error", **beside)
        yield Claim("FF, probing all labels (reimplementation)", tests, network, 98.55, "3 x 1000", field="probe_error", **beside)
        yield Claim("FF, softmax head", tests, network, None, "-", field="head_error", **beside)
        yield Claim("FF, LightFF's early exit", tests, network, None, "-", field="early_exit_error", **beside)
    scff = {
        rule: [row for row in load("published_scff").get("rows", []) if "-" in row["key"][1] and row["key"][2] == rule] for rule in SCFF
    }
    for rule, words in SCFF.items():
        if scff[rule]:
            network = f"{scff[rule][0]['key'][1]}, {scff[rule][0]['epochs']} + read-out"
            paper, theirs = (98.70, "20 + 9 epochs") if rule == "scff" else (None, "-")
            yield Claim(words, scff[rule], network, paper, theirs, scff["frozen"])
    cwc, drawn = ([row for row in load("published_cwc").get("rows", []) if row["key"][1:] == part] for part in ([], ["frozen"]))
    if cwc:
        network = f"conv 30-60-120 5x5, {cwc[0]['settings']['epochs']} epochs"
        yield Claim("CwC, softmax head", cwc, network, 99.42, "grouped convolutions", drawn, "test_error", "test_error")


SCFF = {"scff": "SCFF, images moved", "unmoved": "SCFF, images not moved", "frozen": "the control of SCFF"}


def published() -> str:
    """The published figures on MNIST, what came of them here, and beside which control."""
    heads = ["MNIST, test accuracy %", "schedule here", "the paper's", "published", "here, 95 %", "seeds", "control (seeds)", "verdict"]
    return with_note(table(heads, [claim.cells() for claim in claims() if claim.shown != SCFF["frozen"]], 3))


@dataclass(frozen=True)
class Statement:
    """A published statement that one thing is above another, the results of both by seed in per cent, and what differs from the paper."""

    shown: str
    schedule: str
    theirs: str
    first: Mapping[int, float]
    second: Mapping[int, float]
    control: Mapping[int, float]
    rows: Sequence[dict[str, Any]]
    at_least: float = 0.0

    def cells(self) -> list[str]:
        difference = paired_difference(self.first, self.second)
        if difference is None:
            raise ValueError(f"no seed of {self.shown} has both results")
        control = f"{Summary(tuple(self.control.values())).shown()} ({len(self.control)})" if self.control else NOT_RUN
        return [
            marked(self.shown, self.rows),
            self.schedule,
            self.theirs,
            difference.shown(),
            str(difference.pairs),
            control,
            f"not comparable; here it {self.outcome(difference)}",
        ]

    def outcome(self, difference: Difference) -> str:
        """What the interval of the difference says: the statement has to hold in all of it."""
        if difference.half is None or difference.pairs < FEWEST_SEEDS:
            return f"is open ({'one seed' if difference.pairs == 1 else f'{difference.pairs} seeds'})"
        if difference.mean - difference.half >= self.at_least:
            return "holds"
        return "does not hold" if difference.mean + difference.half < self.at_least else "is open (the interval has both)"


def statements() -> Iterator[Statement]:
    """What papers say beside accuracies, where both sides were run."""
    rows = load("attack").get("rows", [])
    shared = [row for row in rows if {"pepita", "bp, stopped", "frozen"} <= set(row["models"])]
    withstood = {
        name: {row["key"][0]: 100 * point["pgd"] for row in shared for point in row["models"][name]["points"] if point["epsilon"] == 0.05}
        for name in ("pepita", "bp, stopped", "frozen")
    }
    if shared:
        words = "PEPITA withstands attacks better than BP (Farinha et al. 2023): accuracy under PGD of 0.05, PEPITA less BP"
        schedule = "MNIST, 784-1024-10, BP stopped at PEPITA's accuracy"
        yield Statement(
            words, schedule, "other networks, epochs, attacks", withstood["pepita"], withstood["bp, stopped"], withstood["frozen"], shared
        )
    for task, network, epochs in (("digits", "64-32-10", 60), ("mnist", "784-64-10", 3)):
        of = [row for row in load("tdca").get("rows", []) if row["key"][:3] == [task, network, epochs]]
        by = {rule: {row["key"][-1]: 100 * row["accuracy"] for row in of if row["key"][3] == rule} for rule in ("meta", "bp", "frozen")}
        if by["meta"]:
            words = "TDCA is better than BP (Chen et al. 2022): accuracy, TDCA less BP"
            evolved = "evolved on the task itself, 250 times as long"
            yield Statement(words, f"{task}, {network}, {epochs} epochs", evolved, by["meta"], by["bp"], by["frozen"], of)
    ff = [row for row in load("published_ff").get("rows", []) if row["key"][0] == "test"]
    if ff:
        full, early = ({row["key"][1]: 100 - row[name] for row in ff} for name in ("probe_error", "early_exit_error"))
        share = fmean(row["early_exit_macs_share"] for row in ff)
        words = f"Early exit costs no accuracy (LightFF), here at {100 * share:.0f} % of the MACs: accuracy, early less full"
        yield Statement(words, f"MNIST, {ff[0]['network']}, 40 epochs", "other networks", early, full, {}, ff)


def beyond() -> str:
    """What papers say beside accuracies, and what came of it here."""
    heads = ["published statement", "schedule here", "the paper's", "difference, points (95 %)", "seeds", "control (seeds)", "verdict"]
    lines = [statement.cells() for statement in statements()]
    large = [row for row in load("theory").get("rows", []) if row["key"][0] >= LARGE]
    if large:
        worst = 100 * max(row["largest"]["afa 0"]["relative_error"] for row in large)
        words = "Differential equations describe AFA's learning (Srinivasan et al. 2024): largest distance of the simulation, %"
        verdict = f"not comparable; here it {'holds' if worst <= WITHIN else 'does not hold'}"
        simulated = f"{load('theory')['seeds']} each of {len(large)} starts"
        schedule = f"erf units, N = {LARGE:,}, online"
        cells = [f"{worst:.1f}, at most {WITHIN:g}", simulated, "gradient descent, by equations", verdict]
        lines.append([marked(words, large), schedule, "its own equations and starts", *cells])
    return with_note(table(heads, lines, 3))


LARGE, WITHIN = 1000, 5.0
"""Inputs of a simulation that the equations, which are those of infinitely many, have to describe, and how closely, in per cent."""


def attack() -> str:
    """Accuracy under PGD by epsilon, of PEPITA and of back-propagation stopped at PEPITA's natural accuracy."""
    rows = load("attack").get("rows", [])
    names = {"pepita": "PEPITA", "bp, stopped": "BP, stopped at PEPITA's accuracy", "bp": "BP, 20 epochs", "frozen": "**frozen** (control)"}
    shown = [0.02, 0.05, 0.1]
    lines = []
    for name, words in names.items():
        models = [row["models"][name] for row in rows if name in row["models"]]
        if models:
            cells = [str(len(models)), mean_of([100 * model["natural"] for model in models])]
            for epsilon in shown:
                points = [point for model in models for point in model["points"] if point["epsilon"] == epsilon]
                cells.append(mean_of([100 * point["pgd"] for point in points]))
            lines.append([words, *cells])
    return table(["784-1024-10 on MNIST, accuracy %", "seeds", "natural", *(f"PGD {epsilon}" for epsilon in shown)], lines)


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


def said(settings: dict[str, Any]) -> str:
    """Settings as one types them after ``--set``; the empty tuple and None have words of their own."""
    words = {
        name: "auto" if value is None else ",".join(map(str, value)) or "-" if isinstance(value, tuple) else value
        for name, value in settings.items()
    }
    return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in words.items())


def defaults() -> str:
    """The settings that rules share, those in which each differs from them on the host, and in which a device differs from its host."""
    shared = asdict(Settings())
    lines = [["every rule", "host", said(shared), ""]]
    for name, rule in registry.rules.items():
        host = asdict(rule.settings)
        searched = ", ".join(f"{setting} x {factor:g}" for setting, factor in rule.settings.searched.items())
        lines.append([f"`{name}`", "host", said(differing(host, shared)), searched])
        lines += [["", numeric, said(differing(asdict(rule.device_settings(numeric)), host)), ""] for numeric in rule.numerics]
    return table(["rule", "where", "settings", "`edgeff tune` searches"], lines, 4)


def differing(settings: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in base or value != base[name]}


def recipes() -> str:
    """Every network as it comes without options, and the settings in which its recipes differ from the rules' own."""
    lines = []
    for name in registry.networks:
        network = canonical(initialised(structure(name), 0))
        size = sum(value.size for layer in network for value in layer.params.values())
        shape, classes = "x".join(map(str, network.input_shape)), network.layers[-1].shape[-1]
        lines.append([f"`{name}`", f"{shape} to {classes}, {size:,} parameters", ""])
        lines += [["", f"`{rule}`", said(found)] for rule in registry.rules if (found := recipe(name, rule))]
    return table(["network", "rule", "settings"], lines, 3)


SECTIONS: dict[str, Callable[[], str]] = {
    "unseen": unseen,
    "defaults": defaults,
    "recipes": recipes,
    "unseen_chosen": lambda: unseen("protocol"),
    "published": published,
    "published_beyond": beyond,
    "attack": attack,
    "theory": theory,
    "rules_list": rules_list,
    **{f"rules_{task}_chosen": partial(compared, task) for task in ("digits", "mnist", "cifar10")},
    "host_speed_rules": host_speed_rules,
}
