"""The unit in which a network of values learns: a power of two near the deviation of what it learns.

A network gives pascals or degrees as a user has them, and its last layer holds their spread. An error in these units would make the
gradient below the last layer larger by the square of the spread, so no learning rate would do for all of them. Learning therefore sees the
last layer in steps of a unit: outputs, targets, weights and biases over it. A power of two changes no bit of a number, so inference stays
what it was, and the parameters that were learned go back exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite, log2
from typing import Any

import numpy as np

from edgeff.ir import Layer, Network, Quant
from edgeff.ops.dense import Dense

VALUES = "values"
"""Where the metadata of a network that learned values say their ``centre`` and ``spread``."""
UNIT = "unit"
LARGEST = 2.0**40
"""The unit is between this and its inverse."""


def spread_of(metadata: Mapping[str, Any]) -> float | None:
    """The deviation of the values that a network learned, by its metadata; None if they do not say one."""
    told = metadata.get(VALUES)
    spread = told.get("spread") if isinstance(told, Mapping) else None
    good = isinstance(spread, float | int) and isfinite(spread) and 1.0 / LARGEST <= spread <= LARGEST
    return float(spread) if good and spread is not None else None


def centre_of(metadata: Mapping[str, Any]) -> float:
    """The mean of the values that a network learned, by its metadata; 0 if they do not say one."""
    told = metadata.get(VALUES)
    centre = told.get("centre") if isinstance(told, Mapping) else None
    return float(centre) if isinstance(centre, float | int) and abs(centre) < LARGEST else 0.0


def unit_of(network: Network) -> float:
    """The unit of the outputs of a network that ``in_unit`` made; 1 for any other."""
    return float(network.metadata.get(UNIT, 1.0))


def in_unit(network: Network) -> Network:
    """``network`` with its outputs in steps of the unit that follows from its metadata; itself if that is 1, or does not follow.

    >>> from edgeff.networks import initialised, structure
    >>> told = replace(initialised(structure("2-1", softmax=False), 0), metadata={"values": {"centre": 3.0, "spread": 1200.0}})
    >>> unit_of(in_unit(told)), np.array_equal(out_of_unit(in_unit(told))["dense_1"].params["weight"], told["dense_1"].params["weight"])
    (1024.0, True)
    """
    spread, last = spread_of(network.metadata), network.layers[-1]
    unit = 1.0 if spread is None or not isinstance(last.op, Dense) else 2.0 ** round(log2(spread))
    if unit == 1.0 or unit_of(network) != 1.0:
        return network
    return replace(_scaled(network, 1.0 / unit), metadata={**network.metadata, UNIT: unit})


def out_of_unit(network: Network) -> Network:
    """The network of which ``in_unit`` made ``network``."""
    metadata = {key: value for key, value in network.metadata.items() if key != UNIT}
    return replace(_scaled(network, unit_of(network)), metadata=metadata)


def _scaled(network: Network, factor: float) -> Network:
    last: Layer = network.layers[-1]
    if last.quant:
        wider: Callable[[Quant], Quant] = lambda quant: replace(quant, scale=tuple(scale * factor for scale in quant.scale))  # noqa: E731
        return network.replacing({last.name: replace(last, quant={name: wider(quant) for name, quant in last.quant.items()})})
    params = {name: value * np.float32(factor) for name, value in last.params.items()}
    return network.replacing({last.name: replace(last, params=params)})
