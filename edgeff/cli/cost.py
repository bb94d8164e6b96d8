"""``edgeff cost``: what a model takes, known before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import inference_only, load_model, make_deployment
from edgeff.cli.options import changes, common, numeric
from edgeff.cli.terminal import print_json, print_line, print_table
from edgeff.errors import DoesNotFit

if TYPE_CHECKING:
    from edgeff.deploy import Deployment
    from edgeff.ir import Board, MemoryPlan, Program


@click.command("cost", epilog="Example: edgeff cost m.onnx --rule pepita --numeric int8 --board rpi_pico")
@click.argument("model")
@click.option("--rule", help="What learns; see `edgeff list rules`. [default: inference only]")
@click.option("--board", help="Say whether it fits this board; see `edgeff list boards`.")
@numeric
@changes
@common
def command(
    model: str,
    rule: str | None,
    board: str | None,
    numeric: str | None,
    calibrate: str | None,
    changes: Sequence[tuple[str, str]],
    as_json: bool,
    seed: int | None,
) -> None:
    """Show multiply-accumulates, weights, activations and the arena of inference and of a learning step.

    The figures are exact: those of the firmware that `edgeff build` makes.
    """
    from edgeff.boards import load_board
    from edgeff.cost import cost

    machine = load_board(board) if board else None
    deployment = make_deployment(load_model(model), rule=rule, numeric=numeric, changes=changes, calibrate=calibrate, seed=seed)
    program = deployment.program
    whole, alone = cost(program), cost(inference_only(program))
    layers = layer_costs(program)
    infer = {"macs": whole.infer_macs, "arena_bytes": alone.memory.arena_bytes}
    learn = {"macs": whole.learn_macs if rule else None, "arena_bytes": whole.memory.arena_bytes if rule else None}
    fit = _fit(deployment, machine, whole.memory) if machine else {}
    if as_json:
        print_json({"layers": layers, "infer": infer, "learn": learn, "weight_bytes": whole.weight_bytes} | ({"board": fit} if fit else {}))
        return
    keys = ("name", "kernel", "macs", "weight_bytes", "activation_bytes")
    headings = ("layer", "kernel", "MACs", "weight bytes", "activation bytes")
    print_line(f"{program.name}, {program.numeric}, inference by layer")
    print_table(headings, [[layer[key] for key in keys] for layer in layers])
    rows: list[Sequence[object]] = [["inference only", infer["macs"], infer["arena_bytes"], alone.memory.flash_bytes]]
    if rule:
        rows.append([f"learning step of {rule}", learn["macs"], learn["arena_bytes"], whole.memory.flash_bytes])
    print_table(("", "MACs", "arena bytes", "constant bytes"), rows)
    print_line(f"weights {whole.weight_bytes:,} bytes; a program that learns keeps them in the arena, with their start values as constants")
    if fit:
        print_line(str(fit["summary"]))


def layer_costs(program: Program) -> list[dict[str, Any]]:
    """One entry for each layer of inference: its kernel, its MACs (of all its calls), the bytes of its weights and of its output."""
    from edgeff.cost import call_costs, layer_bytes

    entries: dict[str, dict[str, Any]] = {}
    known = {tensor.layer for tensor in program.tensors.values()}
    for call, figures in zip(program.infer, call_costs(program, program.infer), strict=True):
        if call.layer not in known and call.stage != "forward":
            continue
        output = max(program.tensors[name].size_bytes for name in call.outputs)
        entry = entries.setdefault(
            call.layer,
            {
                "name": call.layer,
                "kernel": call.kernel,
                "macs": 0,
                "weight_bytes": layer_bytes(program, call.layer, "constant", "variable"),
                "activation_bytes": output,
            },
        )
        entry["macs"] += figures.macs
        entry["activation_bytes"] = max(entry["activation_bytes"], output)
    return [*entries.values()]


def _fit(deployment: Deployment, board: Board, memory: MemoryPlan) -> dict[str, Any]:
    """Whether the program fits the board, how many bytes stay free (negative: are missing), and what to do where it does not.

    Of flash only the constants are known before a build: code comes on top.
    """
    from edgeff.simulate import fits, require_fit

    free, flash = -fits(deployment.program, board), board.flash_bytes - memory.flash_bytes
    found = {"name": board.name, "fits": free >= 0 and flash >= 0, "free_ram_bytes": free, "free_flash_bytes": flash}
    taken = f"{free:,} of {board.ram_bytes:,} bytes of RAM and {flash:,} of {board.flash_bytes:,} of flash, before the code, stay free"
    summary = f"fits {board.name}: {taken}"
    if flash < 0:
        summary = f"does not fit {board.name}: {-flash:,} bytes of flash too few; choose a smaller network, int8 or another board"
    try:
        require_fit(deployment, board)
    except DoesNotFit as error:
        summary = f"does not fit {board.name}: {-free:,} bytes of RAM too few, of {board.ram_bytes:,}; {error.next_step}"
    return found | {"summary": summary}
