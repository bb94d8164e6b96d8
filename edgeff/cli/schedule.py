"""``edgeff schedule``: when to replay a task that was learned before, by optimal control, and as a table for a device's flash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeff.cli.options import OutputFile, Real, Whole, common
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from edgeff.ir import Array
    from edgeff.studies.theory.schedule import Schedule

MOST_SAMPLES, MOST_SEGMENTS, MOST_UNITS = 1_000_000, 64, 8


@click.command("schedule", epilog="Example: edgeff schedule --similarity 0.3 --mean 0.1 --samples 700 -o replay_steps.h")
@click.option("--similarity", type=Real(-0.99, 0.99), default=0.3, show_default=True, help="The cosine between both tasks' teachers.")
@click.option("--mean", type=Real(0.0, 0.9), help="The share of replay over all steps.  [default: whatever is best]")
@click.option(
    "--segments", type=Whole(1, MOST_SEGMENTS), default=8, show_default=True, help="Pieces of time on which the share is constant."
)
@click.option("--alpha", type=Real(1.0, 1e4), default=20.0, show_default=True, help="How long the second task is learned: steps / inputs.")
@click.option("--lr", type=Real(1e-3, 10.0), default=1.0, show_default=True, help="Learning rate.")
@click.option("--hidden", type=Whole(1, MOST_UNITS), default=2, show_default=True, help="Hidden units of the student.")
@click.option("--samples", type=Whole(1, MOST_SAMPLES), default=256, show_default=True, help="New samples, for the table of a device.")
@click.option("-o", "--out", type=OutputFile(".h"), help="A C header with the replay steps after each new sample.")
@common
def command(
    similarity: float,
    mean: float | None,
    segments: int,
    alpha: float,
    lr: float,
    hidden: int,
    samples: int,
    out: Path | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Find when to replay a task that was learned before while a second one is learned, by optimal control.

    A student with very many inputs follows differential equations; the share of replay on each piece of time is chosen so that the sum of
    both tasks' errors ends smallest. Beside it: no replay, and the same amount uniformly or at the end. The table says how many stored
    samples a device learns after each new one.
    """
    from edgeff.studies.theory.schedule import after_first_task, followed, late, optimal, table_of, uniform

    with progress("optimal schedule") as report:
        tasks = after_first_task(similarity, hidden=hidden, lr=lr, alpha=alpha, seed=seed or 0)
        best = optimal(tasks, segments, mean, report)
    share = float(best.shares.mean())
    others = [followed(tasks, uniform(segments, 0.0), "none")]
    others += [followed(tasks, make(segments, share), name) for name, make in (("uniform", uniform), ("late", late))]
    table = table_of(best.shares, samples)
    if out is not None:
        with new_file(out) as path:
            path.write_text(_header(table, best), encoding="utf-8")
    every = [*others, best]
    if as_json:
        entries = [{"name": s.name, "shares": s.shares.tolist(), "errors": s.errors.tolist()} for s in every]
        print_json({"similarity": similarity, "mean": share, "schedules": entries, "steps": table})
        return
    print_line(f"similarity {similarity:g}, {hidden} hidden units, rate {lr:g}, alpha {alpha:g}; {share:.0%} of the steps replay")
    rows = [[s.name, *(f"{value:.4f}" for value in s.errors[-1]), f"{s.loss:.4f}", _shares(s.shares)] for s in every]
    print_table(("replay", "first task", "second task", "sum", "share by segment, %"), rows)
    if out is not None:
        print_line(f"wrote {out}: {samples:,} new samples, {sum(table):,} replayed ones")


def _shares(shares: Array) -> str:
    return " ".join(f"{100 * share:.0f}" for share in shares)


def _header(table: Sequence[int], best: Schedule) -> str:
    """The table as C."""
    lines = [", ".join(map(str, table[first : first + 32])) for first in range(0, len(table), 32)]
    numbers, (first_error, second_error) = ",\n    ".join(lines), best.errors[-1]
    return f"""/* edgeff: stored samples to learn after each new one, by optimal control.
 * Errors in the end, in theory: first task {first_error:.4f}, second task {second_error:.4f}. */
#include <stdint.h>

static const uint8_t replay_steps[{len(table)}] = {{
    {numbers}
}};
"""
