"""The top-down network of TDCA: output error in, credits out, and its connection to networks of any width and any number of classes.

    code     s = e E^T                                  E (CODE, C), entries +-1 / sqrt(C), generated
    units    u = s U^T,  a = relu(u + b) - relu(b - u)  U (m, CODE), b (m,), learned
    credits  c = a V^T                                  V (k, m), learned
    diffused d_l = c D_l^T                              D_l (n_l, k), entries +-1 / sqrt(k), generated

The units are odd: opposite errors give opposite credits, and no error gives no credit; otherwise a drift common to all
samples would carry the hidden units away. With b = 0 all is linear, direct feedback alignment by a matrix of rank at most min(m, k).
The fixed matrices are the same in every run (``SEED``), so that the learned parameters can rely on them; they are never stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.kernels.arithmetic import feedback_signs, stream_key

SEED = 0
CODE, UNITS, CREDITS = 16, 16, 32
SHIPPED = Path(__file__).with_name("tdca.npz")
CODE_NAME = "error_code"


@dataclass(frozen=True)
class TopDown:
    """The learned parameters: ``U`` (m, CODE), ``b`` (m,), ``V`` (k, m); all may have a leading population axis."""

    U: Array
    b: Array
    V: Array

    def credits(self, code: Array) -> Array:
        """c (.., B, k) for the errors' code (.., B, CODE)."""
        u, b = code @ self.U.swapaxes(-1, -2), self.b[..., None, :]
        return (np.maximum(u + b, 0) - np.maximum(b - u, 0)) @ self.V.swapaxes(-1, -2)

    def plain_layers(self) -> tuple[Array, Array, Array]:
        """The equivalent ordinary ReLU network of 2 m units: first weight (2 m, CODE), its bias, second weight (k, 2 m)."""
        return np.concatenate([self.U, -self.U]), np.concatenate([self.b, self.b]), np.concatenate([self.V, -self.V], axis=1)

    def flat(self) -> Array:
        """All parameters as one vector."""
        return np.concatenate([self.U.ravel(), self.b.ravel(), self.V.ravel()])


def unpacked(flat: Array) -> TopDown:
    """The network whose ``flat`` is the last axis of ``flat`` (.., parameters), of the sizes CODE, UNITS and CREDITS."""
    first, front = UNITS * CODE, flat.shape[:-1]
    return TopDown(
        flat[..., :first].reshape(*front, UNITS, CODE),
        flat[..., first : first + UNITS],
        flat[..., first + UNITS :].reshape(*front, CREDITS, UNITS),
    )


def random_top_down(seed: int) -> TopDown:
    """An untrained network, the start of meta-training: DFA with a random matrix whose entries have the deviation of DFA's.

    U and V are random with orthogonal columns (Saxe et al. 2014): products of Gaussian ones attenuate some errors far more than others.
    """
    rng = np.random.default_rng([seed, 4])
    u, v = (np.linalg.qr(rng.standard_normal(shape))[0] for shape in ((UNITS, CODE), (CREDITS, UNITS)))
    return TopDown(u.astype(np.float32), np.zeros(UNITS, np.float32), (v * sqrt(CREDITS / UNITS)).astype(np.float32))


def error_code(classes: int) -> Array:
    """E (CODE, C) in float32."""
    signs = feedback_signs(CODE, classes, stream_key(SEED, "feedback", CODE_NAME))
    return signs * np.float32(1.0 / sqrt(classes))


def diffusion(n: int, index: int) -> Array:
    """D_l (n, k) in float32 of hidden layer ``index``, counted from 0 at the input."""
    signs = feedback_signs(n, CREDITS, stream_key(SEED, "feedback", diffusion_name(index)))
    return signs * np.float32(1.0 / sqrt(CREDITS))


def diffusion_name(index: int) -> str:
    """The name of the random stream of D_l."""
    return f"credit_{index}"


def top_down(source: str, seed: int) -> TopDown:
    """The network that the setting ``top_down`` names: ``meta`` (as shipped), ``random`` (of ``seed``) or an .npz file."""
    return random_top_down(seed) if source == "random" else read(SHIPPED if source == "meta" else Path(source))


@lru_cache(maxsize=8)
def read(path: Path) -> TopDown:
    """The network in a file written by ``write``. Raises BadInput for anything else."""
    wrong = "a file of `python benchmarks/tdca_meta.py`"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            network = TopDown(*(np.asarray(arrays[name], np.float32) for name in ("U", "b", "V")))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BadInput("top-down network", got=f"{str(path)!r} ({type(error).__name__})", allowed=f"meta, random or {wrong}") from None
    if (
        network.U.shape != (UNITS, CODE)
        or network.b.shape != (UNITS,)
        or network.V.shape != (CREDITS, UNITS)
        or not np.isfinite(network.flat()).all()
    ):
        raise BadInput(
            f"top-down network {str(path)!r}", got=f"U {network.U.shape}, b {network.b.shape}, V {network.V.shape}", allowed=wrong
        )
    return network


def write(path: Path, network: TopDown, made_by: Mapping[str, Any]) -> None:
    """Saves the network and its origin."""
    with path.open("wb") as file:
        np.savez(file, U=network.U, b=network.b, V=network.V, made_by=np.array(json.dumps(made_by)))
