"""The planner's bytes against the ELF's, and RAM by rule for a small classifier and for a dense autoencoder.

A build whose arena, static RAM or constants differ from the plan by one byte ends the run. Stack by painting.
``python benchmarks/memory.py`` -> ``benchmarks/results/memory.json``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.simulate import build_project, model_constants, profile
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.plan import guard_bytes, plan
from edgeff.program.select import select

AUTOENCODER = "640-128-128-8-128-128-640"
REPRODUCING = ("afa", "bp", "dfa", "fa", "frozen", "mempepita", "pepita")
"""The rules that train an autoencoder."""


def measure(network: str, rule: str, numeric: Any, board_name: str) -> dict[str, Any]:
    """Planned and found bytes of one firmware."""
    autoencoder = network == AUTOENCODER
    made = initialised(structure(network, softmax=not autoencoder), 0)
    x = np.random.default_rng(0).random((20, *made.input_shape), np.float32)
    deployment = deploy(made, x, rule=rule, numeric=numeric, target="input" if autoencoder else "class")
    board = load_board(board_name)
    planned = plan(select(deployment.program, core_of(board).features))
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    return {
        "planned": {
            "constants": planned.flash_bytes,
            "arena": planned.arena_bytes,
            "static_ram": planned.arena_bytes + guard_bytes(deployment.program) + firmware.template.ram_bytes,
        },
        "elf": {"constants": model_constants(firmware), "arena": firmware.arena_bytes, "static_ram": firmware.static_ram_bytes},
        "weights": trace.memory.weight_bytes,
        "persistent": planned.persistent_bytes,
        "scratch": planned.arena_bytes - planned.persistent_bytes,
        "lower_bound": planned.lower_bound_bytes,
        "flash": firmware.flash_bytes,
        "stack": trace.memory.stack_bytes,
        "learn_instructions": trace.learn.instructions,
    }


if __name__ == "__main__":
    rules = {
        numeric: [rule for rule in registry.rules if numeric in registry.rules[rule].numerics] for numeric in ("float32", "int16", "int8")
    }
    keys = [("64-32-10", rule, numeric, "nucleo_l4r5zi") for numeric in rules for rule in rules[numeric]]
    keys += [("64-32-10", rule, "int8", "rpi_pico") for rule in rules["int8"]]
    keys += [
        (AUTOENCODER, rule, numeric, "mps2_an386") for numeric in ("float32", "int8") for rule in rules[numeric] if rule in REPRODUCING
    ]
    collect("memory", keys, measure)
