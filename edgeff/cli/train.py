"""``edgeff train``: a network learns a task on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.options import Whole, changes, common, output_model, target_column
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import measure_text, print_json, print_line, print_table, progress
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.train.checkpoints import Checkpoints

MOST_EPOCHS = 1_000_000
RETRIES = 3


@click.command("train", epilog="Example: edgeff train digits --network 64-32-10 --rule pepita -o m.onnx")
@click.argument("task")
@click.option("--network", required=True, help="A dense list such as 64-32-10, or a registered network.")
@click.option("--rule", required=True, help="The learning rule; see `edgeff list rules`.")
@click.option(
    "--epochs", type=Whole(0, MOST_EPOCHS), help="Passes over the training data; 0: first weights. [default: the network's, or the rule's]"
)
@click.option("--loss", type=click.Choice(["cross-entropy", "mse"]), default="cross-entropy", show_default=True, help="mse: no softmax.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Biases in the layers of a dense list.")
@click.option("--retry", is_flag=True, help=f"Begin again at a quarter of the rate, up to {RETRIES} times, where training diverges.")
@click.option("--run", "folder", metavar="FOLDER", type=click.Path(path_type=Path), help="Keep a log, a curve and checkpoints in it.")
@click.option("--save-every", metavar="EPOCHS", type=Whole(1, MOST_EPOCHS), help="How often --run keeps a checkpoint.  [default: 1]")
@target_column
@click.option("--settings-from", metavar="FILE", type=click.Path(path_type=Path), help="Settings that `edgeff tune` chose for the rule.")
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
    retry: bool,
    folder: Path | None,
    save_every: int | None,
    choices: Mapping[str, str],
    settings_from: Path | None,
    changes: Sequence[tuple[str, str]],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Train a network on the host and write it as an ONNX file.

    The accuracy on the test data is measured once, at the end. With `--epochs 0` the file holds first weights, for a device that learns
    from the beginning: the training samples scale those of convolutions. With `--run` the same command goes on where it was interrupted,
    to the same model as without a break.
    """
    from edgeff.bench.metrics import measured
    from edgeff.bench.tuning_file import Chosen, chosen_settings
    from edgeff.cli.classes import confusion, described, note_majority, print_classes
    from edgeff.cli.models import find_task, for_training, load_task, standard_values
    from edgeff.formats import conventions
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.formats.operators import writers
    from edgeff.networks import initialised, recipe, structure
    from edgeff.networks.heads import with_output
    from edgeff.ops.canonical import canonical
    from edgeff.ops.scale_input import after
    from edgeff.rules import find_rule
    from edgeff.train.loop import doubts_of_test, train

    seed = seed or 0
    item = find_task(task, choices)
    data = load_task(item, seed)
    settings = replace(find_rule(rule).settings, **recipe(network, rule))
    chosen = chosen_settings(settings_from, task, network, rule) if settings_from else Chosen({}, {})
    settings = settings.changed(chosen.settings | dict(changes) | ({} if epochs is None else {"epochs": str(epochs)}))
    softmax = loss == "cross-entropy" and item.target == "class"
    first, given = for_training(item, data)
    given, centre, spread = standard_values(given) if item.target == "value" else (given, 0.0, 1.0)
    plain = structure(network, softmax=softmax, bias=bias, input_shape=data.input_shape, classes=data.outputs)
    prepared = canonical(find_rule(rule).prepare(initialised(plain, seed), settings, seed))
    writers(prepared, "onnx", "ONNX")  # before training: that it can be written
    conventions.check(prepared)
    kept = _checkpoints(folder, save_every, "accuracy" if item.target == "class" else "mean squared error", retry=retry)
    with progress(f"{rule} on {task}") as report:
        trained = train(given, plain, rule, settings, seed, report, item, retries=RETRIES if retry else 0, checkpoints=kept)
    metric = item.metric
    parts = {"train": (given.x_train, data.y_train, None), "test": (given.x_test, data.y_test, data.files_test)}
    if metric == "auc" and item.target == "input":
        del parts["train"]  # an autoencoder is trained on normal samples only
    measures = {
        name: measured(metric, trained.network, x, centre + spread * trained.scores(x), y, files) for name, (x, y, files) in parts.items()
    }
    doubts = (*trained.doubts, *(doubts_of_test(trained, given) if item.target == "class" and settings.epochs else ()))
    tail = trained.network
    if item.target == "value":
        scaled = {"values": {"centre": centre, "spread": spread}}
        tail = replace(with_output(tail, centre, spread), metadata=dict(tail.metadata) | scaled)
    whole = tail if first is None else after(first, tail)
    by = {"chosen_by": chosen.how} if chosen.how else {}
    model = replace(whole, metadata=dict(whole.metadata) | {metric: measures} | by)
    with new_file(out) as path:
        write_onnx(model, path)
    size = canonical(model).parameters
    matrix = None
    if metric == "accuracy" and len(given.x_test) > 0 and settings.epochs:
        matrix = confusion(trained.scores(given.x_test).argmax(axis=1), data.y_test, len(data.classes))
        note_majority(matrix, data.classes)
    if as_json:
        result = {"task": task, "network": network, "rule": rule, "seed": seed, "epochs": settings.epochs}
        result |= {"lr": trained.run.settings.lr, "doubts": [*doubts]} | by
        result |= {} if matrix is None else described(matrix, data.classes)
        print_json(result | {"parameters": size, metric: measures, "history": [*trained.history], "model": str(out)})
        return
    heads = ["task", "network", "rule", "epochs", "seed", "parameters", *(f"{name} {metric}" for name in measures)]
    print_table(heads, [[task, network, rule, settings.epochs, seed, size, *(measure_text(metric, value) for value in measures.values())]])
    if matrix is not None:
        print_classes(matrix, data.classes, "test samples")
    print_line(f"wrote {out}")


def _checkpoints(folder: Path | None, every: int | None, measure: str, *, retry: bool) -> Checkpoints | None:
    """What is kept of a run; None without a folder. Raises BadInput for options that do not go together."""
    from edgeff.train.checkpoints import Checkpoints

    if folder is None:
        if every is not None:
            raise BadInput("option --save-every", got="no --run", allowed="both: --run FOLDER --save-every EPOCHS")
        return None
    if retry:
        raise BadInput("option --run", got="--retry beside it", allowed="one of them", next_step="set the rate: --set lr=..")
    return Checkpoints(folder, every or 1, f"{measure} of the first training samples")
