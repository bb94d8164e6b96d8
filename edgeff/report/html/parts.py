"""The building blocks of the page's sections: figures, badges, and a list that shows one panel at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from edgeff.report.figures import Figure
from edgeff.report.style import CONTROL, rule_look


@dataclass(frozen=True)
class Codes:
    """What the filters of a page choose from: the names of each kind (task, network, ...) in the order of its list."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def marks(self, **of: str) -> str:
        """The attributes of what belongs to the given names, each with a blank before it; a kind with one name needs none.

        >>> Codes({"rule": ("bp", "ff"), "task": ("digits",)}).marks(rule="ff", task="digits")
        ' data-rule="1"'
        """
        several = {kind: names for kind, names in self.names.items() if len(names) > 1}
        return "".join(f' data-{kind}="{several[kind].index(name)}"' for kind, name in of.items() if name in several.get(kind, ()))


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


def over_cell(name: str, columns: int) -> str:
    """The heading above a group of columns; empty for columns without one."""
    if not name:
        return f'<td colspan="{columns}"></td>'
    return f'<th colspan="{columns}" scope="colgroup" class="first"><span class="heading">{escape(name)}</span></th>'


def badges(kinds: Sequence[str]) -> str:
    """The kinds of evidence below the heading of a column."""
    return " ".join(f'<span class="kind {kind}">{kind}</span>' for kind in kinds)


def swatch(rule: str) -> str:
    """A square in the colour of a rule; the control's is hollow."""
    colour, _ = rule_look(rule)
    style = f'class="swatch hollow" style="border-color:{colour}"' if rule == CONTROL else f'class="swatch" style="background:{colour}"'
    return f"<span {style}></span>"
