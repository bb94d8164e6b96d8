"""Models under attack -> a page: accuracy against epsilon, the figures, the gradients and the effect of examples on other models."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgeff.report.figures.robustness import accuracy_against_epsilon
from edgeff.report.html import document
from edgeff.report.html.known import versions_footer
from edgeff.report.html.parts import Page
from edgeff.report.record import Versions
from edgeff.report.style import UNKNOWN, markup, shown
from edgeff.studies.attack import Attack
from edgeff.studies.attack.gradients import TOLERANCE


def attack_page(attack: Attack, versions: Versions | None = None) -> str:
    """The self-contained page as text."""
    parts = Page()
    heading = f"{', '.join(shown(run.model, 40) for run in attack.runs)} on {shown(attack.task)} under attack"
    figure = parts.picture(accuracy_against_epsilon(attack), "accuracy against epsilon under FGSM and PGD")
    sections = [_header(attack, heading), f"<section><h2>Accuracy against epsilon</h2><figure>{figure}</figure></section>"]
    sections += [_figures(attack), _gradients(attack), _carried(attack), versions_footer(versions or {})]
    return document(heading, sections, parts)


def _header(attack: Attack, heading: str) -> str:
    low, high = attack.span
    losses = " and of the ".join(attack.settings.losses)
    worst = ", each sample under the one that fools it" if len(attack.settings.losses) > 1 else ""
    start = "a random place" if attack.settings.random_start else "the centre"
    return f"""<header><p class="kicker">edgeff attack</p><h1>{escape(heading)}</h1>
<p>The share of samples classified correctly when every input may be moved by epsilon times its range, {low:g} to {high:g}, within that
range. Samples are moved along float64 gradients of the {escape(losses)}{worst}: FGSM in one step, PGD in {attack.settings.steps} from
{start} of the ball.</p></header>"""


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], texts: int = 1) -> str:
    """A table whose first ``texts`` columns are texts, the others figures."""
    kinds = ["" if index < texts else ' class="figure"' for index in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{markup(text)}</th>' for text, kind in zip(heads, kinds, strict=True))
    cells = ("".join(f"<td{kind}>{markup(str(value))}</td>" for value, kind in zip(row, kinds, strict=True)) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="wide"><table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figures(attack: Attack) -> str:
    heads = ("Model", "Rule", "Epsilon", "Unmoved", "FGSM", "PGD", "Cross-entropy, float64", "Cross-entropy, float32", "Random signs")
    rows = [
        [run.model, run.rule or UNKNOWN, f"{point.epsilon:g}", *map(_percent, shares)]
        for run in attack.runs
        for point in run.sweep.points
        for shares in [(run.sweep.natural, point.fgsm, point.pgd, point.fgsm_float64, point.fgsm_float32, point.noise)]
    ]
    return f"""<section><h2>Figures</h2>
<p>In per cent. Cross-entropy: FGSM of that loss alone, by its float64 gradient and by the one through the softmax in float32, which loses
precision where the model is certain and makes it look better. Random signs: every input moved by epsilon up or down at random; if an attack
is no better, its gradient carries no information.</p>
{_table(heads, rows, 2)}</section>"""


def _gradients(attack: Attack) -> str:
    heads = ("Model", "Samples", "All zero", "Any sign differs", "Signs that differ", "Probes", "Conclusive", "Largest error", "Check")
    rows = []
    for run in attack.runs:
        narrow, check = run.sweep.float32, run.sweep.check
        shares = map(_percent, (narrow.zero, narrow.sign, narrow.entries))
        outcome = (f"{check.probes:,}", f"{check.conclusive:,}", f"{check.largest_error:.1e}", "holds" if check.ok else "does not hold")
        rows.append([run.model, f"{run.sweep.samples:,}", *shares, *outcome])
    return f"""<section><h2>Gradients</h2>
<p>The float32 gradient through the softmax compared with the float64 one, in per cent of the samples and of the inputs. The check: float64
gradients against central differences at single inputs, the error as a share of the sample's largest entry (at most {TOLERANCE:g});
a probe at a kink of the network is not conclusive.</p>{_table(heads, rows)}</section>"""


def _carried(attack: Attack) -> str:
    if not attack.carried:
        return ""
    rows = [[entry.source, entry.victim, f"{entry.epsilon:g}", _percent(entry.fgsm), _percent(entry.pgd)] for entry in attack.carried]
    return f"""<section><h2>Examples made on another model</h2>
<p>Accuracy in per cent of a model on the examples made on another. A model that only hides its gradient does worse here than on its
own.</p>{_table(("Made on", "Put to", "Epsilon", "FGSM", "PGD"), rows, 2)}</section>"""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
