"""``edgeff board``: a new board file, from that of another board."""

from __future__ import annotations

from pathlib import Path

import click

from edgeff.cli.options import OneOf, OutputFolder, common
from edgeff.cli.terminal import print_json, print_line


@click.command("board", epilog="Example: edgeff board new my_board --like nucleo_l4r5zi -o boards")
@click.argument("action", type=OneOf("action", ("new",)))
@click.argument("name")
@click.option("--like", required=True, help="The board to begin from: its name or its file.")
@click.option("-o", "--out", type=OutputFolder(), default=".", show_default=True, help="The folder to write to.")
@common
def command(action: str, name: str, like: str, out: Path, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - one action so far
    """Write NAME.toml with the values of another board, their sources marked to be replaced.

    Commands take the file in the place of a board's name (--board NAME.toml), or its name where EDGEFF_BOARDS_DIR names the folder.
    """
    from edgeff.device.boards import new_board

    path = new_board(name, like, out)
    if as_json:
        print_json({"file": str(path), "like": like})
        return
    print_line(f"wrote {path}, with the values of {like}: replace them and what is marked TO DO, then run `edgeff check board {path}`")
