"""``edgeff head``: a trained model with more classes, or with a head of class means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from edgeff.cli.models import find_task, load_model, load_task, split_seed
from edgeff.cli.options import Whole, common, output_model, target_column
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line
from edgeff.errors import BadInput, Unsupported

MOST_CLASSES = 32_768


@click.command("head", epilog="Example: edgeff head m.onnx --classes 13 -o m13.onnx")
@click.argument("model")
@click.option("--classes", type=Whole(2, MOST_CLASSES), help="How many classes there are then. [default: the old and those of --names]")
@click.option("--names", help="The names of the new classes, joined by commas. [default: class_10 and so on]")
@click.option("--prototypes", metavar="TASK", help="Make every row of class means, from the training samples of this task or data.")
@target_column
@output_model
@common
def command(
    model: str,
    classes: int | None,
    names: str | None,
    prototypes: str | None,
    choices: Mapping[str, str],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Give a model further classes to learn: the old rows of its last layer are kept, a new one is their mean.

    No sample is given a new class before one is learned, on the host or on a device. With --prototypes the head is replaced by one that
    tells classes by the nearest mean of their samples: what a device has to beat by learning.
    """
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.networks.heads import with_classes, with_prototypes

    loaded = load_model(model)
    network = loaded.network
    if loaded.probes:
        step = "choose a model that predicts by its last layer"
        raise Unsupported(
            f"a head of model '{model}'", got=f"the prediction of {loaded.rule}", allowed="that of a last layer", next_step=step
        )
    old = network.layers[-1].shape[0]
    new = [name.strip() for name in names.split(",") if name.strip()] if names else []
    count = classes or old + len(new)
    if new and count != old + len(new):
        raise BadInput("option --names", got=f"{len(new)} names", allowed=f"{count - old}, one for each new class")
    told = network.metadata.get("classes")
    known = list(map(str, told)) if isinstance(told, list) and len(told) == old else [f"class_{label}" for label in range(old)]
    named = [*known, *(new or [f"class_{label}" for label in range(old, count)])]
    if len(set(named)) < len(named):
        raise BadInput("option --names", got=", ".join(new), allowed=f"other names than {', '.join(known)}, each once")
    if count == old and prototypes is not None:
        made = network
    else:
        made = replace(with_classes(network, count), metadata=dict(network.metadata) | {"classes": named})
    samples = 0
    if prototypes is not None:
        task = find_task(prototypes, choices, replace(loaded, network=made))
        data = load_task(task, split_seed(loaded, task, seed), made)
        data.need("train")
        made, samples = with_prototypes(made, data.x_train, data.y_train), len(data.x_train)
    with new_file(out) as path:
        write_onnx(made, path)
    if as_json:
        print_json({"model": str(out), "classes": named, "kept": 0 if samples else old, "new": count - old, "samples": samples})
        return
    rows = f"every row the mean of its class, of {samples:,} samples" if samples else "the others as before"
    print_line(f"wrote {out}: {count} classes, of which {count - old} are new ({', '.join(named[old:][:20]) or 'none'}); {rows}")
