"""``edgeff verify``: compares every execution of a model with every other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.models import Model, load_model, load_task, make_deployment, rule_of
from edgeff.cli.options import common, numeric, replay, tail
from edgeff.cli.terminal import print_json, print_line, print_note, print_table, stages
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.ir import Array
    from edgeff.program.lower import Replay
    from edgeff.verify import Verification

SAMPLES = 64
AUDIO = 3000
"""The spread of random audio samples, int16."""
MOST_BYTES = 1 << 30
KEY = "x"


@click.command("verify", epilog="Example: edgeff verify m.int8.onnx --board nucleo_l4r5zi")
@click.argument("model")
@click.option("--inputs", help="A .npz file with the array x (n, inputs). [default: test samples of the model's task, or random ones]")
@click.option("--rule", help="What learns; see `edgeff list rules`. [default: what the model was trained with]")
@tail
@replay
@numeric
@click.option("--board", help="The board to emulate; see `edgeff list boards`. [default: one with a Cortex-M4 and one with a Cortex-M0+]")
@common
def command(
    model: str,
    inputs: str | None,
    rule: str | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: str | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    board: str | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Run a model in every available execution and compare the results; exit status 1 on a difference that is not allowed."""
    from edgeff.device.boards import load_board
    from edgeff.verify import verify

    loaded = load_model(model)
    machine = load_board(board) if board else None
    x = read_inputs(inputs, loaded) if inputs else _samples(loaded, seed)
    rule = rule_of(rule, train_layers, loaded.network)
    network = loaded.network
    if rule or numeric or tail_numeric:
        network = make_deployment(
            loaded,
            rule=rule,
            numeric=numeric,
            train_layers=train_layers,
            tail_numeric=tail_numeric,
            replay=replay,
            calibrate=calibrate,
            choices=choices,
            seed=seed,
        ).network
    learns = rule or (_rule(loaded) if network is loaded.network else None)
    with stages() as report:
        result = verify(network, x, board=machine, rule=learns, seed=_seed(loaded, seed), replay=replay, progress=report)
    if as_json:
        print_json(result.to_json())
    else:
        print_line(f"{network.name}, {len(x)} samples; differences from the NumPy twins, which define the result")
        headings = ("execution", "what", "elements", "differing", "max difference", "allowed", "note")
        print_table(headings, _rows(result, [layer.name for layer in network]))
        for skipped in result.skipped:
            print_note(f"{skipped.name} did not take part: {skipped.reason}")
        print_line("ok: no difference that is not allowed" if result.ok else "not ok")
    result.check()


def _rows(result: Verification, layers: list[str]) -> list[list[object]]:
    """The comparisons for people: layers by their short names, and the reference of a comparison if it is not the twins."""
    from edgeff.report.layer_names import short_names
    from edgeff.verify import TWIN

    shorter = short_names(layers)
    rows: list[list[object]] = []
    for row in result:
        head, _, layer = row.what.partition(" of layer ")
        what = f"{head}, layer {shorter[layer]}" if layer in shorter else row.what
        note = row.note if row.a == TWIN else f"against the {row.a}"
        rows.append([row.b, what, row.elements, row.differing, row.max_difference, row.allowed, note])
    return rows


def _samples(model: Model, seed: int | None) -> Array:
    """Test samples of the model's task; else random ones over the whole range of an integer input, or around 0."""
    import numpy as np

    from edgeff.networks import random_inputs
    from edgeff.ops import raw_input
    from edgeff.program.quantize import QMAX

    if (task := model.trained_on) is not None:
        return load_task(task, _seed(model, seed), model.network).x_test[:SAMPLES]
    network, rng = model.network, np.random.default_rng(_seed(model, seed))
    size = (SAMPLES, *network.input_shape)
    if raw_input(network) == "float32":
        return random_inputs(network, _seed(model, seed), SAMPLES)
    if network.input_quant is None or raw_input(network):
        return rng.standard_normal(size).astype(np.float32) * (AUDIO if raw_input(network) else 1)
    dtype = network.input_quant.dtype
    return rng.integers(-QMAX[dtype] - (dtype == "int8"), QMAX[dtype], size, endpoint=True).astype(dtype)


def _seed(model: Model, seed: int | None) -> int:
    return model.seed if seed is None else seed


def _rule(model: Model) -> str | None:
    """The rule whose learning steps are also compared: the model's own, if the model can learn as it is."""
    from edgeff.errors import Unsupported

    if model.rule is None:
        return None
    try:
        make_deployment(model, rule=model.rule)
    except Unsupported as error:
        print_note(f"learning is left out: {error}")
        return None
    return model.rule


def read_inputs(file: str, model: Model) -> Array:
    """The array ``x`` of a .npz file as float32 (n, *input shape). Raises BadInput for anything else, pickled objects included."""
    import zipfile

    import numpy as np

    what, shape = f"inputs '{file}'", (*model.network.input_shape,)
    allowed = f"a .npz file with one array {KEY!r} of numbers, shape (n, {', '.join(map(str, shape))})"
    try:
        if not Path(file).is_file():
            raise BadInput(what, got="a folder or device" if Path(file).exists() else "no such file", allowed=allowed)
        if not zipfile.is_zipfile(file):
            raise BadInput(what, got="not an .npz file", allowed=allowed)
        with zipfile.ZipFile(file) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            size_bytes = sum(info.file_size for info in archive.infolist())
        if KEY not in names or size_bytes > MOST_BYTES:
            got = f"{size_bytes:,} bytes" if KEY in names else f"the arrays {', '.join(names[:8]) or '(none)'}"
            raise BadInput(what, got=got, allowed=allowed)
        with np.load(file, allow_pickle=False) as arrays:
            x = np.asarray(arrays[KEY])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, SyntaxError, MemoryError) as error:
        reason = "pickled objects" if "pickle" in str(error) else str(error) or type(error).__name__
        raise BadInput(what, got=reason, allowed=allowed) from None
    if x.dtype.kind not in "fiu" or x.ndim != 1 + len(shape) or x.shape[1:] != shape or len(x) == 0:
        raise BadInput(what, got=f"{x.dtype} of shape {x.shape}", allowed=allowed)
    x = x.astype(np.float32)
    if bad := int(np.count_nonzero(~np.isfinite(x))):
        raise BadInput(what, got=f"{bad} values that are NaN or infinite", allowed="finite numbers")
    return x
