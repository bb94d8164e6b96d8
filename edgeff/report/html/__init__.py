"""Traces -> ``report.html``: one self-contained page without any external request.

Its content security policy forbids every request, and every script except the two whose SHA-256 it names: an external name cannot become
code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from edgeff.ir import Trace
from edgeff.report.html.header import header, title
from edgeff.report.html.known import evidence, versions_footer
from edgeff.report.html.parts import Page
from edgeff.report.html.pictures import accuracy_section, costs_section, curves_section, inside_section
from edgeff.report.html.results import boards_section, comparison_section, refused_section, results
from edgeff.report.record import Versions

_FOLDER = Path(__file__).parent


def page(traces: Sequence[Trace], versions: Versions | None = None) -> str:
    """The page of the traces as text. About 5 MB, nearly all of it plotly.js."""
    parts = Page()
    sections = [header(traces)]
    if traces:
        compared = comparison_section(traces, parts)
        sections += [compared or boards_section(traces) + results(traces), refused_section(traces)]
        sections += [accuracy_section(traces, parts), curves_section(traces, parts), costs_section(traces, parts)]
        sections += [inside_section(traces, parts), evidence(traces)]
    sections.append(versions_footer(versions or {}))
    return document(title(traces), sections, parts)


def document(heading: str, sections: Sequence[str], parts: Page) -> str:
    """A page called ``heading`` with sections of HTML, without the empty ones, and the pictures that ``parts`` collected for them."""
    plotly, script = _plotly(), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src {_fingerprint(plotly)} {_fingerprint(script)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; form-action 'none'; base-uri 'none'"
    )
    return Template(_asset("template.html")).substitute(
        policy=escape(policy),
        title=escape(heading),
        style=_asset("page.css"),
        content="\n".join(filter(None, sections)),
        figures=_inline_json(parts.figures),
        plotly=plotly,
        script=script,
    )


def _inline_json(content: object) -> str:
    """JSON that is safe inside a script element: no character can end the element or begin a comment."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _asset(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()


@cache
def _plotly() -> str:
    """plotly.js of the installed plotly, with line ends as a browser normalises them, which the fingerprint needs."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source.replace("\r\n", "\n").replace("\r", "\n")


@cache
def _fingerprint(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
