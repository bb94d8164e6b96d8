"""``edgeff export``: a model as ONNX, as TFLite, or as C that infers and, if requested, learns."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edgeff.cli.models import Model, load_model, load_task, make_deployment, rule_of
from edgeff.cli.options import (
    OneOf,
    RawSamples,
    arena_limit,
    changes,
    check_output_file,
    check_output_folder,
    common,
    features,
    keep_input,
    numeric,
    replay,
    tail,
)
from edgeff.cli.outputs import new_file, new_folder
from edgeff.cli.terminal import print_json, print_line, print_note
from edgeff.cli.version import version
from edgeff.errors import BadInput
from edgeff.resources import package_names

if TYPE_CHECKING:
    from edgeff.formats.tflite.training import State
    from edgeff.formats.training import Noise
    from edgeff.ir import Array
    from edgeff.program.deploy import Deployment
    from edgeff.program.lower import Replay

FORMATS = ("onnx", "tflite", "c", *package_names())
STATES = ("variables", "ports")
NOISES = ("inside", "input")
EXAMPLE_SAMPLES = 4


class Formats(NamedTuple):
    """The options for the program's number formats and its memory."""

    numeric: str | None
    train_layers: str
    tail_numeric: str | None
    replay: Replay | None
    keep_input: bool = False


@click.command("export", epilog="Example: edgeff export m.onnx --to c --with-training -o model_c")
@click.argument("model")
@click.option("--to", "form", type=OneOf("format", FORMATS), required=True, help="What to write.")
@click.option("--with-training", is_flag=True, help="With the learning step: C, or an ONNX or TFLite graph of it.")
@click.option("--rule", help="The rule of the learning step. [default: the one the model was trained with]")
@click.option(
    "--state",
    type=OneOf("state", STATES),
    help="Where a graph keeps what it learns: TFLite in variables, both formats in inputs and outputs. [default: variables, in TFLite]",
)
@click.option(
    "--noise",
    type=OneOf("noise", NOISES),
    help="Where the random bits of stochastic rounding in a graph come from: a generator in it, or inputs. [default: inside]",
)
@click.option("--blocks", is_flag=True, help="C that learns one block of layers after the other, each kept in flash (mono_forward).")
@click.option("--prefix", help="The prefix of C names, so that several models share a firmware: wake_ gives wake_init. [default: eff_]")
@click.option("--board", help="Refuse C that does not fit this board; see `edgeff list boards`.")
@tail
@replay
@numeric
@features
@keep_input
@arena_limit
@changes
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The file, or for C the folder, to write.")
@common
def command(
    model: str,
    form: str,
    with_training: bool,
    rule: str | None,
    state: State | None,
    noise: Noise | None,
    blocks: bool,
    prefix: str | None,
    board: str | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: str | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    keep_input: bool,
    changes: Sequence[tuple[str, str]],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Write a model as ONNX, TFLite or C99, or as a package of that C for Arduino, PlatformIO, CMake, Zephyr, ESP-IDF or a CMSIS-Pack."""
    if state and not (with_training and (form == "tflite" or (form == "onnx" and state == "ports"))):
        allowed = "--to tflite --with-training, or with ports --to onnx --with-training"
        raise BadInput(f"option --state {state}", got=f"an export to {form}", allowed=allowed)
    in_c = form not in ("onnx", "tflite")
    if noise and (in_c or not with_training):
        allowed = "--to onnx or --to tflite, --with-training"
        raise BadInput("option --noise", got=f"an export to {form}", allowed=allowed)
    formats = Formats(numeric, train_layers, tail_numeric, replay, keep_input)
    if blocks:
        if form != "c" or not with_training or prefix or board:
            got = f"an export to {form}" if form != "c" else "no --with-training" if not with_training else "--prefix or --board"
            raise BadInput("option --blocks", got=got, allowed="--to c --with-training, without --prefix and --board")
        check_output_folder(out)
        loaded, limit = load_model(model), max((int(value) for name, value in changes if name == "arena_limit"), default=0)
        changes = [change for change in changes if change[0] != "arena_limit"]
        learns = rule_of(_rule(loaded, True, rule), train_layers, loaded.network)
        _chain(_deployment(loaded, learns, formats, calibrate, choices, features, changes, seed), model, formats, limit, out, as_json)
        return
    if in_c:
        check_output_folder(out)
        loaded = load_model(model)
        _c(loaded, model, form, with_training, rule, prefix, board, formats, calibrate, choices, features, changes, out, as_json, seed)
        return
    check_output_file(out, f".{form}")
    of_c = {"--prefix": prefix, "--board": board, "--keep-input": keep_input}
    if with_training:
        if given := [name for name, value in of_c.items() if value]:
            raise BadInput(f"option {given[0]}", got=f"an export to {form}", allowed="--to c")
        loaded = load_model(model)
        learns = rule_of(_rule(loaded, True, rule), train_layers, loaded.network)
        deployment = _deployment(loaded, learns, formats, calibrate, choices, features, changes, seed)
        if form == "onnx":
            _onnx_step(deployment, state, noise or "inside", out, as_json)
        else:
            _tflite_step(deployment, state or "variables", noise or "inside", out, as_json)
        return
    options = {
        "--rule": rule,
        **of_c,
        "--numeric": numeric,
        "--train-layers": train_layers != "all",
        "--tail-numeric": tail_numeric,
        "--replay": replay,
        "--calibrate": calibrate,
        "--data": choices,
        "--features": features,
        "--set": changes,
    }
    if given := [name for name, value in options.items() if value]:
        allowed = "--to c" if given[0] in of_c else "--to c, or --with-training"
        raise BadInput(
            f"option {given[0]}", got=f"an export to {form}", allowed=allowed, next_step="to change the numeric: `edgeff quantize`"
        )
    _file(load_model(model), form, out, as_json)


def _file(model: Model, form: str, out: Path, as_json: bool) -> None:
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.formats.tflite.writer import write_tflite

    with new_file(out) as path:
        (write_onnx if form == "onnx" else write_tflite)(model.network, path)
    if model.probes:
        print_note(f"{form} supports only layers: the file holds the head of this model instead of the probing of {model.rule}")
    _done({"to": form, "path": str(out), "bytes": out.stat().st_size}, f"wrote {out}: {out.stat().st_size:,} bytes", as_json)


def _deployment(
    model: Model,
    learns: str | None,
    formats: Formats,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    changes: Sequence[tuple[str, str]],
    seed: int | None,
) -> Deployment:
    return make_deployment(
        model,
        rule=learns,
        numeric=formats.numeric,
        train_layers=formats.train_layers,
        tail_numeric=formats.tail_numeric,
        replay=formats.replay,
        changes=changes,
        calibrate=calibrate,
        choices=choices,
        seed=seed,
        features=features,
        keep_input=formats.keep_input,
    )


def _onnx_step(deployment: Deployment, state: State | None, noise: Noise, out: Path, as_json: bool) -> None:
    from edgeff.formats.onnx.training import infer_path, initial_path, training_graphs, write_model

    graphs = training_graphs(deployment.program, deployment.settings, noise, ports=state == "ports")
    models = {out: graphs.learn, infer_path(out): graphs.infer}
    if graphs.initial:
        models[initial_path(out)] = graphs.initial
    with ExitStack() as files:
        for path, model in models.items():
            write_model(model, files.enter_context(new_file(path)))
    rule, numeric, nodes = deployment.program.rule, deployment.program.numeric, len(graphs.learn.graph.node)
    beside, first = infer_path(out), initial_path(out)
    result = {"to": "onnx", "path": str(out), "infer_path": str(beside), "rule": rule, "numeric": numeric, "nodes": nodes}
    sizes = {"bytes": out.stat().st_size, "infer_bytes": beside.stat().st_size}
    line = f"wrote {out}, a learning step by {rule} in {numeric} ({nodes:,} nodes, {sizes['bytes']:,} bytes), and {beside} for inference"
    if graphs.initial:
        result["initial_path"], line = str(first), f"{line}, and {first}, the state to begin with"
    _done(result | sizes, line, as_json)


def _tflite_step(deployment: Deployment, state: State, noise: Noise, out: Path, as_json: bool) -> None:
    from edgeff.formats.files import write_file
    from edgeff.formats.tflite.training import training_file

    with new_file(out) as path:
        write_file(path, training_file(deployment.program, deployment.settings, state, noise))
    rule, numeric, size = deployment.program.rule, deployment.program.numeric, out.stat().st_size
    result = {"to": "tflite", "path": str(out), "rule": rule, "numeric": numeric, "state": state, "bytes": size}
    where = "in its variables" if state == "variables" else "in its inputs and outputs"
    _done(result, f"wrote {out}: infers, and learns by {rule} in {numeric}; the state is {where} ({size:,} bytes)", as_json)


def _c(
    model: Model,
    file: str,
    form: str,
    with_training: bool,
    rule: str | None,
    prefix: str | None,
    board: str | None,
    formats: Formats,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    changes: Sequence[tuple[str, str]],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    from edgeff.codegen.folder import write_c
    from edgeff.codegen.names import PREFIX, check_prefix, file_prefix
    from edgeff.codegen.neighbours import MODEL, carry_over, check_folder, is_stale
    from edgeff.codegen.packages import check_name, load_package, write_package
    from edgeff.device.boards import load_board
    from edgeff.device.builds import board_builds

    prefix = check_prefix(PREFIX if prefix is None else prefix)
    package = None if form == "c" else load_package(form)
    inner = Path(package.sources) if package else Path()
    if package:
        check_name(out.resolve().name)
    check_folder(out / inner, prefix)
    learns = rule_of(_rule(model, with_training, rule), formats.train_layers, model.network)
    machine = load_board(board) if board else None
    deployment = _deployment(model, learns, formats, calibrate, choices, features, changes, seed)
    if machine:
        from edgeff.device.simulate import require_fit

        require_fit(deployment, machine)
    samples, labels = example_samples(model, deployment, seed)
    command = _command(file, with_training, learns, file_prefix(prefix), formats)
    given: dict[str, Any] = {"samples": samples, "labels": labels, "prefix": prefix, "command": command}
    with new_folder(out, (inner / MODEL).as_posix(), is_stale) as folder:
        (folder / inner).mkdir(parents=True, exist_ok=True)
        carry_over(out / inner, folder / inner, prefix)
        if package:
            boards = board_builds([machine] if machine else [])
            kept = [name for name in package.changeable(out.resolve().name, boards) if (out / name).exists()]
            source = write_package(package, deployment.program, folder, out.resolve().name, **given, boards=boards, keep=kept)
        else:
            source = write_c(deployment.program, folder, **given)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    memory = source.memory
    result = {"to": form, "path": str(out), "rule": learns, "numeric": deployment.program.numeric, "files": names}
    figures = {"arena_bytes": memory.arena_bytes, "constant_bytes": memory.flash_bytes}
    what = f"learns by {learns}" if learns else "inference only"
    line = f"wrote {out}: {deployment.program.numeric}, {what}, arena {memory.arena_bytes:,} bytes, constants {memory.flash_bytes:,} bytes"
    check = f"cc -I{out} {out}/*.c {out}/example/{file_prefix(prefix)}main.c && ./a.out"
    after = f"next: {package.next_step}" if package else f"`{check}` checks it"
    _done(result | figures, f"{line}; {after}", as_json)
    if package and kept:
        print_note(f"kept as they were: {', '.join(kept)}")


def _chain(deployment: Deployment, file: str, formats: Formats, arena_limit: int, out: Path, as_json: bool) -> None:
    from edgeff.codegen.chain import write_chain
    from edgeff.codegen.neighbours import MODEL, is_stale
    from edgeff.program.chain import chain_of

    command = _command(file, True, deployment.program.rule, "", formats) + " --blocks"
    command += f" --arena-limit {arena_limit}" if arena_limit else ""
    with new_folder(out, MODEL, is_stale) as folder:
        blocks_of = chain_of(deployment, arena_limit=arena_limit)
        source = write_chain(blocks_of, folder, command=command)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    blocks = [
        {"block": own, "part": part, "arena_bytes": block.memory.arena_bytes, "saved_bytes": block.memory.saved_bytes}
        for (own, part), block in zip(blocks_of.steps, source.blocks, strict=True)
    ]
    result = {"to": "c", "path": str(out), "rule": deployment.program.rule, "numeric": deployment.program.numeric, "files": names}
    line = f"wrote {out}: {len(blocks)} blocks that learn one after the other in an arena of {source.arena_bytes:,} bytes"
    _done(result | {"arena_bytes": source.arena_bytes, "blocks": blocks}, line, as_json)


def _rule(model: Model, with_training: bool, rule: str | None) -> str | None:
    from edgeff import registry

    if not with_training:
        if rule:
            raise BadInput(
                "option --rule", got="no --with-training", allowed="both or none", next_step="add --with-training, or leave --rule out"
            )
        return None
    if rule or model.rule:
        return rule or model.rule
    raise BadInput(
        "option --with-training", got="a model without a known rule", allowed=", ".join(registry.rules), next_step="name it: --rule R"
    )


def example_samples(model: Model, deployment: Deployment, seed: int | None) -> tuple[Array | None, Array | None]:
    """The first test samples of the model's task, in the program's dtype, and their labels or targets; None if the task is not known.

    Also None if the program starts from the raw samples of a task, which the loaded task has already turned into features.
    """
    from edgeff.program.stream import LISTEN

    task = model.trained_on
    if task is None or deployment.network.input_shape != model.network.input_shape or LISTEN in deployment.program.lines:
        return None, None
    try:
        data = load_task(task, model.seed if seed is None else seed, model.network)
    except BadInput:
        return None, None
    labels = data.y_test[:EXAMPLE_SAMPLES]
    return deployment.inputs(data.x_test[:EXAMPLE_SAMPLES]), deployment.targets(labels) if deployment.program.target else labels


def _command(file: str, with_training: bool, rule: str | None, prefix: str, formats: Formats) -> str:
    """The command for the header of the C: without folders, so that the same model gives the same bytes everywhere."""
    words = ["edgeff", "export", Path(file).name, "--to", "c"]
    words += ["--with-training", "--rule", str(rule)] if with_training else []
    words += ["--prefix", prefix] if prefix else []
    words += ["--numeric", formats.numeric] if formats.numeric else []
    words += ["--train-layers", formats.train_layers] if formats.train_layers != "all" and not with_training else []
    words += ["--tail-numeric", formats.tail_numeric] if formats.tail_numeric else []
    words += ["--replay", str(formats.replay)] if formats.replay else []
    words += ["--keep-input"] if formats.keep_input else []
    return f"edgeff {version()}: {shlex.join(words)}"


def _done(result: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_line(line)
