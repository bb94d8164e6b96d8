"""DS-CNN learns one block after the other on FSDD, by the C of ``edgeff export --blocks`` over a simulated flash; and its RAM by block.

Accuracy: from fresh weights, batch 1, the rule's own settings for int8, 600 and 1,500 of the 2,700 training recordings, six passes a
block; the test part is read at each exit, and nothing was chosen by it. Memory: each block's program built for an emulated Cortex-M4,
static RAM and painted stack of one step and one inference; the image adds four bytes a block and five words.
``python benchmarks/chain.py`` -> ``benchmarks/results/chain.json``.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.codegen.chain import write_chain
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import CheckFailed
from edgeff.networks import initialised, structure
from edgeff.ops.canonical import canonical
from edgeff.program.chain import Chain, chain

POWER = Path(__file__).resolve().parents[1] / "tests" / "chain_power.c"
PASSES, SAMPLES, MORE, SEEDS = 6, 600, 1500, 1
POOL = (2, 1)


def learner(master: int, seed: int, x: Any) -> Chain:
    """DS-CNN for the ten digits, with fresh weights."""
    network = canonical(initialised(structure("ds_cnn", input_shape=(49, 10, 1), classes=10), seed))
    return chain(network, x, numeric="int8", changes={"master": master, "pool": POOL}, seed=seed)


def require(code: int) -> None:
    """Raises CheckFailed for a code other than OK."""
    if code != 0:
        raise CheckFailed("a chain in C", got=f"code {code}", allowed="0")


def accuracy(master: int, seed: int, samples: int) -> dict[str, Any]:
    """The test accuracy of each exit in per cent, and the erases of each place."""
    data, rng = registry.tasks["fsdd"].load(seed), np.random.default_rng([seed, 13])
    chosen = rng.permutation(len(data.x_train))[:samples]
    x, y = data.x_train[chosen], data.y_train[chosen]
    blocks = learner(master, seed, x)
    inputs, tests = (blocks.deployment(1).inputs(part) for part in (x, data.x_test))
    with tempfile.TemporaryDirectory() as folder:
        source = write_chain(blocks, Path(folder) / "c")
        out = Path(folder) / "chain.so"
        host_shared_library((*source.sources, POWER), source.folder, out, ("BLOCK=2048u",))
        c = ctypes.CDLL(str(out))
        c.power_clear()
        require(c.power_on(-1))
        exits = []
        while c.chain_block() <= blocks.blocks:
            for _ in range(PASSES):
                for index in rng.permutation(samples):
                    require(c.power_learn(inputs[index].tobytes(), inputs[index].size, int(y[index])))
            hits = [c.power_predict(sample.tobytes(), sample.size) == label for sample, label in zip(tests, data.y_test, strict=True)]
            exits.append(round(100 * float(np.mean(hits)), 2))
            require(c.chain_finish())
            print(master, seed, exits, flush=True)
        erases = sum(c.power_erases(number) for number in range(32))
    settings = {"lr": blocks.settings.lr, "pool": list(POOL), "passes": PASSES, "samples": samples}
    return {
        "exits": exits,
        "erases": erases,
        "flash_bytes": source.flash_bytes(2048),
        "arena_bytes": source.arena_bytes,
        "settings": settings,
    }


def memory(master: int, block: int) -> dict[str, Any]:
    """Planned arena, and of the ELF static RAM and painted stack, for one block's program."""
    x = np.random.default_rng(0).standard_normal((20, 49, 10, 1)).astype(np.float32)
    deployment, board = learner(master, 0, x).deployment(block), load_board("nucleo_l4r5zi")
    with tempfile.TemporaryDirectory() as folder:
        firmware, source = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    used = {"arena": source.memory.arena_bytes, "static_ram": firmware.static_ram_bytes, "stack": trace.memory.stack_bytes}
    return used | {"learn_instructions": trace.learn.instructions, "learn_macs": trace.learn.macs}


def measure(what: str, master: int, number: int, samples: int = SAMPLES) -> dict[str, Any]:
    """One row."""
    return accuracy(master, number, samples) if what == "accuracy" else memory(master, number)


if __name__ == "__main__":
    keys: list[tuple[Any, ...]] = [("memory", master, block) for master in (8, 16) for block in (1, 2)]
    keys += [("accuracy", 8, seed) for seed in range(SEEDS)] + [("accuracy", 8, 0, MORE)]
    collect("chain", keys, measure, SEEDS)
