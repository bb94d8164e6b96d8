"""Cycle models: which core comes in, a model of its cycles goes out. One core a file, named as the core is, that defines ``MODEL``.

Every model is of zero wait states: what flash and its cache add is not modelled, and the model's notes say so.
"""

from __future__ import annotations

import importlib
import pkgutil

from edgeff.device.cores.model import CycleModel
from edgeff.errors import Unsupported

__all__ = ["CycleModel", "model_for"]


def model_for(core: str) -> CycleModel:
    """The cycle model of a core as a board file names it. Raises Unsupported on a core without a model.

    >>> model_for("cortex-m4").evidence
    'modelled, validated +-20 %'
    """
    modules = {m.name.replace("_", "-"): m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("cortex_")}
    if core not in modules:
        raise Unsupported("no cycle model for this core", got=repr(core), allowed=", ".join(sorted(modules)))
    model: CycleModel = importlib.import_module(f"{__name__}.{modules[core]}").MODEL
    return model
