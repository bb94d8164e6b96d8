"""``edgeff evaluate``: how good a model is, by any of the engines."""

from __future__ import annotations

import click

from edgeff.cli.models import load_model, load_task, split_seed
from edgeff.cli.options import OneOf, common
from edgeff.cli.terminal import percent, print_json, print_note, print_table, progress

ENGINES = ("edgeff", "onnxruntime", "litert", "tflm", "c")


@click.command("evaluate", epilog="Example: edgeff evaluate m.onnx digits --engine c")
@click.argument("model")
@click.argument("task")
@click.option("--split", type=OneOf("split", ("test", "train")), default="test", show_default=True, help="The part of the data.")
@click.option("--engine", type=OneOf("engine", ENGINES), default="edgeff", show_default=True, help="What runs the model.")
@common
def command(model: str, task: str, split: str, engine: str, as_json: bool, seed: int | None) -> None:
    """Measure a model, float or int8, on a task.

    The data are split by the seed that the model was trained with, so that test data stay unseen.
    """
    from edgeff.cli.engines import predictions, runs_head

    loaded = load_model(model)
    data = load_task(task, split_seed(loaded, task, seed), loaded.network)
    x, labels = (data.x_test, data.y_test) if split == "test" else (data.x_train, data.y_train)
    with progress(f"{engine} on {task}") as report:
        value = float((predictions(engine, loaded, x, report) == labels).mean())
    if runs_head(engine, loaded):
        print_note(f"{engine} knows layers only: it runs the head of this model, not the probing of {loaded.rule}")
    if as_json:
        print_json({"task": task, "metric": "accuracy", "value": value, "samples": len(x), "engine": engine})
    else:
        print_table(["task", "split", "engine", "samples", "accuracy"], [[task, split, engine, len(x), percent(value)]])
