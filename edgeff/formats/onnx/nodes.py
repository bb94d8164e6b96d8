"""The table of the ONNX operators that edgeff reads: those that belong to no edgeff operator, and what ``ops/<op>/onnx.py`` reads."""

from __future__ import annotations

from edgeff.formats import operators
from edgeff.formats.onnx import constants, padding, quantised
from edgeff.formats.onnx.reading import Handler

SHARED = constants.READERS | padding.READERS | quantised.READERS


def handlers() -> dict[str, Handler]:
    """How to read each ONNX operator, by name."""
    return operators.readers("onnx", SHARED)
