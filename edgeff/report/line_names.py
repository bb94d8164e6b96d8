"""What readers call a line of a program."""

from __future__ import annotations

_TITLES = {"infer": "inference", "learn": "learning step"}


def line_title(name: str) -> str:
    """The words for the lines that every reader knows, the name itself for any other.

    >>> line_title("learn"), line_title("embed")
    ('learning step', 'embed')
    """
    return _TITLES.get(name, name)
