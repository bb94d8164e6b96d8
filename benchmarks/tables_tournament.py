"""The tables of docs/results/tournament.md: accuracy, RAM and instructions of every rule, and what is best in equal RAM.

``equal`` is what the tables and the picture of equal RAM are of: for a task, numeric and budget of bytes the network of every rule that its
validation samples prefer among those that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import fmean
from typing import Any

from results import load
from tables_rules import table
from tables_seeds import NAMES, PROTOCOL, cells, marked, of_rows, percent, with_note
from tournament import BUDGETS_KB, FIELDS, NUMERICS, RULES, SEEDS, TAKEN, same_as

from edgeff.bench.statistics import Difference, paired_difference, summary

KB = 1024
BP, CONTROL = "bp", "frozen"
SHOWN = NAMES | {"mempepita": "MEMPEPITA", "ff": "FF", "cwc": "CwC", "local_heads": "local heads"}
BY = {"float32": "float32, host", "int8": "int8, by the C"}
NOT_MEASURED = "Not measured yet."


@lru_cache
def rows_by(name: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a results file by their keys."""
    return {tuple(row["key"]): row for row in load(name).get("rows", [])}


def rows(task: str, network: str, rule: str, numeric: str) -> list[dict[str, Any]]:
    """The rows of a cell, a seed each: its own, those of another benchmark, or those of the rule that is the same to the bit."""
    source = TAKEN.get((task, network, numeric))
    if source == "rules":
        taken = (rows_by(source).get((task, network, rule, PROTOCOL, seed)) for seed in range(SEEDS))
        return [{**row, "accuracy": percent(row)} for row in taken if row]
    if source == "device_learning":
        keys: list[tuple[Any, ...]] = [(rule, numeric, "stochastic", PROTOCOL, seed) for seed in range(SEEDS)]
    else:
        source, keys = "tournament", [(task, network, same_as(network, rule, numeric), numeric, seed) for seed in range(SEEDS)]
    return [rows_by(source)[key] for key in keys if key in rows_by(source)]


def ram_row(task: str, network: str, rule: str, numeric: str) -> dict[str, Any]:
    """The bytes of a cell; {} where they were not counted."""
    return rows_by("tournament_ram").get((task, network, rule, numeric), {})


def ram(task: str, network: str, rule: str, numeric: str) -> int | None:
    """Static RAM and stack of a cell, bytes. The stack is that of the task's network."""
    own, shared = (ram_row(task, name, rule, numeric) for name in (network, FIELDS[task].network))
    return int(own["static_ram"] + shared["stack"]) if own and shared else None


def validation(found: list[dict[str, Any]]) -> float:
    """The mean accuracy on validation samples of the settings that were chosen for some rows."""
    return fmean(row["chosen_by"].get("validation_accuracy", 0.0) for row in found)


@dataclass(frozen=True)
class Entry:
    """A rule's network within a budget, its bytes with the stack, and its rows."""

    rule: str
    network: str
    ram_bytes: int
    rows: tuple[dict[str, Any], ...]

    @property
    def results(self) -> Mapping[int, float | None]:
        return of_rows(self.rows)

    @property
    def validation(self) -> float:
        return validation([*self.rows])


def less(first: Entry, second: Entry | None) -> Difference | None:
    """How far the first is above the second, paired by seed."""
    return None if second is None else paired_difference(first.results, second.results)


def entry(task: str, rule: str, numeric: str, budget_bytes: int) -> Entry | None:
    """The rule's network that validation samples prefer among those within the budget, the smaller of two alike; None if none fits."""
    fitting = []
    for network in FIELDS[task].networks(rule, numeric):
        size, found = ram(task, network, rule, numeric), rows(task, network, rule, numeric)
        if size is not None and size <= budget_bytes and len(found) == SEEDS:
            fitting.append(Entry(rule, network, size, tuple(found)))
    return max(fitting, key=lambda one: (one.validation, -one.ram_bytes), default=None)


def is_forward_only(one: Entry) -> bool:
    """Whether a rule learns hidden layers without a backward pass: with one hidden layer local heads are back-propagation."""
    return one.rule not in (BP, CONTROL) and not (one.rule == "local_heads" and not one.network.startswith("c"))


@dataclass(frozen=True)
class Equal:
    """What every rule does within a budget of bytes."""

    task: str
    numeric: str
    budget_kb: int
    entries: Mapping[str, Entry]

    @property
    def bp(self) -> Entry | None:
        return self.entries.get(BP)

    @property
    def control(self) -> Entry | None:
        return self.entries.get(CONTROL)

    @property
    def best(self) -> Entry | None:
        """The forward-only rule that validation samples prefer."""
        some = [one for one in self.entries.values() if is_forward_only(one)]
        return max(some, key=lambda one: (one.validation, -one.ram_bytes), default=None)

    @property
    def verdict(self) -> str:
        """What the intervals say of the best forward-only rule, against back-propagation and against a last layer alone."""
        if self.best is None:
            return "no forward-only rule fits"
        if self.bp is None:
            return "BP does not fit"
        beside, alone = less(self.best, self.bp), less(self.best, self.control)
        said = "open" if beside is None or not beside.clear else "**forward-only**" if beside.mean > 0 else "BP"
        if alone is not None and alone.clear and alone.mean < 0:
            return f"{said}; the last layer alone is above both" if self.last_layer_wins else f"{said}; below the last layer alone"
        return said

    @property
    def last_layer_wins(self) -> bool:
        """Whether the control is above back-propagation and the best forward-only rule, by more than the intervals."""
        against = [less(self.control, other) for other in (self.bp, self.best) if other] if self.control else []
        return bool(against) and all(one is not None and one.clear and one.mean > 0 for one in against)


def equal(task: str, numeric: str) -> Iterator[Equal]:
    """The budgets of a task and numeric; one at which every rule has the network that it had before is left out."""
    before: dict[str, str] = {}
    for budget_kb in BUDGETS_KB:
        each = {rule: one for rule in RULES if (one := entry(task, rule, numeric, budget_kb * KB))}
        networks = {rule: one.network for rule, one in each.items()}
        if networks and networks != before:
            yield Equal(task, numeric, budget_kb, each)
        before = networks


def every_equal() -> list[Equal]:
    """All budgets of all tasks, in both numerics."""
    return [one for task in FIELDS for numeric in reversed(NUMERICS) for one in equal(task, numeric)]


def task_table(task: str) -> str:
    """A line a rule: accuracy, seeds, difference to the control, RAM and instructions, in both numerics."""
    network = FIELDS[task].network
    lines = []
    for rule in RULES:
        found = {numeric: rows(task, network, rule, numeric) for numeric in NUMERICS}
        if not any(found.values()):
            continue
        line = [marked(SHOWN.get(rule, rule), [row for some in found.values() for row in some])]
        for numeric, some in found.items():
            control = None if rule == CONTROL else of_rows(rows(task, network, CONTROL, numeric))
            shown = cells(of_rows(some), control) if some else ["not run", "-", "-"]
            size, cost = ram(task, network, rule, numeric), ram_row(task, network, rule, numeric)
            line += [*shown, "-" if size is None else f"{size:,}", f"{cost['learn_instructions']:,}" if cost else "-"]
        lines.append(line)
    heads = ["%", "seeds", "above frozen (95 %)", "RAM", "instructions a step"]
    every = [f"{numeric}: {head}" for numeric in NUMERICS for head in heads]
    return with_note(table([f"{task}, {network}", *every], lines)) if lines else NOT_MEASURED


def short(rule: str) -> str:
    """A rule's name in a cell."""
    return "frozen" if rule == CONTROL else SHOWN.get(rule, rule)


def entered(one: Entry | None) -> str:
    """A network and its accuracy."""
    return "does not fit" if one is None else f"{summary(one.results).shown()} ({one.network})"


def difference(one: Difference | None) -> str:
    return "-" if one is None else one.shown()


def equal_table() -> str:
    """A line a task, numeric and budget: back-propagation, the best forward-only rule, the last layer alone, and who is ahead."""
    lines = []
    for one in every_equal():
        best = one.best
        ours = "-" if best is None else f"{SHOWN.get(best.rule, best.rule)} {entered(best)}"
        beside = [difference(less(best, other)) if best else "-" for other in (one.bp, one.control)]
        place = [one.task, BY[one.numeric], f"{one.budget_kb} KB"]
        lines.append([*place, entered(one.bp), ours, entered(one.control), *beside, one.verdict])
    heads = ["task", "numeric", "RAM", "BP", "best forward-only rule", "frozen: the last layer alone", "forward-only less BP"]
    return table([*heads, "forward-only less frozen", "ahead"], lines, 3) if lines else NOT_MEASURED


def rules_table() -> str:
    """A line a task, numeric and budget: the difference of every rule to back-propagation."""
    shown = [rule for rule in RULES if rule != BP]
    lines = []
    for one in every_equal():
        cells_of = [difference(less(one.entries[rule], one.bp)) if rule in one.entries else "does not fit" for rule in shown]
        lines.append([one.task, BY[one.numeric], f"{one.budget_kb} KB", *cells_of])
    heads = ["task", "numeric", "RAM"]
    return table([*heads, *map(short, shown)], lines, 3) if lines else NOT_MEASURED


def fit_table() -> str:
    """A line a task and budget: what ``edgeff fit`` puts first for the task's network, and what was best in the test."""
    lines = []
    for (task, budget_kb), row in rows_by("tournament_fit").items():
        network = FIELDS[task].network
        each = {
            (rule, numeric): of_rows(found)
            for rule in RULES
            for numeric in NUMERICS
            if len(found := rows(task, network, rule, numeric)) == SEEDS
            and (size := ram(task, network, rule, numeric)) is not None
            and size <= budget_kb * KB
        }
        said = next((tuple(choice) for choice in row["choices"] if tuple(choice) in each), None)
        if said is None:
            continue
        best = max(each, key=lambda choice: mean_of(each[choice]))
        lost = paired_difference(each[said], each[best])
        cells_of = [f"{short(rule)}, {numeric}: {summary(each[rule, numeric]).shown()}" for rule, numeric in (said, best)]
        lines.append([f"{task}, {network}", f"{budget_kb} KB", *cells_of, "0" if said == best else difference(lost)])
    heads = ["task, network", "RAM", "`edgeff fit` puts first", "best measured", "lost by it (95 %)"]
    return table(heads, lines, 2) if lines else NOT_MEASURED


def mean_of(results: Mapping[int, float | None]) -> float:
    """The mean of the seeds that ended."""
    return fmean(value for value in results.values() if value is not None)


def budget(task: str, numeric: str, budget_kb: int) -> Equal:
    """What every rule does in a task and numeric within a budget."""
    (one,) = (one for one in equal(task, numeric) if one.budget_kb == budget_kb)
    return one


def ahead(verdict: str, numeric: str = "") -> int:
    """How many budgets, of one numeric or of both, have a verdict that begins so."""
    return sum(one.verdict.strip("*").startswith(verdict) for one in every_equal() if numeric in ("", one.numeric))


SECTIONS: dict[str, Callable[[], str]] = {
    **{f"tournament_{task}": partial(task_table, task) for task in FIELDS},
    "tournament_equal": equal_table,
    "tournament_rules": rules_table,
    "tournament_fit": fit_table,
}
