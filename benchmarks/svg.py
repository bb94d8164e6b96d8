"""The shapes of which the pictures of docs/pictures are made: SVG without script, readable on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgeff.report.style import INK


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = INK, size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(words)}</text>'


def line(x0: float, y0: float, x1: float, y1: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{more}/>'


def square(x: float, y: float, side: float, colour: str) -> str:
    return f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:g}" height="{side:g}" fill="{colour}"/>'


def circle(x: float, y: float, radius: float, colour: str, more: str = "") -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"{more}/>'


def sheet(width: int, height: int, title: str, parts: Sequence[str], left: float = 16) -> str:
    """A picture's text: its parts on white, below a title."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
    return "\n".join(
        [head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', text(left, 22, title, size=15), *parts, "</svg>", ""]
    )
