"""Traces -> ``report.html``: one self-contained page without any external request.

Its content security policy forbids every request, and every script except the two whose SHA-256 it names: an external name cannot become
code. plotly.js and the figures are compressed (RFC 1950, in base64); the page's own script expands them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from edgeff.ir import Trace
from edgeff.report.html.choices import choices_section, chosen_by, codes_of
from edgeff.report.html.header import header, title
from edgeff.report.html.known import evidence, versions_footer
from edgeff.report.html.parts import Page
from edgeff.report.html.pictures import accuracy_section, costs_section, curves_section, inside_section
from edgeff.report.html.results import boards_section, comparison_section, refused_section, results
from edgeff.report.record import Versions

_FOLDER = Path(__file__).parent


def page(traces: Sequence[Trace], versions: Versions | None = None) -> str:
    """The page of the traces as text. About 2 MB of plotly.js, and about 1.5 kB for each of many runs."""
    parts = Page()
    sections = [header(traces)]
    if traces:
        chosen = chosen_by(traces)
        codes = codes_of(chosen)
        sections.append(choices_section(chosen, codes, parts))
        compared = comparison_section(traces, parts, codes)
        sections += [compared or boards_section(traces, codes) + results(traces, codes), refused_section(traces)]
        sections += ["" if chosen else accuracy_section(traces, parts), curves_section(traces, parts), costs_section(traces, parts)]
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
        figures=_compressed(json.dumps(parts.figures, separators=(",", ":"), allow_nan=False)),
        plotly=_compressed_plotly(),
        script=script,
    )


def _compressed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


@cache
def _compressed_plotly() -> str:
    return _compressed(_plotly())


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
