"""``edgeff fleet``: devices of unequal memory learn one network together, and what each round brings and moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.options import Real, Whole, changes, common, target_column
from edgeff.cli.terminal import percent, print_json, print_line, print_table, stages
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.ir import Numeric
    from edgeff.studies.fleet import Round

MOST_CLIENTS, MOST_ROUNDS, MOST_PASSES, MOST_WORKERS = 10_000, 10_000, 1000, 512
BUDGETS_KIB = (16, 64, 256)
KIB = 1024


@click.command("fleet", epilog="Example: edgeff fleet 784-256-64-10 fashion_mnist --numeric int8 --clients 20 --alpha 0.1")
@click.argument("network")
@click.argument("task")
@click.option("--rule", default="bp", show_default=True, help="The rule that devices learn by.")
@click.option("--numeric", type=click.Choice(["float32", "int8", "int16"]), default="int8", show_default=True, help="What they compute in.")
@click.option("--clients", type=Whole(1, MOST_CLIENTS), default=20, show_default=True, help="Devices.")
@click.option(
    "--budget", "budgets", metavar="KIB", type=Whole(1, 1 << 20), multiple=True, help="Arena of a device; in turn.  [default: 16, 64, 256]"
)
@click.option("--rounds", type=Whole(1, MOST_ROUNDS), default=20, show_default=True, help="Rounds of averaging.")
@click.option(
    "--passes", type=Whole(1, MOST_PASSES), default=1, show_default=True, help="How often a device learns its samples in a round."
)
@click.option("--alpha", type=Real(1e-3, 1e6), help="Deal each class by a Dirichlet distribution.  [default: all evenly]")
@click.option("--workers", type=Whole(1, MOST_WORKERS), help="Processes that run devices.  [default: 1; with a scheduler all workers]")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers run devices, such as tcp://10.0.0.1:8786.")
@changes
@target_column
@common
def command(
    network: str,
    task: str,
    rule: str,
    numeric: Numeric,
    clients: int,
    budgets: tuple[int, ...],
    rounds: int,
    passes: int,
    alpha: float | None,
    workers: int | None,
    scheduler: str | None,
    changes: Sequence[tuple[str, str]],
    choices: Mapping[str, str],
    as_json: bool,
    seed: int | None,
) -> None:
    """Let devices of unequal memory learn one network together, from fresh weights, by federated averaging.

    Each device learns as many of the last layers as its budget holds, on samples of its own, by the C that boards run; the server averages
    each layer over those who learned it. `--set anchor=A` draws weights back to those that were sent: FedProx with mu = A / lr.
    """
    with stages() as report:
        report("reading the data", 0, 1)
        from edgeff.bench import Machines
        from edgeff.cli.models import find_task, load_task
        from edgeff.networks import structure
        from edgeff.rules import find_rule
        from edgeff.studies.fleet import Fleet, learn_together
        from edgeff.train.loop import train

        item = find_task(task, choices)
        if item.target != "class":
            raise BadInput("task of a fleet", got=f"{item.name}, which has no classes", allowed="a task of classes")
        data = load_task(item, seed or 0)
        data.need("train")
        data.need("test")
        plain = structure(network, input_shape=data.input_shape, classes=data.outputs)
        settings = find_rule(rule).device_settings(numeric).changed(dict(changes))
        given = {key: getattr(settings, key) for key, _ in changes}
        fleet = Fleet(rule, numeric, clients, tuple(KIB * b for b in budgets or BUDGETS_KIB), rounds, passes, alpha, given, seed or 0)
        bp = find_rule("bp").settings
        fresh = train(data, plain, "bp", replace(bp, epochs=0), fleet.seed, task=item, guarded=False).network
        machines = Machines(workers, scheduler)
        with machines.used() as n_jobs:
            made, tiers, _ = learn_together(
                fresh,
                data,
                fleet,
                each=_parallel(n_jobs),
                at_once=n_jobs if scheduler is None else clients,
                say=lambda done: report("rounds", done.number, rounds),
            )
    if as_json:
        print_json({"fleet": asdict(fleet), "tiers": [asdict(tier) for tier in tiers], "rounds": [asdict(done) for done in made]})
        return
    print_line(f"{clients} devices, {rule}, {numeric}; {'dealt evenly' if alpha is None else f'Dirichlet {alpha:g}'}")
    rows = [[tier.budget, tier.arena_bytes, ", ".join(tier.layers)] for tier in tiers]
    print_table(("budget, bytes", "arena, bytes", "layers that learn"), rows)
    print_table(("round", "accuracy", "bytes to devices", "bytes from devices", "diverged"), [_row(done) for done in _shown(made)])


def _parallel(n_jobs: int) -> Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterable[Any]]:
    """Runs a function on each tuple of arguments with joblib, in order."""
    import joblib

    return lambda function, arguments: joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(function)(*each) for each in arguments)


def _row(done: Round) -> list[object]:
    return [done.number, percent(done.accuracy), done.bytes_down, done.bytes_up, done.diverged]


def _shown(made: Sequence[Round], most: int = 12) -> list[Round]:
    """The first and the last round, and some between."""
    step = -(-(len(made) - 1) // (most - 1)) or 1
    return [*made[:-1:step], made[-1]]
