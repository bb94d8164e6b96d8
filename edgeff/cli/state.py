"""``edgeff state``: what a device has saved, whether a model takes it, and the model with the weights of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import load_model, make_deployment, rule_of
from edgeff.cli.options import OutputFile, RawSamples, changes, common, features, numeric, replay, tail
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line, print_note, print_table, shape_text
from edgeff.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from edgeff.program.deploy import Deployment
    from edgeff.program.lower import Replay
    from edgeff.program.state import Learned, StateCode


FORMATS = (".onnx", ".npz", ".bin")
"""What is written: the model, the state of a learning graph, the state of a device."""


@click.command("state", epilog="Example: edgeff state state.bin m.onnx --rule pepita --numeric int8 -o learned.onnx")
@click.argument("file")
@click.argument("model", required=False)
@click.option("--rule", help="The rule the device learns by. [default: the one the model was trained with]")
@tail
@replay
@numeric
@features
@changes
@click.option("-o", "--out", type=OutputFile(), help="Write MODEL with the weights of the state (.onnx), or the state (.npz, .bin).")
@common
def command(
    file: str,
    model: str | None,
    rule: str | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: str | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    changes: Sequence[tuple[str, str]],
    out: Path | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Show what a device has saved and whether a model takes it; exit 1 when it is damaged, or when no model takes it.

    FILE holds the bytes that eff_save wrote, or a slot of flash as it was read; or it is a .npz, the state of a learning graph; or a model
    (.onnx) whose weights a device is to get. MODEL is a model file, with the options that its C or graph was exported with, or the folder
    of that C.
    """
    from edgeff.codegen.learned import learned_in
    from edgeff.ops.canonical import canonical
    from edgeff.program.learned import values_from
    from edgeff.program.plan import plan
    from edgeff.program.state import header_of, learned_of, saved, saved_from

    of_graph, of_model = (Path(file).suffix.lower() == suffix for suffix in (".npz", ".onnx"))
    if (of_graph or of_model) and (model is None or Path(model).is_dir()):
        beside = "a learned model" if of_model else "the state of a learning graph"
        raise BadInput(f"state file '{file}'", got="no model file", allowed=f"a model file beside {beside}")
    if out is not None and out.suffix.lower() not in FORMATS:
        raise BadInput(f"output file '{out}'", got=f"the suffix {out.suffix!r}", allowed=", ".join(FORMATS))
    state = b"" if of_graph or of_model else _read(Path(file))
    deployment = None
    models: Mapping[str, Learned] = {}
    if model is None or Path(model).is_dir():
        options: dict[str, object] = {
            "--rule": rule,
            "--train-layers": train_layers != "all",
            "--tail-numeric": tail_numeric,
            "--replay": replay,
        }
        options |= {
            "--numeric": numeric,
            "--calibrate": calibrate,
            "--data": choices,
            "--features": features,
            "--set": changes,
            "--out": out,
        }
        if given := [name for name, value in options.items() if value]:
            raise BadInput(f"option {given[0]}", got="no model file" if model is None else f"the folder '{model}'", allowed="a model file")
        models = {} if model is None else learned_in(Path(model))
    else:
        loaded = load_model(model)
        learns = rule_of(rule or loaded.rule, train_layers, loaded.network)
        if learns is None:
            raise BadInput("model", got="one of no known rule", allowed="the rule the device learns by", next_step="name it: --rule R")
        deployment = make_deployment(
            loaded,
            rule=learns,
            numeric=numeric,
            train_layers=train_layers,
            tail_numeric=tail_numeric,
            replay=replay,
            changes=changes,
            calibrate=calibrate,
            choices=choices,
            seed=seed,
            features=features,
        )
        program, memory = deployment.program, plan(deployment.program)
        models = {model: learned_of(program, memory)}
        if of_graph:
            state = saved_from(program, memory, Path(file))
        elif of_model:
            state = saved(program, memory, values_from(canonical(load_model(file).network), deployment.network, program))
    header = header_of(state)
    codes, code, payload_bytes = _judged(state, models)
    fits = deployment is not None and not code
    result: dict[str, Any] = {
        "ok": not code,
        "code": code.name,
        "version": header.version,
        "byte_order": header.byte_order,
        "sequence": header.sequence,
        "binding": f"{header.binding:016x}",
        "payload_bytes": payload_bytes,
        "models": {name: {"code": codes[name].name, "binding": f"{models[name].binding:016x}"} for name in models},
        "tensors": _tensors(deployment, state) if fits and deployment else None,
        "out": None,
    }
    if out is not None and fits and deployment:
        _write(deployment, state, out)
        result["out"] = str(out)
    if as_json:
        print_json(result)
    else:
        _show(result)
    if code:
        _refuse(file, code, models)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"state file '{path}'", got=reason, allowed="the bytes that eff_save wrote") from None


def _judged(state: bytes, models: Mapping[str, Learned]) -> tuple[dict[str, StateCode], StateCode, int | None]:
    """What each model says of the state, what is to be said of it in all, and the size of its payload (None: not known).

    One model that takes it is enough. Without models the check sums alone count.
    """
    from edgeff.program.state import StateCode, payload_of, state_code

    codes = {name: state_code(learned, state) for name, learned in models.items()}
    if taker := next((name for name, code in codes.items() if code == StateCode.OK), None):
        return codes, StateCode.OK, models[taker].payload_bytes
    payload = payload_of(state)
    size = None if payload is None else len(payload)
    own = [code for code in codes.values() if code != StateCode.FOREIGN]
    if codes:
        return codes, own[0] if own else StateCode.FOREIGN, size
    return codes, StateCode.DAMAGED if payload is None else StateCode.OK, size


def _tensors(deployment: Deployment, state: bytes) -> list[dict[str, Any]]:
    """An entry for each tensor that the state holds: how many of its elements are not as they were exported, and their range."""
    import numpy as np

    from edgeff.program.interpreter import Interpreter

    before, after = Interpreter(deployment.program), Interpreter(deployment.program)
    after.restore(state)
    entries = []
    for tensor in deployment.program.saved:
        values = after.tensor(tensor.name)
        changed = int(np.count_nonzero(values != before.tensor(tensor.name)))
        ends = {"smallest": values.min().item(), "largest": values.max().item()}
        entries.append(
            {"name": tensor.name, "role": tensor.role, "dtype": tensor.dtype, "shape": [*tensor.shape], "bytes": tensor.size_bytes}
            | {"elements": tensor.elements, "changed": changed}
            | ends
        )
    return entries


def _write(deployment: Deployment, state: bytes, out: Path) -> None:
    import numpy as np

    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.program.learned import learned_network, left_out
    from edgeff.program.plan import plan
    from edgeff.program.state import restored

    values = restored(deployment.program, plan(deployment.program), state)
    with new_file(out) as path:
        if out.suffix.lower() == ".onnx":
            write_onnx(learned_network(deployment.network, deployment.program, values), path)
        elif out.suffix.lower() == ".npz":
            with path.open("wb") as file:
                np.savez(file, **values)  # type: ignore[arg-type]  # its keywords are arrays
        else:
            path.write_bytes(state)
    if out.suffix.lower() == ".onnx" and (names := left_out(deployment.network, deployment.program)):
        print_note(f"a model file has no place for {', '.join(names)}: what only learning reads stays in the state")


def _show(result: Mapping[str, Any]) -> None:
    size = "a payload of unknown size" if result["payload_bytes"] is None else f"a payload of {result['payload_bytes']:,} bytes"
    number = f"sequence number {result['sequence']:,}"
    print_line(f"version {result['version']}, {result['byte_order']}-endian, {number}, saved by model {result['binding']}, {size}")
    if result["models"]:
        print_table(("model", "hash", "code"), [[name, item["binding"], item["code"]] for name, item in result["models"].items()])
    if result["tensors"] is not None:
        keys = ("name", "role", "dtype", "shape", "bytes", "changed", "smallest", "largest")
        rows = [[shape_text(entry[key]) if key == "shape" else entry[key] for key in keys] for entry in result["tensors"]]
        print_table(("tensor", *keys[1:]), rows)
    if result["out"]:
        print_line(f"wrote {result['out']}")
    if result["ok"]:
        print_line(
            "ok: the model takes it" if result["models"] else "ok: the check sums hold; name a model to see whether it takes the state"
        )


def _refuse(file: str, code: StateCode, models: Mapping[str, Learned]) -> None:
    from edgeff.program.state import REFUSALS, StateCode

    allowed = "what this model, or one that means the same, saved" if models else "check sums that hold"
    step = ""
    if code == StateCode.FOREIGN:
        step = "give the model and the options that the device's C was exported with, or its folder"
    elif not models:
        step = "name the model, if more follows in the file than the state and erased flash"
    raise CheckFailed(f"saved state '{file}'", got=REFUSALS[code], allowed=allowed, next_step=step)
