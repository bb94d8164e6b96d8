"""The building blocks of the page's sections: figures, badges, and a list that shows one panel at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from edgeff.report.figures import Figure


@dataclass
class Page:
    """The figures of a page by name, collected while its sections are written."""

    figures: dict[str, Figure] = field(default_factory=dict)

    def picture(self, figure: Figure, label: str) -> str:
        """The placeholder of a figure in the page; ``label`` describes it for a screen reader."""
        name = f"figure-{len(self.figures) + 1}"
        self.figures[name] = figure
        height = int(figure["layout"]["height"])
        return f'<div class="picture" data-figure="{name}" role="img" aria-label="{escape(label)}" style="min-height:{height}px"></div>'


def badge(kind: str) -> str:
    """A kind of evidence, marked as such."""
    return f'<span class="badge {kind}">{kind}</span>'


def choice(name: str, label: str, options: Sequence[tuple[str, str, str]]) -> str:
    """One panel of HTML at a time, chosen from a list: ``options`` are (group, name, panel). A single one is shown without a list."""
    if len(options) == 1:
        return options[0][2]
    texts, previous = [], None
    for group, text, _ in options:
        if group and group != previous:
            texts.append(f'{"</optgroup>" if previous else ""}<optgroup label="{escape(group)}">')
        previous = group
        texts.append(f"<option>{escape(text)}</option>")
    texts.append("</optgroup>" if previous else "")
    panels = "".join(
        f'<div data-panel="{name}"{"" if index == 0 else " hidden"}>{panel}</div>' for index, (_, _, panel) in enumerate(options)
    )
    select = f'<select id="{name}" data-choice="{name}" autocomplete="off">{"".join(texts)}</select>'
    return f'<div class="choice"><label for="{name}">{escape(label)}</label>{select}</div>{panels}'
