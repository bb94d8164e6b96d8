"""The page of ``edgeff theory``: equations and simulation, in the style of the reports."""

from __future__ import annotations

from html import escape

from edgeff.report.figures.theory import alignment_figure, beyond_figure, distance_figure, error_figure, line_name
from edgeff.report.html import document
from edgeff.report.html.known import versions_footer
from edgeff.report.html.parts import Page
from edgeff.report.record import Versions
from edgeff.studies.theory.comparison import Comparison

TITLE = "Learning from the top down: equations and simulation"


def theory_page(comparison: Comparison, versions: Versions | None = None) -> str:
    """The page as text, about 2 MB, nearly all of it plotly.js."""
    parts = Page()
    hidden, teacher, seeds = len(comparison.start.v), len(comparison.start.teacher_v), len(comparison.lines[0].simulated)
    lede = (
        f"A student of {hidden} erf units learns from a teacher of {teacher}, one sample per step at learning rate {comparison.lr:g}, by "
        "adaptive feedback alignment (AFA) and by PEPITA with its two forward passes. Lines are differential equations in the limit of "
        f"many inputs; marks are simulation with {comparison.n:,}, the mean of {seeds} seeds that start from the same order parameters."
    )
    sections = [f'<header><p class="kicker">edgeff theory</p><h1>{escape(TITLE)}</h1><p>{escape(lede)}</p></header>', _table(comparison)]
    pictures = [
        (
            "Generalisation error",
            "Bars are one standard deviation over the seeds. Dotted: gradient descent, and the control, whose hidden layer is fixed.",
            error_figure(comparison),
        ),
        ("Simulation against its equations", "The dashed line is at 5 %.", distance_figure(comparison)),
    ]
    if len(comparison.lines) > 1:
        pictures.append(
            ("PEPITA against AFA", "On the same samples. The equations are of first order in PEPITA's scale.", beyond_figure(comparison))
        )
    pictures.append(
        (
            "Alignment",
            "The feedback D to the hidden units and the second layer v, which gradient descent would feed back; v must turn first.",
            alignment_figure(comparison),
        )
    )
    sections += [
        f'<section><h2>{escape(head)}</h2><p class="muted small">{escape(text)}</p><figure>{parts.picture(figure, head)}</figure></section>'
        for head, text, figure in pictures
    ]
    sections.append(versions_footer(versions or {}))
    return document(TITLE, sections, parts)


def _table(comparison: Comparison) -> str:
    heads = (
        "Rule",
        "Largest distance to its equations",
        "Largest deviation over seeds",
        "Largest distance to AFA",
        "Error at the end",
        "by equations",
    )
    rows = "".join(
        f"<tr><td>{escape(line_name(line))}</td>"
        + "".join(
            f'<td class="figure">{text}</td>'
            for text in (
                f"{100 * line.relative_error.max():.2f} %",
                f"{100 * (line.deviation / line.theory.errors).max():.2f} %",
                f"{100 * comparison.beyond_afa(line).max():.2f} %",
                f"{line.mean[-1]:.5f}",
                f"{line.theory.errors[-1]:.5f}",
            )
        )
        + "</tr>"
        for line in comparison.lines
    )
    top = "".join(f'<th scope="col" class="{"figure" if index else ""}">{head}</th>' for index, head in enumerate(heads))
    return f'<section><div class="wide"><table class="plain"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div></section>'
