"""``edgeff profile``: the cost of one inference and one learning step on an emulated board."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.export import example_samples
from edgeff.cli.models import load_model_or_network, make_deployment, rule_of
from edgeff.cli.options import RawSamples, arena_limit, changes, common, features, numeric, replay, tail, target
from edgeff.cli.terminal import print_json, print_line, print_table, shape_text

if TYPE_CHECKING:
    from edgeff.ir import Call, CallCost, Cost, LineCost, Program
    from edgeff.program.lower import Replay


@click.command("profile", epilog="Example: edgeff profile m.onnx --board nucleo_l4r5zi --rule pepita")
@click.argument("model")
@click.option("--board", required=True, help="The board; see `edgeff list boards`.")
@click.option("--rule", help="What learns on the board; see `edgeff list rules`. [default: inference only]")
@tail
@replay
@numeric
@features
@arena_limit
@changes
@click.option("--toolchain", help="The compiler, such as zig or gcc. [default: the first that is installed]")
@target
@common
def command(
    model: str,
    board: str,
    rule: str | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: str | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    changes: Sequence[tuple[str, str]],
    toolchain: str | None,
    target: str | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Count instructions and cycles by layer and by function, and flash, arena and stack.

    MODEL is a file, or the name of a network, which then gets fresh weights.
    """
    import numpy as np

    from edgeff.device.boards import load_board
    from edgeff.device.mailbox import choose_target
    from edgeff.device.simulate import build_project, profile
    from edgeff.device.toolchains import choose
    from edgeff.report.line_names import line_title

    machine = load_board(board)
    compiler = choose(machine, toolchain)
    choose_target(machine, target)
    loaded = load_model_or_network(model, seed)
    seed = loaded.seed if seed is None else seed
    rule = rule_of(rule, train_layers, loaded.network)
    deployment = make_deployment(
        loaded,
        rule=rule,
        numeric=numeric,
        train_layers=train_layers,
        tail_numeric=tail_numeric,
        replay=replay,
        changes=changes,
        calibrate=calibrate,
        choices=choices,
        seed=seed,
        features=features,
    )
    samples, labels = example_samples(loaded, deployment, seed)
    if samples is None or labels is None:
        loudest = 8192.0 if features else 1.0
        size = sum(tensor.elements for tensor in deployment.program.inputs)
        samples = deployment.inputs(loudest * np.random.default_rng(seed).random((1, size), np.float32))
        labels = np.zeros(1, np.int64)
    with tempfile.TemporaryDirectory(prefix="edgeff-profile-") as folder:
        firmware, _ = build_project(deployment, machine, Path(folder), toolchain=compiler)
        trace = profile(
            deployment, machine, firmware, samples[0], 0 if deployment.program.target else int(labels[0]), loaded.task or "", seed, target
        )
    if as_json:
        from edgeff.report import run_json

        print_json(run_json(trace))
        return
    program = deployment.program
    place = f"of {trace.network}, {trace.numeric}, on {machine.name}, built by {compiler.version()}"
    for line in program.lines.values():
        _print_calls(f"{line_title(line.name)} {place}", program, line.calls, trace.line(line.name))
    print_line(f"{'learning step' if rule else 'inference'} by function")
    print_table(("function", "instructions"), [*trace.functions.items()])
    for remark in trace.remarks:
        print_line(remark)
    memory = trace.memory
    print_line(
        f"flash {memory.flash_bytes:,} bytes, weights {memory.weight_bytes:,}, arena {memory.arena_bytes:,}, stack {memory.stack_bytes:,}"
    )


def _print_calls(title: str, program: Program, calls: Sequence[Call], known: LineCost) -> None:
    """Prints one line of calls: the output of each, its share of the instructions, and its instructions per multiply-accumulate."""
    from edgeff.report.layer_names import short_names

    cost, rows = known.cost, known.calls
    names = short_names(row.name for row in rows)
    total = cost.instructions or 1
    body: list[list[Any]] = []
    for call, row in zip(calls, rows, strict=True):
        shape = shape_text(program.tensors[call.outputs[0]].shape)
        share = round(100 * (row.instructions or 0) / total, 1)
        body.append([names[row.name], row.kernel, row.stage, shape, row.macs, row.instructions, share, row.cycles, _a_mac(row)])
    body.append(["total", "", "", "", cost.macs, cost.instructions, 100.0, cost.cycles, _a_mac(cost)])
    exact = f"{cost.instructions:,} instructions, {cost.evidence}"
    print_line(f"{title}: {exact if cost.latency_s is None else f'{1000 * cost.latency_s:.3f} ms ({cost.evidence})'}")
    print_table(("layer", "kernel", "stage", "output", "MACs", "instructions", "%", "cycles", "instructions per MAC"), body)


def _a_mac(cost: Cost | CallCost) -> float | None:
    return round(cost.instructions / cost.macs, 2) if cost.instructions and cost.macs else None
