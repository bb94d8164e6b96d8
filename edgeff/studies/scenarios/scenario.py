"""What a scenario says of itself: its network, and its data before and after the world changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from edgeff.ir import Array
from edgeff.registry import tasks
from edgeff.tasks import Data, standardised

RATES = (1.0, 1 / 4, 1 / 16, 4.0)
"""Shares of a rule's own rate that are tried before a device learns; of those that do equally well, the first."""
LOW_RATES = (1 / 4, 1 / 16, 1 / 64, 1 / 256)
"""As many for convolutions on whole pictures, where a filter's gradient is a sum over many places and the rules' own rates are too high."""


@dataclass(frozen=True)
class Parts:
    """The data of one case: ``known``, what the model is trained and tested on before it is shipped; ``x`` (n, inputs) and ``y`` (n,),
    what the device learns from afterwards; ``x_new`` and ``y_new``, unseen samples of the changed world. ``case`` names it. ``model`` draws
    the first weights of the shipped model, the case's seed by default: cases with the same data before the change can share one.
    """

    case: str
    known: Data
    x: Array
    y: Array
    x_new: Array
    y_new: Array
    model: int | None = None


@dataclass(frozen=True)
class Scenario:
    """A change of the world, ``summary``; the ``network`` that is shipped, trained for ``epochs``, and the ``passes`` over the samples with
    which a device learns. ``cases`` is how many different changes the data hold: a seed picks one, and draws. ``rates`` are tried.
    """

    name: str
    summary: str
    network: str
    epochs: int
    passes: int
    cases: int
    parts: Callable[[int], Parts]
    rates: tuple[float, ...] = RATES


@lru_cache(maxsize=2)
def loaded(task: str) -> Data:
    """The data of a task in its first split, read once for all cases."""
    found: Data = tasks[task].load(0)
    return found


def scaled(parts: Parts) -> Parts:
    """``parts`` with inputs standardised by the mean and deviation of what the model is trained on, those of the changed world too."""
    known, places = parts.known, np.cumsum([len(parts.known.x_test), len(parts.x)])
    all_of = replace(known, x_test=np.concatenate([known.x_test, parts.x, parts.x_new]))
    made = standardised(all_of)
    x_test, x, x_new = np.split(made.x_test, places)
    return replace(parts, known=replace(made, x_test=x_test), x=x, x_new=x_new)
