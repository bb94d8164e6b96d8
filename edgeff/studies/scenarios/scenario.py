"""What a scenario says of itself: its network, and its data before and after the world changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeff.ir import Array
from edgeff.tasks import Data


@dataclass(frozen=True)
class Parts:
    """The data of one case: ``known``, what the model is trained and tested on before it is shipped; ``x`` (n, inputs) and ``y`` (n,),
    what the device learns from afterwards; ``x_new`` and ``y_new``, unseen samples of the changed world. ``case`` names it.
    """

    case: str
    known: Data
    x: Array
    y: Array
    x_new: Array
    y_new: Array


@dataclass(frozen=True)
class Scenario:
    """A change of the world, ``summary``; the ``network`` that is shipped, trained for ``epochs``, and the ``passes`` over the samples with
    which a device learns. ``cases`` is how many different changes the data hold: a seed picks one, and draws.
    """

    name: str
    summary: str
    network: str
    epochs: int
    passes: int
    cases: int
    parts: Callable[[int], Parts]
