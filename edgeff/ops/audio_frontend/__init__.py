"""The audio front end of TFLM's speech models and of microWakeWord as the first layer: int16 audio comes in, frames x bands go out.

The signal's noise is estimated and taken off, so a layer remembers: one estimate a band, from one frame to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Attr, Layer, Numeric, Parameters, Quant
from edgeff.ops import Example, Operator, operator
from edgeff.ops.attributes import Count, refusal
from edgeff.ops.audio_frontend.kernel import DIVISOR, STEPS, AudioFrames, features
from edgeff.ops.audio_frontend.tables import SHARE_BITS, bank, tables
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.mfcc import audio_samples

SIZES = (128, 512, 2048)
SHARE = "0 to 1"


@operator
@dataclass(frozen=True, kw_only=True)
class AudioFrontend(Operator):
    """Mel features of int16 audio (n,), to the bit those of TFLM's signal library: it is the first layer; its shape holds frames x bands.

    ``rate`` in Hz; ``frame``, ``hop`` and ``fft`` in samples; ``bands`` triangles on the mel scale from ``low_hz`` to ``high_hz``.
    ``smoothing`` and ``odd_smoothing`` are the shares of a new frame in the noise estimates of even and odd bands, ``remaining`` the share
    of a signal that always remains; the gain falls with the noise plus ``pcan_offset`` to the power of ``pcan_strength`` (per-channel
    amplitude normalisation). A feature is 64 ln of the signal-to-noise ratio, 0 to about 670: float32 gives it times ``gain``, int8
    (256 times it + 333) / 666 - 128. Source: tensorflow/lite/micro/examples/micro_speech/audio_preprocessor.py; the same steps on a
    network's first layer are in microWakeWord.
    """

    name: ClassVar[str] = "audio_frontend"
    summary: ClassVar[str] = "mel features of int16 audio less its noise, as TFLM's speech models and microWakeWord read them"
    example: ClassVar[Example] = Example(inputs=(480,), output=(1, 40))
    reads: ClassVar[str] = "int16"
    rate: Count = 16_000
    frame: Count = 480
    hop: Count = 320
    fft: Count = 512
    bands: Count = 40
    low_hz: float = 125.0
    high_hz: float = 7500.0
    smoothing: float = 0.025
    odd_smoothing: float = 0.06
    remaining: float = 0.05
    pcan_strength: float = 0.95
    pcan_offset: float = 80.0
    gain: float = 0.0390625

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = {
            "rate": (1 <= self.rate <= 1_000_000, "1 to 1,000,000 Hz"),
            "fft": (self.fft in SIZES, ", ".join(map(str, SIZES))),
            "frame": (1 <= self.frame <= self.fft, "1 to fft samples"),
            "hop": (self.hop >= 1, "at least 1 sample"),
            "bands": (1 <= self.bands <= self.fft // 4, "1 to fft / 4"),
            "low_hz": (0.0 <= self.low_hz < self.high_hz, "0 to below high_hz"),
            "high_hz": (self.high_hz <= 0.49 * self.rate, "at most 0.49 rate"),
            "smoothing": (0.0 <= self.smoothing <= 1.0, SHARE),
            "odd_smoothing": (0.0 <= self.odd_smoothing <= 1.0, SHARE),
            "remaining": (0.0 <= self.remaining <= 1.0, SHARE),
            "pcan_strength": (0.0 <= self.pcan_strength <= 4.0, "0 to 4"),
            "pcan_offset": (1.0 <= self.pcan_offset <= 1e6, "1 to 1e6"),
            "gain": (1e-6 <= abs(self.gain) <= 1e6, "1e-6 to 1e6 or their negatives"),
        }
        for name, (good, what) in allowed.items():
            if not good:
                raise refusal(type(self), name, getattr(self, name), what)
        self.sizes(self.frame)

    @property
    def remembers(self) -> bool:
        return True

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        return Quant((float(np.float32(self.gain * DIVISOR / STEPS)),), -128) if numeric == "int8" else None

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        made = self._frames(prod(inputs[0])), self.bands
        if prod(layer.shape) != prod(made):
            raise BadInput(f"layer {layer.name!r}", got=f"the shape {layer.shape}", allowed=f"the elements of {made}")
        return layer.shape

    def _frames(self, samples: int) -> int:
        if samples < self.frame:
            raise BadInput("audio of an audio_frontend layer", got=f"{samples} samples", allowed=f"at least a frame of {self.frame}")
        return (samples - self.frame) // self.hop + 1

    def sizes(self, samples: int) -> AudioFrames:
        """The sizes of so many samples and their frames for the kernels. Raises BadInput for a band without a bin."""
        weights, bounds = bank(self.rate, self.fft, self.bands, self.low_hz, self.high_hz)
        if np.any(np.diff(bounds) < 1):
            step = "take fewer bands or a longer fft"
            raise BadInput("bands of an audio_frontend layer", got=f"{self.bands}, of which some have no bin", next_step=step)
        shares = (int(share * 2**SHARE_BITS) for share in (self.smoothing, self.odd_smoothing, self.remaining))
        return AudioFrames(samples, self._frames(samples), self.frame, self.hop, self.fft, self.bands, len(weights), *shares)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """x (B, n): samples as int16 or as whole numbers in any dtype; one sample follows the other in time."""
        x = audio_samples(xs[0].reshape(len(xs[0]), -1))
        sizes, made, noise = self.sizes(x.shape[1]), tables(self), np.zeros(self.bands, np.int32)
        rows = []
        for sample in x:
            row, noise, _ = features(sample, noise, made, sizes)
            rows.append(row.astype(np.float32) * np.float32(self.gain))
        return np.array(rows, np.float32).reshape(len(x), *layer.shape)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        if x.dtype != self.reads:
            raise Unsupported(f"layer {layer.name!r}", got=f"an audio_frontend of {x.dtype}", allowed="int16 audio: the network's input")
        if layer.numeric not in ("float32", "int8"):
            raise Unsupported(f"layer {layer.name!r}, {self.name} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")
        attrs: dict[str, Attr | Parameters] = {"sizes": self.sizes(x.elements)}
        if layer.numeric == "float32":
            attrs["gain"] = float(np.float32(self.gain))
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        noise = build.remembered(layer, "noise", (self.bands,), Quant((1.0,), 0, dtype="int32"))
        scratch = build.activation(f"{layer.name}.frame", (self.fft,), dtype="int16", layer=layer.name)
        constants = [build.constant(f"{layer.name}.{name}", table, layer=layer.name) for name, table in tables(self).items()]
        build.call(f"eff_audio_frontend_{layer.suffix}", [y, noise, scratch], [x, *constants], attrs, layer)
        return y
