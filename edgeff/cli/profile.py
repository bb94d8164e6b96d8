"""``edgeff profile``: what one inference and one learning step take on an emulated board."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edgeff.cli.export import example_samples
from edgeff.cli.models import load_model, make_deployment
from edgeff.cli.options import changes, common, numeric
from edgeff.cli.terminal import print_json, print_line, print_table


@click.command("profile", epilog="Example: edgeff profile m.onnx --board nucleo_l4r5zi --rule pepita")
@click.argument("model")
@click.option("--board", required=True, help="The board; see `edgeff list boards`.")
@click.option("--rule", help="What learns on the board; see `edgeff list rules`. [default: inference only]")
@numeric
@changes
@common
def command(
    model: str,
    board: str,
    rule: str | None,
    numeric: str | None,
    calibrate: str | None,
    changes: Sequence[tuple[str, str]],
    as_json: bool,
    seed: int | None,
) -> None:
    """Count instructions and cycles by layer and by function, and flash, arena and stack."""
    import numpy as np

    from edgeff.boards import load_board
    from edgeff.simulate import build_project, profile

    machine = load_board(board)
    loaded = load_model(model)
    seed = loaded.seed if seed is None else seed
    deployment = make_deployment(loaded, rule=rule, numeric=numeric, changes=changes, calibrate=calibrate, seed=seed)
    samples, labels = example_samples(loaded, deployment, seed)
    if samples is None or labels is None:
        samples = deployment.inputs(np.random.default_rng(seed).random((1, *loaded.network.input_shape), np.float32))
        labels = np.zeros(1, np.int64)
    with tempfile.TemporaryDirectory(prefix="edgeff-profile-") as folder:
        firmware, _ = build_project(deployment, machine, Path(folder))
        trace = profile(deployment, machine, firmware, samples[0], int(labels[0]), loaded.task or "", seed)
    if as_json:
        from edgeff.report import run_json

        print_json(run_json(trace))
        return
    for title, cost, rows in (("inference", trace.infer, trace.infer_layers), ("learning step", trace.learn, trace.learn_layers)):
        if not rows:
            continue
        body: list[list[Any]] = [[row.name, row.kernel, row.stage, row.macs, row.instructions, row.cycles] for row in rows]
        body.append(["total", "", "", cost.macs, cost.instructions, cost.cycles])
        print_line(
            f"{title} of {trace.network}, {trace.numeric}, on {machine.name}: {1000 * (cost.latency_s or 0):.3f} ms ({cost.evidence})"
        )
        print_table(("layer", "kernel", "stage", "MACs", "instructions", "cycles"), body)
    print_line(f"{'learning step' if rule else 'inference'} by function")
    print_table(("function", "instructions"), [*trace.functions.items()])
    memory = trace.memory
    print_line(
        f"flash {memory.flash_bytes:,} bytes, weights {memory.weight_bytes:,}, arena {memory.arena_bytes:,}, stack {memory.stack_bytes:,}"
    )
