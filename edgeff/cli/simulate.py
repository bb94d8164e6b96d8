"""``edgeff simulate``: a model learns on an emulated board."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.models import find_task, load_model, load_task, make_deployment, rule_of, split_seed
from edgeff.cli.options import Whole, arena_limit, changes, common, numeric, replay, tail, target
from edgeff.cli.terminal import percent, print_json, print_line, print_table, stages, taken
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.ir import Numeric
    from edgeff.program.lower import Replay


MOST_SAMPLES = 1_000_000_000


@click.command("simulate", epilog="Example: edgeff simulate m.onnx digits --board nucleo_l4r5zi --rule pepita --numeric int8 --samples 500")
@click.argument("model", required=False)
@click.argument("task", required=False)
@click.option("--board", required=True, help="The board; see `edgeff list boards`.")
@click.option("--rule", help="What learns on the board; see `edgeff list rules`. Scenarios learn by bp unless it is given.")
@click.option("--scenario", help="In the place of a model and a task: a world that changes; see docs/commands.md.")
@click.option("--samples", type=Whole(0, MOST_SAMPLES), help="Training samples to learn from. [default: each one once]")
@tail
@replay
@numeric
@arena_limit
@changes
@target
@common
def command(
    model: str | None,
    task: str | None,
    board: str,
    rule: str | None,
    scenario: str | None,
    samples: int | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: Numeric | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    changes: Sequence[tuple[str, str]],
    target: str | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Let a model learn on the emulated board: accuracy on all test samples before and after, and the cost of a step."""
    from edgeff.cli.engines import predictions
    from edgeff.device.boards import load_board
    from edgeff.device.mailbox import choose_target
    from edgeff.device.simulate import build_project, simulate

    machine = load_board(board)
    choose_target(machine, target)
    if scenario is not None:
        from edgeff.cli.scenarios import run_scenario

        unused: dict[str, object] = {"MODEL": model, "--train-layers": train_layers, "--tail-numeric": tail_numeric, "--replay": replay}
        unused |= {"--calibrate": calibrate, "--data": choices, "--arena-limit": dict(changes).get("arena_limit")}
        if own := [name for name, value in unused.items() if value and value != "all"]:
            raise BadInput(f"{own[0]} of a scenario", got="given", allowed="its own", next_step="leave it out")
        run_scenario(
            scenario,
            machine,
            rule=rule,
            numeric=numeric,
            changes=changes,
            samples=samples,
            target=target,
            as_json=as_json,
            seed=seed or 0,
        )
        return
    missing = {"MODEL": model, "TASK": task, "--rule": rule}
    if model is None or task is None or rule is None:
        what = next(name for name, value in missing.items() if value is None)
        raise BadInput(f"missing {what}", got="none", allowed="MODEL TASK --rule RULE, or --scenario NAME")
    loaded = load_model(model)
    item = find_task(task, choices if calibrate is None else {}, loaded)
    seed = split_seed(loaded, item, seed)
    data = load_task(item, seed, loaded.network)
    given = data if calibrate is None else None
    learns = rule_of(rule, train_layers, loaded.network)
    deployment = make_deployment(
        loaded,
        rule=learns,
        numeric=numeric,
        tail_numeric=tail_numeric,
        replay=replay,
        changes=changes,
        calibrate=calibrate,
        choices=choices,
        seed=seed,
        data=given,
    )
    count = len(data.x_train) if samples is None else samples
    with tempfile.TemporaryDirectory(prefix="edgeff-simulate-") as folder, stages() as report:
        firmware, _ = build_project(deployment, machine, Path(folder))
        trace = simulate(deployment, data, machine, firmware, samples=count, seed=seed, task=task, target_name=target, progress=report)
    known = dict(trace.accuracy)
    if item.target == "value":
        known = dict.fromkeys(known)
    elif loaded.network.input_quant is None:
        known["float"] = float((predictions("edgeff", loaded, data.x_test, lambda _done, _total: None) == data.y_test).mean())
    if deployment.network.input_quant is not None and item.target != "value":
        known["quantized"] = known["before"]
    trace = replace(trace, accuracy=known)
    if as_json:
        from edgeff.report import run_json

        print_json(run_json(trace))
        return
    print_line(f"{trace.network} learns {task} on the emulated {machine.name}")
    measure = "mean squared error" if trace.mse else "accuracy"
    texts = [f"{value:.4g}" for value in trace.mse.values()] or [percent(known["before"]), percent(known["after"])]
    print_table(
        ("rule", "numeric", "samples", f"{measure} before", f"{measure} after", "flash", "static RAM", "stack", "instructions per step"),
        [
            [
                learns,
                trace.numeric,
                count,
                *texts,
                trace.memory.flash_bytes,
                trace.memory.static_ram_bytes,
                trace.memory.stack_bytes,
                trace.learn.instructions,
            ]
        ],
    )
    takes = "" if trace.learn.latency_s is None else f"; a step takes {taken(trace.learn)}"
    print_line(f"{measure}: all {len(data.x_test)} test samples, on the core{takes}")
