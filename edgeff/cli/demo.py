"""``edgeff demo``: the whole workflow on the embedded default, offline."""

from __future__ import annotations

from pathlib import Path

import click

from edgeff.cli.options import OutputFolder, common
from edgeff.cli.outputs import check_folder, new_folder
from edgeff.cli.terminal import print_json, print_line, stages
from edgeff.cli.version import version

REPORT = "report.json"


@click.command("demo", epilog="Example: edgeff demo --out runs/demo")
@click.option("-o", "--out", type=OutputFolder(), default="runs/demo", show_default=True, help="The folder to write.")
@click.option("--rule", "rules", multiple=True, help="Only this rule; can be repeated.")
@common
def command(out: Path, rules: tuple[str, ...], as_json: bool, seed: int | None) -> None:
    """Train, quantise, build and learn on an emulated Cortex-M4 with every rule.

    Ends in a table and a report.html.
    """
    from edgeff.bench.demo import demo
    from edgeff.report import print_table, run_json, write_report

    check_folder(out, REPORT)
    with new_folder(out, REPORT) as folder, stages() as report:
        traces = demo(folder, seed=seed or 0, only=rules, progress=report, command=f"edgeff {version()}: edgeff demo")
        write_report(folder, traces)
    if as_json:
        print_json([run_json(trace) for trace in traces])
        return
    print_table(traces)
    print_line(f"wrote {out / 'report.html'}")
