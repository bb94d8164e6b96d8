"""``edgeff bench``: a table over many configurations, resumed where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.options import OutputFolder, Whole, common
from edgeff.cli.outputs import check_folder, new_file
from edgeff.cli.terminal import print_json, print_line, print_note, stages
from edgeff.cli.version import version
from edgeff.errors import BadInput, EdgeffError

if TYPE_CHECKING:
    from edgeff.bench import Runnable
    from edgeff.ir import Trace

RUNS = "configurations"
IDENTITIES = "configurations.json"
MOST_WORKERS = 1024


@click.command("bench", epilog="Example: edgeff bench mlperf-tiny --models models --workers 2 -o runs/mlperf-tiny")
@click.argument("suite", default="digits")
@click.option("--workers", type=Whole(1, MOST_WORKERS), default=1, show_default=True, help="Configurations that run in parallel.")
@click.option("--models", help="The folder of reference models, for mlperf-tiny. [default: EDGEFF_MODELS_DIR]")
@click.option("--only", multiple=True, metavar="PATTERN", help="Run those whose names match, such as '*-int8-*'; may be repeated.")
@click.option("-o", "--out", type=OutputFolder(), help="The folder to write. [default: runs/SUITE]")
@common
def command(suite: str, workers: int, models: str | None, only: tuple[str, ...], out: Path | None, as_json: bool, seed: int | None) -> None:
    """Run every configuration of a suite (digits, mlperf-tiny, rules) and put them into one report.

    Finished results are saved at once: the same command resumes from there. --seed is the first seed of each configuration.
    """
    from edgeff.bench import SUITES, Wishes, configurations
    from edgeff.bench import traces as run_all
    from edgeff.bench.models import models_folder
    from edgeff.report import print_table, run_json, to_json, write_report

    if suite not in SUITES:
        raise BadInput("unknown suite", got=repr(suite), allowed=", ".join(SUITES))
    folder = out or Path("runs") / suite
    check_folder(folder, RUNS)
    chosen = configurations(SUITES[suite], Wishes(seed or 0, models_folder(models), only))
    results = folder / RUNS
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"output folder '{folder}'", got=error.strerror or str(error), allowed="a path that can be written") from None
    identities = read_identities(folder / IDENTITIES)
    traces = finished(chosen, results, identities)
    missing = [item for item in chosen if item.name not in traces]
    if traces:
        print_note(f"{len(traces)} of {len(chosen)} configurations were already finished")
    with stages() as report:
        report(suite, len(traces), len(chosen))
        for configuration, trace in run_all(missing, workers):
            with new_file(results / f"{configuration.name}.json") as path:
                path.write_text(json.dumps(to_json([trace]), allow_nan=False), encoding="utf-8")
            identities[configuration.name] = identity(configuration)
            with new_file(folder / IDENTITIES) as path:
                path.write_text(json.dumps(identities, indent=1), encoding="utf-8")
            traces[configuration.name] = trace
            report(configuration.name, len(traces), len(chosen))
    ordered = [traces[item.name] for item in chosen]
    write_report(folder, ordered)
    if as_json:
        print_json([run_json(trace) for trace in ordered])
        return
    print_table(ordered)
    print_line(f"wrote {folder / 'report.html'}")


def identity(configuration: Runnable) -> dict[str, str]:
    """The inputs of a result: the configuration with its seed and changes, the settings of its rule, and the version of edgeff."""
    from edgeff.ir import NUMERICS
    from edgeff.rules import find_rule, is_rule

    name = getattr(configuration, "rule", "")
    rule = find_rule(name) if name and is_rule(name) else None
    settings = [rule.settings, *(rule.device_settings(numeric) for numeric in NUMERICS)] if rule else []
    return {"configuration": repr(configuration), "settings": repr(settings), "version": version()}


def read_identities(file: Path) -> dict[str, dict[str, str]]:
    """The identities of finished configurations by name; none if they cannot be read: then all are run again."""
    try:
        read = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def finished(chosen: Iterable[Runnable], folder: Path, identities: Mapping[str, Mapping[str, str]]) -> dict[str, Trace]:
    """The traces in ``folder`` by the name of their configuration.

    A file that cannot be read, or is of another configuration, other settings or another version, counts as missing.
    """
    from edgeff.report import read_runs

    done: dict[str, Trace] = {}
    for configuration in chosen:
        file = folder / f"{configuration.name}.json"
        if not file.is_file():
            continue
        if identities.get(configuration.name) != identity(configuration):
            print_note(f"{file} is run again: it is of another configuration, other settings or another version")
            continue
        try:
            (done[configuration.name],) = read_runs(file)
        except (EdgeffError, ValueError) as error:
            print_note(f"{file} is run again: {error}")
    return done
