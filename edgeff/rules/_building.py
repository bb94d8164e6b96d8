"""What a rule's lowering is given: the part of a program's builder that rules use beside what operators do.

``edgeff.program.lower.Builder`` is the builder and describes what each method does. Rules stand below it and know this much of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from edgeff.ir import Array, Call, Layer, Network, Numeric
from edgeff.ops.building import OperatorBuilder, Value


@dataclass(frozen=True)
class Pooling:
    """The map y that a linear head averages over windows of pool_h x pool_w; ``gated``: y comes out of ReLU.

    In int8 the bits of ReLU stand for y, in its shape, and ``draft`` holds the calls of the general way back.
    """

    y: Value
    pool_h: int
    pool_w: int
    gated: bool
    draft: tuple[Call, ...] = ()


class RuleBuilder(OperatorBuilder, Protocol):
    """The part of ``edgeff.program.lower.Builder`` that rules use."""

    x: Value
    network: Network
    layers: tuple[Layer, ...]
    settings: Any
    seed: int
    target: str
    classes: int | None

    @property
    def label(self) -> Value: ...

    @property
    def numeric(self) -> Numeric: ...

    def reading(self, x: Value) -> AbstractContextManager[None]: ...

    def seeded(self, seed: int) -> AbstractContextManager[None]: ...

    def group(self, network: Network, settings: Any, x: Value, classes: int | None) -> AbstractContextManager[None]: ...

    # ---------------------------------------------------------------- layers

    def forward(self, layer: Layer, *xs: Value) -> Value: ...

    def run(self, x: Value, layers: Sequence[Layer] | None = None) -> dict[str, Value]: ...

    def gate(self, delta: Value, h: Value, layer: Layer) -> None: ...

    def input_gradients(self, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]: ...

    def reading_weight(self, layer: Layer, weight: Value) -> AbstractContextManager[None]: ...

    def copy(self, x: Value) -> Value: ...

    def size_bytes(self, value: Value) -> int: ...

    def recomputing(self) -> AbstractContextManager[None]: ...

    def update_bias(self, layer: Layer, delta: Value) -> None: ...

    def update(self, layer: Layer, delta: Value, x: Value, factor: float = 1.0) -> None: ...

    # ---------------------------------------------------------------- below a pooled linear head

    def drafting(self) -> AbstractContextManager[list[Call]]: ...

    def pooling(self, y: Value, pool: tuple[int, int], draft: list[Call], *, gated: bool) -> Pooling: ...

    def separable(
        self, first: Layer, second: Layer, x: Value, pool: Layer, size: tuple[int, int], stem: Layer | None = None
    ) -> tuple[Value, Pooling]: ...

    def shares(self, g: Value, pooling: Pooling) -> None: ...

    def head_update(self, layer: Layer, delta: Value, x: Value) -> None: ...

    def pooled_update(self, layer: Layer, g: Value, x: Value, pooling: Pooling) -> None: ...

    def pooled_pair_update(
        self,
        first: Layer,
        second: Layer,
        g: Value,
        x: Value | None,
        pooling: Pooling,
        stem: Layer | None = None,
        image: Value | None = None,
    ) -> None: ...

    def pooled_skip_update(
        self, skipped: Layer, first: Layer, second: Layer, g: Value, x: Value, image: Value, pooling: Pooling
    ) -> None: ...

    # ---------------------------------------------------------------- errors and what carries them

    def error(self, output: Value) -> Value: ...

    def difference(self, a: Value, c: Value) -> Value: ...

    def zeros(self, like: Value) -> Value: ...

    def feedback(
        self,
        name: str,
        e: Value,
        scale: float,
        *,
        onto: Value | None = None,
        n: int = 0,
        stored: bool = False,
        entries: Array | None = None,
        largest: float | None = None,
    ) -> Value: ...

    # ---------------------------------------------------------------- goodness

    def wrong_label(self, classes: int) -> Value: ...

    def ff_delta(self, h: Value, theta: float, sign: int, lift: float = 0.0) -> Value: ...

    def scores(self, n: int) -> Value: ...

    def goodness(self, scores: Value, h: Value, index: int, add: bool) -> None: ...

    def kept(self, name: str, like: Value) -> Value: ...

    def keep(self, state: Value, x: Value) -> None: ...

    def pair(self, a: Value, c: Value) -> Value: ...

    def scff_delta(self, h: Value, channels: int, theta: float, sign: int, sparsity: float) -> Value: ...

    def channel_goodness(self, scores: Value, h: Value, layer: Layer, add: bool) -> None: ...

    def competitive_delta(self, h: Value, layer: Layer, classes: int, sharpness: float) -> Value: ...

    # ---------------------------------------------------------------- forward derivatives and directions

    def tangent(self, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value: ...

    def negate(self, d: Value) -> None: ...

    def number(self, value: float) -> Value: ...

    def signs(self, direction: str, layer: Layer, s: Value, onto: Value | None = None) -> Value: ...

    def slope(self, e: Value, dz: Value) -> Value: ...

    def signed_weights(self, direction: str, layer: Layer, x: Value, dy: Value | None) -> Value: ...

    def perturb(self, direction: str, layer: Layer, amount: float) -> None: ...

    def signed_update(self, direction: str, layer: Layer, s: Value, factor: float) -> None: ...
