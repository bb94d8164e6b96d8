"""Arguments for any kernel, drawn from what its twin's signature declares: sizes and values at the extremes of their ranges.

A kernel is tested without a line of its own. What a range cannot say (a window that has a tap inside the image, a shift that follows from
sizes) stands in ``RECORDS`` and ``NUMBERS``.
"""

from __future__ import annotations

import ctypes
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from edgeff.codegen.folder import kernel_files, kernels_header, shared_headers
from edgeff.device.toolchains.host import host_shared_library
from edgeff.ir import Array
from edgeff.kernels import Kernel, Param, Variant, own_sources
from edgeff.kernels.arithmetic import multiplier_and_shift
from edgeff.kernels.broadcast import broadcast
from edgeff.kernels.chords import Tripled
from edgeff.kernels.header import KERNELS_HEADER
from edgeff.kernels.records import Broadcast, Field, Range, Record, Sides, Window, fields_of
from edgeff.ops.audio_frontend import AudioFrontend
from edgeff.ops.audio_frontend.kernel import AudioFrames
from edgeff.ops.audio_frontend.tables import tables as front_end_tables
from edgeff.ops.dense import accumulator_shift
from edgeff.ops.mfcc import Mfcc, tables
from edgeff.ops.mfcc import sizes as audio_sizes
from edgeff.ops.mfcc.kernel import Frames
from edgeff.ops.pad.kernel import Around
from edgeff.ops.slice import part
from edgeff.ops.slice.kernel import Part
from edgeff.ops.softmax.kernel import Logits
from edgeff.ops.transpose.kernel import Axes
from edgeff.rules.words.pooled import Pair
from edgeff.rules.words.pooled_i8 import Stage, Stem

DTYPES = {
    "float": np.float32,
    "int8_t": np.int8,
    "int16_t": np.int16,
    "int32_t": np.int32,
    "uint32_t": np.uint32,
    "int64_t": np.int64,
    "void": np.uint8,
}
CTYPES: Mapping[str, Any] = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "float": ctypes.c_float}
FILLS = ("random", "largest", "smallest", "ends", "zero", "mixed")
SIZES = ("n", "n_out", "n_in", "n_e", "classes", "places")
LARGEST_SIZE = 1000
GUARD_BYTES = 32


@dataclass
class Draw:
    """What one case is made of: a generator, how arrays are filled, the sizes that are given, and the kernel's numbers so far."""

    rng: np.random.Generator
    fill: str
    sizes: dict[str, int]
    kernel: str = ""

    def integer(self, low: float, high: float) -> int:
        """An integer in [low, high]; in half of the cases one of the ends."""
        if self.rng.random() < 0.5:
            return int(self.rng.choice([low, high]))
        return int(self.rng.integers(int(low), int(high), endpoint=True))

    def multiplier(self) -> int:
        """A requantisation multiplier: normalised, or 0."""
        return self.integer(2**30, 2**31 - 1) if self.rng.random() < 0.95 else 0

    def shift(self) -> int:
        """Mostly one that gives results within range."""
        return self.integer(-31, 30) if self.rng.random() < 0.3 else self.integer(-16, 2)

    def number(self, field: Field) -> int | float:
        """A value for a number within its range: a given size, what ``NUMBERS`` says of the name, or one of the range."""
        name, within = field.name, field.range
        if name in self.sizes:
            return int(min(max(self.sizes[name], within.low), within.high))
        if name in NUMBERS:
            return NUMBERS[name](self)
        if name.endswith("multiplier"):
            return self.multiplier()
        if name.endswith("shift"):
            return self.integer(-16, 0) if ("add_" in self.kernel or "sub_" in self.kernel) and name != "shift" else self.shift()
        if field.ctype == "float":
            drawn = float(np.float32(self.rng.choice([-1.0, 0.0, 0.1, 1.0, 3.5])))
            return drawn if drawn in within else float(np.float32(self.rng.choice([1e-4, 2.0])))
        return self.integer(within.low, min(within.high, 9) if within.low == 1 and within.high > LARGEST_SIZE else within.high)

    def record(self, record: type[Record]) -> Record:
        """A record with every field drawn."""
        if record in RECORDS:
            return RECORDS[record](self)
        return record(**{field.name: self.record(field.record) if field.record else self.number(field) for field in fields_of(record)})


def pre_shift(draw: Draw) -> int:
    """The shift that the dense layer chooses."""
    gradient, eight = "gradient" in draw.kernel, draw.kernel.endswith("i8")
    terms = draw.sizes["n_out" if gradient else "n_in"]
    return max(accumulator_shift(terms) - (8 if eight else 0), 0)


NUMBERS: Mapping[str, Callable[[Draw], int | float]] = {
    "sign": lambda draw: int(draw.rng.choice([-1, 1])),
    "theta": lambda draw: 2.0 if draw.kernel.endswith("f32") else draw.integer(0, 1000 * 2**16),
    "lr": lambda _draw: float(np.float32(0.05)),
    "index": lambda draw: draw.integer(0, draw.sizes["classes"] - 1),
    "period": lambda draw: draw.integer(0, 3),
    "factor": lambda draw: draw.integer(0, 2**16),
    "value": lambda draw: float(draw.integer(-1, 9)) if draw.kernel.endswith("f32") else draw.integer(-1, 9),
    "gain": lambda draw: draw.integer(1, 2**31 - 1),
    "add": lambda draw: int(draw.sizes["n"] % 3 == 2),
    "taps": lambda draw: draw.integer(1, 30),
    "n_bytes": lambda draw: draw.sizes["n"],
    "positions": lambda draw: draw.integer(1, 6),
    "rows": lambda draw: draw.integer(1, 6),
    "channels": lambda draw: draw.integer(1, 40),
    "in_c": lambda draw: draw.integer(1, 9),
    "out_c": lambda draw: draw.integer(1, 9),
    "pre_shift": pre_shift,
    "y_min": lambda draw: draw.integer(-128, 20) if "i8" in draw.kernel else draw.integer(-32767, 0),
    "y_max": lambda draw: draw.integer(20, 127),
}


def window(draw: Draw) -> Window:
    """Windows of which each has a tap inside a pool's image, and some of a convolution none; channels as the kernel's operator has them."""
    square = draw.kernel == "eff_depthwise_conv2d_i8" and draw.rng.random() < 0.5  # 3x3, with one output per channel
    if "depthwise" in draw.kernel or "pool2d" in draw.kernel:
        groups = in_c = draw.integer(1, 9)
        out_c = in_c * (1 if "pool2d" in draw.kernel or square else draw.integer(1, 3))
    else:
        groups = draw.integer(1, 4) if draw.rng.random() < 0.4 and "pooled" not in draw.kernel else 1
        in_c, out_c = groups * draw.integer(1, 9 if groups == 1 else 5), groups * draw.integer(1, 9)
    sizes = {"in_c": in_c, "out_c": out_c, "groups": groups}
    both = draw.integer(1, 2)
    for axis in ("h", "w"):
        length, taps, stride = draw.integer(1, 9), draw.integer(1, 4), draw.integer(1, 3)
        length, taps, stride = (draw.integer(1, 17), 3, both) if square else (length, taps, stride)
        outside = 0 if "pool" in draw.kernel or draw.rng.random() < 0.7 else 3
        pad = draw.integer(0, taps - 1 + outside)
        count = draw.integer(1, (length - 1 + pad + outside) // stride + 1)
        if not any(-taps < place * stride - pad < length for place in range(count)):
            pad = 0
        sizes |= {f"in_{axis}": length, f"k_{axis}": taps, f"stride_{axis}": stride, f"pad_{axis}": pad, f"out_{axis}": count}
    return Window(**sizes)


def pair(draw: Draw) -> Pair:
    """Two convolutions one after the other, the first in half of the cases depthwise."""
    depthwise, second = int(any(form in draw.kernel for form in ("backward", "stem", "separable")) or draw.integer(0, 1)), window(draw)
    around = "skip" in draw.kernel
    depthwise = 0 if around else depthwise
    first = window(draw)
    in_c = second.in_c if depthwise else first.in_c
    sizes = {"in_c": in_c, "mid_c": second.in_c, "out_c": second.out_c, "depthwise": depthwise}
    for axis in ("h", "w"):
        length, taps, stride = getattr(second, f"in_{axis}"), getattr(first, f"k_{axis}"), getattr(first, f"stride_{axis}")
        pad = getattr(first, f"pad_{axis}")
        sizes |= {f"mid_{axis}": length, f"k_{axis}": taps, f"stride_{axis}": stride, f"pad_{axis}": pad}
        sizes |= {f"in_{axis}": max((length - 1) * stride - pad + draw.integer(1, taps), 1), f"out_{axis}": getattr(second, f"out_{axis}")}
        sizes |= {f"then_{name}_{axis}": getattr(second, f"{name}_{axis}") for name in ("k", "stride", "pad")}
        if around:
            sizes |= {f"{place}_{axis}": length for place in ("in", "out")} | {f"stride_{axis}": 1, f"then_stride_{axis}": 1}
        if "separable" in draw.kernel:
            sizes |= {f"out_{axis}": length, f"then_k_{axis}": 1, f"then_stride_{axis}": 1, f"then_pad_{axis}": 0}
    return Pair(**sizes | ({"in_c": sizes["out_c"]} if around else {}))


def axes(draw: Draw) -> Axes:
    """Any order of three axes."""
    order = [int(axis) for axis in draw.rng.permutation(3)]
    return Axes(draw.integer(1, 6), draw.integer(1, 6), draw.integer(1, 6), *order)


def both_sides(draw: Draw) -> Broadcast:
    """Two shapes of up to four axes, of which either may be broadcast along any."""
    sizes = [draw.integer(1, 5) for _ in range(draw.integer(1, 4))]
    left, right = ([size if draw.rng.random() < 0.6 else 1 for size in sizes] for _ in range(2))
    return broadcast(left, right)


def part_of(draw: Draw) -> Part:
    """A part of a tensor of up to four axes."""
    shape = tuple(draw.integer(1, 6) for _ in range(draw.integer(1, 4)))
    begin = tuple(draw.integer(0, size - 1) for size in shape)
    step = tuple(draw.integer(1, 3) for _ in shape)
    size = tuple(draw.integer(1, (whole - 1 - first) // by + 1) for whole, first, by in zip(shape, begin, step, strict=True))
    return Part(**{name: int(value) for name, value in part(shape, begin, size, step).items()})


def around(draw: Draw) -> Around:
    """Up to three elements on each side of each axis."""
    return Around(*(draw.integer(1, 5) for _ in range(3)), *(draw.integer(0, 3) for _ in range(6)))


def tripled(draw: Draw) -> Tripled:
    """Any multiplier and shift."""
    return Tripled(draw.integer(0, 32767), draw.integer(0, 30))


def logits(draw: Draw) -> Logits:
    """What lowering gives for some scale of the logits below 16."""
    scale = float(np.float32(2.0 ** draw.rng.uniform(-12, 3.99)))
    multiplier, shift = multiplier_and_shift(min(scale * 2.0**26, 2.0**31 - 1))
    return Logits(multiplier, shift, -math.floor(31 * 2.0**26 / 2.0**shift))


def sides(draw: Draw) -> Sides:
    """Two factors of at most one half; in half of the cases one of them is one half, as lowering makes it."""
    fields = {field.name: int(draw.number(field)) for field in fields_of(Sides)}
    if draw.rng.random() < 0.5:
        side = str(draw.rng.choice(["a", "c"]))
        fields |= {f"{side}_multiplier": 2**30, f"{side}_shift": 0}
    return Sides(**fields)


RECORDS: Mapping[type[Record], Callable[[Draw], Record]] = {
    Window: window,
    Sides: sides,
    Pair: pair,
    Axes: axes,
    Logits: logits,
    Tripled: tripled,
    Broadcast: both_sides,
    Part: part_of,
    Around: around,
}


def filled(draw: Draw, param: Param, count: int, limits: tuple[float, float]) -> Array:
    """An array of ``count`` values in the way the case fills its arrays."""
    rng, dtype = draw.rng, DTYPES[param.ctype]
    fill = str(rng.choice(FILLS)) if draw.fill == "mixed" else draw.fill
    if param.ctype == "float":
        scale = np.float32(rng.choice([1e-30, 1e-3, 1.0, 30.0, 1e12]))
        special = np.array([0.0, -0.0, 1.0, -1.0, 2.0**-126, -(2.0**-149), 1e12], np.float32)
        floats = {
            "random": lambda: rng.normal(size=count).astype(np.float32) * scale,
            "largest": lambda: np.full(count, scale, np.float32),
            "smallest": lambda: np.full(count, -scale, np.float32),
            "ends": lambda: rng.choice(special, count),
            "zero": lambda: np.zeros(count, np.float32),
            "mixed": lambda: rng.uniform(-1, 1, count).astype(np.float32),
        }
        return floats[fill]().astype(np.float32)
    if param.name == "shift" and draw.rng.random() < 0.6:
        return draw.rng.integers(-31 if draw.rng.random() < 0.2 else -14, -2, count, endpoint=True).astype(dtype)
    if param.name in ("multiplier", "shift"):
        one = draw.multiplier if param.name == "multiplier" else draw.shift
        return np.clip(np.array([one() for _ in range(count)], dtype), *limits).astype(dtype)
    low, high = (int(end) for end in limits)
    integers: dict[str, Callable[[], Array]] = {
        "random": lambda: rng.integers(low, high, count, endpoint=True),
        "largest": lambda: np.full(count, high),
        "smallest": lambda: np.full(count, low),
        "ends": lambda: rng.choice([low, high], count),
        "zero": lambda: np.full(count, min(max(0, low), high)),
        "mixed": lambda: np.where(rng.random(count) < 0.5, rng.choice([low, high], count), rng.integers(low, high, count, endpoint=True)),
    }
    return integers[fill]().astype(dtype)


@dataclass
class Case:
    """The arguments of one call: outputs hold what was there before."""

    outputs: list[Array]
    inputs: list[Array | None]
    attrs: dict[str, Any]


def audio_case(kernel: Kernel, draw: Draw) -> Case:
    """A call of a kernel that reads audio: a drawn recipe's tables, and samples at the extremes of 16 bits."""
    fft = 2 ** draw.integer(2, 9)
    frame, bands = draw.integer(1, fft), draw.integer(1, 40)
    recipe = Mfcc(
        rate=16_000,
        frame=frame,
        hop=draw.integer(1, 2 * fft),
        fft=fft,
        bands=min(bands, fft),
        coefficients=draw.integer(1, min(bands, fft)),
        low_hz=float(draw.rng.choice([0.0, 20.0, 3000.0])),
        high_hz=float(draw.rng.choice([4000.0, 8000.0])),
        eps=float(np.float32(draw.rng.choice([2.0**-126, 1e-6, 0.01, 1e6]))),
        gain=float(draw.rng.choice([1.0, -0.0625])),
    )
    samples = frame + draw.integer(0, 3 * recipe.hop)
    attrs: dict[str, Any] = {"sizes": audio_sizes(recipe, samples)}
    scale = float(np.float32(draw.rng.choice([1e-12, 0.01, 0.5847029, 1e6])))
    for param in kernel.attrs:
        if param.record is not None and param.name != "sizes":
            fields = {field.name: draw.number(field) for field in fields_of(param.record)}
            attrs[param.name] = param.record(**fields | {"y_scale": scale})
        elif param.number is not None:
            attrs[param.name] = scale
    arrays = tables(recipe)[0]
    if kernel.name.startswith("eff_mel_"):
        return stream_case(kernel, draw, attrs, arrays)
    inputs: list[Array | None] = [
        arrays.get(p.name, filled(draw, p, samples, (-32768, 32767))) if p.name != "x" else filled(draw, p, samples, (-32768, 32767))
        for p in kernel.pointers
        if p.role == "input"
    ]
    outputs = [filled(draw, p, math.prod(p.dims(attrs)), (-128, 127)) for p in kernel.pointers if p.role == "output"]
    outputs[1][:] = 0
    return Case(outputs, inputs, attrs)


def front_end_case(kernel: Kernel, draw: Draw) -> Case:
    """A call of an audio front end: a drawn recipe's tables, samples at the extremes of 16 bits and any noise."""
    fft = draw.integer(0, 1) * 384 + 128
    recipe = AudioFrontend(
        frame=draw.integer(1, fft),
        hop=draw.integer(1, 2 * fft),
        fft=fft,
        bands=draw.integer(1, 8 if fft == 128 else 40),
        smoothing=float(draw.rng.choice([0.0, 0.025, 1.0])),
        remaining=float(draw.rng.choice([0.0, 0.05, 1.0])),
        pcan_strength=float(draw.rng.choice([0.0, 0.95, 2.0])),
        pcan_offset=float(draw.rng.choice([1.0, 80.0])),
    )
    samples = recipe.frame + draw.integer(0, 3 * recipe.hop)
    attrs: dict[str, Any] = {p.name: recipe.sizes(samples) if p.record else 0.5 for p in kernel.attrs}
    arrays = front_end_tables(recipe)
    inputs: list[Array | None] = [
        filled(draw, p, samples, p.limits(attrs)) if p.name == "x" else arrays[p.name] for p in kernel.pointers if p.role == "input"
    ]
    outputs = [filled(draw, p, math.prod(p.dims(attrs)), p.limits(attrs)) for p in kernel.pointers if p.role == "output"]
    return Case(outputs, inputs, attrs)


def stream_case(kernel: Kernel, draw: Draw, attrs: dict[str, Any], arrays: Mapping[str, Array]) -> Case:
    """A call of a kernel that works on a window of whole hops."""
    sizes: Frames = attrs["sizes"]
    hops = sizes.frames - 1 + -(-sizes.frame // sizes.hop)
    attrs["sizes"] = replace(sizes, n=hops * sizes.hop)
    made: list[Array] = []
    for param in kernel.pointers:
        array = arrays.get(param.name)
        if array is None:
            array = filled(draw, param, math.prod(param.dims(attrs)), (-32768, 32767))
        if param.name == "at":
            array = np.array([draw.integer(0, sizes.frames - 1), draw.integer(0, hops - 1)], np.int32)
        made.append(np.abs(array) if param.name == "mels" else array)
    written = sum(param.role == "output" for param in kernel.pointers)
    return Case(made[:written], list(made[written:]), attrs)


def stem_case(kernel: Kernel, draw: Draw) -> Case:
    """A call for a convolution below a pair: its output is the pair's input."""
    attrs = {param.name: draw.record(param.record) if param.record else draw.number(_number(param)) for param in kernel.attrs}
    below: dict[str, int] = {"image_c": draw.integer(1, 3)}
    for axis in ("h", "w"):
        taps, stride = draw.integer(1, 4), draw.integer(1, 2)
        pad = draw.integer(0, taps - 1)
        length = max((getattr(attrs["pair"], f"in_{axis}") - 1) * stride - pad + draw.integer(1, taps), 1)
        below |= {f"image_{axis}": length, f"stem_k_{axis}": taps, f"stem_stride_{axis}": stride, f"stem_pad_{axis}": pad}
    attrs["stem"] = Stem(**below, stem_stage=cast("Stage", draw.record(Stage)))
    arrays = [filled(draw, param, math.prod(param.dims(attrs)), param.limits(attrs)) for param in kernel.pointers]
    written = sum(param.role == "output" for param in kernel.pointers)
    return Case(arrays[:written], list(arrays[written:]), attrs)


def case(kernel: Kernel, draw: Draw) -> Case:
    """A drawn call of ``kernel``."""
    draw.kernel = kernel.name
    if any(param.record is Stem for param in kernel.attrs):
        return stem_case(kernel, draw)
    if any(param.record is Frames for param in kernel.attrs):
        return audio_case(kernel, draw)
    if any(param.record is AudioFrames for param in kernel.attrs):
        return front_end_case(kernel, draw)
    attrs = {param.name: draw.record(param.record) if param.record else draw.number(_number(param)) for param in kernel.attrs}
    arrays: list[Array | None] = []
    for param in kernel.pointers:
        absent = param.optional and draw.rng.random() < 0.3
        arrays.append(None if absent else filled(draw, param, math.prod(param.dims(attrs)), param.limits(attrs)))
    outputs = [array for array, param in zip(arrays, kernel.pointers, strict=True) if param.role == "output" and array is not None]
    return Case(outputs, arrays[len(outputs) :], attrs)


def _number(param: Param) -> Field:
    return param.number or Field(param.name, param.ctype, Range(0, 0))


def run_twin(kernel: Kernel, made: Case) -> list[Array]:
    """The outputs by the twin."""
    outputs = [array.copy() for array in made.outputs]
    with np.errstate(all="ignore"):
        kernel.run(*outputs, *[None if a is None else a.copy() for a in made.inputs], **made.attrs)
    return outputs


def argument(param: Param, value: Any) -> Any:
    """A number, or a record as a pointer to its C struct."""
    if param.record is None:
        return CTYPES[param.ctype](value)
    return ctypes.byref(struct_of(value))


def struct_of(value: Record) -> ctypes.Structure:
    """A record, and the records in it, as a C struct."""
    members = {name: struct_of(each) if isinstance(each, Record) else each for name, each in value.values().items()}
    layout = [
        (field.name, type(members[field.name]) if field.record is not None else CTYPES[field.ctype]) for field in fields_of(type(value))
    ]
    return type(type(value).__name__, (ctypes.Structure,), {"_fields_": layout})(*members.values())


def constants(kernel: Kernel, made: Case) -> dict[str, Array]:
    """The inputs by parameter name, as ``select`` gives the constant ones to a variant."""
    names = [param.name for param in kernel.pointers if param.role == "input"]
    return {name: array for name, array in zip(names, made.inputs, strict=True) if array is not None}


def scratch_of(variant: Variant | None, made: Case) -> Array:
    """A variant's scratch memory with a guard after it; nothing for a form that takes none."""
    if variant is None or variant.scratch_bytes is None:
        return np.empty(0, np.uint8)
    return np.full(variant.scratch_bytes(made.attrs) + GUARD_BYTES, 0xA5, np.uint8)


def address_of(scratch: Array) -> list[ctypes.c_void_p]:
    """The last argument of a variant that takes scratch memory."""
    return [ctypes.c_void_p(scratch.ctypes.data)] if scratch.size else []


Block = tuple[Array | None, int]
"""Memory that a pointer leads to, and the pointer's offset in it; None for NULL."""


class Library(Protocol):
    """Kernels that run elsewhere than in this process."""

    def call(self, name: str, blocks: Sequence[Block], numbers: Sequence[tuple[Param, Any]], scratch: Array) -> None:
        """Runs the function ``name`` on ``blocks`` and ``scratch``, unless it is empty, which then hold what it left."""


def run_c(library: ctypes.CDLL | Library, kernel: Kernel, made: Case, variant: Variant | None = None) -> list[Array]:
    """The outputs by the C, each between two guards that must survive, the inputs unchanged."""
    buffers = []
    for array in made.outputs:
        buffer = np.full(array.nbytes + 2 * GUARD_BYTES, 0xA5, np.uint8)
        buffer[GUARD_BYTES : GUARD_BYTES + array.nbytes] = array.view(np.uint8)
        buffers.append(buffer)
    packed = variant.pack(made.attrs, constants(kernel, made)) if variant and variant.pack else {}
    names = [param.name for param in kernel.pointers if param.role == "input"]
    given = [packed.get(name, array) for name, array in zip(names, made.inputs, strict=True)]
    inputs = [None if array is None else array.copy() for array in given]
    scratch = scratch_of(variant, made)
    blocks: list[Block] = [*((buffer, GUARD_BYTES) for buffer in buffers), *((array, 0) for array in inputs)]
    name = f"{kernel.name}_{variant.name}" if variant else kernel.name
    if isinstance(library, ctypes.CDLL):
        pointers = [ctypes.c_void_p(None if array is None else array.ctypes.data + offset) for array, offset in blocks]
        function = getattr(library, name)
        function.restype = None
        function(*pointers, *(argument(param, made.attrs[param.name]) for param in kernel.attrs), *address_of(scratch))
    else:
        library.call(name, blocks, [(param, made.attrs[param.name]) for param in kernel.attrs], scratch)
    assert (scratch[-GUARD_BYTES:] == 0xA5).all(), f"{kernel.name} wrote past its scratch memory"
    for buffer in buffers:
        assert (buffer[:GUARD_BYTES] == 0xA5).all(), f"{kernel.name} wrote before its output"
        assert (buffer[-GUARD_BYTES:] == 0xA5).all(), f"{kernel.name} wrote past its output"
    for before, after in zip(given, inputs, strict=True):
        assert before is None or after is None or before.tobytes() == after.tobytes(), f"{kernel.name} wrote into an input"
    return [buffer[GUARD_BYTES : GUARD_BYTES + array.nbytes].view(array.dtype) for buffer, array in zip(buffers, made.outputs, strict=True)]


def every_kernel(folder: Path) -> ctypes.CDLL:
    """All kernels in all their forms as one library of the host, built in ``folder``."""
    sources = kernel_files(own_sources())
    for name, path in {**sources, **shared_headers(sources.values())}.items():
        shutil.copyfile(path, folder / name)
    (folder / KERNELS_HEADER).write_text(kernels_header(folder), encoding="utf-8")
    host_shared_library([folder / name for name in sources], folder, folder / "kernels.so")
    return ctypes.CDLL(str(folder / "kernels.so"))
