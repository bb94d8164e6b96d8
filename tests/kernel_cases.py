"""Arguments for any kernel, drawn from its prototype: sizes and values at the extremes, by the names that the prototypes share.

A kernel whose parameters carry these names is tested without a line of its own; an unknown name fails with the place where to describe it.
Ranges are those that ``edgeff.h`` and lowering promise to the kernels.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Kernel, Parameter
from edgeff.kernels.arithmetic import multiplier_and_shift
from edgeff.ops.dense import accumulator_shift
from edgeff.ops.mfcc import Recipe, tables
from edgeff.ops.mfcc import sizes as audio_sizes

DTYPES = {
    "float": np.float32,
    "int8_t": np.int8,
    "int16_t": np.int16,
    "int32_t": np.int32,
    "uint32_t": np.uint32,
    "void": np.uint8,
}
CTYPES = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "float": ctypes.c_float}
FILLS = ("random", "largest", "smallest", "ends", "zero", "mixed")
SIZES = ("n", "n_out", "n_in", "n_e", "classes", "places")
ONE = ("label", "wrong", "step", "rate", "best", "s")
BIAS_LIMIT = 2**30 - 1
GUARD_BYTES = 32


@dataclass
class Draw:
    """What one case is made of: a generator, how arrays are filled, and the sizes."""

    rng: np.random.Generator
    fill: str
    sizes: dict[str, int]

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]; in half of the cases one of the ends."""
        if self.rng.random() < 0.5:
            return int(self.rng.choice([low, high]))
        return int(self.rng.integers(low, high, endpoint=True))

    def multiplier(self) -> int:
        """A requantisation multiplier: normalised, or 0."""
        return self.integer(2**30, 2**31 - 1) if self.rng.random() < 0.95 else 0

    def shift(self) -> int:
        """Mostly one that gives results within range."""
        return self.integer(-31, 30) if self.rng.random() < 0.3 else self.integer(-16, 2)


def _of(kernel: Kernel, *names: str) -> bool:
    return all(any(p.name == name for p in kernel.parameters) for name in names)


def window_sizes(draw: Draw, kernel: Kernel) -> dict[str, int]:
    """The geometry of a window kernel: every window has a tap inside the image."""
    sizes = {"in_c": draw.integer(1, 9), "out_c": draw.integer(1, 9), "depth": draw.integer(1, 3)}
    if _of(kernel, "groups"):
        sizes["groups"] = draw.integer(1, 4)
        sizes |= {"in_c": sizes["groups"] * draw.integer(1, 5), "out_c": sizes["groups"] * draw.integer(1, 9)}
    for axis in ("h", "w"):
        length, taps, stride = draw.integer(1, 9), draw.integer(1, 4), draw.integer(1, 3)
        pad = draw.integer(0, taps - 1)
        sizes |= {f"in_{axis}": length, f"k_{axis}": taps, f"stride_{axis}": stride, f"pad_{axis}": pad}
        sizes[f"out_{axis}"] = draw.integer(1, (length - 1 + pad) // stride + 1)
    return sizes


def window_elements(kernel: Kernel, name: str, sizes: Mapping[str, int]) -> int:
    """How many elements a pointer of a window kernel points to."""
    taps = sizes["k_h"] * sizes["k_w"]
    channels = sizes["out_c"] if _of(kernel, "out_c") else sizes["in_c"] * (sizes["depth"] if _of(kernel, "depth") else 1)
    image, output = sizes["in_h"] * sizes["in_w"] * sizes["in_c"], sizes["out_h"] * sizes["out_w"] * channels
    return {
        "x": image,
        "dx": image,
        "a": image,
        "d": image,
        "delta": output,
        "w": taps * channels * (sizes["in_c"] // sizes.get("groups", 1) if _of(kernel, "out_c") else 1),
        "y": output,
        "b": channels,
        "multiplier": channels if sizes["per_channel"] else 1,
        "shift": channels if sizes["per_channel"] else 1,
    }[name]


def elements(kernel: Kernel, parameter: Parameter, sizes: Mapping[str, int]) -> int:
    """How many elements a pointer points to."""
    name = parameter.name
    if _of(kernel, "in_h") and name not in ONE:
        return window_elements(kernel, name, sizes)
    if _of(kernel, "in_c", "classes") and name not in ONE:
        groups = min(sizes["in_c"], sizes["classes"])
        return {"scores": sizes["classes"], "scratch": 2 * groups}.get(name, sizes["n"] * sizes["in_c"])
    if _of(kernel, "n", "in_c"):
        return sizes["in_c"] * (sizes["n"] if name in ("x", "d") else 1)
    if _of(kernel, "n", "out_c"):
        return 1 if name in ONE else sizes["out_c"] * (sizes["n"] if name == "delta" else 1)
    if _of(kernel, "d0"):
        return sizes["d0"] * sizes["d1"] * sizes["d2"]
    if _of(kernel, "positions"):
        return sizes["positions"] * sizes["channels"]
    if name in ONE:
        return 1
    if name == "scores":
        return sizes["classes"]
    if _of(kernel, "places"):
        return sizes["places"] * (sizes["n"] + (sizes["classes"] if name == "y" else 0))
    if _of(kernel, "n_bytes"):
        return sizes["n"]
    if _of(kernel, "n_out", "n_in"):
        if name in ("multiplier", "shift"):
            return sizes["n_out"] if sizes["per_channel"] else 1
        forward = {"w": sizes["n_out"] * sizes["n_in"], "y": sizes["n_out"], "b": sizes["n_out"], "delta": sizes["n_out"]}
        return forward.get(name, sizes["n_in"])
    if _of(kernel, "n_e"):
        return {"e": sizes["n_e"], "f": sizes["n"] * sizes["n_e"]}.get(name, sizes["n"])
    return sizes["n"]


def limits(kernel: Kernel, parameter: Parameter, sizes: Mapping[str, int]) -> tuple[int, int]:
    """The smallest and largest value of an integer array."""
    if parameter.name in ("label", "wrong"):
        return (-1 if "embed" in kernel.name else 0), sizes["classes"] - 1 if _of(kernel, "classes") else sizes["n"] - 1
    named = {
        "rate": (0, 2**16),
        "step": (0, 2**32 - 1),
        "multiplier": (2**30, 2**31 - 1),
        "shift": (-31, 30),
        "b": (-BIAS_LIMIT, BIAS_LIMIT),
        "scores": (0, 15 * 2**26),
    }
    if parameter.name in named:
        return named[parameter.name]
    by_type = {
        "int8_t": (-127, 127) if parameter.name in ("w", "f") else (-128, 127),
        "int16_t": (-32767, 32767),
        "int32_t": (-(2**31), 2**31 - 1),
        "uint32_t": (0, 2**32 - 1),
        "void": (0, 255),
    }
    return by_type[parameter.ctype]


def filled(draw: Draw, parameter: Parameter, count: int, low: int, high: int) -> Array:
    """An array of ``count`` values in the way the case fills its arrays."""
    rng, dtype = draw.rng, DTYPES[parameter.ctype]
    fill = str(rng.choice(FILLS)) if draw.fill == "mixed" else draw.fill
    if parameter.ctype == "float":
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
    if parameter.name in ("multiplier", "shift"):
        one = draw.multiplier if parameter.name == "multiplier" else draw.shift
        return np.array([one() for _ in range(count)], dtype)
    integers: dict[str, Callable[[], Array]] = {
        "random": lambda: rng.integers(low, high, count, endpoint=True),
        "largest": lambda: np.full(count, high),
        "smallest": lambda: np.full(count, low),
        "ends": lambda: rng.choice([low, high], count),
        "zero": lambda: np.full(count, min(max(0, low), high)),
        "mixed": lambda: np.where(rng.random(count) < 0.5, rng.choice([low, high], count), rng.integers(low, high, count, endpoint=True)),
    }
    return integers[fill]().astype(dtype)


def attribute(kernel: Kernel, parameter: Parameter, draw: Draw) -> int | float:
    """A value for an attribute."""
    name, sizes = parameter.name, draw.sizes
    low, high = (-128, 127) if kernel.name.endswith("i8") else (-32767, 32767)
    if name in sizes:
        return sizes[name]
    if name.endswith("multiplier"):
        return draw.multiplier()
    if "add_i8" in kernel.name and name in ("a_shift", "c_shift"):
        return draw.integer(-16, 0)  # factors of at most 1/2: the sum of both sides stays in 32 bits
    if name.endswith("shift") and name != "pre_shift":
        return draw.shift()
    if parameter.ctype == "float":
        positive = {"eps": 1e-4, "theta": 2.0, "lr": 0.05}
        return float(np.float32(positive[name])) if name in positive else float(np.float32(draw.rng.choice([-1.0, 0.0, 0.1, 1.0, 3.5])))
    named: dict[str, Callable[[], int]] = {
        "relu": lambda: draw.integer(0, 2),
        "add": lambda: draw.integer(0, 1),
        "stochastic": lambda: draw.integer(0, 1),
        "sign": lambda: int(draw.rng.choice([-1, 1])),
        "key": lambda: draw.integer(0, 2**32 - 1),
        "index": lambda: draw.integer(0, sizes["classes"] - 1),
        "theta": lambda: draw.integer(0, 1000 * 2**16),
        "one": lambda: draw.integer(1, 32768),
        "gain": lambda: draw.integer(1, 2**31 - 1),
        "sparsity": lambda: draw.integer(0, 32767),
        "sharpness": lambda: draw.integer(1, 2**15),
        "period": lambda: draw.integer(0, 3),
        "factor": lambda: draw.integer(0, 2**16),
        "n_bytes": lambda: sizes["n"],
        "value": lambda: draw.integer(-1, 9),
        "on": lambda: draw.integer(low, high),
        "off": lambda: draw.integer(low, high),
        "neutral": lambda: draw.integer(low, high),
        "y_min": lambda: draw.integer(low, 20 if low == -128 else 0),
        "y_max": lambda: draw.integer(20, 127),
        "pre_shift": lambda: pre_shift(kernel, sizes),
    }
    if name.endswith("_zero"):
        return draw.integer(-128, 127)
    if name not in named:
        raise KeyError(f"{kernel.name}: say in tests/kernel_cases.py how to draw the attribute {name!r}")
    return named[name]()


def pre_shift(kernel: Kernel, sizes: Mapping[str, int]) -> int:
    """The shift that the dense layer chooses."""
    if "gradient" in kernel.name:
        return max(accumulator_shift(sizes["n_out"]) - (8 if kernel.name.endswith("i8") else 0), 0)
    return max(accumulator_shift(sizes["n_in"]) - (8 if "tangent_i8" in kernel.name else 0), 0)


def softmax_attrs(draw: Draw) -> dict[str, int]:
    """What lowering gives for some scale of the logits below 16."""
    scale = float(np.float32(2.0 ** draw.rng.uniform(-12, 3.99)))
    multiplier, shift = multiplier_and_shift(min(scale * 2.0**26, 2.0**31 - 1))
    return {"multiplier": multiplier, "shift": shift, "diff_min": -math.floor(31 * 2.0**26 / 2.0**shift)}


def sizes_of(kernel: Kernel, draw: Draw) -> None:
    """Mends drawn sizes that a kernel does not take: a wrong class needs two."""
    sizes = draw.sizes
    if _of(kernel, "in_c") or _of(kernel, "out_c"):
        sizes |= window_sizes(draw, kernel)
    if _of(kernel, "d0"):
        order = draw.rng.permutation(3)
        sizes |= {f"d{i}": draw.integer(1, 6) for i in range(3)} | {f"p{i}": int(order[i]) for i in range(3)}
    if _of(kernel, "positions"):
        sizes |= {"positions": draw.integer(1, 6), "channels": draw.integer(1, 40)}
    if _of(kernel, "wrong"):
        sizes["classes"] = max(sizes["classes"], 2)
    if "table" in kernel.name and not kernel.name.endswith("f32"):
        sizes["n_e"] = min(sizes["n_e"], 516)


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
    recipe = Recipe(
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
    constants, attrs = tables(recipe)[0], dict(audio_sizes(recipe, samples))
    by_name = {parameter.name: parameter for parameter in kernel.parameters}
    audio = filled(draw, by_name["x"], samples, -32768, 32767)
    named = {
        "y_scale": float(np.float32(draw.rng.choice([1e-12, 0.01, 0.5847029, 1e6]))),
        "y_zero": draw.integer(-128, 127),
        "truncate": draw.integer(0, 1),
        "wrap": draw.integer(0, 1),
    }
    attrs |= {name: value for name, value in named.items() if name in by_name}
    y = filled(draw, by_name["y"], int(attrs["frames"] * attrs["coefficients"]), -128, 127)
    scratch = filled(draw, by_name["scratch"], fft + recipe.bands + recipe.coefficients, 0, 0)
    return Case([y, scratch], [audio, *constants.values()], attrs)


def case(kernel: Kernel, draw: Draw) -> Case:
    """A drawn call of ``kernel``."""
    if _of(kernel, "spans"):
        return audio_case(kernel, draw)
    sizes_of(kernel, draw)
    sizes = draw.sizes
    outputs: list[Array] = []
    inputs: list[Array | None] = []
    for parameter in kernel.pointers:
        absent = parameter.name == "b" and parameter.kind == "input" and draw.rng.random() < 0.3
        low, high = (0, 0) if parameter.ctype == "float" else limits(kernel, parameter, sizes)
        array = None if absent else filled(draw, parameter, elements(kernel, parameter, sizes), low, high)
        if parameter.kind == "output":
            assert array is not None
            outputs.append(array)
        else:
            inputs.append(array)
    special = softmax_attrs(draw) if _of(kernel, "diff_min") else {}
    attrs = {p.name: special[p.name] if p.name in special else attribute(kernel, p, draw) for p in kernel.attrs}
    return Case(outputs, inputs, attrs)


def run_twin(kernel: Kernel, made: Case) -> list[Array]:
    """The outputs by the twin."""
    outputs = [array.copy() for array in made.outputs]
    with np.errstate(all="ignore"):
        kernel.run(*outputs, *[None if a is None else a.copy() for a in made.inputs], **made.attrs)
    return outputs


def run_c(function: Any, kernel: Kernel, made: Case) -> list[Array]:
    """The outputs by the C, each between two guards that must survive, the inputs unchanged."""
    buffers = []
    for array in made.outputs:
        buffer = np.full(array.nbytes + 2 * GUARD_BYTES, 0xA5, np.uint8)
        buffer[GUARD_BYTES : GUARD_BYTES + array.nbytes] = array.view(np.uint8)
        buffers.append(buffer)
    inputs = [None if array is None else array.copy() for array in made.inputs]
    pointers = [ctypes.c_void_p(buffer.ctypes.data + GUARD_BYTES) for buffer in buffers]
    pointers += [ctypes.c_void_p(None if array is None else array.ctypes.data) for array in inputs]
    function.restype = None
    function(*pointers, *[CTYPES[p.ctype](made.attrs[p.name]) for p in kernel.attrs])
    for buffer in buffers:
        assert (buffer[:GUARD_BYTES] == 0xA5).all(), f"{kernel.name} wrote before its output"
        assert (buffer[-GUARD_BYTES:] == 0xA5).all(), f"{kernel.name} wrote behind its output"
    for before, after in zip(made.inputs, inputs, strict=True):
        assert before is None or after is None or before.tobytes() == after.tobytes(), f"{kernel.name} wrote into an input"
    return [buffer[GUARD_BYTES : GUARD_BYTES + array.nbytes].view(array.dtype) for buffer, array in zip(buffers, made.outputs, strict=True)]
