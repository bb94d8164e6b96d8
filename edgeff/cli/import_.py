"""``edgeff import``: a model made elsewhere becomes one of edgeff's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeff.cli.options import common, output_model
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line, print_note, print_table, shape_text


@click.command("import", epilog="Example: edgeff import model.tflite -o m.onnx")
@click.argument("file")
@output_model
@common
def command(file: str, out: Path, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Read a .tflite, .onnx, .keras or .h5 file and write it in the form that all other commands take."""
    from edgeff.formats import load
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.report.layer_names import short_names

    network = load(file)
    with new_file(out) as path:
        write_onnx(network, path)
    layers: list[dict[str, Any]] = [
        {"name": layer.name, "op": layer.kind, "shape": [*layer.shape], "parameters": sum(p.size for p in layer.params.values())}
        for layer in network
    ]
    if as_json:
        shape = [*network.input_shape]
        print_json({"name": network.name, "numeric": network.numeric, "input_shape": shape, "layers": layers, "model": str(out)})
        return
    names = short_names(layer["name"] for layer in layers)
    rows = [[names[layer["name"]], layer["op"], shape_text(layer["shape"]), layer["parameters"]] for layer in layers]
    print_table(["layer", "operator", "output", "parameters"], rows)
    if split := network.metadata.get("source", {}).get("split_weights"):
        print_note(
            f"layers whose weights have a zero point: {len(split)}; int8 holds such weights in two or three parts, symmetric ones in one"
        )
    print_line(f"wrote {out}: {network.numeric}, input {shape_text(network.input_shape)}")
