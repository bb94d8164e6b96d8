"""``edgeff train``: a network learns a task on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from edgeff.cli.options import Whole, changes, common, output_model
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import percent, print_json, print_line, print_table, progress

MOST_EPOCHS = 1_000_000


@click.command("train", epilog="Example: edgeff train digits --network 64-32-10 --rule pepita -o m.onnx")
@click.argument("task")
@click.option("--network", required=True, help="A dense list such as 64-32-10, or a registered network.")
@click.option("--rule", required=True, help="The learning rule; see `edgeff list rules`.")
@click.option("--epochs", type=Whole(1, MOST_EPOCHS), help="Passes over the training data. [default: the rule's]")
@click.option("--loss", type=click.Choice(["cross-entropy", "mse"]), default="cross-entropy", show_default=True, help="mse: no softmax.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Biases in the layers of a dense list.")
@changes
@output_model
@common
def command(
    task: str,
    network: str,
    rule: str,
    epochs: int | None,
    loss: str,
    bias: bool,
    changes: Sequence[tuple[str, str]],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Train a network on the host and write it as an ONNX file.

    The accuracy on the test data is measured once, at the end.
    """
    from edgeff import registry
    from edgeff.exporters.onnx import write_onnx
    from edgeff.networks import structure
    from edgeff.train import accuracy, train

    seed = seed or 0
    settings = registry.rules[rule].settings.changed(dict(changes) | ({"epochs": str(epochs)} if epochs else {}))
    plain = structure(network, softmax=loss == "cross-entropy", bias=bias)
    data = registry.tasks[task].load(seed)
    with progress(f"{rule} on {task}") as report:
        trained = train(data, plain, rule, settings, seed, report, task)
    measured = {
        "train": accuracy(trained.scores(data.x_train), data.y_train),
        "test": accuracy(trained.scores(data.x_test), data.y_test),
    }
    model = replace(trained.network, metadata=dict(trained.network.metadata) | {"accuracy": measured})
    with new_file(out) as path:
        write_onnx(model, path)
    if as_json:
        result = {"task": task, "network": network, "rule": rule, "seed": seed, "epochs": settings.epochs}
        print_json(result | {"parameters": model.parameters, "accuracy": measured, "history": [*trained.history], "model": str(out)})
        return
    row = [task, network, rule, settings.epochs, seed, model.parameters, percent(measured["train"]), percent(measured["test"])]
    print_table(["task", "network", "rule", "epochs", "seed", "parameters", "train accuracy", "test accuracy"], [row])
    print_line(f"wrote {out}")
