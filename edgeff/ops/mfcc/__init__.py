"""Mel-frequency cepstral coefficients as the first layer of a network: an int16 audio clip (n,) comes in, frames x coefficients go out.

The tables of its kernels are made here from their formulae: periodic Hann window, sines, triangular bands on the HTK mel scale with peaks
of 1 (as TensorFlow's), the cosine transform of type II with orthogonal rows. Refused: an FFT size that is not a power of two, a clip
shorter than a frame, bands outside 0 .. rate / 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Attr, Layer, Network, Parameters
from edgeff.ops import Example, Operator, make, operator, prepend
from edgeff.ops.attributes import Count, refusal
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.mfcc.kernel import FeatureSteps, Frames, features


@operator
@dataclass(frozen=True, kw_only=True)
class Mfcc(Operator):
    """The coefficients of int16 audio (n,): it is the first layer; its shape holds frames x coefficients elements.

    ``rate`` in Hz; ``frame``, ``hop`` and ``fft`` in samples; ``bands`` triangles from ``low_hz`` to ``high_hz``; the first
    ``coefficients`` of the transform, each times ``gain``; ``eps`` is added to a band before its logarithm, when the clip's largest sample
    is 1. ``rounding`` ("nearest", "truncate") and ``overflow`` ("saturate", "wrap") say how int8 steps are made: MLPerf Tiny's evaluation
    files are truncated towards zero and wrap around.
    """

    name: ClassVar[str] = "mfcc"
    summary: ClassVar[str] = "mel-frequency cepstral coefficients of int16 audio"
    example: ClassVar[Example] = Example(inputs=(4000,), output=(12, 10, 1))
    reads: ClassVar[str] = "int16"
    rate: Count = 16_000
    frame: Count = 480
    hop: Count = 320
    fft: Count = 512
    bands: Count = 40
    coefficients: Count = 10
    low_hz: float = 20.0
    high_hz: float = 4000.0
    eps: float = 1e-6
    gain: float = 1.0
    rounding: str = "nearest"
    overflow: str = "saturate"

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = {
            "rate": 1 <= self.rate <= 1_000_000,
            "fft": 4 <= self.fft <= 32_768 and self.fft & (self.fft - 1) == 0,
            "frame": 1 <= self.frame <= self.fft,
            "hop": self.hop >= 1,
            "bands": 1 <= self.bands <= self.fft,
            "coefficients": 1 <= self.coefficients <= self.bands,
            "low_hz": 0.0 <= self.low_hz < self.high_hz,
            "high_hz": self.high_hz <= self.rate / 2,
            "eps": 2.0**-126 <= self.eps <= 1e6,
            "gain": 1e-6 <= abs(self.gain) <= 1e6,
            "rounding": self.rounding in ("nearest", "truncate"),
            "overflow": self.overflow in ("saturate", "wrap"),
        }
        for name, good in allowed.items():
            if not good:
                raise refusal(type(self), name, getattr(self, name), ALLOWED[name])

    def frames(self, samples: int) -> int:
        """How many frames lie wholly within ``samples``; raises BadInput if none does."""
        if samples < self.frame:
            raise BadInput("audio of an mfcc layer", got=f"{samples} samples", allowed=f"at least a frame of {self.frame}")
        return (samples - self.frame) // self.hop + 1

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        made = self.frames(prod(inputs[0])), self.coefficients, 1
        if prod(layer.shape) != prod(made):
            raise BadInput(f"layer {layer.name!r}", got=f"the shape {layer.shape}", allowed=f"the elements of {made}")
        return layer.shape

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """x (B, n): samples as int16 or as whole numbers in any dtype; beyond 16 bits they saturate."""
        (x,) = xs
        return coefficients(audio_samples(x.reshape(len(x), -1)), self).reshape(len(x), *layer.shape)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        if x.dtype != self.reads:
            raise Unsupported(f"layer {layer.name!r}", got=f"an mfcc of {x.dtype}", allowed="int16 audio: the network's input")
        attrs: dict[str, Attr | Parameters] = {"sizes": sizes(self, x.elements)}
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        memory = self.fft + self.bands + self.coefficients
        scratch = build.activation(f"{layer.name}.frame", (memory,), dtype="float32", layer=layer.name)
        if layer.numeric == "int8":
            truncate, wrap = int(self.rounding == "truncate"), int(self.overflow == "wrap")
            attrs["steps"] = FeatureSteps(y.scale, y.zero_point, truncate, wrap)
        elif layer.numeric == "int16":
            attrs["y_scale"] = y.scale
        constants = [build.constant(f"{layer.name}.{name}", table, layer=layer.name) for name, table in tables(self)[0].items()]
        build.call(f"eff_mfcc_{layer.suffix}", [y, scratch], [x, *constants], attrs, layer)
        return y


ALLOWED = {
    "rate": "1 to 1,000,000 Hz",
    "fft": "a power of two, 4 to 32,768",
    "frame": "1 to fft samples",
    "hop": "at least 1 sample",
    "bands": "1 to fft",
    "coefficients": "1 to bands",
    "low_hz": "0 to below high_hz",
    "high_hz": "at most rate / 2",
    "eps": "2**-126 to 1e6",
    "gain": "1e-6 to 1e6 or their negatives",
    "rounding": "nearest, truncate",
    "overflow": "saturate, wrap",
}


def mel_weights(recipe: Mfcc) -> Array:
    """The triangles (bands, fft / 2 + 1) float64 over the FFT's bins: mel = 1127 ln(1 + hz / 700), each peak 1, bin 0 without weight."""
    hz = np.arange(recipe.fft // 2 + 1) * (recipe.rate / recipe.fft)
    mel = 1127.0 * np.log1p(hz / 700.0)
    ends = 1127.0 * np.log1p(np.array([recipe.low_hz, recipe.high_hz]) / 700.0)
    edges = np.linspace(ends[0], ends[1], recipe.bands + 2)[:, None]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    weights: Array = np.maximum(np.minimum(rising, falling), 0.0)
    weights[:, [0, -1]] = 0.0
    return weights


@lru_cache(maxsize=8)
def tables(recipe: Mfcc) -> tuple[dict[str, Array], int]:
    """The kernels' tables, flat (see ``edgeff.h``): float32 window, sine, mel and dct, int32 spans; and the number of bins they need."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(recipe.frame) / recipe.frame)
    sine = np.sin(2.0 * np.pi * np.arange(3 * recipe.fft // 4) / recipe.fft)
    weights = mel_weights(recipe).astype(np.float32)
    spans = np.zeros((recipe.bands, 2), np.int32)
    parts = []
    for band, row in enumerate(weights):
        if len(bins := np.flatnonzero(row)):
            spans[band] = bins[0], bins[-1] - bins[0] + 1
            parts.append(row[bins[0] : bins[-1] + 1])
    angles = np.pi * np.arange(recipe.coefficients)[:, None] * (2 * np.arange(recipe.bands) + 1) / (2 * recipe.bands)
    dct = recipe.gain * np.sqrt(2.0 / recipe.bands) * np.cos(angles)
    arrays = {
        "window": window.astype(np.float32),
        "sine": sine.astype(np.float32),
        "mel": np.concatenate([*parts, np.zeros(0, np.float32)]) if parts else np.zeros(1, np.float32),
        "spans": spans.reshape(-1),
        "dct": dct.astype(np.float32).reshape(-1),
    }
    return arrays, max(int(spans.sum(axis=1).max()), 1)


def sizes(recipe: Mfcc, samples: int) -> Frames:
    """The sizes of a clip and its frames for the kernels of all numerics."""
    arrays, bins = tables(recipe)
    return Frames(
        n=samples,
        frames=recipe.frames(samples),
        frame=recipe.frame,
        hop=recipe.hop,
        fft=recipe.fft,
        bins=bins,
        bands=recipe.bands,
        coefficients=recipe.coefficients,
        weights=len(arrays["mel"]),
        eps=recipe.eps,
    )


def coefficients(x: Array, recipe: Mfcc) -> Array:
    """The coefficients of clips x (B, n) int16: (B, frames, coefficients, 1) float32, to the bit what the C computes."""
    return features(np.ascontiguousarray(x, np.int16), tables(recipe)[0], sizes(recipe, x.shape[1]))[..., None]


def audio_samples(x: Array) -> Array:
    """Numbers of any dtype and shape as int16 samples: rounded, saturated."""
    return x if x.dtype == np.int16 else np.clip(np.rint(x), -32768, 32767).astype(np.int16)


def with_features(network: Network, features: Mapping[str, Attr], samples: int, name: str = "mfcc") -> Network:
    """``network``, which reads coefficients, after a layer that computes them from audio: its input is then int16 (samples,).

    Args:
        network: float32 or quantised; its input shape holds frames x coefficients elements.
        features: the attributes of ``Mfcc`` that differ from its defaults (a task's ``features``).
        samples: the length of a clip.
        name: of the new layer; a number is added if the network already uses that name.
    Raises: BadInput if the network reads another number of coefficients, or the recipe is not possible.
    """
    recipe = make(Mfcc, features)
    shape = (recipe.frames(samples), recipe.coefficients, 1)
    if prod(network.input_shape) != prod(shape):
        raise BadInput(f"features for network {network.name!r}", got=f"{shape}", allowed=f"its input, {network.input_shape}")
    taken = {layer.name for layer in network}
    unique = next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    return prepend(Layer(unique, recipe, ("input",), tuple(network.input_shape)), network, (samples,))
