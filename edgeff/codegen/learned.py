"""A folder of exported C -> what each model in it says of its saved states: ``eff_learned``, read from the text of ``model.c``.

Refused: a folder without a model that edgeff exported with training.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeff.codegen.neighbours import MODEL, is_generated
from edgeff.errors import BadInput
from edgeff.program.state import Learned

_LEARNED = re.compile(
    r"""const\ eff_state\ \w+\ =\ \{
    \s*\.hash\ =\ \{UINT32_C\(0x([0-9A-F]{8})\),\ UINT32_C\(0x([0-9A-F]{8})\)\},
    .*?\.bytes\ =\ (\d+),""",
    re.DOTALL | re.VERBOSE,
)
_FLOATS = re.compile(r"static const uint32_t eff_floats\[\d+\] = \{([\d, ]+)\};")


def learned_in(folder: Path) -> dict[str, Learned]:
    """What the models of ``folder`` say of their states, by the name of their C file. Raises BadInput where none saves any."""
    models = {}
    for header in sorted(path for path in folder.glob(MODEL) if is_generated(path)):
        source = header.with_suffix(".c")
        text = source.read_text(encoding="utf-8", errors="replace") if source.is_file() else ""
        if learned := _LEARNED.search(text):
            low, high, payload_bytes = int(learned[1], 16), int(learned[2], 16), int(learned[3])
            floats = _FLOATS.search(text)
            ends = [int(word) for word in floats[1].split(",")] if floats else []
            models[source.name] = Learned(low | high << 32, payload_bytes, tuple(zip(ends[::2], ends[1::2], strict=True)))
    if not models:
        raise BadInput(
            f"folder '{folder}'",
            got="no model whose C saves what it learns",
            allowed="a folder of edgeff export --to c --with-training",
        )
    return models
