"""CNNs learn one block after the other, by the C of ``edgeff export --blocks`` over a simulated flash; and the RAM that CNNs take so.

DS-CNN on spoken digits (FSDD) and twelve keywords (kws_open: its test speakers are heard nowhere else), ResNet-8 on 5,000 images of
CIFAR-10 at 16 x 16, its last stack in parts as LIMITS ask for it. Accuracy: from first weights that follow samples (``normalised``),
batch 1, a plan's passes a block (of a layer in parts: a part) over the samples but for some held out, the rate falling to DECAY of itself
after each (a step that diverges begins the block again at half the rate: ``restarts``). Those held out (of recordings a tenth, of keywords
other speakers, 1,000 images) choose the exit, and chose the rates (``--validate TASK``: the same five for every rule, seed 0; for FSDD .05
for blocks was the best there, and left one of two other seeds at chance); the test part is read by the exit that was chosen. Beside it
``bp``: back-propagation through the same network from the same first weights, batch 1, without batch normalisation, by the C, as many
passes, float32 or, at the same rate, int8; ``frozen``: the last layer alone; and ``shuffled``: the first block with labels of other
samples. Cost: what one step of each of these takes on BOARD, emulated. Memory (``--memory``): each block's program of three networks, in
parts where LIMITS ask for it, built for an emulated Cortex-M4: static RAM and painted stack of one step and one inference; the image adds
four bytes a block and five words. ``python benchmarks/chain.py [TASK] [--memory | --cost]`` -> ``benchmarks/results/chain.json``.
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
from edgeff.program.deploy import Deployment, deploy

POWER = Path(__file__).resolve().parents[1] / "tests" / "chain_power.c"
DECAY, SEEDS = 0.7, 5
POOL = (2, 1)
PLACES = 64
"""Erase blocks of the simulated flash."""
BOARD = "nucleo_l4r5zi"
LIMITS = {"ds_cnn": ((49, 10, 1), 10, 24_000), "resnet8": ((32, 32, 3), 10, 55_500), "mobilenet_v1_025": ((96, 96, 3), 2, 74_000)}
"""Networks, their inputs and classes, and the bytes that an arena may take: 25,600, 57,344 and 75,776 less the stack."""
CANDIDATES = (0.005, 0.01, 0.02, 0.03, 0.05)


class Plan(NamedTuple):
    """How a task is learned, and by which network.

    Its features less ``middle`` are divided by ``scale``, in int8 without a change of any; passes a block; rates by rule; how many samples
    are learned, by default all others, and held out, a share or a count; the side to which images are averaged; passes to choose rates by.
    """

    network: str
    scale: float
    passes: int
    rates: Mapping[str, float]
    middle: float = 0.0
    learned: int | None = None
    held_out: float = 1 / 9
    side: int = 0
    seeds: int = SEEDS
    tried: int = 0
    arena_limit: int = 0


PLANS = {
    "fsdd": Plan("ds_cnn", 1.0, 8, {"chain": 0.03, "bp": 0.02, "frozen": 0.02}),
    "kws_open": Plan("ds_cnn", 9.0, 10, {"chain": 0.05, "bp": 0.02, "frozen": 0.02}),
    "cifar10": Plan(
        "resnet8",
        64.0,
        6,
        {"chain": 0.02, "bp": 0.02, "frozen": 0.02},
        middle=128.0,
        learned=5000,
        held_out=1000,
        side=16,
        seeds=3,
        tried=3,
        arena_limit=LIMITS["resnet8"][2],
    ),
}


class Parts(NamedTuple):
    """What is learned, what chooses, and the test part: samples and labels."""

    learned: tuple[Array, Array]
    held_out: tuple[Array, Array]
    test: tuple[Array, Array]


def parts_of(task: str, seed: int, *, shuffled: bool = False) -> Parts:
    """The samples of a task; ``shuffled``: with labels of others."""
    data, rng, plan = registry.tasks[task].load(seed), np.random.default_rng([seed, 13]), PLANS[task]
    split = ShuffleSplit if data.groups_train is None else GroupShuffleSplit
    splits = split(1, train_size=plan.learned, test_size=plan.held_out, random_state=seed)
    learned, kept = next(splits.split(data.y_train, groups=data.groups_train))
    labels = data.y_train[rng.permutation(learned)] if shuffled else data.y_train[learned]
    x_train, x_test = features(data.x_train, plan), features(data.x_test, plan)
    return Parts((x_train[learned], labels), (x_train[kept], data.y_train[kept]), (x_test, data.y_test))


def features(x: Array, plan: Plan) -> Array:
    """What the network reads."""
    if plan.side:
        count, height, _, channels = x.shape
        x = x.reshape(count, plan.side, height // plan.side, plan.side, -1, channels).mean((2, 4), dtype=np.float32)
    return (x - np.float32(plan.middle)) / np.float32(plan.scale)


def fresh(task: str, parts: Parts, seed: int) -> Network:
    """The network for the classes with first weights that follow what is learned."""
    (x, _), classes = parts.learned, len(np.unique(parts.test[1]))
    return normalised(initialised(structure(PLANS[task].network, input_shape=x.shape[1:], classes=classes), seed), x)


def learner(task: str, parts: Parts, master: int, seed: int, lr: float) -> Chain:
    """The blocks of the network."""
    (x, _), limit = parts.learned, PLANS[task].arena_limit
    changes = {"master": master, "pool": POOL, "lr": lr, "decay": DECAY, "decay_steps": len(x)}
    board = core_of(load_board(BOARD)).features
    return chain(fresh(task, parts, seed), x, numeric="int8", changes=changes, seed=seed, arena_limit=limit, features=board)


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


def by_blocks(task: str, parts: Parts, passes: int, master: int, seed: int, lr: float, *, last: int = 0) -> dict[str, Any]:
    """The accuracy of each exit, up to step ``last`` or to the end, in per cent; of the exit chosen on the part held out; and the erases of
    flash. An exit is a block of the network: where its layers are in parts, after any of them.
    """
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    blocks = learner(task, parts, master, seed, lr)
    inputs = blocks.deployment(1).inputs(x)
    held_out, test = ((blocks.deployment(1).inputs(part), labels) for part, labels in (parts.held_out, parts.test))
    exits: list[tuple[float, float]] = []
    restarts: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        source = write_chain(blocks, Path(folder) / "c")
        out = Path(folder) / "chain.so"
        host_shared_library((*source.sources, POWER), source.folder, out, ("BLOCK=2048u", f"BLOCKS={PLACES}u"))
        c = ctypes.CDLL(str(out))

        def share(part: tuple[Array, Array]) -> float:
            return round(100 * float(np.mean([c.power_predict(sample.tobytes(), sample.size) for sample in part[0]] == part[1])), 2)

        c.power_clear()
        require(c.power_on(-1))
        while c.chain_block() <= (last or blocks.blocks):
            restarts.append(learned_block(c, inputs, y, passes, rng))
            exits.append((share(held_out), share(test)))
            require(c.chain_finish())
            print("chain", master, seed, lr, exits, flush=True)
        erases = sum(c.power_erases(number) for number in range(PLACES))
    best = int(np.argmax([chosen for chosen, _ in exits]))
    shares = {"held_out": [chosen for chosen, _ in exits], "exits": [after for _, after in exits], "restarts": restarts}
    flash = {"erases": erases, "flash_bytes": source.flash_bytes(2048), "arena_bytes": source.arena_bytes}
    return shares | {"exit": blocks.steps[best][0], "test": exits[best][1]} | flash


def together(task: str, parts: Parts, rule: str, bits: int, seed: int, lr: float) -> Deployment:
    """The network as it learns as a whole by ``rule``, in float32 or int8."""
    x, _ = parts.learned
    changes = {"lr": lr, "decay": DECAY, "decay_steps": len(x)}
    return deploy(fresh(task, parts, seed), x, rule=rule, numeric="int8" if bits == 8 else "float32", changes=changes, seed=seed)


def whole(task: str, parts: Parts, passes: int, rule: str, bits: int, seed: int, lr: float) -> dict[str, Any]:
    """The accuracy of the network that learns as a whole, in per cent."""
    rng, (x, y) = np.random.default_rng([seed, 14]), parts.learned
    deployment = together(task, parts, rule, bits, seed, lr)
    host = HostTarget(deployment.program)
    host.init()
    for _ in range(passes):
        host.learn_many(deployment.inputs(x), y.astype(np.int32), rng.permutation(len(x)))
    shares = [
        round(100 * float(np.mean(host.predict_many(deployment.inputs(part))[0] == labels)), 2)
        for part, labels in (parts.held_out, parts.test)
    ]
    print(rule, bits, seed, lr, shares, flush=True)
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
    own, part = blocks.steps[block - 1]
    row = built(blocks.deployment(block), x)
    del row["learn_cycles"], row["learn_uj"]
    return {"block": own, "part": part} | row


def built(deployment: Deployment, x: Array) -> dict[str, Any]:
    """The bytes of a program on BOARD, and what a step takes."""
    board = load_board(BOARD)
    with tempfile.TemporaryDirectory() as folder:
        firmware, source = build_project(deployment, board, Path(folder))
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 1)
    used = {"arena": source.memory.arena_bytes, "static_ram": firmware.static_ram_bytes, "stack": trace.memory.stack_bytes}
    work = {"learn_instructions": trace.learn.instructions, "learn_macs": trace.learn.macs, "learn_cycles": trace.learn.cycles}
    return used | work | {"learn_uj": None if trace.learn.energy_j is None else round(1e6 * trace.learn.energy_j, 1)}


def cost(task: str, what: str, bits: int) -> dict[str, Any]:
    """What a step takes on BOARD, of each block that learns alone or of the network."""
    parts, lr = parts_of(task, 0), 0.02
    x = parts.learned[0]
    if what != "chain":
        return {"steps": [built(together(task, parts, what, bits, 0, lr), x)]}
    blocks = learner(task, parts, bits, 0, lr)
    return {
        "steps": [
            {"block": own, "part": part} | built(blocks.deployment(number), x) for number, (own, part) in enumerate(blocks.steps, start=1)
        ]
    }


def measure(what: str, *key: Any) -> dict[str, Any]:
    """One row: ``memory`` of a block with a master of some bits, ``cost`` of a step, or the accuracy by ``what`` on a task."""
    if what in ("memory", "cost"):
        return memory(*key) if what == "memory" else cost(*key)
    task, bits, seed = key
    parts, plan = parts_of(task, seed, shuffled=what == "shuffled"), PLANS[task]
    lr = plan.rates["chain" if what == "shuffled" else what]
    if what in ("chain", "shuffled"):
        row = by_blocks(task, parts, plan.passes, bits, seed, lr, last=1 if what == "shuffled" else 0)
    else:
        row = whole(task, parts, plan.passes, what, bits, seed, lr)
    settings = {"lr": lr, "decay": DECAY, "passes": plan.passes, "learned": len(parts.learned[1]), "held_out": len(parts.held_out[1])}
    return row | {"settings": settings}


def validate(task: str, rules: Sequence[str]) -> None:
    """Prints what each candidate reaches on the part held out, seed 0: the chain's first block, and the network as a whole."""
    parts, plan = parts_of(task, 0), PLANS[task]
    parts, passes = parts._replace(test=parts.held_out), plan.tried or plan.passes
    for lr in CANDIDATES:
        for rule in rules:
            if rule == "chain":
                by_blocks(task, parts, passes, 8, 0, lr, last=1)
            else:
                whole(task, parts, passes, rule, 32, 0, lr)


if __name__ == "__main__":
    if "--validate" in sys.argv:
        _, _, chosen, *some = sys.argv
        validate(chosen, some or ("chain", "bp", "frozen"))
    else:
        tasks = [task for task in PLANS if task in sys.argv[1:]] or list(PLANS)
        ways = (("chain", 8), ("bp", 32), ("frozen", 32))
        integers = (("frozen", 8), ("bp", 8))
        if "--memory" in sys.argv:
            keys: list[tuple[Any, ...]] = [("memory", name, 8, block + 1) for name in LIMITS for block in range(limited(name, 8)[0].blocks)]
        elif "--cost" in sys.argv:
            keys = [("cost", task, what, bits) for task in tasks for what, bits in (*ways, *integers)]
        else:
            keys = [(rule, task, bits, seed) for task in tasks for seed in range(PLANS[task].seeds) for rule, bits in ways]
            keys += [("shuffled", task, 8, 0) for task in tasks]
            keys += [(rule, task, bits, seed) for rule, bits in integers for task in tasks for seed in range(PLANS[task].seeds)]
        collect("chain", keys, measure, SEEDS)
