"""``edgeff flash``: firmware onto a board, by the board's own tool."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgeff.cli.options import common
from edgeff.cli.run import find_elf
from edgeff.cli.terminal import print_json, print_line


@click.command("flash", epilog="Example: edgeff flash fw --board nucleo_l4r5zi")
@click.argument("firmware", type=click.Path(path_type=Path))
@click.option("--board", required=True, help="The board; see `edgeff list boards`.")
@click.option("--port", help="The serial port, for tools that write over one (bossac, esptool). [default: the tool finds it]")
@click.option("--dry-run", is_flag=True, help="Show the commands, and run none.")
@common
def command(firmware: Path, board: str, port: str | None, dry_run: bool, as_json: bool, seed: int | None) -> None:  # noqa: ARG001
    """Write firmware to a board by the tool that its file names: openocd, probe-rs, picotool, bossac or esptool.

    FIRMWARE is an ELF, or the folder that `edgeff build` wrote. edgeff calls the tool; none of the calls has been tried on a board yet.
    """
    from edgeff.device.boards import load_board
    from edgeff.device.flashers import flash

    calls = flash(load_board(board), find_elf(firmware), port, run=not dry_run)
    if as_json:
        print_json({"board": board, "commands": calls, "run": not dry_run})
        return
    for call in calls:
        print_line(shlex.join(call))
    if not dry_run:
        print_line(f"wrote {firmware} to {board}")
