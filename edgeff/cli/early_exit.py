"""``edgeff early-exit``: the predictions of a model's layers before the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from edgeff.cli.models import find_task, load_model, load_task, split_seed
from edgeff.cli.options import Real, common, target_column
from edgeff.cli.terminal import percent, print_json, print_table, progress
from edgeff.errors import BadInput, Unsupported


@click.command("early-exit", epilog="Example: edgeff early-exit m.onnx digits")
@click.argument("model")
@click.argument("task")
@click.option(
    "--deviations",
    type=Real(-100.0, 100.0),
    default=1.0,
    show_default=True,
    help="A threshold is the mean of the training margins minus this many standard deviations; a larger number stops earlier.",
)
@target_column
@common
def command(model: str, task: str, deviations: float, choices: Mapping[str, str], as_json: bool, seed: int | None) -> None:
    """Let each sample stop at the first layer that is certain of its class, and compare that with the whole network.

    For rules whose layers predict on their own, such as Forward-Forward with probing. Thresholds come from training data; no label of a
    test sample influences where it stops.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from edgeff.rules import find_rule
    from edgeff.studies.early_exit import fit_thresholds, walk
    from edgeff.train.loop import start

    loaded = load_model(model)
    if loaded.rule is None:
        raise BadInput(f"model '{model}'", got="no known rule", allowed="one trained by edgeff")
    if loaded.network.input_quant is not None:
        raise Unsupported("an early exit", got=loaded.network.numeric, allowed="float32", next_step="use the float model")
    item = find_task(task, choices, loaded)
    data = load_task(item, split_seed(loaded, item, seed), loaded.network)
    data.need("train")
    data.need("test")
    rule = find_rule(loaded.rule)
    run = start(loaded.network, rule, loaded.trained_settings(), loaded.seed)
    with progress("early exit") as report, threadpool_limits(1, "blas"):
        limits = fit_thresholds(rule, run, data.x_train, data.y_train, deviations, report)
        done = walk(rule, run, data.x_test, limits, report)
    exits = np.bincount(done.layers - 1, minlength=len(limits.layers))
    right = done.predicted == data.y_test
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "threshold": float(limits.margins[index]) if index < len(limits.margins) and np.isfinite(limits.margins[index]) else None,
            "share": float(exits[index] / len(right)),
            "accuracy": float(right[done.layers == index + 1].mean()) if exits[index] else None,
        }
        for index, name in enumerate(limits.layers)
    ]
    figures: dict[str, Any] = {
        "task": task,
        "rule": loaded.rule,
        "samples": len(right),
        "deviations": deviations,
        "accuracy": float(right.mean()),
        "accuracy_full": float((done.full == data.y_test).mean()),
        "same_class": float((done.full == done.predicted).mean()),
        "mean_layers": float(done.layers.mean()),
        "mean_macs": float(done.macs.mean()),
        "macs_full": done.full_macs,
    }
    if as_json:
        print_json(figures | {"layers": rows})
        return
    shown = [[row["name"], row["threshold"], percent(row["share"]), percent(row["accuracy"])] for row in rows]
    print_table(["layer", "threshold", "exits here", "accuracy of those"], shown)
    print_table(
        ["", "accuracy", "layers", "MACs"],
        [
            ["early exit", percent(figures["accuracy"]), figures["mean_layers"], round(figures["mean_macs"])],
            ["whole network", percent(figures["accuracy_full"]), float(len(limits.layers)), done.full_macs],
        ],
    )
