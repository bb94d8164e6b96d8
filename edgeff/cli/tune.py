"""``edgeff tune``: settings of rules, chosen on validation samples with the same budget for each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.options import OutputFile, Whole, common, target_column
from edgeff.cli.terminal import Stages, measure_text, print_json, print_line, print_note, print_table, stages
from edgeff.cli.version import version

if TYPE_CHECKING:
    from edgeff.bench.tuning import Search
    from edgeff.bench.tuning_file import Record
    from edgeff.ir import Network
    from edgeff.tasks import Data, Task

CONTROLS = ("frozen", "bp")
MOST_EPOCHS, MOST_SEEDS, MOST_SPLITS = 1_000_000, 1000, 100
FEWEST, MOST_CANDIDATES = 9, 10_000


@click.command("tune", epilog="Example: edgeff tune 64-32-10 digits --rule pepita -o tune.json")
@click.argument("network")
@click.argument("task")
@click.option("--rule", "rules", multiple=True, required=True, help="A rule whose settings to choose; may be repeated.")
@click.option("--controls/--no-controls", default=True, show_default=True, help=f"Also choose those of {' and '.join(CONTROLS)}.")
@click.option("--epochs", type=Whole(1, MOST_EPOCHS), default=15, show_default=True, help="Passes over the training data of a full run.")
@click.option("--candidates", type=Whole(FEWEST, MOST_CANDIDATES), default=16, show_default=True, help="Settings tried for each rule.")
@click.option("--splits", type=Whole(1, MOST_SPLITS), default=3, show_default=True, help="Validation parts that a candidate is tried on.")
@click.option("--seeds", type=Whole(0, MOST_SEEDS), default=5, show_default=True, help="Runs on the test part in the end.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Biases in the layers of a dense list.")
@target_column
@click.option("-o", "--out", type=OutputFile(".json"), required=True, help="The result, a JSON file; the same command resumes from it.")
@common
def command(
    network: str,
    task: str,
    rules: tuple[str, ...],
    controls: bool,
    epochs: int,
    candidates: int,
    splits: int,
    seeds: int,
    bias: bool,
    choices: Mapping[str, str],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Choose the settings of learning rules on a validation part of the training data.

    Every rule has the same budget: CANDIDATES settings around its own, of which the worse ones end early (successive halving). The test
    part is read once per seed, in the end. `edgeff train --settings-from FILE` trains with what was chosen.
    """
    with stages() as report:
        report("reading the data", 0, 1)
        from edgeff.bench.tuning import Search
        from edgeff.bench.tuning_file import opened
        from edgeff.cli.models import find_task, for_training, load_task, standard_values
        from edgeff.networks import structure

        search = Search(epochs, candidates, splits, seed or 0)
        names = [*dict.fromkeys((*(CONTROLS if controls else ()), *rules))]
        item = find_task(task, choices)
        _, data = for_training(item, load_task(item, search.seed))
        data.need("train")
        if seeds:
            data.need("test")
        data, _, spread = standard_values(data) if item.target == "value" else (data, 0.0, 1.0)
        plain = structure(network, softmax=item.target == "class", bias=bias, input_shape=data.input_shape, classes=data.outputs)
        own = data.metadata.get("own")
        read = {**choices, "fingerprint": own["fingerprint"]} if own else {}
        record = opened(out, task, item, network, search, version(), bias=bias, data=read)
        if record.tried:
            print_note(f"{len(record.tried)} trials were already in {out}")
        search_all(record, out, item, data, plain, names, search, seeds, report, spread)
    if as_json:
        print_json(record.model_dump(mode="json", by_alias=True) | {"rules": described(record, names)})
        return
    print_tables(record, names, search)
    print_line(f"wrote {out}")


def search_all(
    record: Record,
    out: Path,
    task: Task,
    data: Data,
    network: Network,
    names: list[str],
    search: Search,
    seeds: int,
    report: Stages,
    spread: float,
) -> None:
    """Chooses for every rule, then reads the test part; each result goes into ``record`` and its file as soon as there is one.

    That every rule can train the network is known before the first trial. ``spread``: values to learn are in units of it, and errors are
    recorded in the user's own.
    """
    from edgeff.bench.tuning import choose, reached, starting_settings, validation_metric
    from edgeff.bench.tuning_file import chosen
    from edgeff.rules import find_rule

    for rule in names:
        starting_settings(data, network, record.network, rule, search)
    total, done = len(names) * (search.budget_epochs + seeds * search.epochs), 0

    def advance(what: str, epochs: int) -> None:
        nonlocal done
        done += epochs
        record.write(out)
        report(what, done, total)

    def run(rule: str, metric: str, part: Data, settings: Any, number: int) -> float | None:
        value = reached(part, network, rule, settings, number, task, metric)
        return value if value is None or task.target != "value" else spread**2 * value

    for rule in names:
        known = partial(advance, f"{rule}: settings")
        trial = partial(run, rule, validation_metric(task))
        choice = choose(data, network, record.network, rule, search, task, record.tried, known, run=trial)
        record.rules.setdefault(rule, chosen(choice))
    for rule in names:
        kept = record.rules[rule]
        settings = find_rule(rule).settings.changed(kept.texts())
        for number in range(search.seed, search.seed + seeds):
            if number not in kept.test:
                kept.test[number] = run(rule, record.metric, data, settings, number)
            advance(f"{rule}: test", search.epochs)
    record.write(out)


def described(record: Record, names: list[str]) -> dict[str, object]:
    """The rules of the result, with what follows from their runs."""
    from edgeff.bench.statistics import paired_difference, summary

    control = record.rules["frozen"].test if "frozen" in record.rules else {}
    rules: dict[str, object] = {}
    for rule in names:
        kept = record.rules[rule]
        difference = paired_difference(kept.test, control) if rule != "frozen" else None
        interval = None if difference is None or difference.half is None else difference.half
        above = None if difference is None else {"mean": difference.mean, "half_interval_95": interval, "pairs": difference.pairs}
        rules[rule] = kept.model_dump(mode="json") | {"diverged": summary(kept.test).diverged, "above_frozen": above}
    return rules


def print_tables(record: Record, names: list[str], search: Search) -> None:
    """What each rule reached, and with which settings."""
    from edgeff.bench.statistics import paired_difference, summary

    scale = 1 if record.metric == "mse" else 100
    scaled = {
        rule: {seed: None if value is None else scale * value for seed, value in record.rules[rule].test.items()} for rule in record.rules
    }
    rows = []
    for rule in names:
        over = summary(scaled[rule])
        difference = paired_difference(scaled[rule], scaled.get("frozen", {})) if rule != "frozen" else None
        valid = measure_text(record.validation_metric, record.rules[rule].validation)
        rows.append([rule, valid, over.shown(), over.counted, "-" if difference is None else difference.shown()])
    kind = "" if record.metric == record.validation_metric else f" {record.validation_metric}"
    unit = "" if record.metric == "mse" else ", %"
    print_table(["rule", f"validation{kind}", f"test {record.metric}{unit}", "seeds", "above frozen (95 %)"], rows)
    settings = [
        [rule, name, record.rules[rule].start[name], record.rules[rule].chosen[name]] for rule in names for name in record.rules[rule].start
    ]
    print_table(["rule", "setting", "was", "chosen"], settings)
    rounds = ", ".join(f"{count} for {epochs}" for count, epochs in search.rounds)
    print_line(f"chosen on {search.splits} validation parts: {rounds} epochs; {search.budget_epochs} epochs for each rule")
