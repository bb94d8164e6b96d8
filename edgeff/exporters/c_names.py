"""Names from a user's file as C identifiers: only letters, digits and underscores, unique, never a keyword."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 48


def identifiers(names: Iterable[str], prefix: str) -> dict[str, str]:
    """A C identifier for each name: ``prefix`` and the name with every other character replaced by ``_``, numbered where two would clash.

    >>> identifiers(["a.b", "a b", "int"], "eff_")
    {'a.b': 'eff_a_b', 'a b': 'eff_a_b_2', 'int': 'eff_int'}
    """
    given: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        base = prefix + re.sub(r"[^A-Za-z0-9]", "_", name)[:LONGEST]
        identifier, count = base, 1
        while identifier in used:
            count += 1
            identifier = f"{base}_{count}"
        used.add(identifier)
        given[name] = identifier
    return given


def comment(text: str) -> str:
    """``text`` fit for the inside of a C comment: printable ASCII that can neither end it nor continue the line.

    >>> comment("a */ b")
    'a * / b'
    """
    ascii_only = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
    return ascii_only.replace("*/", "* /").replace("/*", "/ *")[:200]
