"""The lines of a program in readers' words."""

from __future__ import annotations

_TITLES = {"infer": "inference", "learn": "learning step"}


def line_title(name: str) -> str:
    """The words for well-known lines, else the name itself.

    >>> line_title("learn"), line_title("embed")
    ('learning step', 'embed')
    """
    return _TITLES.get(name, name)
