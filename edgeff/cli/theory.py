"""``edgeff theory``: the differential equations of AFA and PEPITA compared with simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.options import OutputFile, Real, Whole, common
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from edgeff.studies.theory import Comparison

SHOWN = 11
MOST_INPUTS, MOST_SEEDS, MOST_UNITS = 100_000, 1_000, 16


@click.command("theory", epilog="Example: edgeff theory --n 1000 -o theory.html")
@click.option("--n", type=Whole(2, MOST_INPUTS), default=1000, show_default=True, help="Inputs of the simulated networks.")
@click.option("--hidden", type=Whole(1, MOST_UNITS), default=2, show_default=True, help="Hidden units of the student.")
@click.option("--teacher", type=Whole(1, MOST_UNITS), default=2, show_default=True, help="Hidden units of the teacher.")
@click.option("--lr", type=Real(0.0, 1e3), default=1.0, show_default=True, help="Learning rate.")
@click.option("--seeds", type=Whole(1, MOST_SEEDS), default=10, show_default=True, help="Simulations, all with the same start.")
@click.option("--alpha", type=Real(0.0, 1e5), default=50.0, show_default=True, help="How long they learn: samples / inputs.")
@click.option("--scale", "scales", type=Real(0.0, 10.0), multiple=True, help="A scale of PEPITA's feedback.  [default: 0.05 and 0.005]")
@click.option("-o", "--out", type=OutputFile(".html"), help="The page with the pictures to write.")
@common
def command(
    n: int,
    hidden: int,
    teacher: int,
    lr: float,
    seeds: int,
    alpha: float,
    scales: Sequence[float],
    out: Path | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Compare the theory of learning from the top down with simulation.

    A two-layer student learns from a teacher by adaptive feedback alignment (AFA), and by PEPITA at some scales of its feedback. With very
    many inputs the generalisation error follows differential equations; it is measured on networks with N inputs.
    """
    from edgeff.studies.theory import PUBLISHED_SCALE, compare

    chosen = tuple(dict.fromkeys(scales)) or (PUBLISHED_SCALE, PUBLISHED_SCALE / 10)
    with progress("AFA and PEPITA, simulated") as report:
        comparison = compare(
            n, hidden=hidden, teacher=teacher, lr=lr, seeds=seeds, alpha=alpha, feedback_scales=chosen, seed=seed or 0, report=report
        )
    if out is not None:
        from edgeff.report import installed_versions
        from edgeff.report.html.theory import theory_page

        with new_file(out) as path:
            path.write_text(theory_page(comparison, installed_versions()), encoding="utf-8")
    if as_json:
        print_json(entry(comparison) | {"seed": seed or 0})
        return
    _print(comparison)
    if out is not None:
        print_line(f"wrote {out}")


def entry(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON: arrays over ``alphas``."""
    return {
        "n": comparison.n,
        "hidden": len(comparison.start.v),
        "teacher": len(comparison.start.teacher_v),
        "lr": comparison.lr,
        "seeds": len(comparison.lines[0].simulated),
        "alphas": comparison.alphas.tolist(),
        "lines": [
            {
                "rule": line.rule,
                "feedback_scale": line.feedback_scale,
                "theory": line.theory.errors.tolist(),
                "simulation": line.mean.tolist(),
                "deviation": line.deviation.tolist(),
                "relative_error": line.relative_error.tolist(),
                "beyond_afa": comparison.beyond_afa(line).tolist(),
                "alignment": {"theory": line.theory.alignments.tolist(), "simulation": line.alignment.tolist()},
            }
            for line in comparison.lines
        ],
        "bp": comparison.bp.errors.tolist(),
        "frozen": comparison.frozen.errors.tolist(),
    }


def _print(comparison: Comparison) -> None:
    afa, *others = comparison.lines
    print_line(f"generalisation error by the equations and simulated with {comparison.n:,} inputs, mean of {len(afa.simulated)} seeds")
    places = sorted({round(i * (len(comparison.alphas) - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    headings = ["alpha", "AFA, theory", "simulation", "difference, %"]
    headings += [f"PEPITA {line.feedback_scale:g}, {what}" for line in others for what in ("theory", "simulation", "difference, %")]
    rows = [
        [
            f"{comparison.alphas[i]:.4g}",
            *(
                cell
                for line in comparison.lines
                for cell in (
                    f"{line.theory.errors[i]:.5f}",
                    f"{line.mean[i]:.5f}",
                    f"{100 * line.relative_error[i]:.2f}",
                )
            ),
            f"{comparison.bp.errors[i]:.5f}",
            f"{comparison.frozen.errors[i]:.5f}",
        ]
        for i in places
    ]
    print_table([*headings, "gradient descent, theory", "frozen control, theory"], rows)
    print_line(f"over the whole curve ({len(comparison.alphas)} points)")
    summary = [
        [
            f"PEPITA {line.feedback_scale:g}" if line.feedback_scale else "AFA",
            f"{100 * line.relative_error.max():.2f}",
            f"{100 * (line.deviation / line.theory.errors).max():.2f}",
            f"{100 * comparison.beyond_afa(line).max():.2f}" if line.feedback_scale else None,
        ]
        for line in comparison.lines
    ]
    print_table(
        ("rule", "from its theory, at most %", "deviation over seeds, at most %", "from AFA on the same samples, at most %"), summary
    )
