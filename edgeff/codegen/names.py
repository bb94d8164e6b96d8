"""Names, texts and numbers as C: identifiers and comments that a user's names cannot break, literals that keep every bit, prefixes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array

LONGEST = 48
WIDEST_LINE = 132
PREFIX = "eff_"
"""The default prefix of a model's names. Kernel names always begin with it."""

_PREFIX = re.compile(r"(?!_|(?i:eff_))(?!.*__)[A-Za-z_][A-Za-z0-9_]{0,30}")
_NAME = re.compile(r"\b(eff|EFF)_(\w+)|\bmodel(?=\.[ch]\b)")


def check_prefix(prefix: str) -> str:
    """``prefix``, checked as the prefix of a model's names: ``eff_`` or the beginning of a C identifier that no compiler or kernel uses.

    Raises BadInput otherwise.
    """
    if prefix != PREFIX and not _PREFIX.fullmatch(prefix):
        raise BadInput(
            "prefix",
            got=repr(prefix),
            allowed="up to 31 letters, digits and single _, a letter first, not eff_...",
            next_step="name it after the model, with a _ at its end: wake_",
        )
    return prefix


def file_prefix(prefix: str) -> str:
    """The prefix of the names of a model's files: empty for ``eff_``, whose header is ``model.h``."""
    return "" if prefix == PREFIX else prefix


def names_in(text: str) -> set[str]:
    """Every name in C text that begins with ``eff_`` or ``EFF_``."""
    return {match.group() for match in _NAME.finditer(text) if match.group(1)}


def prefixed(text: str, prefix: str, names: set[str]) -> str:
    """C text whose ``names``, and whose ``model.c`` and ``model.h``, begin with ``prefix``; macros with ``prefix`` in capitals.

    >>> prefixed('#include "model.h" /* eff_clamp, EFF_INPUTS */', "wake_", {"EFF_INPUTS"})
    '#include "wake_model.h" /* eff_clamp, WAKE_INPUTS */'
    """

    def change(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return file_prefix(prefix) + match.group()
        if match.group() not in names:
            return match.group()
        return (prefix if match.group(1) == "eff" else prefix.upper()) + match.group(2)

    return _NAME.sub(change, text)


def identifiers(names: Iterable[str], prefix: str) -> dict[str, str]:
    """A C identifier for each name: ``prefix`` and the name with every other character replaced by ``_``, numbered if two would clash.

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


def literal(value: float | np.generic, dtype: str) -> str:
    """One number as C text that keeps every bit: floats in hexadecimal.

    >>> literal(0.1, "float32"), literal(-(2**31), "int32")
    ('0x1.99999ap-4f', '(-2147483647 - 1)')
    """
    if dtype == "float32":
        mantissa, _, exponent = float(np.float32(value)).hex().partition("p")
        return f"{mantissa.rstrip('0') if '.' in mantissa else mantissa}p{exponent}f".replace(".p", ".0p")
    number = int(value)
    if dtype == "int64":
        return f"INT64_C({number})"
    if dtype == "uint32":
        return f"{number}u"
    return f"(-{-number - 1} - 1)" if number == -(2**31) else str(number)


def initialiser(values: Array, dtype: str, indent: int = 0) -> str:
    """The initialiser of an array of any shape, flattened: on one line if it is short, else in columns, indented by ``indent`` spaces.

    >>> import numpy as np
    >>> initialiser(np.array([3, -1], np.int8), "int8")
    '{3, -1}'
    """
    texts = [literal(value, dtype) for value in values.reshape(-1)]
    if sum(map(len, texts)) + 2 * len(texts) < 72:
        return f"{{{', '.join(texts)}}}"
    width = max(map(len, texts))
    columns = max((WIDEST_LINE - 20 - indent) // (width + 2), 1)
    rows = (", ".join(text.rjust(width) for text in texts[first : first + columns]) for first in range(0, len(texts), columns))
    margin = " " * indent
    return "{\n" + ",\n".join(f"{margin}    {row}" for row in rows) + f"\n{margin}}}"


def statement(function: str, arguments: Sequence[str]) -> str:
    """A call as a statement inside a function's body; one too long for a line continues below, after its bracket.

    >>> statement("f", ["x", "1"])
    '    f(x, 1);'
    """
    line = f"    {function}("
    margin = " " * len(line)
    lines: list[str] = []
    for index, argument in enumerate(arguments):
        text = argument + (", " if index + 1 < len(arguments) else ");")
        if len(line) + len(text.rstrip()) > WIDEST_LINE and line.strip():
            lines.append(line.rstrip())
            line = margin
        line += text
    return "\n".join([*lines, line])


def braced(start: str, fields: Sequence[str]) -> str:
    """A declaration with the initialisers ``fields``; one too long for a line continues below, indented.

    >>> braced("static const eff_matrix m = ", [".n_out = 2", ".n_in = 3"])
    'static const eff_matrix m = {.n_out = 2, .n_in = 3};'
    """
    line = f"{start}{{{', '.join(fields)}}};"
    if len(line) <= WIDEST_LINE:
        return line
    return start + "{\n" + textwrap.fill(", ".join(fields) + "};", WIDEST_LINE, initial_indent="    ", subsequent_indent="    ")
