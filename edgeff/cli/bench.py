"""``edgeff bench``: a table over many configurations, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.options import OneOf, OutputFolder, ParameterType, Whole, common
from edgeff.cli.outputs import check_folder
from edgeff.cli.terminal import counted, print_json, print_line, print_note
from edgeff.cli.version import version
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.bench import Machines, Runnable, Shard
    from edgeff.ir import Trace
    from edgeff.report.store import Identity, Store

RUNS = "configurations"
MOST_WORKERS = 1024
MOST_SHARDS = 10_000
MOST_REASONS = 5
BACKENDS = ("local", "dask")
KINDS = ("task", "network", "rule", "numeric", "board", "seed")


class ShardNumber(ParameterType):
    """``I/N``: the I-th of N shares, from 1."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        from edgeff.bench import Shard

        if isinstance(value, Shard):
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_SHARDS):
            raise BadInput("option --shard", got=repr(value), allowed=f"I/N with 1 <= I <= N <= {MOST_SHARDS}, such as 2/8")
        return Shard(int(number), int(of))


@click.command("bench", epilog="Example: edgeff bench mlperf-tiny --models models --workers 2 -o runs/mlperf-tiny")
@click.argument("suite", default="digits")
@click.option("--workers", type=Whole(1, MOST_WORKERS), help="Configurations that run in parallel. [default: 1; with dask every worker]")
@click.option("--backend", type=OneOf("backend", BACKENDS), default="local", show_default=True, help="What runs them.")
@click.option("--scheduler", metavar="ADDRESS", help="The Dask scheduler, such as tcp://10.0.0.1:8786.")
@click.option("--shard", type=ShardNumber(), help="Run only the I-th of N shares, for batch systems. [default: all]")
@click.option("--models", help="The folder of reference models, for mlperf-tiny. [default: EDGEFF_MODELS_DIR]")
@click.option("--only", multiple=True, metavar="PATTERN", help="Run those whose names match, such as '*-int8-*'; may be repeated.")
@click.option("-o", "--out", type=OutputFolder(), help="The folder to write. [default: runs/SUITE]")
@common
def command(
    suite: str,
    workers: int | None,
    backend: str,
    scheduler: str | None,
    shard: Shard | None,
    models: str | None,
    only: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Run every configuration of a suite (digits, mlperf-tiny, rules) and put them into one report.

    Finished results are saved at once: the same command resumes from there. --seed is the first seed of each configuration. A shard
    writes to the folder shard-I-of-N in DIR; `edgeff report DIR` reads all of them.
    """
    from edgeff.bench import SUITES, Machines, Wishes, configurations
    from edgeff.bench.models import models_folder
    from edgeff.report import installed_versions, print_table, run_json, write_report
    from edgeff.report.record import shard_folder
    from edgeff.report.store import Store

    if suite not in SUITES:
        raise BadInput("unknown suite", got=repr(suite), allowed=", ".join(SUITES))
    if (backend == "dask") != (scheduler is not None):
        given = scheduler or "--backend dask alone"
        raise BadInput("option --scheduler", got=given, allowed="--backend dask with --scheduler ADDRESS, or neither")
    folder = out or Path("runs") / suite
    every = configurations(SUITES[suite], Wishes(seed or 0, models_folder(models), only))
    chosen = every
    if shard is not None:
        folder, chosen = folder / shard_folder(shard.number, shard.of), shard.share(every)
        if not chosen:
            raise BadInput("option --shard", got=f"{shard.number}/{shard.of}", allowed=f"at most {len(every)} shards of {suite}")
    check_folder(folder, RUNS)
    versions = installed_versions()
    store = Store(folder / RUNS, versions)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"output folder '{folder}'", got=error.strerror or str(error), allowed="a path that can be written") from None
    known = identities(chosen)
    done = finished(known, store)
    print_note(plan(suite, chosen, len(done)))
    traces = run_missing(chosen, known, done, store, Machines(workers, scheduler))
    ordered = [traces[item.name] for item in chosen]
    write_report(folder, ordered, versions)
    if as_json:
        print_json([run_json(trace) for trace in ordered])
        return
    print_table(ordered)
    print_line(f"wrote {folder / 'report.html'}")


def run_missing(
    chosen: Sequence[Runnable], known: Mapping[str, Identity], done: Collection[str], store: Store, machines: Machines
) -> dict[str, Trace]:
    """The traces of all configurations by name: those not ``done`` are run, and each result is saved as soon as it is finished.

    A saved one that turns out to be damaged when it is read, in the end, is run again too.
    """
    traces: dict[str, Trace] = {}

    def run(missing: Sequence[Runnable]) -> None:
        with counted(len(chosen) - len(missing), len(chosen)) as report:
            for configuration, trace in machines.traces(missing):
                store.save(configuration.name, known[configuration.name], trace)
                traces[configuration.name] = trace
                report(configuration.name)

    if missing := [item for item in chosen if item.name not in done]:
        run(missing)
    damaged = []
    for item in chosen:
        try:
            traces[item.name] = traces.get(item.name) or store.load(item.name)
        except BadInput as error:
            print_note(f"one result is run again: {error}")
            damaged.append(item)
    if damaged:
        run(damaged)
    return traces


def plan(suite: str, chosen: Sequence[Runnable], done: int) -> str:
    """What a comparison consists of, in one line: how many configurations, of how many tasks, networks, ..., and how many are left."""
    counts = {kind: len({str(getattr(item, kind)) for item in chosen if hasattr(item, kind)}) for kind in KINDS}
    parts = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count)
    finished_words = f"{done:,} of {len(chosen):,} configurations were already finished, {len(chosen) - done:,} to run"
    return f"{suite}: {len(chosen):,} configurations ({parts}); {finished_words}" if parts else f"{suite}: {finished_words}"


def identities(chosen: Sequence[Runnable]) -> dict[str, Identity]:
    """The inputs of each result by name: the configuration with its seed and changes, the settings of its rule, the version of edgeff."""
    settings = {rule: settings_of(rule) for rule in {getattr(item, "rule", "") for item in chosen}}
    here = version()
    return {item.name: {"configuration": repr(item), "settings": settings[getattr(item, "rule", "")], "version": here} for item in chosen}


def settings_of(name: str) -> str:
    """The settings of a rule on the host and in every numeric, as text; those of no rule are empty."""
    from edgeff.ir import NUMERICS
    from edgeff.rules import find_rule, is_rule

    rule = find_rule(name) if name and is_rule(name) else None
    return repr([rule.settings, *(rule.device_settings(numeric) for numeric in NUMERICS)] if rule else [])


def finished(known: Mapping[str, Identity], store: Store) -> set[str]:
    """The names of the configurations with a saved result; what was saved and does not count is said."""
    why = {name: store.missing(name, identity) for name, identity in known.items()}
    reasons = [reason for reason in why.values() if reason]
    if len(reasons) > MOST_REASONS:
        print_note(f"{len(reasons):,} results are run again, the first because {reasons[0]}")
    else:
        for reason in reasons:
            print_note(f"one result is run again: {reason}")
    return {name for name, reason in why.items() if reason is None}
