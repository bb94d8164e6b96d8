"""The definitions, calls and includes of edgeff's C text: enough to tell which files a build needs, without a parser."""

from __future__ import annotations

import re

_DEFINED = re.compile(r"^(?!static\b)\w[\w ]*[ *](eff_\w+)\(", re.MULTILINE)
_CALLED = re.compile(r"\b(eff_\w+)\(")
_INCLUDED = re.compile(r'^#include "(\w+\.h)"', re.MULTILINE)


def defined(text: str) -> list[str]:
    """The functions whose definition or prototype begins a line, without static ones.

    >>> defined("void eff_add(int n)\\n{\\n    eff_sub(n);\\n}\\n")
    ['eff_add']
    """
    return _DEFINED.findall(text)


def called(text: str) -> set[str]:
    """Every function that is called, defined or declared."""
    return set(_CALLED.findall(text))


def included(text: str) -> list[str]:
    """The headers included in quotes.

    >>> included('#include <stdint.h>\\n#include "edgeff.h"')
    ['edgeff.h']
    """
    return _INCLUDED.findall(text)
