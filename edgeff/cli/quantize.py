"""``edgeff quantize``: a float model becomes one in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import Model, find_task, load_model, load_task
from edgeff.cli.options import OneOf, common, output_model, target_column
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import measure_text, percent, print_json, print_line, print_note, print_table, progress
from edgeff.errors import BadInput, Unsupported

if TYPE_CHECKING:
    from edgeff.ir import Headroom

CALIBRATION_SAMPLES = 200
CHECKED_SAMPLES = 500
WORRYING_LOSS = 0.05
COARSE = 0.1
"""How much of the values' deviation a step of the output may be without a note."""


@click.command("quantize", epilog="Example: edgeff quantize m.onnx --calibrate digits -o m.int8.onnx")
@click.argument("model")
@click.option("--calibrate", required=True, metavar="TASK", help="The task whose training data give the ranges.")
@click.option("--numeric", type=OneOf("numeric", ("int8", "int16")), default="int8", show_default=True, help="The integer format.")
@click.option("--per-channel/--per-tensor", default=None, help="Weight scales; only per-tensor ones can learn. [default: TFLite's]")
@click.option("--rule", help="Leave room for learning with this rule on the device. [default: inference only]")
@target_column
@output_model
@common
def command(
    model: str,
    calibrate: str,
    numeric: Any,
    per_channel: bool | None,
    rule: str | None,
    choices: Mapping[str, str],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Quantise a float model after its training, calibrated on a task's training data."""
    from edgeff.bench.metrics import SHARES, measured
    from edgeff.cli.engines import outcome
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.program.quantize import quantize
    from edgeff.rules import find_rule

    if numeric == "int16":
        step = f"keep the float model and pass --numeric {numeric} to export, build, profile or simulate"
        raise Unsupported(f"a model file in {numeric}", got="no form for it in ONNX", allowed="int8", next_step=step)
    loaded = load_model(model)
    item = find_task(calibrate, choices, loaded)
    data = load_task(item, loaded.seed if seed is None else seed, loaded.network)
    room = _headroom(loaded, rule, numeric)
    learning = [layer.name for layer in find_rule(rule).learns(loaded.network)] if rule else []
    network = quantize(
        loaded.network, data.x_train[:CALIBRATION_SAMPLES], numeric, per_channel=per_channel, headroom=room, learning=learning
    )
    quantised = replace(loaded, network=network)
    with new_file(out) as path:
        write_onnx(network, path)
        x, labels = data.x_train[:CHECKED_SAMPLES], data.y_train[:CHECKED_SAMPLES]
        metric: str = item.metric
        if metric == "auc" and len(set(labels.tolist())) < 2:
            metric = "mse"  # an autoencoder's training part has only normal samples
        measures = {}
        with progress("checking") as report:
            for name, each in (("float", loaded), ("quantized", quantised)):
                made = outcome("edgeff", each, x, report)
                share = metric == "accuracy"
                measures[name] = float((made.best == labels).mean()) if share else measured(metric, each.network, x, made.outputs, labels)
    before, after = measures["float"], measures["quantized"]
    if metric in SHARES and before - after > WORRYING_LOSS:
        print_note(f"quantising lost {percent(before - after)} on the training samples; calibrate on representative data")
    output_step = network.layers[-1].quant["output"].scale[0]
    if item.target == "value" and output_step > COARSE * float(data.y_train.std()):
        way = "subtract an offset from the column, or keep float32"
        print_note(
            f"a step of the {numeric} output is {output_step:.4g}, the deviation of the values {float(data.y_train.std()):.4g}: {way}"
        )
    scales = {layer.quant["weight"].per_channel for layer in network.trainable}
    scale_words = "per channel" if scales == {True} else "per tensor" if scales == {False} else "per channel, dense per tensor"
    if as_json:
        result = {"task": calibrate, "numeric": numeric, "weight_scales": scale_words, "per_channel": scales == {True}, "samples": len(x)}
        print_json(result | {metric: measures, "model": str(out)})
        return
    headings = ["task", "numeric", "weight scales", f"{metric} of float, {len(x)} training samples", f"of {numeric}, the same samples"]
    print_table(headings, [[calibrate, numeric, scale_words, measure_text(metric, before), measure_text(metric, after)]])
    print_line(f"wrote {out}")


def _headroom(model: Model, rule: str | None, numeric: Any) -> Headroom | None:
    """The headroom that a rule needs to learn, None without a rule."""
    from edgeff.rules import find_rule

    if rule is None:
        return None
    item = find_rule(rule)
    if item.prepare_needed(model.network):
        step = f"train it with {rule}, or keep the float model and pass --numeric {numeric} to `edgeff simulate`"
        raise BadInput(f"rule {rule}", got="a network without the layers it needs", allowed=f"a model trained with {rule}", next_step=step)
    room: Headroom = item.headroom(model.network, item.device_settings(numeric), numeric)
    return room
