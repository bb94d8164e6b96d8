"""The tournament: eight rules on five tasks, float32 on the host and int8 learned by the generated C, and which is best in equal RAM.

A task has one network for all rules (``Field.network``) and the same network in other widths, of which a budget of bytes takes the best
that fits. Settings are chosen by one search of the same budget for every rule, numeric and width on a part of the training samples
(``protocol.py``): once where the test part is the same for every seed, else for each seed. The seed draws the weights, the order of samples
and what a rule draws; the test part is read once a row. RAM is the planner's, which equals the ELF's, and the stack that was painted on
the emulated Cortex-M4 by the task's network; so are instructions a step. Rows that other results have are not measured again (``TAKEN``),
nor rules that are another to the bit (``same_as``).
``EDGEFF_DATA_DIR=.. python benchmarks/tournament.py [TASK|NUMERIC ..] [--ram] [--shared] [--shard I/N] [--merge]`` ->
``benchmarks/results/tournament.json``, its choices in ``tournament_chosen.json``, RAM in ``tournament_ram.json`` and what ``edgeff fit``
says in ``tournament_fit.json``. A shard has files of its own, which ``--merge`` puts together. ``--ram``: no accuracies; ``--shared``: the
tasks' networks alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from deeper_forward import images
from protocol import Learner, device_choice, host_row, kept, kept_choice, learned_by_c, split_of
from protocol import load as load_data
from results import FOLDER, collect, load, save

from edgeff import registry
from edgeff.bench import Shard
from edgeff.bench.fit import Budget, fit
from edgeff.bench.learning import SCHEDULE
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.simulate import build_project, profile
from edgeff.errors import DoesNotFit
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import guard_bytes, plan
from edgeff.program.select import select
from edgeff.rules import find_rule
from edgeff.tasks import Data

NAME, CHOSEN, RAM, FITTED = "tournament", "tournament_chosen", "tournament_ram", "tournament_fit"
RULES = ("bp", "dfa", "pepita", "mempepita", "ff", "cwc", "local_heads", "frozen")
NUMERICS = ("float32", "int8")
BUDGETS_KB = (8, 16, 32, 64, 128)
BOARD = "nucleo_l4r5zi"
SEEDS = 5
KEYWORD_SCALE = 9.0
"""Coefficients of keywords are divided by this, as in ``chain.py``; in int8 it changes nothing."""
DECAYS = 60 * 1437 / SCHEDULE["decay_steps"]
"""How often the rate falls in a run by the C: as often as ``device_learning.py`` has it on digits."""
DECAY = 0.95
"""What the rate falls by, of every rule: local heads have a faster fall of their own, made for long runs."""
RECIPES_OF = "cnn_small"
"""The network whose recipes the convolutional one begins from on the host."""
BY_HEAD = {"predict": "head", "head_reads": "but_first", "head_rate": 1.0}
"""Forward-Forward's settings of those recipes that say what it predicts by: through convolutions a head, not probing."""


@dataclass(frozen=True)
class Field:
    """A task's networks: the one that all rules share, others by numeric, wider ones for the control alone, and the search by numeric."""

    network: str
    others: dict[str, Sequence[str]]
    searches: dict[str, Search]
    control: Sequence[str] = field(default=())

    def networks(self, rule: str, numeric: str) -> tuple[str, ...]:
        """The networks that a rule learns in a numeric, the shared one first."""
        return tuple(dict.fromkeys((self.network, *self.others[numeric], *(self.control if rule == "frozen" else ()))))


def dense(inputs: int, classes: int, widths: Sequence[int]) -> tuple[str, ...]:
    """The names of networks with one hidden layer."""
    return tuple(f"{inputs}-{width}-{classes}" for width in widths)


def searches(host: int, device: int) -> dict[str, Search]:
    """The searches of a task, by the epochs of a run on the host and by the C."""
    return {"float32": Search(host, candidates=9, splits=1), "int8": Search(device, candidates=9, splits=1)}


FIELDS = {
    "digits": Field(
        "64-32-10",
        {"float32": dense(64, 10, (16, 64, 128)), "int8": dense(64, 10, (64, 128))},
        searches(60, 60),
        dense(64, 10, (256,)),
    ),
    "fsdd": Field(
        "490-32-10",
        {"float32": dense(490, 10, (8, 16, 64)), "int8": dense(490, 10, (8, 16, 64))},
        searches(30, 10),
        dense(490, 10, (256,)),
    ),
    "kws_open": Field(
        "490-32-12",
        {"float32": dense(490, 12, (8, 16, 64)), "int8": dense(490, 12, (8, 16, 64))},
        searches(30, 10),
        dense(490, 12, (256,)),
    ),
    "fashion_mnist": Field(
        "784-32-10",
        {"float32": dense(784, 10, (8, 16)), "int8": dense(784, 10, (8, 16, 64))},
        searches(10, 4),
        dense(784, 10, (256,)),
    ),
    "cifar10": Field("c10-c20", {"float32": ("c5-c10", "c20-c40"), "int8": ("c5-c10",)}, searches(6, 4), ("c20-c40",)),
}
"""Tasks by what their runs cost. ``cifar10``: the 4,000 and 2,000 images at 16x16 of ``deeper_forward.py``."""
TAKEN = {("digits", "64-32-10", "float32"): "rules", ("digits", "64-32-10", "int8"): "device_learning"}
"""Cells whose rows other results have."""


def same_as(network: str, rule: str, numeric: str) -> str:
    """The rule of which ``rule`` is the same to the bit on a network: its accuracy is not measured again."""
    if rule == "mempepita":
        return "pepita"
    return "bp" if rule == "local_heads" and numeric == "float32" and not network.startswith("c") else rule


@lru_cache(maxsize=6)
def data_of(task: str, seed: int) -> Data:
    """A task's samples; where the test part is the same for every seed, in the order of seed 0."""
    if task == "cifar10":
        return images()
    data = load_data(task, split(task, seed))
    if task != "kws_open":
        return data
    return replace(data, x_train=data.x_train / np.float32(KEYWORD_SCALE), x_test=data.x_test / np.float32(KEYWORD_SCALE))


@lru_cache
def split(task: str, seed: int) -> int:
    """The first seed with the same test part."""
    return 0 if task == "cifar10" else split_of(task, seed)


def plain(task: str, name: str) -> Network:
    """The structure of a network: a dense list, or ``c10-c20``, two 3x3 convolutions, each before 2x2 max pooling, and a dense layer."""
    shape, classes = data_of(task, 0).input_shape, len(data_of(task, 0).classes)
    if not name.startswith("c"):
        return structure(name, input_shape=shape, classes=classes)
    stack = Stack(shape)
    for number, channels in enumerate(name.split("-"), 1):
        stack.conv(f"conv_{number}", int(channels[1:]), (3, 3), norm=False)
        stack.max_pool(f"pool_{number}", (2, 2))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", Softmax())
    return stack.network(name)


def fixed(network: str, rule: str) -> dict[str, Any]:
    """The settings of a rule on a device that no choice changes."""
    return BY_HEAD if rule == "ff" and network.startswith("c") else {}


def fresh(task: str, name: str, seed: int) -> Network:
    return initialised(plain(task, name), seed)


def on_host(task: str, network: str, rule: str, seed: int, search: Search, kept_in: str) -> dict[str, Any]:
    """The test accuracy in per cent of mini-batches on the host, None for a run that diverged."""
    item = registry.tasks[task]
    recipes = RECIPES_OF if network.startswith("c") else network

    def make() -> Choice:
        return choose(data_of(task, search.seed), plain(task, network), recipes, rule, search, item)

    def chosen() -> dict[str, Any]:
        return kept_choice((task, network, rule, "float32"), search, make, kept_in)

    return host_row(data_of(task, seed), plain(task, network), task, rule, seed, chosen)


def decay_steps(part: Data, epochs: int) -> int:
    """The steps after which the rate falls in a run of some epochs."""
    return max(1, round(epochs * len(part.x_train) / DECAYS))


def learner(task: str, network: str, rule: str, seed: int) -> Learner:
    """Learning of a network from the weights of a seed by the C."""
    start = fresh(task, network, seed)
    return learned_by_c(start, rule, "int8", seed, decay_steps, stochastic=True, fixed={"decay": DECAY, **fixed(network, rule)})


def by_c(task: str, network: str, rule: str, seed: int, search: Search, kept_in: str) -> dict[str, Any]:
    """The test accuracy in per cent of int8 learned by the C, one sample at a time, with stochastic rounding."""

    def made() -> dict[str, Any]:
        data, start = data_of(task, search.seed), fresh(task, network, search.seed)
        settings = deploy(start, data.x_train, rule=rule, numeric="int8", changes=fixed(network, rule), seed=search.seed).settings
        return device_choice(data, settings, search, learner(task, network, rule, search.seed))

    how = kept((task, network, rule, "int8"), search, made, kept_in)
    reached = learner(task, network, rule, seed)(data_of(task, seed), how["settings"], search.epochs)
    return {"accuracy": round(100 * reached, 2), "diverged": False, "chosen_by": how}


def measure(kept_in: str, task: str, network: str, rule: str, numeric: str, seed: int) -> dict[str, Any]:
    """One row: the test accuracy in per cent, and how its settings were chosen, which is also in the results file ``kept_in``."""
    search = replace(FIELDS[task].searches[numeric], seed=split(task, seed))
    return (on_host if numeric == "float32" else by_c)(task, network, rule, seed, search, kept_in)


def taken_in(deployment: Deployment) -> dict[str, Any]:
    """The planned bytes of a deployment: static RAM of the model, and constants."""
    program = select(deployment.program, core_of(load_board(BOARD)).features)
    planned = plan(program)
    return {"static_ram": planned.arena_bytes + guard_bytes(program), "constants": planned.flash_bytes}


def ram(task: str, network: str, rule: str, numeric: Any) -> dict[str, Any]:
    """Planned bytes; of the task's network also the painted stack and the instructions of a step on the emulated core.

    Where a rule can compute activations again (``keep``) and a network has convolutions, that is done if it takes fewer bytes.
    """
    x = data_of(task, 0).x_train[:20]
    ways = [fixed(network, rule)]
    if network.startswith("c") and hasattr(find_rule(rule).settings, "keep"):
        ways.append({"keep": "least"})
    start, stochastic = fresh(task, network, 0), numeric == "int8"
    each = [(deploy(start, x, rule=rule, numeric=numeric, changes=way, stochastic=stochastic), way) for way in ways]
    deployment, way = min(each, key=lambda pair: int(taken_in(pair[0])["static_ram"]))
    row = taken_in(deployment) | {"settings": way}
    if network == FIELDS[task].network:
        board = load_board(BOARD)
        with tempfile.TemporaryDirectory() as folder:
            firmware, _ = build_project(deployment, board, Path(folder))  # refuses an ELF of other bytes than the plan's
            trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 1)
        row |= {"stack": trace.memory.stack_bytes, "learn_instructions": trace.learn.instructions, "learn_macs": trace.learn.macs}
        row |= {"infer_instructions": trace.infer.instructions}
    return row


Cell = tuple[str, str, str, str]


def cells(tasks: Sequence[str], numerics: Sequence[str]) -> list[Cell]:
    """All cells: task, network, rule and numeric, the tasks' shared networks first."""
    every = [
        (place, (task, network, rule, numeric))
        for task in tasks
        for numeric in numerics
        for rule in RULES
        for place, network in enumerate(FIELDS[task].networks(rule, numeric))
    ]
    return [cell for _, cell in sorted(every, key=lambda pair: pair[0])]


def runs(wanted: Sequence[Cell]) -> Iterator[tuple[Any, ...]]:
    """The keys of accuracies to measure: a network's rules come one after the other, seed by seed."""
    once = [cell for cell in wanted if same_as(cell[1], cell[2], cell[3]) == cell[2] and (cell[0], cell[1], cell[3]) not in TAKEN]
    for place in dict.fromkeys((task, network, numeric) for task, network, _, numeric in once):
        for seed in range(SEEDS):
            yield from ((*cell, seed) for cell in once if (cell[0], cell[1], cell[3]) == place)


def fitted(task: str, budget_kb: int) -> dict[str, Any]:
    """What ``edgeff fit`` says of the task's network and these rules within a budget: its choices that were measured, in order."""
    network = FIELDS[task].network
    try:
        choices = fit(fresh(task, network, 0), data_of(task, 0).x_train[:20], task, Budget(1024 * budget_kb), rules=RULES).choices
    except DoesNotFit:
        choices = ()
    whole = [one for one in choices if not one.schedule and (one.layers == "all" or one.rule == "frozen") and one.numeric in NUMERICS]
    return {"choices": [[one.rule, one.numeric] for one in whole]}


def merged() -> None:
    """Puts the files of all shards into those of the whole."""
    for name in (NAME, CHOSEN, RAM, FITTED):
        rows = {str(row["key"]): row for row in load(name).get("rows", [])}
        for file in sorted(FOLDER.glob(f"{name}_shard_*.json")):
            rows |= {str(row["key"]): row for row in load(file.stem)["rows"]}
        save(name, [*rows.values()], SEEDS)


if __name__ == "__main__":
    words, number = sys.argv[1:], ""
    if "--shard" in words:
        number = words.pop(words.index("--shard") + 1)
    tasks = [task for task in FIELDS if task in words] or [*FIELDS]
    wanted = cells(tasks, [numeric for numeric in NUMERICS if numeric in words] or NUMERICS)
    if "--shared" in words:
        wanted = [cell for cell in wanted if cell[1] == FIELDS[cell[0]].network]
    end = ""
    if number:
        first, _, of = number.partition("/")
        wanted, end = list(Shard(int(first), int(of)).share(wanted)), f"_shard_{first}_of_{of}"
    if "--merge" in words:
        merged()
    else:
        collect(RAM + end, wanted, ram)
        collect(FITTED + end, [(task, kb) for task in dict.fromkeys(cell[0] for cell in wanted) for kb in BUDGETS_KB], fitted)
        if "--ram" not in words:
            collect(NAME + end, runs(wanted), partial(measure, CHOSEN + end), SEEDS)
