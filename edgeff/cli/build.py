"""``edgeff build``: a firmware project for a board, and its ELF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.export import example_samples
from edgeff.cli.models import load_model, make_deployment, rule_of
from edgeff.cli.options import OutputFolder, RawSamples, arena_limit, changes, common, features, keep_input, numeric, replay, tail
from edgeff.cli.outputs import check_folder, new_folder
from edgeff.cli.terminal import print_json, print_line, print_table
from edgeff.cli.version import version

if TYPE_CHECKING:
    from edgeff.program.lower import Replay


ELF = "firmware/firmware.elf"


@click.command("build", epilog="Example: edgeff build m.onnx --board nucleo_l4r5zi --rule pepita --numeric int8 -o firmware")
@click.argument("model")
@click.option("--board", required=True, help="The board; see `edgeff list boards`.")
@click.option("--rule", help="What learns on the board; see `edgeff list rules`. [default: inference only]")
@tail
@replay
@numeric
@features
@keep_input
@click.option("--template", default="bare_metal", show_default=True, help="The kind of project; see `edgeff list templates`.")
@click.option("--model-name", default="model", show_default=True, help="What firmware that speaks calls the model: kws01, ic01, ..")
@arena_limit
@changes
@click.option("-o", "--out", type=OutputFolder(), required=True, help="The folder to write.")
@common
def command(
    model: str,
    board: str,
    rule: str | None,
    train_layers: str,
    tail_numeric: str | None,
    replay: Replay | None,
    numeric: str | None,
    calibrate: str | None,
    choices: Mapping[str, str],
    features: RawSamples,
    keep_input: bool,
    template: str,
    model_name: str,
    changes: Sequence[tuple[str, str]],
    out: Path,
    as_json: bool,
    seed: int | None,
) -> None:
    """Write a firmware project with the model's C, and build it.

    The ELF's memory is compared with the plan, byte for byte.
    """
    from edgeff.device.boards import load_board
    from edgeff.device.simulate import build_project

    machine = load_board(board)
    check_folder(out, ELF)
    loaded = load_model(model)
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
    samples, labels = example_samples(loaded, deployment, seed)
    pair = None if samples is None or labels is None else (samples, labels)
    with new_folder(out, ELF) as folder:
        firmware, _ = build_project(
            deployment,
            machine,
            folder,
            template=template,
            samples=pair,
            command=f"edgeff {version()}: edgeff build {Path(model).name}",
            model_name=model_name,
        )
    figures = {
        "code_bytes": firmware.code_bytes,
        "constant_bytes": firmware.constant_bytes,
        "flash_bytes": firmware.flash_bytes,
        "arena_bytes": firmware.arena_bytes,
        "static_ram_bytes": firmware.static_ram_bytes,
    }
    if as_json:
        program = {"board": board, "rule": rule, "numeric": deployment.program.numeric, "template": template}
        print_json(program | {"toolchain": firmware.toolchain, "elf": str(out / ELF), "memory": figures})
        return
    print_table([name.replace("_", " ") for name in figures], [[*figures.values()]])
    learns = f"learns by {rule}" if rule else "inference only"
    print_line(f"wrote {out / ELF}: {deployment.program.numeric}, {learns}, for {machine.name}, built by {firmware.toolchain}")
