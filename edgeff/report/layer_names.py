"""Names of layers -> names short enough for tables and pictures.

Converters name a layer after everything they fused into it, joined by semicolons, each a path; the last two parts of the first path
distinguish layers. Files keep the full names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgeff.report.style import shown

MOST_CHARACTERS = 32


def short_name(name: str, limit: int = MOST_CHARACTERS) -> str:
    """The most informative part of ``name``, on one line, at most ``limit`` characters.

    >>> short_name("model/activation_1/Relu;model/batch_normalization_1/FusedBatchNormV3;model/conv2d_1/Conv2D1")
    'activation_1/Relu'
    """
    first = name.split(";", maxsplit=1)[0]
    return shown("/".join(first.split("/")[-2:]) or name, limit)


def short_names(names: Iterable[str], limit: int = MOST_CHARACTERS) -> dict[str, str]:
    """Each name with its short name; equal short names are numbered.

    >>> short_names(["a/conv/Relu", "b/conv/Relu", "dense"])
    {'a/conv/Relu': 'conv/Relu 1', 'b/conv/Relu': 'conv/Relu 2', 'dense': 'dense'}
    """
    shortened = {name: short_name(name, limit) for name in names}
    often = Counter(shortened.values())
    count: Counter[str] = Counter()
    for name, short in shortened.items():
        if often[short] > 1:
            count[short] += 1
            shortened[name] = f"{short} {count[short]}"
    return shortened
