"""``edgeff cost``: the cost of a model, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import inference_only, load_model_or_network, make_deployment, rule_of
from edgeff.cli.options import RawSamples, arena_limit, changes, common, features, keep_input, numeric, replay, tail
from edgeff.cli.terminal import print_json, print_line, print_table, shape_text
from edgeff.errors import DoesNotFit

if TYPE_CHECKING:
    from edgeff.ir import Board, MemoryPlan, Program
    from edgeff.program.deploy import Deployment
    from edgeff.program.lower import Replay

ALL = "all"


@click.command("cost", epilog="Example: edgeff cost m.onnx --rule pepita --numeric int8 --board rpi_pico")
@click.argument("model")
@click.option("--rule", help="What learns; see `edgeff list rules`. [default: inference only]")
@click.option("--board", help="Show whether it fits this board, or `all`; see `edgeff list boards`.")
@tail
@replay
@numeric
@features
@keep_input
@arena_limit
@changes
@common
def command(
    model: str,
    rule: str | None,
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
    as_json: bool,
    seed: int | None,
) -> None:
    """Show multiply-accumulates, weights, activations and the arena of inference and of a learning step.

    MODEL is a file, or the name of a network, which then gets fresh weights. The figures are exact: those of the firmware that
    `edgeff build` makes.
    """
    from edgeff.device.boards import load_board, load_boards
    from edgeff.device.cores import core_of
    from edgeff.program.cost import cost
    from edgeff.program.state import state_bytes
    from edgeff.report.layer_names import short_names

    machines = [*load_boards().values()] if board == ALL else [load_board(board)] if board else []
    loaded = load_model_or_network(model, seed)
    rule = rule_of(rule, train_layers, loaded.network)
    deployment = make_deployment(
        loaded,
        rule=rule,
        numeric=numeric,
        train_layers=train_layers,
        tail_numeric=tail_numeric,
        replay=replay,
        changes=changes,
        calibrate=calibrate,
        choices=choices,
        seed=seed,
        features=features,
        keep_input=keep_input,
    )
    program = deployment.program
    core_features = core_of(machines[0]).features if len(machines) == 1 else frozenset()
    whole, alone = cost(program, core_features), cost(inference_only(program), core_features)
    layers = layer_costs(program)
    infer = {"macs": whole.macs("infer")} | _arena(alone.memory)
    learn = {"macs": whole.macs("learn") if rule else None} | _arena(whole.memory if rule else None)
    save_bytes = state_bytes(whole.memory) if rule else None
    further = {name: {"macs": whole.macs(name)} for name in whole.lines if name not in ("infer", "learn")}
    fit = [board_fit(deployment, machine, save_bytes) for machine in machines]
    if as_json:
        boards = {"boards": fit} if board == ALL else {"board": fit[0]} if fit else {}
        lines = {"lines": further} if further else {}
        known = {"layers": layers, "infer": infer, "learn": learn | {"save_bytes": save_bytes}, "weight_bytes": whole.weight_bytes}
        print_json(known | lines | boards)
        return
    names = short_names(layer["name"] for layer in layers)
    keys = ("kernel", "shape", "macs", "weight_bytes", "activation_bytes")
    body = [[names[layer["name"]], *(shape_text(layer[k]) if k == "shape" else layer[k] for k in keys)] for layer in layers]
    body.append(["total", "", "", infer["macs"], whole.weight_bytes, None])
    print_line(f"{program.name}, {program.numeric}, inference by layer")
    print_table(("layer", "kernel", "output", "MACs", "weight bytes", "activation bytes"), body)
    rows: list[Sequence[object]] = [["inference only", *infer.values(), _ratio(alone.memory), alone.memory.flash_bytes]]
    if rule:
        rows.append([f"learning step of {rule}", *learn.values(), _ratio(whole.memory), whole.memory.flash_bytes])
    rows += [[f"line {name}", figures["macs"], None, None, None, None] for name, figures in further.items()]
    print_table(("", "MACs", "arena bytes", "lower bound", "ratio", "constant bytes"), rows)
    print_line(
        f"weights {whole.weight_bytes:,} bytes; a program that learns keeps them in the arena, with their initial values as constants"
    )
    if save_bytes is not None:
        print_line(
            f"a saved state takes {save_bytes:,} bytes of flash in each slot, two or more; it is written in pieces, "
            "and takes RAM only in a buffer (eff_save_buffer)"
        )
    if board == ALL:
        print_line("")
        print_boards(fit, f"with a learning step of {rule}" if rule else "inference only")
    elif fit:
        print_line(str(fit[0]["summary"]))


def _arena(memory: MemoryPlan | None) -> dict[str, int | None]:
    return {
        "arena_bytes": memory.arena_bytes if memory else None,
        "arena_lower_bound_bytes": memory.lower_bound_bytes if memory else None,
    }


def _ratio(memory: MemoryPlan) -> str:
    """The ratio of the arena to the lower bound of any plan."""
    return f"{memory.arena_bytes / max(memory.lower_bound_bytes, 1):.2f}"


def layer_costs(program: Program) -> list[dict[str, Any]]:
    """One entry for each layer of inference: its kernel, the shape and bytes of its output, its MACs (of all its calls), its weights."""
    from edgeff.program.cost import call_costs, layer_bytes

    entries: dict[str, dict[str, Any]] = {}
    known = {tensor.layer for tensor in program.tensors.values()}
    for call, figures in zip(program.infer, call_costs(program, program.infer), strict=True):
        if call.layer not in known and call.stage != "forward":
            continue
        output = program.tensors[call.outputs[0]]  # the others are what the layer remembers, or works in
        entry = entries.setdefault(
            call.layer,
            {
                "name": call.layer,
                "kernel": call.kernel,
                "shape": list(output.shape),
                "macs": 0,
                "weight_bytes": layer_bytes(program, call.layer, "constant", "variable"),
                "activation_bytes": output.size_bytes,
            },
        )
        entry["macs"] += figures.macs
        entry["activation_bytes"] = max(entry["activation_bytes"], output.size_bytes)
    return [*entries.values()]


def board_fit(deployment: Deployment, board: Board, saved: int | None) -> dict[str, Any]:
    """Whether the program fits the board, how many bytes stay free (negative: are missing), and what to do if it does not.

    For flash only the constants are known before a build: the code is added to them. A state, of ``saved`` bytes (None: nothing learns), is
    saved in pieces, without RAM of its own; ``save_buffer_fits`` says whether the free RAM holds a whole one.
    """
    from edgeff.device.cores import core_of
    from edgeff.device.simulate import fits, require_fit
    from edgeff.program.plan import flash_bytes
    from edgeff.program.select import select

    constants = flash_bytes(select(deployment.program, core_of(board).features))
    free, flash = -fits(deployment.program, board), board.flash_bytes - constants
    record = {
        "name": board.name,
        "save_bytes": saved,
        "save_buffer_fits": None if saved is None else free >= saved,
        "fits": free >= 0 and flash >= 0,
        "free_ram_bytes": free,
        "free_flash_bytes": flash,
        "ram_bytes": board.ram_bytes,
        "flash_bytes": board.flash_bytes,
    }
    if free >= 0 and flash >= 0:
        taken = f"{free:,} of {board.ram_bytes:,} bytes of RAM and {flash:,} of {board.flash_bytes:,} of flash, before the code, stay free"
        buffer = ""
        if saved is not None and free < saved:
            buffer = (
                f"; the RAM does not hold a saved state of {saved:,} bytes in a buffer as well: save in pieces (eff_save, eff_slots_save)"
            )
        return record | {"summary": f"fits {board.name}: {taken}{buffer}"}
    missing = [f"{-flash:,} bytes of flash too few, of {board.flash_bytes:,}"] if flash < 0 else []
    advice = "choose a smaller network, int8 or another board"
    try:
        require_fit(deployment, board)
    except DoesNotFit as error:
        missing.insert(0, f"{-free:,} bytes of RAM too few, of {board.ram_bytes:,}")
        advice = error.next_step if flash >= 0 else advice
    return record | {"summary": f"does not fit {board.name}: {' and '.join(missing)}; {advice}"}


def print_boards(fit: Sequence[dict[str, Any]], what: str) -> None:
    """Prints one row per board: the free bytes, or the missing ones if the program does not fit."""
    rows = [[row["name"], row["fits"], row["ram_bytes"], row["free_ram_bytes"], row["flash_bytes"], row["free_flash_bytes"]] for row in fit]
    print_line(f"boards, {what}; negative free bytes are missing; the code still has to be subtracted from the free flash")
    print_table(("board", "fits", "RAM", "free RAM", "flash", "free flash"), rows)
    for row in fit:
        if not row["fits"]:
            print_line(str(row["summary"]))
