"""Random networks of every operator in every execution: NumPy twins, the C of this machine, emulated cores, and TFLM on the TFLite file.

Seeded networks of up to seven layers over vectors, sequences, images and audio, with branches and with state, a third of them with several
inputs or outputs; as many in int8 as in float32, some in int16 or in formats that differ by layer. Half of the int8 ones have weights, zero
points and scales that are drawn too, the others are calibrated. Twins, the C and an emulated Cortex-M4 must be equal to the bit for every
network, and a Cortex-M0+ for every M0_PLUS-th part. So must TFLM where the network is int8; in float it is within the tolerance of its
sums. A network that a format cannot hold is counted as such, and one that is refused before it runs is drawn again.

A part's networks share one library, one firmware and one process of TFLM: a compiler's start took most of the time.
``python benchmarks/drawn_networks.py`` -> ``benchmarks/results/drawn_networks.json``; status 1 where anything differs.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from image_networks import as_int8
from random_networks import EVERY, FIRST, FLOAT, INT16, WHOLE, random_network

from edgeff.codegen.folder import kernels_header, write_c
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.firmware import build
from edgeff.device.mailbox import load_target
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import EdgeffError, Unsupported
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Numeric, Program
from edgeff.kernels.header import KERNELS_HEADER
from edgeff.ops import by_input, kind, make, raw_input, sample_shape
from edgeff.ops.canonical import canonical
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import quantize
from edgeff.registry import ops
from edgeff.verify.engines import Process, Tflm
from edgeff.verify.explain import float_tolerance

NETWORKS, PART, SAMPLES, M0_PLUS = 2_200, 40, 4, 5
BOARD, SMALL_BOARD = "nucleo_l4r5zi", "rpi_pico"
MOST_ELEMENTS, ATTEMPTS = 2_048, 200
MIXED: tuple[Numeric, ...] = ("float32", "int8", "int16")


@dataclass(frozen=True)
class Drawn:
    """A network, the operators that it was drawn with, its program, its samples as that takes them and what the twins make of them."""

    network: Network
    operators: frozenset[str]
    program: Program
    samples: Array
    given: Array
    outputs: Array


def in_int16(seed: int) -> bool:
    """Whether the network of a seed is all in int16."""
    return seed % 20 == 2


def formed(network: Network, seed: int) -> Network:
    """The network in the number format of its seed."""
    calibration = samples(network, seed)
    if in_int16(seed):
        return quantize(network, calibration, "int16")
    if seed % 20 == 8:
        rng = np.random.default_rng([seed, 1])
        free = [layer for layer in network if not kind(layer).reads and layer.kind != "input"]
        formats = {layer.name: MIXED[rng.integers(3 if layer.kind in INT16 else 2)] for layer in free}
        return quantize(network, calibration, "int8", formats=formats)
    if seed % 2 == 0:
        return network
    by_hand = seed % 4 == 1 and raw_input(network) is None
    return as_int8(canonical(network), seed) if by_hand else quantize(network, calibration)


def drawn(seed: int, attempt: int = 0) -> tuple[Network, frozenset[str]]:
    """The network of a seed, and its operators before batch normalisation is folded; another one at each ``attempt``."""
    more = (*(WHOLE if seed % 12 in (1, 4) else ()), *(FLOAT if seed % 2 == 0 and seed % 20 != 8 else ()))
    kinds: Mapping[int, Sequence[str]] = dict.fromkeys(EVERY, INT16)
    if not in_int16(seed):
        kinds = {axes: (*each, *(name for name in more if ops[name].input_axes in (None, axes))) for axes, each in EVERY.items()}
    first = tuple(FIRST)[seed // 16 % len(FIRST)] if seed % 16 < 2 and seed % 6 else ""
    network = random_network(seed + attempt * NETWORKS, kinds=kinds, first=first)
    last = network.layers[-1]
    if seed % 6 == 0 and not in_int16(seed):
        further = Layer("second", make("input", {}), (), last.shape)
        network = replace(network, layers=(further, *network.layers, Layer("both", make("add", {}), (last.name, "second"), last.shape)))
    elif seed % 6 == 3 and len(network.layers) > 1:
        network = replace(network, outputs=(network.layers[-2].name, last.name) if network.layers[-2].inputs else ())
    made = formed(network, seed)
    return made, frozenset(layer.kind for layer in (*network, *made))


def samples(network: Network, seed: int) -> Array:
    """Inputs (SAMPLES, *shape) float32: beyond the range in the first two; whole numbers where the network reads audio."""
    x = np.random.default_rng(seed).normal(size=(SAMPLES, *sample_shape(network))).astype(np.float32)
    x[:2] *= np.float32(50)
    return np.rint(200 * x) if raw_input(network) == "int16" else x


def accepted(seed: int, refusals: Counter[str]) -> Drawn:
    """The first network of a seed that is not refused, with its twins' outputs."""
    for attempt in range(ATTEMPTS):
        try:
            network, operators = drawn(seed, attempt)
            if max(prod(layer.shape) for layer in network) > MOST_ELEMENTS:
                continue
            deployment = deploy(network, target="input")
        except EdgeffError as error:
            refusals[type(error).__name__] += 1
            continue
        x = samples(network, seed)
        given, twin = deployment.inputs(x), Interpreter(deployment.program)
        rows = []
        for sample in given:
            twin.predict(sample)
            rows.append(twin.output().reshape(-1).copy())
        return Drawn(network, operators, deployment.program, x, given, np.array(rows))
    raise RuntimeError(f"every network of seed {seed} was refused")


RUN = """\
#include "{0}_model.h"
#ifndef {1}_EACH_INPUT
#define {1}_EACH_INPUT(DO) DO({0}_input, {1}_INPUTS)
#endif
#ifndef {1}_EACH_OUTPUT
#define {1}_EACH_OUTPUT(DO) DO({0}_output, {1}_OUTPUTS)
#endif
static void run_{0}(void)
{{
    {0}_init();
    for (int32_t i = 0; i < {2}; ++i) {{
        {1}_EACH_INPUT(FILL)
        (void){0}_predict();
        {1}_EACH_OUTPUT(TAKE)
    }}
}}
"""
"""C of one network of a part: its name, that in capitals, and its samples."""
HEADER = """\
#include <stdint.h>
#define EFF_INPUTS {0}
#define EFF_OUTPUTS {1}
#define EFF_CLASSES 0
#define EFF_HAS_LEARN 0
#define EFF_ARENA_BYTES 8u
typedef int8_t eff_input_t;
typedef int8_t eff_output_t;
extern uint64_t eff_arena[1];
void eff_init(void);
eff_input_t *eff_input(void);
const eff_output_t *eff_output(void);
int32_t eff_predict(void);
void eff_infer_calls(void);
"""
SOURCE = """\
#include <string.h>
#include "model.h"
uint64_t eff_arena[1];
static int8_t given[EFF_INPUTS], made[EFF_OUTPUTS];
static const int8_t *x;
static int8_t *y;
void eff_init(void)
{{
    eff_arena[0] = 0;
}}
eff_input_t *eff_input(void)
{{
    return given;
}}
const eff_output_t *eff_output(void)
{{
    return made;
}}
#define FILL(function, count) memcpy(function(), x, (count) * sizeof *function()); x += (count) * sizeof *function();
#define TAKE(function, count) memcpy(y, function(), (count) * sizeof *function()); y += (count) * sizeof *function();
{0}
void eff_infer_calls(void)
{{
    x = given;
    y = made;
    {1}
}}
int32_t eff_predict(void)
{{
    eff_infer_calls();
    return 0;
}}
"""
"""A part as one model, whose input and output are the bytes of all samples of its networks, one after the other."""


def write_part(networks: Sequence[Drawn], folder: Path, features: frozenset[str]) -> None:
    """The C of a part in a folder that is made for it."""
    folder.mkdir()
    runs, calls = [], []
    for number, each in enumerate(networks):
        name = f"n{number}"
        source = write_c(each.program, folder / name, prefix=f"{name}_", features=features)
        for path in (*source.folder.glob("*.c"), *source.folder.glob("*.h")):
            shutil.copyfile(path, folder / path.name)
        runs.append(RUN.format(name, name.upper(), SAMPLES))
        calls.append(f"run_{name}();")
    sizes = (sum(values.nbytes for values in kind) for kind in zip(*((each.given, each.outputs) for each in networks), strict=True))
    (folder / KERNELS_HEADER).write_text(kernels_header(folder), encoding="utf-8")
    (folder / "model.h").write_text(HEADER.format(*sizes), encoding="utf-8")
    (folder / "model.c").write_text(SOURCE.format("\n".join(runs), "\n    ".join(calls)), encoding="utf-8")


def on_the_host(networks: Sequence[Drawn]) -> bytes:
    """The outputs' bytes of the C compiled for this machine."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, library = Path(temporary) / "c", Path(temporary) / "part.so"
        write_part(networks, folder, frozenset())
        host_shared_library(sorted(folder.glob("*.c")), folder, library)
        c = ctypes.CDLL(str(library))
        c.eff_input.restype = c.eff_output.restype = ctypes.c_void_p
        given = b"".join(each.given.tobytes() for each in networks)
        ctypes.memmove(c.eff_input(), given, len(given))
        c.eff_predict()
        return ctypes.string_at(c.eff_output(), sum(each.outputs.nbytes for each in networks))


def on_a_board(networks: Sequence[Drawn], name: str) -> bytes:
    """The outputs' bytes of a firmware on an emulated board."""
    board = load_board(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "c"
        write_part(networks, folder, core_of(board).features)
        target = load_target(build(folder, board, Path(temporary) / "project"), time_limit_s=600.0)
        target.write_input(np.frombuffer(b"".join(each.given.tobytes() for each in networks), np.int8))
        target.predict()
        return bytes(target.output().tobytes())


def differences(networks: Sequence[Drawn], made: bytes) -> list[tuple[int, int]]:
    """The numbers of the networks whose outputs are not ``made``, each with how many values differ."""
    found, first = [], 0
    for number, each in enumerate(networks):
        size = each.outputs.nbytes
        theirs = np.frombuffer(made[first : first + size], each.outputs.dtype).reshape(each.outputs.shape)
        width = f"u{each.outputs.itemsize}"
        if differing := int((theirs.view(width) != each.outputs.view(width)).sum()):
            found.append((number, differing))
        first += size
    return found


def in_tflm(each: Drawn, process: Process) -> tuple[str, str]:
    """What TFLM makes of the network's file, and what is wrong with it, "" if nothing."""
    network, made = each.network, each.outputs
    try:
        given = list(by_input(network, each.given.reshape(SAMPLES, *sample_shape(network))).values())
        anew = not any(kind(layer).remembers for layer in network)
        run = Tflm(to_tflite(network), process, outputs=len(network.ends), fresh=anew)
        theirs = run(given if len(given) > 1 else given[0], lambda: None).reshape(made.shape)
    except Unsupported as error:
        return ("not in TFLite" if "TFLM" not in str(error) else "refused by TFLM"), ""
    if made.dtype != np.float32:
        differing = int((theirs != made).sum())
        return f"TFLM {network.numeric}", f"{differing} outputs differ from TFLM's" if differing else ""
    away, allowed = float(np.abs(theirs - made).max()), float_tolerance(network, each.samples)
    return "TFLM float32", f"{away:.3g} from TFLM, {allowed:.3g} allowed" if not away <= allowed else ""


def measure(first: int, end: int) -> dict[str, Any]:
    """What became of the networks ``first`` to ``end`` - 1."""
    refusals: Counter[str] = Counter()
    networks = [accepted(seed, refusals) for seed in range(first, end)]
    outcomes = Counter({"C": len(networks)})
    failures = [f"{first + number}: {count} outputs of the C differ" for number, count in differences(networks, on_the_host(networks))]
    boards = [BOARD, *([SMALL_BOARD] if first // PART % M0_PLUS == 0 else [])]
    for board in boards:
        core = load_board(board).core
        outcomes[core] = len(networks)
        made = on_a_board(networks, board)
        failures += [f"{first + number}: {count} outputs of a {core} differ" for number, count in differences(networks, made)]
    process = Process("tflm")
    for number, each in enumerate(networks):
        outcome, failure = in_tflm(each, process)
        outcomes[outcome] += 1
        failures += [f"{first + number}: {failure}"] * bool(failure)
    formats = Counter("several" if len(each.network.numerics) > 1 else each.network.numeric for each in networks)
    shapes = {
        "several inputs": sum(len(each.program.inputs) > 1 for each in networks),
        "several outputs": sum(len(each.program.outputs) > 1 for each in networks),
        "state": sum(bool(each.program.by_role("memory")) for each in networks),
    }
    return {
        "networks": end - first,
        "outcomes": dict(sorted(outcomes.items())),
        "formats": dict(sorted(formats.items())),
        "with": shapes,
        "operators": dict(sorted(Counter(name for each in networks for name in each.operators).items())),
        "drawn again": dict(sorted(refusals.items())),
        "failures": failures,
    }


if __name__ == "__main__":
    rows = collect("drawn_networks", [(first, first + PART) for first in range(0, NETWORKS, PART)], measure, seeds=NETWORKS)
    failures = [failure for row in rows for failure in row["failures"]]
    print(f"{sum(row['networks'] for row in rows):,} networks", *failures, sep="\n")
    sys.exit(int(bool(failures)))
