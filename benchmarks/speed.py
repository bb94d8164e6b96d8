"""Instructions of one float32 step on an emulated Cortex-M4F beside the targets; peers.py counts those of others' code.

Built by zig's clang at -O2, and exact: the same count in every run. Region: one call of the step. ``forms`` are those of the dense layer's
kernels, by both compilers: in C, and by loads of several registers with none, six or eight of eight columns by VMLA and VMLS
(``EFF_CHAINED``).
``python benchmarks/speed.py`` -> ``benchmarks/results/speed.json``.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.ir import Array, Board
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.registry import cores

FC_AE = "640-128-128-128-128-8-128-128-128-128-640"
TARGETS = {
    "64-32-10": {"inference": 5_500, "bp": 20_000, "pepita": 27_000},
    "784-128-10": {"inference": 180_000, "bp": 450_000, "pepita": 700_000},
    FC_AE: {"inference": 450_000, "bp": 1_200_000, "pepita": 1_900_000},
}
"""Instructions that inference and a step are to take at most."""
IN_C, SHIPPED = "C", "1"
FORMS = (IN_C, "0", SHIPPED, "2")
"""Forms of the dense layer's kernels: in C, and those of ``EFF_CHAINED``."""


def board_of(form: str) -> Board:
    """The emulated Cortex-M4F, with kernels of ``form``."""
    board = load_board("mps2_an386")
    if form == IN_C:
        name = f"{board.core}-in-c"
        if name not in cores:
            cores.add(name, replace(cores[board.core], name=name, features=cores[board.core].features - {"fpu"}))
        return replace(board, core=name, fpu=False)
    return replace(board, toolchains={name: (*flags, f"-DEFF_CHAINED={form}") for name, flags in board.toolchains.items()})


def counted(deployment: Deployment, x: Array, toolchain: str, form: str) -> dict[str, Any]:
    """Instructions and modelled cycles of inference and of one step, by kernels of ``form``, and the firmware's code."""
    board = board_of(form)
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder), toolchain=TOOLCHAINS[toolchain])
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    costs = {"inference": trace.infer, "step": trace.learn}
    counts = {name: {"instructions": cost.instructions, "cycles": cost.cycles} for name, cost in costs.items()}
    return counts | {"code": firmware.code_bytes}


def measure(network: str, rule: str) -> dict[str, Any]:
    """Instructions and modelled cycles of inference and of one step, five times over, and the instructions of each call; and every form."""
    autoencoder = network == FC_AE
    made = initialised(structure(network, softmax=not autoencoder), 0)
    x = np.random.default_rng(0).random((1, *made.input_shape), np.float32)
    deployment = deploy(made, x, rule=rule, target="input" if autoencoder else "class")
    board = load_board("mps2_an386")
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder))
        traces = [profile(deployment, board, firmware, deployment.inputs(x)[0], 3) for _ in range(5)]
    first = traces[0]
    same = all(trace.learn == first.learn and trace.infer == first.infer for trace in traces)
    sums = sum(c.instructions or 0 for c in first.line("learn").calls) == first.learn.instructions
    return {
        "inference": {"instructions": first.infer.instructions, "cycles": first.infer.cycles},
        "step": {"instructions": first.learn.instructions, "cycles": first.learn.cycles},
        "five_runs_equal": same,
        "calls_sum_to_total": sums,
        "toolchain": firmware.toolchain,
        "ram_beyond_weights": deployment_ram(first),
        "calls": [[c.name, c.kernel, c.instructions] for c in first.line("learn").calls],
        "forms": {toolchain: {form: counted(deployment, x, toolchain, form) for form in FORMS} for toolchain in ("zig", "gcc")},
    }


def deployment_ram(trace: Any) -> int:
    """Arena and stack without the weights, in bytes."""
    memory = trace.memory
    return int(memory.arena_bytes - memory.weight_bytes + memory.stack_bytes)


if __name__ == "__main__":
    collect("speed", [(network, rule) for network in TARGETS for rule in ("bp", "pepita")], measure)
