"""A trial of a learning step in float64, from which integer gradients take their scales before anything has run.

A bound on a gradient behind several convolutions is so loose that the gradient itself would take few of its sixteen bits. So the step is
tried: random inputs over the calibrated range, random labels, the dequantised parameters. Nothing is computed unless an operator
asks for the scale of a gradient, and no data are needed: a model that is quantised already gives the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import ceil, log2
from typing import Any, TypeAlias

import numpy as np

from edgeff.ir import Array, Layer, Network
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.program.lower.builder import Lines

SAMPLES = 16
ROOM = 4.0
"""How much larger than in the trial a gradient may become before it saturates (docs/adr/0029)."""
Tried: TypeAlias = Callable[[], Array | None]


class Trial(Lines):
    """A part of ``Builder``: what values hold in the trial, (SAMPLES, *shape) in float64, None where that is not known."""

    def __init__(
        self, network: Network, rule: str | None, settings: Any, seed: int, target: str, stochastic: bool, *, tries: bool = True
    ) -> None:
        self._tries = tries
        self._trials: dict[str, Tried] = {}
        self._gradients: Callable[[], tuple[Array, ...] | None] = lambda: None
        super().__init__(network, rule, settings, seed, target, stochastic)

    def fixed_point(self, real: float, what: str) -> tuple[int, int]:
        """As of ``Lines``; where the step is not tried, factors that follow from bounds count for nothing."""
        return super().fixed_point(real if self._tries else 0.0, what)

    def tried(self, value: Value) -> Array | None:
        """What ``value`` holds in the trial; an int8 value that nothing is known of is uniform over its range."""
        if value.name not in self._trials and value.dtype == "int8":
            drawn = (np.random.default_rng(0).integers(-128, 128, (SAMPLES, value.elements)) - value.zero_point) * value.scale
            self._trials[value.name] = lambda: drawn
        held = self._trials[value.name]() if value.name in self._trials else None
        return None if held is None else held.reshape(SAMPLES, *value.shape)

    def note(self, value: Value, known: tuple[Value, ...], compute: Callable[..., Array]) -> None:
        """``value`` is what ``compute`` makes of the ``known`` values, as they are now. Without any effect in float32."""
        if value.dtype == "float32" or value.name in [item.name for item in known]:
            return
        before = [self._now(item) for item in known]

        @cache
        def held() -> Array | None:
            arrays = [item() for item in before]
            present = [array for array in arrays if array is not None]
            return np.asarray(compute(*present), np.float64) if len(present) == len(arrays) else None

        self._trials[value.name] = held

    def note_change(self, value: Value, known: tuple[Value, ...], compute: Callable[..., Array]) -> None:
        """``value`` is changed in place to what ``compute`` makes of it and of the ``known`` values."""
        if value.name not in self._trials:
            return
        before = replace(value, name=f"{value.name} before")
        self._trials[before.name] = self._trials[value.name]
        self.note(value, (before, *known), compute)

    def _now(self, value: Value) -> Tried:
        """What ``value`` holds at this point of the step; it may be changed in place later."""
        known = self._trials.get(value.name)
        if known is None:
            return lambda: self.tried(value) if value.dtype == "int8" else None
        return lambda: None if (held := known()) is None else held.reshape(SAMPLES, *value.shape)

    def trying(self, layer: Layer, delta: Value, xs: tuple[Value, ...]) -> Callable[[], tuple[Array, ...] | None]:
        """The layer's input gradients in the trial; from now on ``gradient_scale`` is theirs."""
        before = [self._now(item) for item in (delta, *xs)]

        @cache
        def held() -> tuple[Array, ...] | None:
            arrays = [item() for item in before]
            present = [array for array in arrays if array is not None]
            if len(present) < len(arrays):
                return None
            delta_of = present[0].reshape(SAMPLES, *layer.shape)
            return kind(layer).input_gradients(layer, real_parameters(layer), delta_of, *present[1:])

        self._gradients = held
        return held

    def gradient_scale(self, largest: float) -> float:
        """The scale of the int16 gradient that is being lowered: a power of two, with ROOM above the trial's largest magnitude.

        ``largest`` is its bound, for a step that cannot be tried.
        """
        tried = self._gradients() if self._tries else None
        return scale_for(largest if tried is None else max(float(np.abs(part).max()) for part in tried) * ROOM, largest)


def scale_for(magnitude: float, otherwise: float) -> float:
    """The power of two in whose steps ``magnitude`` takes 15 bits or a little less; that of ``otherwise`` if it is 0."""
    return float(2.0 ** ceil(log2((magnitude or otherwise) / 32767)))


def real_parameters(layer: Layer) -> dict[str, Array]:
    """The layer's parameters in float64; integers times their scales."""
    real = {}
    for name, values in layer.params.items():
        quant = layer.quant.get(name)
        shape = [1] * values.ndim
        if quant is not None and quant.axis is not None:
            shape[quant.axis] = -1
        real[name] = values.astype(np.float64) * (1.0 if quant is None else np.reshape(quant.scales(), shape))
    return real
