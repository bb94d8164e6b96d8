"""Outputs that lie over their inputs: at the distance a kernel states the C makes the same bits as apart, and no closer one is safe."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from kernel_cases import FILLS, GUARD_BYTES, SIZES, Case, Draw, address_of, argument, case, constants, every_kernel, run_c, scratch_of

from edgeff import registry
from edgeff.ir import Array
from edgeff.kernels import Kernel, Variant, numbers
from edgeff.kernels.arithmetic import multiplier_and_shift
from edgeff.kernels.overlap import Clearance
from edgeff.kernels.records import Record
from edgeff.kernels.windows import all_inside
from edgeff.ops.softmax.kernel import Logits

Pair = tuple[str, str]
SHAPES = 60
TRIES = 12
NOT_TIGHT = {
    "eff_mfcc_i8": "a window may begin with a zero, and then the first sample of a frame counts for nothing",
    "eff_mfcc_i16": "a window may begin with a zero, and then the first sample of a frame counts for nothing",
    "eff_convert_f32_i8": "the lowest byte of a float32 decides no int8",
    "eff_conv2d_i8_packed": "four pixels are read before the first of them is written",
}
"""The kernels whose stated distance may be more than what is needed, and why."""
Form = tuple[Kernel, Variant | None]
"""A kernel in its plain form or in a variant."""


def drawn(kernel: Kernel, seed: int, fill: str | None = None) -> Case:
    """A case of ``kernel``: every third of one element or one pixel, the others of up to seventy elements, images up to 9x9x9."""
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(SIZES, 1) if seed % 3 == 0 else {name: int(rng.integers(1, 70)) for name in SIZES}
    return case(kernel, Draw(rng, fill or str(rng.choice(FILLS)), sizes | {"per_channel": seed % 2}))


def clearances(form: Form, made: Case) -> Mapping[Pair, Clearance]:
    """What a form states of a call."""
    kernel, variant = form
    return kernel.clearances(made.attrs, variant.name if variant else "")


def overlapping() -> dict[str, Form]:
    """The forms that state an overlap, by the names of their functions."""
    every = {item.name: (item, None) for item in registry.kernels.values()}
    fast = {f"{item.name}_{variant.name}": (item, variant) for item in registry.kernels.values() for variant in item.variants}
    return {name: form for name, form in sorted((every | fast).items()) if clearances(form, drawn(form[0], 0))}


FORMS = overlapping()


def fits(form: Form, made: Case) -> bool:
    """Whether a form takes a case."""
    kernel, variant = form
    return variant is None or variant.accepts(made.attrs, constants(kernel, made))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """All kernels as one library of the host."""
    return every_kernel(tmp_path_factory.mktemp("kernels"))


def arrays(kernel: Kernel, made: Case) -> dict[str, Array | None]:
    """The arrays of a case by the names of the parameters."""
    return dict(zip((p.name for p in kernel.pointers), (*made.outputs, *made.inputs), strict=True))


def in_one_buffer(library: ctypes.CDLL, form: Form, made: Case, pair: Pair, distance: int) -> list[Array]:
    """The outputs when the first of ``pair`` begins ``distance`` bytes above the second, each alone elsewhere, between guards."""
    kernel, variant = form
    named = arrays(kernel, made)
    output, shared = (named[name] for name in pair)
    assert output is not None
    assert shared is not None
    low = min(distance, 0)
    buffer = np.full(2 * GUARD_BYTES + max(shared.nbytes, distance + output.nbytes) - low + 16, 0xA5, np.uint8)
    wide = 0 if output.itemsize >= shared.itemsize else -distance  # the array of wider elements is the one that must be aligned
    start = GUARD_BYTES - low + (-(buffer.ctypes.data + GUARD_BYTES - low + distance + wide)) % 16  # of the input
    places = {pair[1]: (start, shared), pair[0]: (start + distance, output)}
    buffer[start + distance : start + distance + output.nbytes] = output.view(np.uint8)
    buffer[start : start + shared.nbytes] = shared.view(np.uint8)
    packed = variant.pack(made.attrs, constants(kernel, made)) if variant and variant.pack else {}
    given = {**named, **packed}
    others = {name: array.copy() for name, array in given.items() if array is not None and name not in pair}
    addresses = {name: array.ctypes.data for name, array in others.items()}
    addresses |= {name: buffer.ctypes.data + place for name, (place, _) in places.items()}
    pointers = [ctypes.c_void_p(addresses.get(p.name)) for p in kernel.pointers]
    function = getattr(library, f"{kernel.name}_{variant.name}" if variant else kernel.name)
    function.restype = None
    scratch = scratch_of(variant, made)
    function(*pointers, *[argument(p, made.attrs[p.name]) for p in kernel.attrs], *address_of(scratch))
    first, end = min(start, start + distance), max(start + shared.nbytes, start + distance + output.nbytes)
    assert (buffer[:first] == 0xA5).all(), f"{kernel.name} wrote before the two"
    assert (buffer[end:] == 0xA5).all(), f"{kernel.name} wrote after the two"
    raw = buffer[start + distance : start + distance + output.nbytes]
    return [raw.view(output.dtype) if p.name == pair[0] else others[p.name] for p in kernel.pointers if p.role == "output"]


def same(form: Form, made: Case, library: ctypes.CDLL, pair: Pair, distance: int) -> bool:
    """Whether the outputs at ``distance`` are those of the C with a buffer for each."""
    kernel, variant = form
    apart, together = run_c(library, kernel, made, variant), in_one_buffer(library, form, made, pair, distance)
    return all(a.tobytes() == b.tobytes() for a, b in zip(apart, together, strict=True))


def distances(form: Form, made: Case, pair: Pair) -> list[int]:
    """From the input's start to the output's: as close as the kernel allows, and a step and the whole size further off."""
    kernel = form[0]
    named, clearance = arrays(kernel, made), clearances(form, made)[pair]
    step = step_of(kernel, made, pair)
    output, shared = (named[name] for name in pair)
    assert output is not None
    assert shared is not None
    found = [0] if clearance.same else []
    if clearance.below is not None:
        assert -shared.nbytes <= clearance.below, "further than beside the input"
        found += [-clearance.below, -clearance.below - step, -max(clearance.below, output.nbytes)]
    if clearance.above is not None:
        assert -output.nbytes <= clearance.above, "further than beside the output"
        found += [clearance.above, clearance.above + step, max(clearance.above, shared.nbytes)]
    return found


def step_of(kernel: Kernel, made: Case, pair: Pair) -> int:
    """By how many bytes the two can move and both stay aligned."""
    named = arrays(kernel, made)
    sizes = [array.itemsize for array in (named[name] for name in pair) if array is not None]
    return 1 if 1 in sizes else max(sizes)


@pytest.mark.parametrize("name", FORMS)
def test_the_c_makes_the_same_bits_over_its_input(name: str, library: ctypes.CDLL) -> None:
    form = FORMS[name]
    for seed in range(SHAPES):
        made = drawn(form[0], seed)
        for pair in clearances(form, made) if fits(form, made) else ():
            for distance in distances(form, made, pair):
                assert same(form, made, library, pair, distance), (pair, distance, made.attrs)


PLAIN = {
    "relu": 0,
    "y_min": -128,
    "y_max": 127,
    "x_zero": 3,
    "a_zero": 3,
    "c_zero": 5,
    "y_zero": 0,
    "h_zero": 1,
    "p_zero": 1,
    "sign": 1,
    "gain": 2**29,
    "x_scale": 0.02,
    "y_scale": 0.02,
}
"""Attributes that neither clamp nor hide what a kernel computes, beside a multiplier of one half."""
WIDE = {"y_min": -32768, "y_max": 32767, "multiplier": 24_576, "shift": 13}
"""Those of kernels with int16 outputs, and a factor of three of those by chords."""
SHIFTS = {
    "eff_conv2d_input_gradient_i8": -12,
    "eff_depthwise_conv2d_input_gradient_i8": -12,
    "eff_add_i8": -18,
    "eff_rescale_i8": 1,
    "eff_mean_i8": 0,
    "eff_mean_i16": 0,
}


SPREAD_LOGITS = Logits(*multiplier_and_shift(0.1 * 2.0**26), diff_min=-248)
"""Logits in steps of .1: every difference of int8 counts."""


def plain(kernel: Kernel, name: str, value: float, others: Mapping[str, float]) -> float:
    """What a number or a record's field becomes so that it neither clamps nor hides what the kernel computes."""
    if name in (WIDE if kernel.name in ("eff_logistic_i16", "eff_tanh_i16") else ("y_min", "y_max")) and kernel.name.endswith(
        ("_i16", "_i16x8")
    ):
        return WIDE[name]
    if "diff_min" not in others:
        if name.endswith("multiplier"):
            return 2**30
        if name in ("shift", "a_shift", "c_shift"):
            return SHIFTS.get(kernel.name, -4) if name == "shift" else 0 if "add_i8" in kernel.name else 1
    if name == "theta" and isinstance(value, int):
        return 0
    return PLAIN.get(name, value)


def plain_record(kernel: Kernel, record: Record, every: Mapping[str, float]) -> Record:
    """The record with plain values, those of the records in it too."""
    values = {
        name: plain_record(kernel, value, every) if isinstance(value, Record) else plain(kernel, name, value, every)
        for name, value in record.values().items()
    }
    return type(record)(**values)


def lively(kernel: Kernel, made: Case, seed: int) -> Case:
    """The case with other values, whose outputs move with every input: no clamp, no bias, sums that are scaled to the output's range."""
    rng, every = np.random.default_rng(seed), numbers(made.attrs)
    attrs = {
        name: SPREAD_LOGITS
        if isinstance(value, Logits) and kernel.name.endswith("i8")
        else plain_record(kernel, value, every)
        if isinstance(value, Record)
        else plain(kernel, name, value, every)
        for name, value in made.attrs.items()
    }
    inputs: list[Array | None] = []
    for parameter, array in zip((p for p in kernel.pointers if p.role == "input"), made.inputs, strict=True):
        if array is None or parameter.name == "b":
            inputs.append(None if parameter.name == "b" else array)
        elif parameter.name in ("multiplier", "shift"):
            inputs.append(np.full_like(array, 2**30 if parameter.name == "multiplier" else -12 if "_i16" in kernel.name else -6))
        elif parameter.name == "label":
            inputs.append(np.zeros_like(array))
        elif array.dtype == np.float32:
            inputs.append(rng.normal(size=array.size).astype(np.float32))
        else:
            wide = min(int(np.iinfo(array.dtype).max), 32767)
            inputs.append(rng.integers(-wide, wide, array.size, endpoint=True).astype(array.dtype))
    return replace(made, attrs=attrs, inputs=inputs)


def closer(form: Form, made: Case, pair: Pair) -> list[int]:
    """A step closer than each distance that the kernel states, unless a start on the other side is as good."""
    kernel = form[0]
    clearance, step, shared = clearances(form, made)[pair], step_of(kernel, made, pair), arrays(kernel, made)[pair[1]]
    assert shared is not None
    one_way = clearance.above is None and clearance.below != -shared.nbytes
    below = [step - clearance.below] if clearance.below is not None and (one_way or clearance.below > 0) else []
    return below + ([clearance.above - step] if clearance.above is not None and clearance.above > step else [])


@pytest.mark.parametrize("name", [name for name in FORMS if name not in NOT_TIGHT])
def test_no_closer_distance_is_safe(name: str, library: ctypes.CDLL) -> None:
    """A step closer some values make other bits. But a pool of one channel may write over a tap what its next window would make of it, and
    what a softmax over one number writes does not depend on it; a window outside the image reads nothing that could be overwritten.
    """
    form = FORMS[name]
    for seed in range(SHAPES):
        made = drawn(form[0], seed)
        if "window" in made.attrs and not all_inside(made.attrs["window"]):
            continue
        for pair in clearances(form, made) if fits(form, made) else ():
            for distance in closer(form, made, pair):
                others = (lively(form[0], made, values) for values in range(TRIES))
                if all(
                    numbers(made.attrs)[size] > 1
                    for kind, size in (("pool", "in_c"), ("softmax_rows", "n"), ("log_softmax", "n"))
                    if kind in name
                ):
                    assert not all(same(form, other, library, pair, distance) for other in others), (pair, distance, made.attrs)
