"""``edgeff predict``: what a model says of new inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edgeff.cli.evaluate import ENGINES
from edgeff.cli.models import load_model
from edgeff.cli.options import OneOf, common
from edgeff.cli.terminal import print_json, print_table, progress

MOST_VALUES = 4


@click.command("predict", epilog="Example: edgeff predict m.int8.onnx new.csv")
@click.argument("model")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--engine", type=OneOf("engine", ENGINES), default="edgeff", show_default=True, help="What runs the model.")
@common
def command(model: str, inputs: Sequence[str], engine: str, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Say which class a model, float or int8, gives to new inputs, and its score.

    INPUT is a .csv or .npz of samples, an .npy, a recording or a picture, read as the model's training data were.
    """
    import numpy as np

    from edgeff.cli.engines import outcome
    from edgeff.tasks.own.new import read_new

    loaded = load_model(model)
    metadata = loaded.network.metadata
    data = metadata.get("data")
    told: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    parts = [read_new(Path(name), loaded.own, told, tuple(loaded.network.input_shape)) for name in inputs]
    with progress(engine) as report:
        result = outcome(engine, loaded, np.concatenate(parts), report)
    places = [(name, number) for name, part in zip(inputs, parts, strict=True) for number in range(len(part))]
    count = result.outputs.shape[1]
    named = metadata.get("classes")
    classes = list(map(str, named)) if isinstance(named, list) and len(named) == count else [str(label) for label in range(count)]
    entries: list[dict[str, Any]] = []
    values = len(classes) == 1
    for (name, number), label, scores in zip(places, result.best.tolist(), result.outputs, strict=True):
        known: dict[str, Any] = {"class": None, "score": float(scores[0])} if values else {"class": None, "score": None}
        if not values and 0 <= label < count:
            known = {"class": classes[label], "score": float(scores[label])}
        entries.append({"input": name, "sample": number, **known, "scores": [float(score) for score in scores]})
    if as_json:
        print_json(entries)
        return
    rows = []
    for entry, scores in zip(entries, result.outputs, strict=True):
        order = np.argsort(-scores, kind="stable")[1:MOST_VALUES]
        others = ", ".join(f"{classes[place]} {scores[place]:.3f}" for place in order.tolist())
        rows.append([entry["input"], entry["sample"], entry["class"], entry["score"], others])
    if values:
        print_table(["input", "sample", "value"], [[*row[:2], row[3]] for row in rows])
        return
    print_table(["input", "sample", "class", "score", "next"], rows)
