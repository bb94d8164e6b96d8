"""The generated module of the TFLite schema, as ``schema``: the names of operators and types, and the object classes that a writer packs.

ai-edge-litert contains it; TensorFlow and tflite-micro have copies of the same file, used in that order if the first is not installed.
"""

from __future__ import annotations

import importlib
from typing import Any

from edgeff.errors import MissingTool

_HOMES = (
    "ai_edge_litert.schema_py_generated",
    "tensorflow.lite.python.schema_py_generated",
    "tflite_micro.tensorflow.lite.micro.python.schema_py_generated",
)


def _find() -> Any:
    for home in _HOMES:
        try:
            return importlib.import_module(home)
        except ImportError:
            continue
    raise MissingTool(
        "the TFLite schema module",
        got="none of the packages that contain it",
        allowed=", ".join(_HOMES),
        next_step="pip install ai-edge-litert",
    )


schema: Any = _find()


def names_of(enumeration: type) -> dict[int, str]:
    """The names of one of the schema's enumerations by number."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}
