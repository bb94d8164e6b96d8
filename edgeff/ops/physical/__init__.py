"""A fixed physical system as a layer: a black box that is run forwards and never differentiated.

It is named by a built-in map or by ``module:function``, a user's function: ``f(x, outputs, seed)`` takes x (B, n) and returns
(B, outputs), the same for the same arguments. Refused: gradients, lowering to a device, writing to files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Annotated, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer
from edgeff.kernels.records import LARGEST_INT, Range
from edgeff.ops import Example, Operator, operator
from edgeff.ops.building import OperatorBuilder, Value

Map = Callable[[Array, int, int], Array]
ROUND_TRIPS, REFLECTED, PUMP = 3, 0.9, 2.0
TIME_STEP, TIME_STEPS, DAMPING, STIFFENING, COUPLING, STRONGEST = 0.25, 12, 0.2, 1.0, 0.5, 3.0


@lru_cache(maxsize=32)
def scattering(n: int, outputs: int, seed: int) -> Array:
    """A complex Gaussian transmission matrix (outputs, n), complex64, of unit mean power gain for white inputs."""
    rng = np.random.default_rng([seed, 11])
    return ((rng.normal(size=(outputs, n)) + 1j * rng.normal(size=(outputs, n))) / np.sqrt(2 * n)).astype(np.complex64)


def speckle(x: Array, outputs: int, seed: int) -> Array:
    """``|A x|^2``: a camera after a scattering medium through which amplitudes x pass; speckle statistics."""
    field = x @ scattering(x.shape[1], outputs, seed).T
    return field.real**2 + field.imag**2


def cavity(x: Array, outputs: int, seed: int) -> Array:
    """The intensities in a cavity of coupled modes with a saturable gain, after three round trips.

    ``psi <- A x + r U (g psi / (1 + |psi|^2))`` from psi = A x, with A scattering the drive in and U, unitary, mixing the modes.
    """
    drive = x @ scattering(x.shape[1], outputs, seed).T
    mixing = _mixing(outputs, seed)
    psi = drive
    for _ in range(ROUND_TRIPS - 1):
        psi = drive + REFLECTED * PUMP * (psi / (1 + psi.real**2 + psi.imag**2)) @ mixing.T
    return psi.real**2 + psi.imag**2


@lru_cache(maxsize=32)
def _mixing(modes: int, seed: int) -> Array:
    """A random unitary matrix."""
    return np.asarray(np.linalg.qr(scattering(modes, modes, seed + 1).astype(np.complex128))[0], np.complex64)


def oscillators(x: Array, outputs: int, seed: int) -> Array:
    """The displacements of a chain of coupled Duffing oscillators that a constant force drives from rest, after 12 steps of 0.25.

    ``q'' = f - d q' - q - s q^3 + k (q_{i-1} - 2 q_i + q_{i+1})``, the ends free, symplectic Euler; ``f = F tanh(B x / F)``: B couples the
    inputs in through actuators that saturate.
    """
    force = STRONGEST * np.tanh(x @ scattering(x.shape[1], outputs, seed).real.astype(x.dtype).T * (2.0 / STRONGEST))
    q, speed = np.zeros_like(force), np.zeros_like(force)
    for _ in range(TIME_STEPS):
        stretch = np.diff(q, axis=1, prepend=q[:, :1], append=q[:, -1:])
        pull = COUPLING * (stretch[:, 1:] - stretch[:, :-1])
        speed = speed + TIME_STEP * (force + pull - DAMPING * speed - q - STIFFENING * q * q * q)
        q = q + TIME_STEP * speed
    return q


MAPS: Mapping[str, Map] = {"cavity": cavity, "oscillators": oscillators, "speckle": speckle}


def find_map(name: str) -> Map:
    """The map called ``name``. Raises BadInput if it is neither built in nor an importable ``module:function``."""
    if name in MAPS:
        return MAPS[name]
    module, _, function = name.partition(":")
    allowed = f"{', '.join(MAPS)}, or module:function"
    if not function:
        raise BadInput("physical map", got=repr(name), allowed=allowed)
    try:
        candidate = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput("physical map", got=f"{name!r} ({error})", allowed=allowed) from None
    if not callable(candidate):
        raise BadInput("physical map", got=f"{name!r}, which is not a function", allowed=allowed)
    system: Map = candidate
    return system


@operator
@dataclass(frozen=True, kw_only=True)
class Physical(Operator):
    """``map``: its name, ``seed``: of its random coefficients. Inputs are flattened; the outputs are a vector of the layer's shape."""

    name: ClassVar[str] = "physical"
    summary: ClassVar[str] = "a fixed physical system, forward only (host)"
    example: ClassVar[Example] = Example(attributes={"map": "speckle"})
    map: str
    seed: Annotated[int, Range(0, LARGEST_INT)]

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return layer.shape

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """Raises BadInput for a map that returns another shape or no finite numbers."""
        x = xs[0].reshape(len(xs[0]), -1)
        y = np.asarray(find_map(self.map)(x, prod(layer.shape), self.seed))
        if y.shape != (len(x), *layer.shape):
            raise BadInput(f"physical map {self.map!r}", got=f"outputs of shape {y.shape}", allowed=f"{(len(x), *layer.shape)}")
        if not np.isfinite(y).all():
            raise BadInput(f"physical map {self.map!r}", got="outputs that are NaN or infinite", allowed="finite numbers")
        return y.astype(x.dtype)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        raise Unsupported(
            f"layer {layer.name!r}", got="a gradient through a physical map", allowed="forward runs", next_step="use rule phyll"
        )

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        raise Unsupported(f"layer {layer.name!r}", got="a physical map", allowed="layers that a device can compute")
