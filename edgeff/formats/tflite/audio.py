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

FIRST = "SignalWindow"


@dataclass(frozen=True, slots=True)
class _Link:
    """An operator of the chain: the types it makes; which tensors of the chain it reads, each as the count of links before it and which of
    that one's outputs; at which of its inputs the first of them is (None: any); the options of a custom one that a recipe leaves open.
    """

    name: str
    kinds: tuple[tuple[str, ...], ...]
    reads: tuple[tuple[int, int], ...] = ((1, 0),)
    first: int | None = 0
    custom: bool = False
    open: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """The operator's name in the file."""
        return f"CUSTOM {self.name}" if self.custom else self.name


def _signal(name: str, *kinds: str, reads: tuple[tuple[int, int], ...] = ((1, 0),), left: tuple[str, ...] = ()) -> _Link:
    return _Link(name, tuple((kind,) for kind in kinds), reads, custom=True, open=left)


CHAIN = (
    _signal(FIRST, "INT16", reads=()),
    _Link("RESHAPE", (("INT16",),)),
    _signal("SignalFftAutoScale", "INT16", "INT32"),
    _signal("SignalRfft", "INT16", left=("fft_length",)),
    _signal("SignalEnergy", "UINT32", left=("start_index", "end_index")),
    _Link("CAST", (("INT32",),)),
    _Link("STRIDED_SLICE", (("INT32",),)),
    _Link("CONCATENATION", (("INT32",),), first=1),
    _Link("CAST", (("UINT32",),)),
    _signal("SignalFilterBank", "UINT64", left=("num_channels",)),
    _signal("SignalFilterBankSquareRoot", "UINT32", reads=((1, 0), (8, 1))),
    _signal("SignalFilterBankSpectralSubtraction", *["UINT32"] * 2, left=("smoothing", "alternate_smoothing", "min_signal_remaining")),
    _signal("SignalPCAN", "UINT32", reads=((1, 0), (1, 1))),
    _signal("SignalFilterBankLog", "INT16"),
    _Link("CAST", (("INT32", "FLOAT32"),)),
)
TO_INT8 = (("MUL", STEPS), ("ADD", DIVISOR // 2), ("DIV", DIVISOR), ("ADD", -128), ("MINIMUM", 127), ("MAXIMUM", -128))
"""What makes int8 steps of a feature, each operator with its number; a CAST follows."""
TAILS = (
    (*(_Link(name, (("INT32",),), first=0 if name == "DIV" else None) for name, _ in TO_INT8), _Link("CAST", (("INT8",),))),
    (_Link("MUL", (("FLOAT32",),), first=None),),
)
"""What makes int8 of a feature, and what makes float32."""
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


@dataclass(frozen=True, slots=True)
class _Chain:
    """The operators of a chain with the links that they are, and the file's constants (None of a tensor without data)."""

    steps: Sequence[Step]
    links: Sequence[_Link]
    constant: Callable[[int], Array | None]

    def refused(self, got: str, allowed: str) -> Unsupported:
        return Unsupported("audio front end of the TFLite file", got=got, allowed=allowed, next_step="take the features as the input")

    def at(self, name: str) -> int:
        """The place of a link whose name is the only one of it."""
        (place,) = (place for place, link in enumerate(self.links) if link.name == name)
        return place

    def constants(self, place: int) -> list[Array]:
        """The constant inputs of an operator, in their order; the others must be what the chain has made for it."""
        step, link = self.steps[place], self.links[place]
        sources = [self.steps[place - before].outputs[which : which + 1] for before, which in link.reads] or [step.inputs[:1]]
        expected = [index for source in sources for index in source]
        arrays = {index: self.constant(index) for index in step.inputs}
        reads = [index for index in step.inputs if arrays[index] is None]
        if not reads or reads != expected or (link.first is not None and step.inputs.index(reads[0]) != link.first):
            raise self.refused(f"{step.name} with an input from elsewhere", "the operators of one chain")
        if len(step.kinds) != len(link.kinds) or any(kind not in kinds for kind, kinds in zip(step.kinds, link.kinds, strict=True)):
            allowed = ", ".join(" or ".join(kinds) for kinds in link.kinds)
            raise self.refused(f"{step.name} that makes {', '.join(map(short, step.kinds))}", allowed)
        return [array.reshape(-1) for index in step.inputs if (array := arrays[index]) is not None]

    def options(self, name: str, **expected: int) -> Mapping[str, int]:
        """The options of a custom operator that a recipe leaves open; those ``expected`` must be what they are."""
        place = self.at(name)
        data, wanted = self.steps[place].custom, (*expected, *self.links[place].open)
        try:
            table = flexbuffers.GetRoot(data[:MOST_OPTIONS]).AsMap if data else {}
            options = {key: int(table[key].Value) for key in wanted}
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


def front_end(steps: Sequence[Step], constant: Callable[[int], Array | None], ends: Sequence[int]) -> FrontEnd | None:
    """The front end among a file's operators, None where there is none. Raises Unsupported for one of another kind.

    Args:
        steps: all operators of the subgraph.
        constant: the data of a tensor, None where it has none.
        ends: the tensors that are the subgraph's outputs.
    """
    first = next((number for number, step in enumerate(steps) if step.name == CHAIN[0].called), None)
    if first is None:
        return None
    names = [step.name for step in steps[first : first + len(CHAIN) + len(TAILS[0])]]
    links = next((links for tail in TAILS if names[: len(links := (*CHAIN, *tail))] == [link.called for link in links]), CHAIN)
    chain = _Chain(steps[first : first + len(links)], links, constant)
    if links is CHAIN:
        strange = next((name for name, link in zip(names, CHAIN, strict=False) if name != link.called), "what comes after it")
        every, *tails = (", ".join(link.called for link in part) for part in (CHAIN, *TAILS))
        raise chain.refused(f"{short(strange)} in the chain", f"{every}, then {' or '.join(tails)}")
    numbers = range(first, first + len(links))
    constants = []
    for place, step in enumerate(chain.steps):
        constants.append(chain.constants(place))
        chain.equal(f"fused activation of {step.name}", step.fused, 0)
    target = chain.steps[-1].outputs[0]
    outside = {index for number, step in enumerate(steps) if number not in numbers for index in step.inputs} | {*ends}
    if outside & {index for step in chain.steps for index in step.outputs} - {target}:
        raise chain.refused("a tensor inside it that is read elsewhere", "its last tensor alone")
    op, quant, after = _recipe(chain, constants), None, constants[len(CHAIN) :]
    if len(after) == 1:
        (factor,) = _numbers(chain, after[0], 1)
        op = make(AudioFrontend, op.attributes | {"gain": float(factor)})
    else:
        for (name, expected), found in zip(TO_INT8, after, strict=False):
            chain.equal(f"a number of {name}", _numbers(chain, found, 1)[0], expected)
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
    tables = {name: constants[chain.at(name)] for name in (FIRST, "SignalFilterBank", "SignalPCAN", "CONCATENATION", "STRIDED_SLICE")}
    if [len(each) for each in tables.values()] != [1, 5, 1, 2, 3]:
        raise chain.refused("tables that are missing, or too many", "a window, five tables of channels and one of gains")
    chain.options(FIRST, shift=WINDOW_BITS)
    frame, fft = tables[FIRST][0].size, chain.options("SignalRfft")["fft_length"]
    if fft not in SIZES or not 1 <= frame <= fft:
        allowed = f"an FFT of {', '.join(map(str, SIZES))}, no shorter than a frame"
        raise chain.refused(f"frames of {frame} samples, an FFT of {fft}", allowed)
    chain.equal("window", tables[FIRST][0], window(frame))
    correction = correction_bits(fft)
    bands = chain.options("SignalFilterBank")["num_channels"]
    rate, low, high = _bands(chain, tables, fft, bands)
    default, noise = AudioFrontend(), "SignalFilterBankSpectralSubtraction"
    bits = {"smoothing_bits": SMOOTHING_BITS, "spectral_subtraction_bits": SHARE_BITS}
    shares = chain.options(noise, num_channels=bands, clamping=0, **bits)
    for one, other in (("smoothing", "one_minus_smoothing"), ("alternate_smoothing", "alternate_one_minus_smoothing")):
        chain.options(noise, **{other: (1 << SHARE_BITS) - shares[one]})
    chain.options("SignalPCAN", snr_shift=GAIN_BITS - correction - SNR_BITS)
    chain.options("SignalFilterBankLog", output_scale=LOG_SCALE, input_correction_bits=correction)
    chain.equal("gains", tables["SignalPCAN"][0], gains(fft, default.pcan_strength, default.pcan_offset))

    def share(name: str, usual: float) -> float:
        value = shares[name]
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


def _bands(chain: _Chain, tables: Mapping[str, Sequence[Array]], fft: int, bands: int) -> tuple[int, float, float]:
    """The rate and the frequencies that the tables of channels follow of."""
    energy, (start, stop, stride) = chain.options("SignalEnergy"), (_numbers(chain, [part], 1)[0] for part in tables["STRIDED_SLICE"])
    first, last, bins = energy["start_index"], energy["end_index"], fft // 2 + 1
    if not 0 < first < last < bins or not 1 <= bands <= fft // 4:
        raise chain.refused(f"{bands} channels of bins {first} to {last}", f"1 to {fft // 4} channels of bins 1 to {bins - 1}")
    chain.equal("bins that are kept", np.array([start, stop, stride]), np.array([first, last, 1]))
    for zeros, size in zip(tables["CONCATENATION"], (first, bins - last), strict=True):
        chain.equal("bins that are left out", zeros, np.zeros(size))
    found = _per_bin(chain, tables["SignalFilterBank"], bins, bands)
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
