"""DS-CNN learns one block after the other, by the C of ``edgeff export --blocks`` over a simulated flash; and the RAM that CNNs take so.

Tasks: spoken digits (FSDD) and twelve keywords (kws_open: its test speakers are heard nowhere else). Accuracy: from first weights that
follow samples (``normalised``), batch 1, PASSES a block over the training recordings but for a tenth, the rate falling to DECAY of itself
after each (a step that diverges begins the block again at half the rate: ``restarts``). That tenth (of keywords other speakers) chooses
the exit, and chose the rates (``--validate TASK``: the same five for every rule, seed 0; .05 for blocks was the best there, and left one
of two other seeds at chance); the test part is read by the exit that was
chosen. Beside it ``bp``: float32 back-propagation through the same network from the same first weights, batch 1, without batch
normalisation, by the C, as many passes; ``frozen``: the last layer alone; and ``shuffled``: the first block with labels of other
recordings. Memory (``--memory``): each block's program of three networks, in parts where LIMITS ask for it, built for an emulated
Cortex-M4: static RAM and painted stack of one step and one inference; the image adds four bytes a block and five words.
``python benchmarks/chain.py [TASK] [--memory]`` -> ``benchmarks/results/chain.json``.
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from results import collect
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from edgeff import registry
from edgeff.codegen.chain import write_chain
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.simulate import build_project, profile
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import CheckFailed
from edgeff.ir import Array, Network
from edgeff.networks import initialised, normalised, structure
from edgeff.program.chain import Chain, chain
from edgeff.program.codes import Code
from edgeff.program.deploy import deploy

POWER = Path(__file__).resolve().parents[1] / "tests" / "chain_power.c"
DECAY, SEEDS = 0.7, 5
POOL = (2, 1)
BOARD = "nucleo_l4r5zi"
LIMITS = {"ds_cnn": ((49, 10, 1), 10, 24_000), "resnet8": ((32, 32, 3), 10, 55_500), "mobilenet_v1_025": ((96, 96, 3), 2, 74_000)}
"""Networks, their inputs and classes, and the bytes that an arena may take: 25,600, 57,344 and 75,776 less the stack."""
CANDIDATES = (0.005, 0.01, 0.02, 0.03, 0.05)


class Plan(NamedTuple):
    """How a task is learned: its features are divided by ``scale``, in int8 without a change of any; passes a block; rates by rule."""

    scale: float
    passes: int
    rates: Mapping[str, float]


PLANS = {
    "fsdd": Plan(1.0, 8, {"chain": 0.03, "bp": 0.02, "frozen": 0.02}),
    "kws_open": Plan(9.0, 10, {"chain": 0.05, "bp": 0.02, "frozen": 0.02}),
}


class Parts(NamedTuple):
    """What is learned, what chooses, and the test part: samples and labels."""

    learned: tuple[Array, Array]
    held_out: tuple[Array, Array]
    test: tuple[Array, Array]


def parts_of(task: str, seed: int, *, shuffled: bool = False) -> Parts:
    """The recordings of a task; ``shuffled``: with labels of others."""
    data, rng, scale = registry.tasks[task].load(seed), np.random.default_rng([seed, 13]), np.float32(PLANS[task].scale)
    split = ShuffleSplit if data.groups_train is None else GroupShuffleSplit
    learned, kept = next(split(1, test_size=1 / 9, random_state=seed).split(data.y_train, groups=data.groups_train))
    labels = data.y_train[rng.permutation(learned)] if shuffled else data.y_train[learned]
    return Parts(
        (data.x_train[learned] / scale, labels), (data.x_train[kept] / scale, data.y_train[kept]), (data.x_test / scale, data.y_test)
    )


def fresh(parts: Parts, seed: int) -> Network:
    """DS-CNN for the classes with first weights that follow what is learned."""
    classes = len(np.unique(parts.test[1]))
    return normalised(initialised(structure("ds_cnn", input_shape=(49, 10, 1), classes=classes), seed), parts.learned[0])


def learner(network: Network, x: Array, master: int, seed: int, lr: float) -> Chain:
    """The blocks of the network."""
    changes = {"master": master, "pool": POOL, "lr": lr, "decay": DECAY, "decay_steps": len(x)}
    return chain(network, x, numeric="int8", changes=changes, seed=seed)


def require(code: int) -> None:
    """Raises CheckFailed for a code other than OK."""
    if code != 0:
        raise CheckFailed("a chain in C", got=f"code {code}", allowed="0")


def learned_block(c: ctypes.CDLL, inputs: Array, y: Array, passes: int, rng: np.random.Generator) -> int:
    """Lets the block that is next learn; how often it diverged and began again, each time at half the rate."""
    restarts = done = 0
    while done < passes:
        for index in rng.permutation(len(y)):
            code = c.power_learn(inputs[index].tobytes(), inputs[index].size, int(y[index]))
            if code == Code.DIVERGED:
                restarts, done = restarts + 1, -1
                set_rate = getattr(c, f"block{c.chain_block()}_set_rate")
                require(set_rate(ctypes.c_float(0.5**restarts)))
                break
            require(code)
        done += 1
    return restarts


def by_blocks(parts: Parts, passes: int, master: int, seed: int, lr: float, *, last: int = 4) -> dict[str, Any]:
    """The accuracy of each exit up to block ``last`` in per cent, of the exit chosen on the part held out, and the erases of flash."""
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    blocks = learner(fresh(parts, seed), x, master, seed, lr)
    inputs = blocks.deployment(1).inputs(x)
    held_out, test = ((blocks.deployment(1).inputs(part), labels) for part, labels in (parts.held_out, parts.test))
    exits: list[tuple[float, float]] = []
    restarts: list[int] = []
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
            restarts.append(learned_block(c, inputs, y, passes, rng))
            exits.append((share(held_out), share(test)))
            require(c.chain_finish())
            print("chain", master, seed, lr, exits, flush=True)
        erases = sum(c.power_erases(number) for number in range(32))
    best = int(np.argmax([chosen for chosen, _ in exits]))
    shares = {"held_out": [chosen for chosen, _ in exits], "exits": [after for _, after in exits], "restarts": restarts}
    flash = {"erases": erases, "flash_bytes": source.flash_bytes(2048), "arena_bytes": source.arena_bytes}
    return shares | {"exit": best + 1, "test": exits[best][1]} | flash


def whole(parts: Parts, passes: int, rule: str, seed: int, lr: float) -> dict[str, Any]:
    """The accuracy of the network that learns as a whole by ``rule`` in float32, in per cent."""
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    changes = {"lr": lr, "decay": DECAY, "decay_steps": len(x)}
    deployment = deploy(fresh(parts, seed), x, rule=rule, numeric="float32", changes=changes, seed=seed)
    host = HostTarget(deployment.program)
    host.init()
    for _ in range(passes):
        host.learn_many(deployment.inputs(x), y.astype(np.int32), rng.permutation(len(x)))
    shares = [
        round(100 * float(np.mean(host.predict_many(deployment.inputs(part))[0] == labels)), 2)
        for part, labels in (parts.held_out, parts.test)
    ]
    print(rule, seed, lr, shares, flush=True)
    return {"held_out": shares[0], "test": shares[1]}


@cache
def limited(name: str, master: int) -> tuple[Chain, Array]:
    """The chain of a network within its limit, and inputs."""
    shape, classes, limit = LIMITS[name]
    x = np.random.default_rng(0).standard_normal((20, *shape)).astype(np.float32)
    network = normalised(initialised(structure(name, input_shape=shape, classes=classes), 0), x)
    changes, features = {"master": master, "pool": POOL, "lr": 0.02}, core_of(load_board(BOARD)).features
    return chain(network, x, numeric="int8", changes=changes, seed=0, arena_limit=limit, features=features), x


def memory(name: str, master: int, block: int) -> dict[str, Any]:
    """Planned arena, and of the ELF static RAM and painted stack, for one block's program."""
    blocks, x = limited(name, master)
    deployment, board = blocks.deployment(block), load_board(BOARD)
    with tempfile.TemporaryDirectory() as folder:
        firmware, source = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 1)
    own, part = blocks.steps[block - 1]
    used: dict[str, Any] = {"block": own, "part": part, "arena": source.memory.arena_bytes, "static_ram": firmware.static_ram_bytes}
    used |= {"stack": trace.memory.stack_bytes}
    return used | {"learn_instructions": trace.learn.instructions, "learn_macs": trace.learn.macs}


def measure(what: str, *key: Any) -> dict[str, Any]:
    """One row: ``memory`` of a block with a master of some bits, or the accuracy by ``what`` on a task."""
    if what == "memory":
        return memory(*key)
    task, bits, seed = key
    blockwise, parts, plan = what in ("chain", "shuffled"), parts_of(task, seed, shuffled=what == "shuffled"), PLANS[task]
    lr = plan.rates["chain" if blockwise else what]
    if blockwise:
        row = by_blocks(parts, plan.passes, bits, seed, lr, last=4 if what == "chain" else 1)
    else:
        row = whole(parts, plan.passes, what, seed, lr)
    return row | {"settings": {"lr": lr, "decay": DECAY, "passes": plan.passes}}


def validate(task: str, rules: Sequence[str]) -> None:
    """Prints what each candidate reaches on the part held out, seed 0: the chain's first block, and the network as a whole."""
    parts, passes = parts_of(task, 0), PLANS[task].passes
    for lr in CANDIDATES:
        for rule in rules:
            if rule == "chain":
                by_blocks(parts, passes, 8, 0, lr, last=1)
            else:
                whole(parts, passes, rule, 0, lr)


if __name__ == "__main__":
    if "--validate" in sys.argv:
        _, _, chosen, *some = sys.argv
        validate(chosen, some or ("chain", "bp", "frozen"))
    else:
        tasks = [task for task in PLANS if task in sys.argv[1:]] or list(PLANS)
        keys: list[tuple[Any, ...]] = [("memory", name, 8, block + 1) for name in LIMITS for block in range(limited(name, 8)[0].blocks)]
        if "--memory" not in sys.argv:
            ways = (("chain", 8), ("bp", 32), ("frozen", 32))
            keys = [(rule, task, bits, seed) for task in tasks for seed in range(SEEDS) for rule, bits in ways]
            keys += [("shuffled", task, 8, 0) for task in tasks]
        collect("chain", keys, measure, SEEDS)
