"""The reference models of MLPerf Tiny: arena beside TFLM's, modelled latency beside published ones, instructions beside CMSIS-NN's.

Model files come from EDGEFF_MODELS_DIR, by default ../shared/models, data from EDGEFF_DATA_DIR, by default ../shared/data. TFLM's figures
are recorded by its own allocator in this run. CMSIS-NN (DSP path) was counted on an emulated Cortex-M4F too, built by gcc 12.2, best of
-O2 and -O3 -funroll-loops, without the softmax; published latencies were measured on boards.
``python benchmarks/mlperf_tiny.py`` -> ``benchmarks/results/mlperf_tiny.json``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.bench.models import BENCHMARKS, Benchmark, benchmark_of, model_file, weights
from edgeff.device.boards import load_board, load_boards
from edgeff.device.simulate import build_project, fits, profile
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.ir import Array, Numeric
from edgeff.networks import reproduces_input
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.tasks import Data
from edgeff.verify.engines import tflm

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODELS = Path(os.environ.get("EDGEFF_MODELS_DIR") or SHARED / "models")
BOARD = "nucleo_l4r5zi"
PUBLISHED_MS = {
    "ad": {"TFLM 0.5": 10.1, "microTVM + CMSIS-NN 1.0": 8.6, "Plumerai 1.1": 4.1, "ST 1.2": 5.3},
    "ic": {"TFLM 0.5": 704.2, "microTVM + CMSIS-NN 1.0": 389.6, "Plumerai 1.1": 167.8, "ST 1.2": 165.1},
    "kws": {"TFLM 0.5": 181.9, "microTVM + CMSIS-NN 1.0": 99.8, "Plumerai 1.1": 47.8, "ST 1.2": 43.2},
    "vww": {"TFLM 0.5": 600.6, "microTVM + CMSIS-NN 1.0": 301.2, "Plumerai 1.1": 98.8, "ST 1.2": 88.9},
}
"""Milliseconds an inference on the NUCLEO-L4R5ZI, by submission and version of the benchmark."""
CMSIS_NN = {
    ("ad", "dense_1"): ("dense 640 to 128", 160_111),
    ("ad", "dense_2"): ("dense 128 to 128", 37_232),
    ("ic", "conv2d_2"): ("conv 3x3, 32x32x16 to 16", 5_493_188),
    ("ic", "conv2d_4"): ("conv 3x3 stride 2, 32x32x16 to 32", 2_520_714),
    ("kws", "conv2d_2"): ("pointwise, 25x5x64 to 64", 1_069_079),
    ("kws", "depthwise_conv2d_1"): ("depthwise 3x3, 25x5x64", 561_030),
    ("kws", "conv2d_1"): ("conv 10x4 stride 2, 49x10 to 64", 1_118_224),
    ("ad", ""): ("all of the FC autoencoder", 579_680),
    ("kws", ""): ("all of DS-CNN", 7_691_691),
    ("ic", ""): ("all of ResNet-8", 29_839_987),
}
"""Instructions of CMSIS-NN by task and layer (empty: the whole network), each with what it is."""
_ALLOCATED = re.compile(r"Arena allocation (total|head) (\d+) bytes")
_RECORDING = """
import sys
import numpy as np
from tflite_micro import runtime
model = open(sys.argv[1], "rb").read()
interpreter = runtime.Interpreter.from_bytes(model, arena_size=4 << 20)
details = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


def deployed(benchmark: Benchmark, numeric: Numeric) -> Deployment:
    """The reference model in these numbers as a program."""
    found = weights(benchmark, numeric, MODELS, 0)
    if not found.known:
        sys.exit(f"no {numeric} model of {benchmark.network} in {MODELS}: EDGEFF_MODELS_DIR names the folder")
    return deploy(found.network, numeric=numeric, target="input" if reproduces_input(found.network) else "class")


def measure(what: str, task: str, numeric: Numeric, *more: str) -> dict[str, Any]:
    """One row: ``arena``, ``boards``, ``latency`` by a toolchain, or ``agreement`` with TFLM on the task's test samples."""
    benchmark = benchmark_of(task)
    deployment = deployed(benchmark, numeric)
    if what == "arena":
        return arena(benchmark, deployment)
    if what == "boards":
        return boards(deployment)
    if what == "latency":
        return latency(deployment, task, *more)
    return agreement(benchmark, deployment)


def arena(benchmark: Benchmark, deployment: Deployment) -> dict[str, Any]:
    """Our arena, the bytes alive at once, and what TFLM's recording allocator says of the same model."""
    memory = plan(select(deployment.program))
    command = [sys.executable, "-c", _RECORDING, str(model_file(benchmark, "int8", MODELS))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    recorded = {name: int(size) for name, size in _ALLOCATED.findall(printed)}
    return {
        "arena": memory.arena_bytes,
        "lower_bound": memory.lower_bound_bytes,
        "tflm_total": recorded["total"],
        "tflm_activations": recorded["head"],
    }


def boards(deployment: Deployment) -> dict[str, Any]:
    """The arena and the constants, and by board the bytes of RAM and of flash that stay free before the code; negative ones are missing."""
    memory = plan(select(deployment.program))
    flash = memory.flash_bytes
    return {"arena": memory.arena_bytes, "constants": flash} | {
        name: {"free_ram": -fits(deployment.program, board), "free_flash": board.flash_bytes - flash}
        for name, board in load_boards().items()
    }


def latency(deployment: Deployment, task: str, toolchain: str) -> dict[str, Any]:
    """One inference on the emulated board: instructions, modelled cycles and milliseconds, and the instructions of each layer."""
    board = load_board(BOARD)
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder), toolchain=TOOLCHAINS[toolchain])
        trace = profile(deployment, board, firmware, sample(deployment, task))
    infer = trace.infer
    return {
        "toolchain": TOOLCHAINS[toolchain].version(),
        "macs": infer.macs,
        "instructions": infer.instructions,
        "cycles": infer.cycles,
        "ms": round(1000 * (infer.latency_s or 0.0), 3),
        "evidence": infer.evidence,
        "flash": trace.memory.flash_bytes,
        "code": firmware.code_bytes,
        "arena": trace.memory.arena_bytes,
        "stack": trace.memory.stack_bytes,
        "calls": [[call.name, call.kernel, call.macs, call.instructions] for call in trace.line("infer").calls],
    }


def sample(deployment: Deployment, task: str) -> Array:
    """The first test sample of the task; a random one where its data are the user's own."""
    tensor = deployment.program.tensors[deployment.program.input]
    if task in ("ic", "kws"):
        return deployment.inputs(registry.tasks[task].load(0).x_test[:1])[0]
    return np.random.default_rng(0).integers(-128, 128, tensor.elements).astype(tensor.dtype)


def agreement(benchmark: Benchmark, deployment: Deployment) -> dict[str, Any]:
    """The accuracy of the generated C on the test part, and the samples to which TFLM gives another class, or other scores."""
    data: Data = registry.tasks[benchmark.task].load(0)
    inputs = deployment.inputs(data.x_test)
    best, scores = HostTarget(deployment.program).predict_many(inputs)
    file = model_file(benchmark, "int8", MODELS)
    theirs = tflm(file.read_bytes() if file else b"", inputs.reshape(len(inputs), *data.input_shape), lambda: None).reshape(len(inputs), -1)
    return {
        "samples": len(inputs),
        "accuracy": round(100 * float((best == data.y_test).mean()), 2),
        "tflm_other_classes": int((theirs.argmax(axis=1) != best).sum()),
        "tflm_other_scores": int((theirs != scores).any(axis=1).sum()),
    }


if __name__ == "__main__":
    os.environ.setdefault("EDGEFF_DATA_DIR", str(SHARED / "data"))
    tasks = [benchmark.task for benchmark in BENCHMARKS]
    keys: list[tuple[str, ...]] = [("arena", task, "int8") for task in tasks]
    keys += [("boards", task, numeric) for task in tasks for numeric in ("int8", "float32")]
    keys += [("latency", task, "int8", toolchain) for task in tasks for toolchain in ("zig", "gcc")]
    keys += [("agreement", task, "int8") for task in ("ic", "kws")]
    collect("mlperf_tiny", keys, measure)
