"""Numbers in the prose of the README and docs, from results: filled in where they stand, or checked.

In comes a page's text, in which

    <!--= mean("rules", "cifar10", "*", "scff") -->55.8<!--/-->         is filled in: a text, or a number with one decimal, or ``: .2f``
    <!--? above("unseen", "har", "*", "scff").mean < 0 -->              must hold
    <!--given: Hinton 2022 -->98.64<!--/-->                             stands in no results file, and this is its source

Expressions are Python over ``WORDS``. Out goes the text with its numbers, and what is wrong: a statement that does not hold, a number of a
watched page that no comment accounts for, and in other pages a ``mean ± deviation`` that no results file has. A number is anything with a
decimal point, a per cent sign, or points after it; counts such as "five seeds" and names such as 64-32-10 are not looked at.

``python benchmarks/claims.py`` prints every claim with its value, and ends with exit status 1 where something is wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlperf_tiny import CMSIS_NN
from results import FOLDER, load
from tables_convolutions import hours, ram
from tables_seeds import PROTOCOL, percent
from tables_tournament import ahead, budget, less
from tables_tournament import ram as ram_of

from edgeff.bench.statistics import Difference, paired_difference, summary

ROOT = Path(__file__).parents[1]
WATCHED = (ROOT / "README.md", *sorted((ROOT / "docs" / "results").glob("*.md")))
"""Pages in which every number has its comment."""
OTHERS = (*sorted((ROOT / "docs" / "rules").glob("*.md")), ROOT / "docs" / "attack.md", ROOT / "docs" / "learn.md")
"""Pages in which a mean with its deviation must be in the results."""
FILLED = re.compile(r"(<!--= )(.*?)( -->)(.*?)(<!--/-->)", re.DOTALL)
HOLDS = re.compile(r"<!--\? (.*?) -->", re.DOTALL)
GIVEN = re.compile(r"<!--given: .*?-->.*?<!--/-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.-])[+-]?(?:\d+\.\d+|\d+(?= %)|\d+(?= points))(?![\w-])")
SPREAD = re.compile(r"(?<![\w.-])(\d*\.?\d+) (?:\+-|±) (\d*\.?\d+)")
NOT_PROSE = (r"Python \d\.\d+", r"<!-- begin:.*?<!-- end:[^>]*-->", r"```.*?```", r"`[^`]*`", r"\]\([^)]*\)")
RULE_AT = {"rules": 2, "accuracy": 1, "unseen": 2, "device_learning": 0, "conv_learning": 0}
"""Where the rule stands in a row's key."""

Results = dict[int, float | None]


def rows(name: str, *key: Any) -> list[dict[str, Any]]:
    """The rows of a results file whose key begins with ``key``; ``*`` stands for anything. Raises LookupError if there is none."""
    matching = [row for row in load(name).get("rows", []) if all(a in ("*", b) for a, b in zip(key, row["key"], strict=False))]
    if not matching:
        raise LookupError(f"no row of {name}.json has a key {key}")
    return matching


def row(name: str, *key: Any) -> dict[str, Any]:
    """The only row whose key begins with ``key``."""
    (one,) = rows(name, *key)
    return one


def rows_shown(name: str, *key: Any) -> list[dict[str, Any]]:
    """The rows of one rule that its table shows: of ``unseen`` those of the rule's own settings, of ``rules`` those of the protocol."""
    every = rows(name, *key)
    return [row for row in every if (PROTOCOL in row["key"]) == (name == "rules")] if name in ("rules", "unseen") else every


def values(name: str, *key: Any) -> Results:
    """The accuracy in per cent by seed, None for a run that diverged."""
    return by_seed(name, key, rows_shown(name, *key))


def by_seed(name: str, key: Sequence[Any], found: Sequence[dict[str, Any]]) -> Results:
    """The accuracies of ``found`` by seed. Raises LookupError for two of one seed."""
    if len(found) == 1 and "test" in found[0] and isinstance(found[0]["test"], list):
        return dict(enumerate(found[0]["test"]))
    results: Results = {}
    for one in found:
        seed = int(one["key"][-1])
        if seed in results:
            raise LookupError(f"two rows of {name}.json have the key {key} and seed {seed}")
        results[seed] = value_of(one)
    return results


def value_of(one: dict[str, Any]) -> float | None:
    """A row's test accuracy in per cent."""
    if "run" in one:
        return percent(one)
    value = one.get("accuracy", one.get("test"))
    return None if value is None else float(value)


def mean(name: str, *key: Any) -> float:
    """The mean over the seeds that ended."""
    return fmean(value for value in values(name, *key).values() if value is not None)


def spread(name: str, *key: Any, digits: int = 1) -> str:
    """The mean with its standard deviation."""
    return summary(values(name, *key)).shown(digits)


def above(name: str, *key: Any) -> Difference:
    """The difference to the frozen control of the same seeds. Raises LookupError without one."""
    control = [*key]
    control[RULE_AT[name]] = "frozen"
    difference = paired_difference(values(name, *key), values(name, *control))
    if difference is None:
        raise LookupError(f"no seed of {name}.json {key} has its control")
    return difference


def rules_of(name: str, *key: Any) -> list[str]:
    """The rules of the rows whose key begins with ``key``, but the control."""
    return [rule for rule in dict.fromkeys(str(row["key"][RULE_AT[name]]) for row in rows(name, *key)) if rule != "frozen"]


def times_cmsis() -> tuple[float, float]:
    """The smallest and the largest of our instructions, built by gcc, over those of CMSIS-NN, of the layers that are counted there."""
    ratios = []
    for (task, layer), (_, theirs) in CMSIS_NN.items():
        calls = {name: instructions for name, _, _, instructions in row("mlperf_tiny", "latency", task, "int8", "gcc")["calls"]}
        if layer:
            ratios.append(calls[layer] / theirs)
    return min(ratios), max(ratios)


def learning_bytes(rule: str) -> int:
    """What 64-32-10 learns in, in int8 on a Cortex-M4: weights, activations and state, without the stack."""
    one = row("memory", "64-32-10", rule, "int8", "nucleo_l4r5zi")
    return int(one["persistent"] + one["scratch"])


def taken(network: str, way: str, numeric: str = "int8") -> int:
    """Static RAM and stack of a learning step of a network of MLPerf Tiny on a Cortex-M4, bytes."""
    one = row("memory_networks", network, way, numeric, "mps2_an386")
    return int(one["static_ram"] + one["stack"])


def arena(rule: str) -> int:
    """The bytes of the arena in which ``rule`` learns the convolutional network of the README's picture, float32."""
    (size,) = {one["run"]["memory"]["arena_bytes"] for one in rows_shown("rules", "cifar10", "cnn_small", rule) if "memory" in one["run"]}
    return int(size)


def most_saved() -> float:
    """The share of back-propagation's arena, in per cent, that the thriftiest rule saves of those that train filters."""
    learned = {one["key"][2] for one in rows("rules", "cifar10", "cnn_small") if "memory" in one["run"]}
    return 100 * (1 - min(arena(rule) for rule in learned if not rule.startswith("frozen")) / arena("bp"))


def cifar(rule: str) -> float:
    """The mean accuracy of a rule on the convolutional network of the README's picture."""
    return mean("rules", "cifar10", "cnn_small", rule)


def instructions(rule: str) -> int:
    """The instructions of one learning step of 64-32-10, float32, on an emulated Cortex-M4F."""
    return int(row("speed", "64-32-10", rule)["step"]["instructions"])


def attacked(model: str, epsilon: float = 0.05) -> float:
    """The accuracy in per cent that PGD leaves a model."""
    points = [point for one in rows("attack") for point in one["models"][model]["points"] if point["epsilon"] == epsilon]
    return fmean(100 * point["pgd"] for point in points)


WORDS: dict[str, Any] = {
    "hours": hours,
    "ram": ram,
    "rows": rows,
    "row": row,
    "values": values,
    "mean": mean,
    "spread": spread,
    "above": above,
    "rules_of": rules_of,
    "times_cmsis": times_cmsis,
    "learning_bytes": learning_bytes,
    "taken": taken,
    "arena": arena,
    "most_saved": most_saved,
    "cifar": cifar,
    "instructions": instructions,
    "attacked": attacked,
    "budget": budget,
    "less": less,
    "ahead": ahead,
    "ram_of": ram_of,
    "load": load,
    "fmean": fmean,
    **{word.__name__: word for word in (min, max, sum, len, all, any, abs, round, sorted, set)},
}


@lru_cache
def evaluated(expression: str) -> Any:
    """The value of an expression over the results; the expressions are those of this repository's own pages."""
    return eval(" ".join(expression.split()), {"__builtins__": {}, **WORDS})  # noqa: S307


def shown(expression: str) -> str:
    """The text of a claim: ``expression``, or ``expression : format``."""
    code, _, form = expression.rpartition(" : ") if " : " in expression else (expression, "", ".1f")
    value = evaluated(code)
    return value if isinstance(value, str) else format(value, form)


def filled(text: str) -> str:
    """A page's text with its numbers."""
    return FILLED.sub(lambda claim: f"{claim[1]}{claim[2]}{claim[3]}{shown(claim[2])}{claim[5]}", text)


def prose(text: str) -> str:
    """The text without tables that are generated, code, links, and what comments account for; lines stay where they are."""
    for pattern in (FILLED, HOLDS, GIVEN, *(re.compile(p, re.DOTALL) for p in NOT_PROSE)):
        text = pattern.sub(lambda part: "\n" * part[0].count("\n"), text)
    return text


def faults(page: Path, text: str) -> Iterator[str]:
    """What is wrong with a page, a line each."""
    for claim in HOLDS.finditer(text):
        if not evaluated(claim[1]):
            yield f"does not hold: {' '.join(claim[1].split())}"
    for number, line in enumerate(prose(text).splitlines(), 1):
        if page in WATCHED:
            yield from (f"line {number}: {found[0]} has no claim" for found in NUMBER.finditer(line))
        else:
            for a, b in SPREAD.findall(line):
                if not any(same(a, m) and same(b, d) for m, d in known_spreads()):
                    yield f"line {number}: {a} ± {b} is in no results file"


def same(text: str, value: float) -> bool:
    """Whether ``text`` is ``value`` rounded to its digits, either way where it lies in the middle."""
    digits = len(text.partition(".")[2])
    return abs(float(text) - value) <= 0.5 * 10**-digits * 1.02


@lru_cache
def known_spreads() -> list[tuple[float, float]]:
    """The mean and deviation of every group of values in the results: lists in rows, and rows that differ in the last part of their key."""
    groups: list[Sequence[float]] = []
    for file in sorted(FOLDER.glob("*.json")):
        by_key: dict[str, list[float]] = {}
        for one in load(file.stem).get("rows", []):
            for path, value in leaves({name: part for name, part in one.items() if name != "key"}):
                if isinstance(value, list):
                    groups.append([float(item) for item in value])
                elif "key" in one:
                    by_key.setdefault(f"{one['key'][:-1]} {path}", []).append(value)
        groups += by_key.values()
    scaled = [[scale * value for value in group] for group in groups if len(group) > 1 for scale in (1, 100)]
    return [(fmean(group), stdev(group)) for group in scaled] + [(100 - fmean(group), stdev(group)) for group in scaled]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers, and the lists of numbers, in a row, with where they stand."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}")
    elif isinstance(value, list):
        known = [item for item in value if isinstance(item, int | float)]
        if known and all(item is None or isinstance(item, int | float) for item in value):
            yield path, known
        else:
            for item in value:
                named = item.get("epsilon", item.get("name", "")) if isinstance(item, dict) else ""
                yield from leaves(item, f"{path}[{named}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def check() -> list[str]:
    """What is wrong, of all pages, and results whose command is none."""
    commands = {file: str(load(file.stem).get("command", "")).split() for file in sorted(FOLDER.glob("*.json"))}
    lost = [f"{file.name}: no script {words[1]}" for file, words in commands.items() if words and not (ROOT / words[1]).is_file()]
    pages = {page: page.read_text(encoding="utf-8") for page in (*WATCHED, *OTHERS)}
    return lost + [f"{page.relative_to(ROOT)}: {fault}" for page, text in pages.items() for fault in faults(page, text)]


if __name__ == "__main__":
    for page in (*WATCHED, *OTHERS):
        for claim in FILLED.finditer(page.read_text(encoding="utf-8")):
            print(f"{page.relative_to(ROOT)}: {shown(claim[2])} = {' '.join(claim[2].split())}")
    wrong = check()
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
