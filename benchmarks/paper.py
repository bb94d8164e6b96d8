"""Every figure as SVG and every table as LaTeX, from results: ``python benchmarks/paper.py [FOLDER]`` (``make paper``) -> ``runs/paper``.

The tables are those of docs/results between their markers, which ``tables.py --check`` holds to the results; ``tables/NAME.tex`` is a
``tabular`` that needs no package, and ``tables.tex`` a document of all of them, page by page. Figures: those of docs/pictures, and one for
each experiment of the founding papers that has a curve.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import tables_founding
from results import load

from edgeff.bench.statistics import summary
from edgeff.report.style import rule_look

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "results"
SECTION = re.compile(r"<!-- begin:(\w+) -->\n(.*?)<!-- end:\1 -->", re.DOTALL)
LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 56, 150, 40, 48
LEAST_APART = 14
"""Pixels between the names at the ends of lines."""
Series = Mapping[str, Sequence[tuple[float, float]]]


def latex(text: str) -> str:
    """A cell or heading of Markdown as LaTeX: bold stays, code and links become plain text."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")
    parts = re.split(r"(\*\*[^*]+\*\*)", plain)
    shown = ["".join(LATEX.get(character, character) for character in part.strip("*")) for part in parts]
    return "".join(rf"\textbf{{{word}}}" if part.startswith("**") else word for part, word in zip(parts, shown, strict=True))


def tabular(lines: Sequence[str]) -> str:
    """A Markdown table, its lines from the heading on, as a ``tabular``."""
    heads, rule, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    columns = "".join("r" if cell.endswith(":") else "l" for cell in rule)
    body = [" & ".join(map(latex, row)) + r" \\" for row in (heads, *rows)]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\hline", body[0], r"\hline", *body[1:], r"\hline", r"\end{tabular}", ""])


def tables_of(section: str) -> Iterator[str]:
    """The tables of a section, as LaTeX; what stands between them is left out."""
    part: list[str] = []
    for line in [*section.splitlines(), ""]:
        if line.startswith("|"):
            part.append(line)
        elif part:
            yield tabular(part)
            part = []


def line_chart(title: str, unit: str, names: Sequence[str], series: Series, low: float, high: float) -> str:
    """An SVG of lines: ``names`` of the places on the x axis, each series (place, y), y in per cent between ``low`` and ``high``."""

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / len(names)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14" fill="#1f2328">{escape(title)}</text>',
    ]
    for tick in range(int(low), int(high) + 1, 20):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#eceef0"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#5f6770">{tick} %</text>')
    for place, name in enumerate(names):
        parts.append(f'<text x="{x(place):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" fill="#5f6770">{escape(name)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle" fill="#5f6770">{escape(unit)}</text>')
    ends = sorted((y(points[-1][1]), name) for name, points in series.items() if points)
    heights = [end for end, _ in ends]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + LEAST_APART)
    for name, points in series.items():
        colour = rule_look(re.split(r"[+, ]", name)[0])[0]
        dash = ' stroke-dasharray="4 3"' if re.search(r"[+,]", name) else ""
        for (x0, y0), (x1, y1) in pairwise(points):
            parts.append(
                f'<line x1="{x(x0):.1f}" y1="{y(y0):.1f}" x2="{x(x1):.1f}" y2="{y(y1):.1f}" stroke="{colour}" stroke-width="2"{dash}/>'
            )
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
    for (_, name), height in zip(ends, heights, strict=True):
        colour = rule_look(re.split(r"[+, ]", name)[0])[0]
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{height + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def depth() -> str:
    """Accuracy against depth, a line a way: the mean over the seeds that ended, at depths where most of them did."""
    by = tables_founding.depth_results()
    networks, ways = (list(dict.fromkeys(key[place] for key in by)) for place in (0, 1))
    series: dict[str, list[tuple[float, float]]] = {}
    for way in ways:
        over = [summary(by[network, way]) for network in networks]
        series[way] = [(place, sum(one.values) / len(one.values)) for place, one in enumerate(over) if len(one.values) > one.diverged]
    names = [str(network.count("-")) for network in networks]
    return line_chart("Digits, hidden layers of 32 units: accuracy by depth", "layers with weights", names, series, 60, 100)


def tangents() -> str:
    """Accuracy against the count of directions, a line each way to combine them, beside the controls."""
    rows = load("tangents")["rows"]
    counts = sorted({row["key"][2] for row in rows} - {0})
    by: dict[str, dict[int, dict[int, float | None]]] = {}
    for row in rows:
        rule, projection, count, seed = row["key"]
        name = f"forward_gradient, {projection}" if projection else rule
        for place in [count] if count else counts:
            by.setdefault(name, {}).setdefault(place, {})[seed] = row["accuracy"]
    series = {
        name: [
            (counts.index(count), sum(over.values) / len(over.values))
            for count, one in sorted(own.items())
            if (over := summary(one)).values
        ]
        for name, own in by.items()
    }
    return line_chart("Digits, two convolutions: accuracy by tangents", "tangents per step", [str(c) for c in counts], series, 0, 100)


FIGURES = {"depth": depth, "tangents": tangents}


def write(folder: Path) -> list[Path]:
    """Writes figures and tables into ``folder``; what they are of must have been measured. Returns the files."""
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    made = [Path(shutil.copy(picture, folder / "figures" / picture.name)) for picture in sorted((ROOT / "docs" / "pictures").glob("*.svg"))]
    for name, draw in FIGURES.items():
        if load(name).get("rows"):
            made.append(folder / "figures" / f"{name}.svg")
            made[-1].write_text(draw(), encoding="utf-8")
    document = [r"\documentclass{article}", r"\usepackage[landscape,margin=1cm]{geometry}", r"\begin{document}\tiny"]
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        document.append(rf"\section{{{latex(text.partition(chr(10))[0].lstrip('# '))}}}")
        for section in SECTION.finditer(text):
            for number, table in enumerate(tables_of(section[2]), 1):
                made.append(folder / "tables" / (section[1] + (f"_{number}" if number > 1 else "") + ".tex"))
                made[-1].write_text(table, encoding="utf-8")
                document.append(rf"\subsection*{{{latex(made[-1].stem)}}}\input{{tables/{made[-1].name}}}")
    made.append(folder / "tables.tex")
    made[-1].write_text("\n".join([*document, r"\end{document}", ""]), encoding="utf-8")
    return made


if __name__ == "__main__":
    files = write(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "runs" / "paper")
    figures = sum(file.suffix == ".svg" for file in files)
    print(f"{figures} figures and {len(files) - figures - 1} tables in {files[-1].parent}")
