"""DS-CNN learns one block after the other on FSDD, by the C of ``edgeff export --blocks`` over a simulated flash; and its RAM by block.

Accuracy: from first weights that follow samples (``normalised``), batch 1, PASSES a block over 2,400 of the 2,700 training recordings, the
rate falling to DECAY of itself after each; the other 300 choose the exit, and chose the rates (``--validate``: the same four for both
rules, seed 0); the test part is read by the exit that was chosen. Beside it ``bp``: float32 back-propagation through the same network
from the same first weights, batch 1, without batch normalisation, by the C, as many passes; ``frozen``: the last layer alone; and
``shuffled``: the chain with labels that belong to other recordings. Memory: each block's program built for an emulated Cortex-M4, static
RAM and painted stack of one step and one inference; the image adds four bytes a block and five words.
``python benchmarks/chain.py`` -> ``benchmarks/results/chain.json``.
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from results import collect

from edgeff import registry
from edgeff.codegen.chain import write_chain
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import CheckFailed
from edgeff.ir import Array, Network
from edgeff.networks import initialised, normalised, structure
from edgeff.program.chain import Chain, chain
from edgeff.program.deploy import deploy

POWER = Path(__file__).resolve().parents[1] / "tests" / "chain_power.c"
PASSES, DECAY, HELD_OUT, SEEDS = 8, 0.7, 300, 5
POOL = (2, 1)
RATES = {"chain": 0.05, "bp": 0.02, "frozen": 0.02}
CANDIDATES = (0.005, 0.01, 0.02, 0.05)


class Parts(NamedTuple):
    """What is learned, what chooses, and the test part: samples and labels."""

    learned: tuple[Array, Array]
    held_out: tuple[Array, Array]
    test: tuple[Array, Array]


def parts_of(seed: int, *, shuffled: bool = False) -> Parts:
    """FSDD; ``shuffled``: labels of other recordings."""
    data, rng = registry.tasks["fsdd"].load(seed), np.random.default_rng([seed, 13])
    order = rng.permutation(len(data.x_train))
    kept, learned = order[:HELD_OUT], order[HELD_OUT:]
    labels = data.y_train[rng.permutation(learned)] if shuffled else data.y_train[learned]
    return Parts((data.x_train[learned], labels), (data.x_train[kept], data.y_train[kept]), (data.x_test, data.y_test))


def fresh(seed: int, x: Array) -> Network:
    """DS-CNN for the ten digits with first weights that follow x."""
    return normalised(initialised(structure("ds_cnn", input_shape=(49, 10, 1), classes=10), seed), x)


def learner(master: int, seed: int, x: Array, lr: float, decay_steps: int = 0) -> Chain:
    """The blocks of the network."""
    changes = {"master": master, "pool": POOL, "lr": lr, "decay": DECAY, "decay_steps": decay_steps}
    return chain(fresh(seed, x), x, numeric="int8", changes=changes, seed=seed)


def require(code: int) -> None:
    """Raises CheckFailed for a code other than OK."""
    if code != 0:
        raise CheckFailed("a chain in C", got=f"code {code}", allowed="0")


def by_blocks(parts: Parts, master: int, seed: int, lr: float, *, last: int = 4) -> dict[str, Any]:
    """The accuracy of each exit up to block ``last`` in per cent, of the exit chosen on the part held out, and the erases of flash."""
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    blocks = learner(master, seed, x, lr, len(x))
    inputs = blocks.deployment(1).inputs(x)
    held_out, test = ((blocks.deployment(1).inputs(part), labels) for part, labels in (parts.held_out, parts.test))
    exits: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        source = write_chain(blocks, Path(folder) / "c")
        out = Path(folder) / "chain.so"
        host_shared_library((*source.sources, POWER), source.folder, out, ("BLOCK=2048u",))
        c = ctypes.CDLL(str(out))

        def share(part: tuple[Array, Array]) -> float:
            return round(100 * float(np.mean([c.power_predict(sample.tobytes(), sample.size) for sample in part[0]] == part[1])), 2)

        c.power_clear()
        require(c.power_on(-1))
        while c.chain_block() <= min(blocks.blocks, last):
            for _ in range(PASSES):
                for index in rng.permutation(len(x)):
                    require(c.power_learn(inputs[index].tobytes(), inputs[index].size, int(y[index])))
            exits.append((share(held_out), share(test)))
            require(c.chain_finish())
            print("chain", master, seed, lr, exits, flush=True)
        erases = sum(c.power_erases(number) for number in range(32))
    best = int(np.argmax([chosen for chosen, _ in exits]))
    shares = {"held_out": [chosen for chosen, _ in exits], "exits": [after for _, after in exits]}
    flash = {"erases": erases, "flash_bytes": source.flash_bytes(2048), "arena_bytes": source.arena_bytes}
    return shares | {"exit": best + 1, "test": exits[best][1]} | flash


def whole(parts: Parts, rule: str, seed: int, lr: float) -> dict[str, Any]:
    """The accuracy of the network that learns as a whole by ``rule`` in float32, in per cent."""
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    changes = {"lr": lr, "decay": DECAY, "decay_steps": len(x)}
    deployment = deploy(fresh(seed, x), x, rule=rule, numeric="float32", changes=changes, seed=seed)
    host = HostTarget(deployment.program)
    host.init()
    for _ in range(PASSES):
        host.learn_many(deployment.inputs(x), y.astype(np.int32), rng.permutation(len(x)))
    shares = [
        round(100 * float(np.mean(host.predict_many(deployment.inputs(part))[0] == labels)), 2)
        for part, labels in (parts.held_out, parts.test)
    ]
    print(rule, seed, lr, shares, flush=True)
    return {"held_out": shares[0], "test": shares[1]}


def memory(master: int, block: int) -> dict[str, Any]:
    """Planned arena, and of the ELF static RAM and painted stack, for one block's program."""
    x = np.random.default_rng(0).standard_normal((20, 49, 10, 1)).astype(np.float32)
    deployment, board = learner(master, 0, x, RATES["chain"]).deployment(block), load_board("nucleo_l4r5zi")
    with tempfile.TemporaryDirectory() as folder:
        firmware, source = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    used = {"arena": source.memory.arena_bytes, "static_ram": firmware.static_ram_bytes, "stack": trace.memory.stack_bytes}
    return used | {"learn_instructions": trace.learn.instructions, "learn_macs": trace.learn.macs}


def measure(what: str, number: int, seed: int) -> dict[str, Any]:
    """One row: ``memory`` of block ``seed`` with a master of ``number`` bits, or accuracy by ``what``."""
    if what == "memory":
        return memory(number, seed)
    blockwise, parts = what in ("chain", "shuffled"), parts_of(seed, shuffled=what == "shuffled")
    lr = RATES["chain" if blockwise else what]
    found = by_blocks(parts, number, seed, lr, last=4 if what == "chain" else 1) if blockwise else whole(parts, what, seed, lr)
    return found | {"settings": {"lr": lr, "decay": DECAY, "passes": PASSES}}


def validate() -> None:
    """Prints what each candidate reaches on the part held out, seed 0: the chain's first block, and the network as a whole."""
    parts = parts_of(0)
    for lr in CANDIDATES:
        by_blocks(parts, 8, 0, lr, last=1)
        for rule in ("bp", "frozen"):
            whole(parts, rule, 0, lr)


if __name__ == "__main__":
    if "--validate" in sys.argv:
        validate()
    else:
        keys: list[tuple[Any, ...]] = [("memory", master, block) for master in (8, 16) for block in (1, 2)]
        keys += [(rule, bits, seed) for seed in range(SEEDS) for rule, bits in (("chain", 8), ("bp", 32), ("frozen", 32))]
        keys += [("shuffled", 8, 0)]
        collect("chain", keys, measure, SEEDS)
