"""``edgeff head``: a trained model with more classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from edgeff.cli.models import load_model
from edgeff.cli.options import Whole, common, output_model
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line
from edgeff.errors import BadInput, Unsupported

MOST_CLASSES = 32_768


@click.command("head", epilog="Example: edgeff head m.onnx --classes 13 -o m13.onnx")
@click.argument("model")
@click.option("--classes", type=Whole(2, MOST_CLASSES), help="How many classes there are then. [default: the old and those of --names]")
@click.option("--names", help="The names of the new classes, joined by commas. [default: class_10 and so on]")
@output_model
@common
def command(model: str, classes: int | None, names: str | None, out: Path, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Give a model further classes to learn: the old rows of its last layer are kept, a new one is their mean.

    No sample is given a new class before one is learned, on the host or on a device.
    """
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.networks.heads import with_classes

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
    wider = with_classes(network, count)
    wider = replace(wider, metadata=dict(network.metadata) | {"classes": named})
    with new_file(out) as path:
        write_onnx(wider, path)
    if as_json:
        print_json({"model": str(out), "classes": named, "kept": old, "new": count - old})
        return
    print_line(f"wrote {out}: {count} classes, of which {count - old} are new ({', '.join(named[old:][:20])}); the others as before")
