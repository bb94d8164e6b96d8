"""``edgeff evaluate``: the quality of a model, with any of the engines."""

from __future__ import annotations

from collections.abc import Mapping

import click

from edgeff.cli.models import find_task, load_model, load_task, split_seed
from edgeff.cli.options import OneOf, common, target_column
from edgeff.cli.terminal import measure_text, print_json, print_note, print_table, progress

ENGINES = ("edgeff", "onnxruntime", "litert", "tflm", "c")


@click.command("evaluate", epilog="Example: edgeff evaluate m.onnx digits --engine c")
@click.argument("model")
@click.argument("task")
@click.option("--split", type=OneOf("split", ("test", "train")), default="test", show_default=True, help="The part of the data.")
@click.option("--engine", type=OneOf("engine", ENGINES), default="edgeff", show_default=True, help="What runs the model.")
@target_column
@common
def command(model: str, task: str, split: str, engine: str, choices: Mapping[str, str], as_json: bool, seed: int | None) -> None:
    """Measure a model, float or int8, on a task, by the task's metric.

    The data are split by the seed of the model's training, so that test data stay unseen.
    """
    from edgeff.bench.metrics import measured
    from edgeff.cli.classes import confusion, described, note_majority, print_classes
    from edgeff.cli.engines import outcome, runs_head

    loaded = load_model(model)
    item = find_task(task, choices, loaded)
    data = load_task(item, split_seed(loaded, item, seed), loaded.network, new=True)
    x, labels, files = (data.x_test, data.y_test, data.files_test) if split == "test" else (data.x_train, data.y_train, None)
    data.need("test" if split == "test" else "train")
    metric = item.metric
    with progress(f"{engine} on {task}") as report:
        result = outcome(engine, loaded, x, report)
    share = metric == "accuracy"
    value = float((result.best == labels).mean()) if share else measured(metric, loaded.network, x, result.outputs, labels, files)
    if runs_head(engine, loaded):
        print_note(f"{engine} supports only layers: it runs the head of this model instead of the probing of {loaded.rule}")
    matrix = confusion(result.best, labels, len(data.classes)) if share and data.classes else None
    if matrix is not None:
        note_majority(matrix, data.classes)
    if as_json:
        by_class = {} if matrix is None else described(matrix, data.classes)
        print_json({"task": task, "metric": metric, "value": value, "samples": len(x), "engine": engine} | by_class)
        return
    row = [task, split, engine, len(x), measure_text(metric, value)]
    print_table(["task", "split", "engine", "samples", "AUC" if metric == "auc" else metric], [row])
    if matrix is not None:
        print_classes(matrix, data.classes, f"{split} samples")
