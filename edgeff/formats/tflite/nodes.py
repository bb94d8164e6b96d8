"""The table of the TFLite operators that edgeff reads: those that belong to no edgeff operator, and what ``ops/<op>/tflite.py`` reads."""

from __future__ import annotations

from edgeff.formats import operators
from edgeff.formats.tflite import constants, padding, variables
from edgeff.formats.tflite.operators import Handler

SHARED = constants.READERS | padding.READERS | variables.READERS


def handlers() -> dict[str, Handler]:
    """How to read each TFLite operator, by name."""
    return operators.readers("tflite", SHARED)
