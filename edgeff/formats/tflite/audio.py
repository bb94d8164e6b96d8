"""The audio front end of TFLM's signal library in a file: a chain of its custom operators, read as one layer.

The file holds tables, the layer a recipe of which they follow: a chain whose tables follow of no recipe in ``BANDS`` is refused, as is one
that differs from what tensorflow/lite/micro/examples/micro_speech/audio_preprocessor.py of tflite-micro makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from edgeff.errors import Unsupported
from edgeff.formats.checks import short
from edgeff.formats.tflite.flatbuffer import damaged
from edgeff.ir import Array, Quant
from edgeff.ops import make
from edgeff.ops.audio_frontend import SIZES, AudioFrontend
from edgeff.ops.audio_frontend.kernel import DIVISOR, LOG_SCALE, STEPS
from edgeff.ops.audio_frontend.tables import (
    GAIN_BITS,
    SHARE_BITS,
    SMOOTHING_BITS,
    SNR_BITS,
    WINDOW_BITS,
    bank,
    correction_bits,
    gains,
    window,
)

FIRST = "CUSTOM SignalWindow"
CHAIN = (
    *(FIRST, "RESHAPE", "CUSTOM SignalFftAutoScale", "CUSTOM SignalRfft", "CUSTOM SignalEnergy"),
    *("CAST", "STRIDED_SLICE", "CONCATENATION", "CAST", "CUSTOM SignalFilterBank", "CUSTOM SignalFilterBankSquareRoot"),
    *("CUSTOM SignalFilterBankSpectralSubtraction", "CUSTOM SignalPCAN", "CUSTOM SignalFilterBankLog", "CAST"),
)
TAILS = (("MUL", "ADD", "DIV", "ADD", "MINIMUM", "MAXIMUM", "CAST"), ("MUL",))
"""What makes int8 of a feature, and what makes float32."""
EITHER = ("MUL", "ADD", "MINIMUM", "MAXIMUM")
"""Operators whose inputs may change places."""
KINDS = (
    *(("INT16",), ("INT16",), ("INT16", "INT32"), ("INT16",), ("UINT32",), ("INT32",), ("INT32",), ("INT32",), ("UINT32",)),
    *(("UINT64",), ("UINT32",), ("UINT32",), ("UINT32",), ("INT16",), ("INT32", "FLOAT32"), ("INT32",)),
)
"""The types that the operators of the chain make, the last one for all of a tail but its end."""
BANDS = ((16_000, 125.0, 7500.0), (8_000, 125.0, 3800.0))
"""Rates and the lowest and highest frequency, in Hz."""
MOST_OPTIONS = 4096


@dataclass(frozen=True, slots=True)
class Step:
    """An operator of the file: name, the tensors it reads and writes, the types of these, and the bytes of a custom one's options."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    kinds: Sequence[str]
    custom: bytes = b""
    fused: int = 0


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """The chain found: the numbers of its operators and of a RESHAPE after them, the tensors it reads and makes, its layer, and the scale
    of int8 features.
    """

    operators: frozenset[int]
    source: int
    target: int
    op: AudioFrontend
    quant: Quant | None


@dataclass(slots=True)
class _Chain:
    """The operators of a chain, and the file's constants (None of a tensor without data)."""

    steps: Sequence[Step]
    constant: Callable[[int], Array | None]

    def refused(self, got: str, allowed: str) -> Unsupported:
        return Unsupported("audio front end of the TFLite file", got=got, allowed=allowed, next_step="take the features as the input")

    def constants(self, place: int) -> list[Array]:
        """The constant inputs of an operator, in their order; the others must be what the chain has made for it."""
        step, before = self.steps[place], self.steps[place - 1].outputs[:1] if place else self.steps[0].inputs[:1]
        expected = [*before, *self.steps[2].outputs[1:]] if place == 10 else [*self.steps[11].outputs] if place == 12 else [*before]
        arrays = {index: self.constant(index) for index in step.inputs}
        reads = [index for index in step.inputs if arrays[index] is None]
        first = step.inputs.index(reads[0]) if reads else -1
        if reads != expected or (step.name not in EITHER and first != (step.name == "CONCATENATION")):
            raise self.refused(f"{step.name} with an input from elsewhere", "the operators of one chain")
        kinds = KINDS[place] if place < len(KINDS) - 1 else KINDS[-1] if place < len(self.steps) - 1 else ("INT8", "FLOAT32")
        if not (set(step.kinds) <= {*kinds} and len(step.kinds) == 1 + (place in (2, 11))):
            raise self.refused(f"{step.name} that makes {', '.join(map(short, step.kinds))}", " or ".join(kinds))
        return [array.reshape(-1) for index in step.inputs if (array := arrays[index]) is not None]

    def options(self, place: int, **expected: int) -> Mapping[str, Any]:
        """The integers of a custom operator's options; those ``expected`` must be what they are."""
        data = self.steps[place].custom
        try:
            table = flexbuffers.GetRoot(data[:MOST_OPTIONS]).AsMap if data else {}
            options = {key: int(table[key].Value) for key in (*expected, *OPTIONS.get(self.steps[place].name, ()))}
        except Exception as error:  # whatever hostile bytes raise
            raise damaged(f"options of {short(self.steps[place].name)}", "no map of integers") from error
        for key, value in expected.items():
            self.equal(f"{key} of {self.steps[place].name}", options[key], value)
        return options

    def equal(self, what: str, got: Any, expected: Any) -> None:
        """Refuses numbers or arrays that are not what a recipe has."""
        if not np.array_equal(got, expected):
            shown = "other numbers" if np.ndim(got) else str(got)
            raise self.refused(f"{what}: {shown}", "those of a recipe" if np.ndim(expected) else str(expected))


OPTIONS: Mapping[str, tuple[str, ...]] = {
    "CUSTOM SignalRfft": ("fft_length",),
    "CUSTOM SignalEnergy": ("start_index", "end_index"),
    "CUSTOM SignalFilterBank": ("num_channels",),
    CHAIN[11]: ("smoothing", "alternate_smoothing", "min_signal_remaining"),
}


def front_end(steps: Sequence[Step], constant: Callable[[int], Array | None], ends: Sequence[int]) -> FrontEnd | None:
    """The front end among a file's operators, None where there is none. Raises Unsupported for one of another kind.

    Args:
        steps: all operators of the subgraph.
        constant: the data of a tensor, None where it has none.
        ends: the tensors that are the subgraph's outputs.
    """
    first = next((number for number, step in enumerate(steps) if step.name == FIRST), None)
    if first is None:
        return None
    names = [step.name for step in steps[first : first + len(CHAIN) + len(TAILS[0])]]
    tail = next((tail for tail in TAILS if names[: len(CHAIN) + len(tail)] == [*CHAIN, *tail]), None)
    chain = _Chain(steps[first : first + len(CHAIN) + len(tail or ())], constant)
    if tail is None:
        strange = next((name for name, known in zip(names, CHAIN, strict=False) if name != known), "what comes after it")
        raise chain.refused(f"{short(strange)} in the chain", f"{', '.join(CHAIN)}, then {' or '.join(map(', '.join, TAILS))}")
    numbers = range(first, first + len(chain.steps))
    constants = []
    for place, step in enumerate(chain.steps):
        constants.append(chain.constants(place))
        chain.equal(f"fused activation of {step.name}", step.fused, 0)
    target = chain.steps[-1].outputs[0]
    outside = {index for number, step in enumerate(steps) if number not in numbers for index in step.inputs} | {*ends}
    if outside & {index for step in chain.steps for index in step.outputs} - {target}:
        raise chain.refused("a tensor inside it that is read elsewhere", "its last tensor alone")
    op, quant = _recipe(chain, constants), None
    if len(tail) == 1:
        (factor,) = _numbers(chain, constants[len(CHAIN)], 1)
        op = make(AudioFrontend, op.attributes | {"gain": float(factor)})
    else:
        for place, expected in enumerate((STEPS, DIVISOR // 2, DIVISOR, -128, 127, -128)):
            chain.equal(f"a number of {tail[place]}", _numbers(chain, constants[len(CHAIN) + place], 1)[0], expected)
        quant = op.fixed_quant("int8")
    source, readers = chain.steps[0].inputs[0], [number for number, step in enumerate(steps) if target in step.inputs]
    if len(readers) == 1 and target not in ends and steps[readers[0]].name == "RESHAPE" and len(steps[readers[0]].outputs) == 1:
        return FrontEnd(frozenset({*numbers, *readers}), source, steps[readers[0]].outputs[0], op, quant)
    return FrontEnd(frozenset(numbers), source, target, op, quant)


def _numbers(chain: _Chain, constants: Sequence[Array], size: int) -> Array:
    """The one constant of an operator, which must have so many numbers."""
    if len(constants) != 1 or constants[0].size != size:
        raise chain.refused(f"constants of {[each.size for each in constants][:6]} numbers", str(size))
    return constants[0]


def _recipe(chain: _Chain, constants: Sequence[Sequence[Array]]) -> AudioFrontend:
    """The layer of a chain's tables and options."""
    if len(constants[0]) != 1 or len(constants[9]) != 5 or len(constants[12]) != 1 or len(constants[7]) != 2:
        raise chain.refused("tables that are missing, or too many", "a window, five tables of channels and one of gains")
    chain.options(0, shift=WINDOW_BITS)
    frame, fft = constants[0][0].size, int(chain.options(3)["fft_length"])
    if fft not in SIZES or not 1 <= frame <= fft:
        raise chain.refused(
            f"frames of {frame} samples, an FFT of {fft}", f"an FFT of {', '.join(map(str, SIZES))}, no shorter than a frame"
        )
    chain.equal("window", constants[0][0], window(frame))
    correction = correction_bits(fft)
    bands = int(chain.options(9)["num_channels"])
    rate, low, high = _bands(chain, constants, fft, bands)
    default = AudioFrontend()
    bits = {"smoothing_bits": SMOOTHING_BITS, "spectral_subtraction_bits": SHARE_BITS}
    shares = chain.options(11, num_channels=bands, clamping=0, **bits)
    for one, other in (("smoothing", "one_minus_smoothing"), ("alternate_smoothing", "alternate_one_minus_smoothing")):
        chain.options(11, **{other: (1 << SHARE_BITS) - int(shares[one])})
    chain.options(12, snr_shift=GAIN_BITS - correction - SNR_BITS)
    chain.options(13, output_scale=LOG_SCALE, input_correction_bits=correction)
    chain.equal("gains", constants[12][0], gains(fft, default.pcan_strength, default.pcan_offset))

    def share(name: str, usual: float) -> float:
        value = int(shares[name])
        return usual if int(usual * 2**SHARE_BITS) == value else value / 2**SHARE_BITS

    return make(
        AudioFrontend,
        {
            "rate": rate,
            "frame": frame,
            "fft": fft,
            "bands": bands,
            "low_hz": low,
            "high_hz": high,
            "smoothing": share("smoothing", default.smoothing),
            "odd_smoothing": share("alternate_smoothing", default.odd_smoothing),
            "remaining": share("min_signal_remaining", default.remaining),
        },
    )


def _bands(chain: _Chain, constants: Sequence[Sequence[Array]], fft: int, bands: int) -> tuple[int, float, float]:
    """The rate and the frequencies that the tables of channels follow of."""
    energy, (start, stop, stride) = chain.options(4), (_numbers(chain, [part], 1)[0] for part in constants[6])
    first, last, bins = int(energy["start_index"]), int(energy["end_index"]), fft // 2 + 1
    if not 0 < first < last < bins or not 1 <= bands <= fft // 4:
        raise chain.refused(f"{bands} channels of bins {first} to {last}", f"1 to {fft // 4} channels of bins 1 to {bins - 1}")
    chain.equal("bins that are kept", np.array([start, stop, stride]), np.array([first, last, 1]))
    for zeros, size in zip(constants[7], (first, bins - last), strict=True):
        chain.equal("bins that are left out", zeros, np.zeros(size))
    found = _per_bin(chain, constants[9], bins, bands)
    for rate, low, high in BANDS:
        weights, bounds = bank(rate, fft, bands, low, high)
        expected = np.zeros((bins, 3), np.int64)
        expected[bounds[0] : bounds[-1]] = np.column_stack([np.repeat(np.arange(bands + 1), np.diff(bounds)), weights])
        if (bounds[0], bounds[-1]) == (first, last) and np.array_equal(found, expected):
            return rate, low, high
    known = "; ".join(f"{rate} Hz, {low:g} to {high:g} Hz" for rate, low, high in BANDS)
    raise chain.refused("channels of another rate or other frequencies", f"those of {known}")


def _per_bin(chain: _Chain, tables: Sequence[Array], bins: int, bands: int) -> Array:
    """(bins, 3): the channel of each bin and its two weights; the padding of channels has none."""
    weights, unweights, starts, places, widths = (table.astype(np.int64) for table in tables)
    found = np.zeros((bins, 3), np.int64)
    if not weights.size == unweights.size or not starts.size == places.size == widths.size == bands + 1:
        raise chain.refused("tables of channels of different sizes", f"{bands + 1} channels")
    for channel, (start, place, width) in enumerate(zip(starts.tolist(), places.tolist(), widths.tolist(), strict=True)):
        if min(start, place, width) < 0 or start + width > bins or place + width > weights.size:
            raise chain.refused("a channel outside the spectrum or its weights", "channels inside both")
        both = np.column_stack([np.full(width, channel), weights[place : place + width], unweights[place : place + width]])
        given = both[:, 1:].any(axis=1)
        if found[start : start + width][given].any():
            raise chain.refused("a bin of two channels", "one channel for each bin")
        found[start : start + width][given] = both[given]
    return found
