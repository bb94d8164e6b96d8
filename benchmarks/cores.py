"""The same programs on every emulated core, built by both compilers, and by both emulators where both have the core.

Each row is one ELF. Every emulator counts each line of the program once, and they must agree on every instruction: at which address, in
which call, how often, and how often each branch led where. Blocks of code may be cut differently: QEMU cuts those of some hundred
instructions. Unicorn's sizes of blocks are turned into instructions by edgeff's decoder, QEMU reports its own numbers of them, so that two
decoders agree. A program that learns then takes ``STEPS`` samples of digits on every emulator and in NumPy, and their learned states must
be the same bytes. A difference ends the run.
``python benchmarks/cores.py`` -> ``benchmarks/results/cores.json``, in about ten minutes; QEMU and the cross compilers are needed, and
``EDGEFF_MODELS_DIR`` with the reference model of KWS.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.bench.models import benchmark_of, model_file
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.emulation.counting import Counted
from edgeff.device.mailbox import FirmwareTarget, load_target
from edgeff.device.simulate import COUNTING_LIMIT_S, build_project
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.errors import CheckFailed, MissingTool
from edgeff.formats import load
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter

STEPS = 200
EMULATORS = ("unicorn", "qemu")
CORES = ("microbit", "rpi_pico", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547", "qemu_virt_rv32", "qemu_virt_rv32f")
"""One board for each emulated core."""
LEARNS = (("64-32-10", "pepita", "int8"), ("64-16-10", "bp", "float32"))
"""The programs that every core learns by; the second is what the smallest board has room for, with its saved state."""
Ran = tuple[Counter[tuple[int, int]], Counter[tuple[int, int, int]]]
"""What ``executed`` gives."""
OTHERS = (
    ("64-32-10", "ff", "int8", "mps2_an385"),
    ("64-32-10", "mempepita", "int16", "mps2_an505"),
    ("cnn_small", "mono_forward", "int8", "mps2_an386"),
    ("cnn_small", "bp", "float32", "mps2_an500"),
    ("fc_ae", "", "int8", "mps2_an385"),
    ("kws", "", "int8", "mps2_an386"),
    ("kws", "", "int8", "mps2_an505"),
)
"""Further programs, on boards that both emulators have; ``kws``: MLPerf Tiny's reference model."""


def deployment_of(network: str, rule: str, numeric: Any) -> tuple[Deployment, Array, Array]:
    """The program, samples for it (n, ..) in its number format, and their classes (n,)."""
    if network == "kws":
        file = model_file(benchmark_of(network), numeric, Path(os.environ.get("EDGEFF_MODELS_DIR", "")))
        if file is None:
            raise MissingTool("the reference model of KWS", next_step="name its folder: EDGEFF_MODELS_DIR")
        made = load(file)
    else:
        made = initialised(structure(network), 0)
    if network.startswith("64-"):
        data: Any = registry.tasks["digits"].load(0)
        x, labels = data.x_train, data.y_train
    else:
        x = np.random.default_rng(0).random((20, *made.input_shape), np.float32)
        labels = np.arange(20) % 10
    deployment = deploy(made, x, rule=rule or None, numeric=numeric)
    return deployment, deployment.inputs(x[:STEPS]), labels[:STEPS]


def measure(network: str, rule: str, numeric: Any, board_name: str, compiler: str) -> dict[str, Any]:
    """One ELF: the counts of each line, memory, and the learned state, which every emulator of the board agrees on."""
    deployment, x, labels = deployment_of(network, rule, numeric)
    board = load_board(board_name)
    core = core_of(board)
    toolchain = next(name for name in core.toolchains if name.endswith(compiler))
    with tempfile.TemporaryDirectory(prefix="edgeff-cores-") as folder:
        firmware, _ = build_project(deployment, board, Path(folder), toolchain=TOOLCHAINS[toolchain])
        names = [name for name in EMULATORS if name in board.targets]
        found = {
            name: on_emulator(load_target(firmware, name=name, time_limit_s=COUNTING_LIMIT_S), deployment, x, labels) for name in names
        }
        digest = hashlib.sha256(firmware.elf.read_bytes()).hexdigest()
    expected = twin_state(deployment, x, labels)
    first, ran, _ = found[names[0]]
    for name, (row, ran_too, state) in found.items():
        if (row, ran_too, state) != (first, ran, expected):
            got = f"equal: counts {row == first}, each instruction {ran_too == ran}, learned state {state == expected}"
            raise CheckFailed(f"{network} {rule} {numeric} on {board_name} by {name}", got=got, allowed="equality")
    return {
        "core": core.name,
        "toolchain": firmware.toolchain,
        "elf_sha256": digest,
        "emulators": names,
        **first,
        "code_bytes": firmware.code_bytes,
        "flash_bytes": firmware.flash_bytes,
        "static_ram_bytes": firmware.static_ram_bytes,
        "steps": len(x) if rule else 0,
        "state_sha256": hashlib.sha256(expected).hexdigest() if rule else None,
    }


def on_emulator(target: FirmwareTarget, deployment: Deployment, x: Array, labels: Array) -> tuple[dict[str, Any], list[Ran], bytes]:
    """The counts of each line, every instruction behind them, and the learned state after every sample of x."""
    program, lines, ran = deployment.program, {}, []
    for line in program.lines.values():
        for counts in (False, True):
            target.init()
            target.write_input(x[0])
            if counts:
                ran.append(executed(target.count(line.name, int(labels[0])), target))
                continue
            profile = target.profile(line.name, line.calls, label=int(labels[0]))
            lines[line.name] = {
                "instructions": profile.instructions,
                "cycles": profile.cycles,
                "evidence": profile.cost().evidence,
                "calls": [[call.name, call.kernel, call.instructions] for call in profile.calls],
            }
        if sum(ran[-1][0].values()) != profile.instructions:
            raise CheckFailed(f"line {line.name}", got=f"{sum(ran[-1][0].values()):,} instructions", allowed=f"{profile.instructions:,}")
    stack_bytes = target.stack_bytes
    target.init()
    for sample, label in zip(x, labels.tolist(), strict=True):
        if program.learn:
            target.write_input(sample)
            target.learn(label)
    addresses = len({address for instructions, _ in ran for _, address in instructions})
    row = {"lines": lines, "addresses": addresses, "stack_bytes": stack_bytes}
    return row, ran, target.save() if program.learn else b""


def executed(counted: Counted, target: FirmwareTarget) -> Ran:
    """How often each instruction ran, by (call, address), and each branch was taken, by (call, address, where it led)."""
    instructions: Counter[tuple[int, int]] = Counter()
    branches: Counter[tuple[int, int, int]] = Counter()
    for edge in counted.edges:
        address = last = edge.start
        for size_bytes in target.core.isa.lengths(target.read(edge.start, edge.size_bytes)):
            instructions[edge.segment, address] += edge.count
            last, address = address, address + size_bytes
        if edge.to != address:
            branches[edge.segment, last, edge.to] += edge.count
    return instructions, branches


def twin_state(deployment: Deployment, x: Array, labels: Array) -> bytes:
    """The state that the NumPy twins learn; empty for a program that does not learn."""
    if not deployment.program.learn:
        return b""
    twin = Interpreter(deployment.program)
    for sample, label in zip(x, labels.tolist(), strict=True):
        twin.learn(sample, label)
    return twin.save()


if __name__ == "__main__":
    keys = [(*learns, board, compiler) for learns in LEARNS for board in CORES for compiler in ("gcc", "zig")]
    keys += [(*other, compiler) for other in OTHERS for compiler in ("gcc", "zig")]
    collect("cores", keys, measure)
