"""What learning costs on the four networks of MLPerf Tiny: static RAM, stack, flash, instructions and MACs of a step, by rule and numeric.

Each program is built for an emulated Cortex-M4 with room for all of them (mps2_an386), with the kernels made for that core; int8 ones for a
Cortex-M0+ too (rpi_pico, where they fit). Weights are fresh, inputs random: neither moves a byte. ``blocks`` is ``mono_forward`` one block
at a time: its RAM is the largest block's, its step the mean of a block's, its flash that of all weights and of each block's place. A build
whose arena differs from the plan by one byte ends the run; a rule that refuses a network has its reason.
``python benchmarks/memory_networks.py [NETWORK ..]`` -> ``benchmarks/results/memory_networks.json``.
"""

from __future__ import annotations

import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.simulate import build_project, profile
from edgeff.errors import BadInput, CheckFailed, DoesNotFit, Unsupported
from edgeff.ir import Array, Network
from edgeff.networks import initialised, normalised, structure
from edgeff.program.chain import chain
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.program.state import place_bytes

NETWORKS = ("fc_ae", "ds_cnn", "resnet8", "mobilenet_v1_025")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "bp": ("bp", {}),
    "bp, computed again": ("bp", {"keep": "least"}),
    "fa": ("fa", {}),
    "dfa": ("dfa", {}),
    "pepita": ("pepita", {}),
    "mempepita": ("mempepita", {}),
    "ff": ("ff", {}),
    "cwc": ("cwc", {}),
    "local_heads": ("local_heads", {}),
    "mono_forward": ("mono_forward", {}),
    "blocks": ("mono_forward", {}),
    "zeroth_order": ("zeroth_order", {"directions": 1}),
    "last layer": ("frozen", {}),
}
BOARDS = (("mps2_an386", "float32"), ("mps2_an386", "int8"), ("rpi_pico", "int8"))
LIMITS = {"ds_cnn": 24_000, "resnet8": 55_500, "mobilenet_v1_025": 74_000}
"""Of blocks: the bytes that an arena may take, so that stack and all are at most 25,600, 57,344 and 75,776."""
ERASE_BYTES = 2048


@cache
def made(name: str) -> tuple[Network, Array]:
    """A network with fresh weights, and inputs."""
    network = initialised(structure(name), 0)
    x = np.random.default_rng(0).standard_normal((20, *network.input_shape)).astype(np.float32)
    return normalised(network, x), x


def built(deployment: Deployment, board_name: str, x: Array) -> dict[str, Any]:
    """The bytes of one firmware, and the instructions and MACs of a step."""
    board = load_board(board_name)
    planned = plan(select(deployment.program, core_of(board).features))
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 1)
    if planned.arena_bytes != firmware.arena_bytes:
        raise CheckFailed("the ELF's arena", got=f"{firmware.arena_bytes:,} bytes", allowed=f"{planned.arena_bytes:,}, the plan's")
    return {
        "arena": planned.arena_bytes,
        "static_ram": firmware.static_ram_bytes,
        "stack": trace.memory.stack_bytes,
        "flash": firmware.flash_bytes,
        "learn_instructions": trace.learn.instructions,
        "learn_macs": trace.learn.macs,
    }


def measure(name: str, way: str, numeric: Any, board_name: str) -> dict[str, Any]:
    """One row: what it takes, or why there is none."""
    network, x = made(name)
    rule, changes = WAYS[way]
    try:
        if way == "blocks":
            return blocks(network, x, numeric, board_name, LIMITS.get(name, 0))
        target = "input" if name == "fc_ae" else "class"
        return built(deploy(network, x, rule=rule, numeric=numeric, changes=changes, target=target), board_name, x)
    except (BadInput, Unsupported, DoesNotFit) as error:
        return {"refused": str(error)}


def blocks(network: Network, x: Array, numeric: Any, board_name: str, limit: int) -> dict[str, Any]:
    """One block at a time: the largest block's RAM, the mean step, and the flash of the whole network and of each block's place."""
    features = core_of(load_board(board_name)).features
    parts = chain(network, x, numeric=numeric, changes={"pool": (2, 1)}, arena_limit=limit if numeric == "int8" else 0, features=features)
    every = [built(parts.deployment(number), board_name, x) for number in range(1, parts.blocks + 1)]
    places = sum(place_bytes(plan(parts.deployment(number).program), ERASE_BYTES) for number in range(1, parts.blocks + 1))
    largest = max(every, key=lambda row: int(row["static_ram"] + row["stack"]))
    steps = {f"learn_{what}": round(float(np.mean([row[f"learn_{what}"] for row in every]))) for what in ("instructions", "macs")}
    return largest | steps | {"flash": max(row["flash"] for row in every) + places, "blocks": parts.blocks}


if __name__ == "__main__":
    wanted = [name for name in NETWORKS if name in sys.argv[1:]] or [*NETWORKS]
    collect("memory_networks", [(name, way, numeric, board) for name in wanted for board, numeric in BOARDS for way in WAYS], measure)
