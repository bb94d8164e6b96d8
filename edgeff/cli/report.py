"""``edgeff report``: one page with pictures, or one table, from the runs of one or more folders."""

from __future__ import annotations

from pathlib import Path

import click

from edgeff.cli.options import OutputFile, common
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line


@click.command("report", epilog="Example: edgeff report runs/demo -o report.html")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("-o", "--out", type=OutputFile(".html", ".csv", ".tex"), required=True, help="The page to write, or a table: .csv, .tex.")
@common
def command(folders: tuple[str, ...], out: Path, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Put the runs of one or more folders with a report.json on one page, or their means over the seeds into a .csv or .tex table."""
    from edgeff.report import print_table, read_reports, write_page

    record = read_reports(folders)
    with new_file(out) as path:
        write_page(path, record.runs, record.versions)
    if as_json:
        print_json({"runs": len(record.runs), "report": str(out)})
        return
    print_table(record.runs)
    print_line(f"wrote {out}")
