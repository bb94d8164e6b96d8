"""Cycles of every kernel, counted on an emulated Cortex-M4 and a Cortex-M0+: what ``edgeff fit`` says of steps in a second.

``python benchmarks/kernel_cycles.py`` -> ``benchmarks/results/kernel_cycles.json``, a row a program, and of those
``edgeff/bench/kernel_cycles.json``. The last rows are of networks that give the table nothing: their cycles beside those of the table.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.atomic import write_text
from edgeff.bench import kernel_cycles
from edgeff.bench.kernel_cycles import FILE, cycles_of, kernel_of, work_of
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.simulate import build_project, profile
from edgeff.errors import DoesNotFit, Unsupported
from edgeff.ir import NUMERICS
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.select import select

Networks = tuple[tuple[str, tuple[int, ...], bool], ...]
"""Names, input shapes, and whether dense layers have biases."""
BOARDS = ("nucleo_l4r5zi", "rpi_pico")
SMALL: Networks = (("64-32-16-10", (64,), True), ("cnn_small", (8, 8, 1), True))
DEEP: Networks = (("ds_cnn", (25, 5, 1), True), ("resnet8", (8, 8, 3), True))
EDGES: Networks = (("5-6-4", (5,), True), ("ds_cnn", (70, 20, 1), True))
"""Layers too narrow and images too large for the forms made for a core."""
HELD_OUT: Networks = (("784-32-10", (784,), False), ("ds_cnn", (49, 10, 1), True))
SOME_RULES = ("bp", "cwc", "dfa", "fa", "frozen", "local_heads", "mono_forward", "pepita")
"""On deep networks, and on those left out."""


def measure(
    board_name: str,
    network: str,
    shape: list[int],
    bias: bool,
    rule: str,
    numeric: Any,
    table: bool = True,
    changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Calls, work and cycles of each kernel in an inference and a learning step; without ``table`` the learning step's cycles alone."""
    board = load_board(board_name)
    made = initialised(structure(network, bias=bias, input_shape=tuple(shape), classes=10), 0)
    x = np.random.default_rng(0).random((20, *made.input_shape), np.float32)
    try:
        deployment = deploy(made, x, rule=rule, numeric=numeric, changes=changes or {})
        with tempfile.TemporaryDirectory() as folder:
            firmware, _ = build_project(deployment, board, Path(folder))
            trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    except (Unsupported, DoesNotFit) as error:
        return {"refused": str(error)[:200]}
    program = select(deployment.program, core_of(board).features)
    if not table:
        return {"cycles": trace.learn.cycles, "modelled": cycles_of(program, "learn", board.core)}
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for name, line in program.lines.items():
        for call, counted in zip(line.calls, trace.lines[name].calls, strict=True):
            entry = found[kernel_of(call)]
            for place, value in enumerate((1, work_of(program, call), counted.cycles or 0)):
                entry[place] += value
    return {"kernels": dict(found)}


def keys(board: str, networks: Networks, rules: Collection[str]) -> list[tuple[Any, ...]]:
    """Rules in every numeric on each network."""
    return [
        (board, network, list(shape), bias, rule, numeric)
        for network, shape, bias in networks
        for rule in rules
        for numeric in NUMERICS
        if numeric in registry.rules[rule].numerics
    ]


def main() -> None:
    """Counts, writes the table, and holds it against the networks left out."""
    sums: dict[str, dict[str, list[int]]] = {}
    counted = [
        key
        for board in BOARDS
        for key in (*keys(board, SMALL, registry.rules), *keys(board, DEEP, SOME_RULES), *keys(board, EDGES, ["bp"]))
    ]
    blocks = [{"block": block, "master": master} for block in (1, 2) for master in (8, 16)]
    counted += [
        (*key, True, block) for board in BOARDS for key in keys(board, DEEP[:1], ["mono_forward"]) if key[-1] == "int8" for block in blocks
    ]
    for row in collect("kernel_cycles", counted, measure):
        core = sums.setdefault(load_board(row["key"][0]).core, {})
        for kernel, (_, work, cycles) in row.get("kernels", {}).items():
            entry = core.setdefault(kernel, [0, 0])
            entry[0] += work
            entry[1] += cycles
    table = {core: {name: float(f"{cycles / work:.4g}") for name, (work, cycles) in sorted(own.items())} for core, own in sums.items()}
    write_text(FILE, json.dumps({"command": "python benchmarks/kernel_cycles.py", "cores": table}, indent=1) + "\n")
    kernel_cycles.cores.cache_clear()
    collect("kernel_cycles", [*counted, *((*key, False) for key in keys(BOARDS[0], HELD_OUT, SOME_RULES))], measure)


if __name__ == "__main__":
    main()
