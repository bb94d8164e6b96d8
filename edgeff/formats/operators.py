"""The parts of the registered operators for a model format: the module ``onnx``, ``tflite`` or ``keras`` beside an operator.

Such a module is imported when a file of its format is first read or written, so the operators themselves need neither onnx nor the
TFLite schema. It may hold

- ``READERS``: the foreign operators that become this one, by name, each with the format's ``Handler``. What belongs to no operator
  (constants, scales, shapes) is read by the format itself. A foreign operator has one reader; if it may become several layers, its owner
  is the one that it usually becomes, which delegates;
- ``write(graph, layer)``, which adds the layer to the format's ``Graph``, or ``REFUSED``: one line for the user on why there is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Layer, Network
from edgeff.registry import ops

Handler = TypeVar("Handler")


def readers(form: str, shared: Mapping[str, Handler]) -> dict[str, Handler]:
    """The readers of a format (``"onnx"``, ``"tflite"``): ``shared``, its own, and those of every operator.

    Raises BadInput if two of them claim one foreign operator.
    """
    table, owners = dict(shared), dict.fromkeys(shared, f"edgeff.formats.{form}")
    for op, own in parts(form, "READERS"):
        for name, handler in own.items():
            if name in table:
                raise BadInput(f"the reader of {form} operator {name}", got=f"{op} beside {owners[name]}", allowed="one reader")
            table[name], owners[name] = handler, op
    return table


def writers(network: Network, form: str, title: str) -> dict[str, Callable[[Any, Layer], None]]:
    """How to write each operator to a format, by the operator's name; ``title`` is the format's name for messages.

    Raises Unsupported, naming the layer and the operator's own reason, if ``network`` has one that the format cannot hold.
    """
    table, reasons = dict(parts(form, "write")), dict(parts(form, "REFUSED"))
    for layer in network:
        if layer.kind not in table:
            allowed = f"in {title} files {', '.join(sorted(table))}"
            reason = reasons.get(layer.kind, f"it has no {form}.py with a writer")
            raise Unsupported(f"layer {short(layer.name)}", got=f"kind {short(layer.kind)}", allowed=allowed, next_step=reason)
    return table


def parts(form: str, name: str) -> Iterator[tuple[str, Any]]:
    """Each operator whose module for ``form`` (``"onnx"``, ``"tflite"``, ``"keras"``) has ``name``, and what it has there."""
    for op, item in ops.items():
        module = _module(item.__module__, form)
        if hasattr(module, name):
            yield op, getattr(module, name)


@cache
def _module(home: str, form: str) -> ModuleType | None:
    """The module for ``form`` in the folder of the operator that the module ``home`` registers; None if there is none."""
    name = f"{home}.{form}"
    if not hasattr(sys.modules[home], "__path__") or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)
