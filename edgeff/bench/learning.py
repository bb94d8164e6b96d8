"""A network that learns from fresh weights on a board: deployed, built, learning on the emulated core, counted, put into one trace."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.simulate import Progress, agree_on_core, build_project, learn_on_host, predict_on_core, profile, quiet
from edgeff.device.targets.host import HostTarget
from edgeff.errors import CheckFailed
from edgeff.ir import Network, Numeric, Trace
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.memory_map import memory_map
from edgeff.rules import find_rule
from edgeff.tasks import Data

SCHEDULE: Mapping[str, Any] = {"decay_steps": 1500}
"""How the rate falls in a comparison: by the rule's ``decay`` after this many steps. A comparison has an end, like training on the host;
a device has none, so a program's own rate is constant."""


@dataclass(frozen=True)
class Configuration:
    """One point of a comparison: a task, a network (a name, or one with parameters), a rule, a numeric, a board and a seed."""

    task: str
    network: str | Network
    rule: str
    numeric: Numeric
    board: str
    seed: int = 0
    epochs: int = 10
    core_samples: int = 100
    stochastic: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A file name for this point: its results are stored under it, and a sweep skips those that exist."""
        network = self.network if isinstance(self.network, str) else self.network.name
        rounding = "" if self.stochastic else "-nearest"
        changes = "".join(f"-{key}={value}" for key, value in sorted(self.changes.items()))
        return f"{self.task}-{network}-{self.rule}-{self.numeric}{rounding}-{self.board}-e{self.epochs}-s{self.seed}{changes}"

    def run(self) -> Trace:
        """The trace of this point."""
        return run(self)


def run(configuration: Configuration, out: Path | None = None, progress: Progress = quiet, command: str = "edgeff bench") -> Trace:
    """One configuration from end to end, from fresh weights; ``command`` is the command recorded in the generated C.

    The emulated core learns from the first ``core_samples`` samples; the C on the host repeats them, must then have the same bytes, and
    continues to the last epoch; its learned state is restored into the core, which predicts the whole test set and is profiled.
    """
    c = configuration
    data: Data = registry.tasks[c.task].load(c.seed)
    board = load_board(c.board)
    network = initialised(structure(c.network), c.seed) if isinstance(c.network, str) else c.network
    deployment = deploy(
        network, data.x_train, rule=c.rule, numeric=c.numeric, changes={**SCHEDULE, **c.changes}, seed=c.seed, stochastic=c.stochastic
    )
    x_test = deployment.inputs(data.x_test)
    with tempfile.TemporaryDirectory(prefix="edgeff-bench-") as temporary:
        samples = x_test[:4], data.y_test[:4]
        firmware, source = build_project(deployment, board, out or Path(temporary), samples=samples, command=command)
        host = HostTarget(deployment.program, source)
        core = agree_on_core(deployment, host, firmware, board, data, c.core_samples, c.seed, progress)
        learned = learn_on_host(host, deployment, data, c.epochs, c.seed, progress=progress)
        core.restore(host.save())
        differing = np.flatnonzero(predict_on_core(core, x_test, "evaluating on the core", progress) != host.predict_many(x_test)[0])
        if len(differing):
            raise CheckFailed(
                f"{c.rule} on {c.board}, test sample {differing[0]}", got="a class other than the host's C", allowed="the same"
            )
        trace = profile(deployment, board, firmware, x_test[0], int(data.y_test[0]), c.task, c.seed)
    accuracies = {"float": None, "quantized": None, "before": learned.before, "after": learned.after}
    remarks = trace.remarks if c.stochastic else (*trace.remarks, "updates round to nearest")
    memory = memory_map(source.program, source.memory)
    return replace(trace, accuracy=accuracies, curve=learned.curve, memory_map=memory, remarks=remarks)


def digits_suite(seeds: int = 5, epochs: int = 60, first_seed: int = 0) -> list[Configuration]:
    """Every rule in every numeric on 64-32-10, with several seeds, on the NUCLEO-L4R5ZI; int8 PEPITA also with round-to-nearest."""
    chosen = range(first_seed, first_seed + seeds)
    configurations = [
        Configuration("digits", "64-32-10", rule, numeric, "nucleo_l4r5zi", seed, epochs)
        for rule in registry.rules
        for numeric in find_rule(rule).numerics
        for seed in chosen
    ]
    return configurations + [
        Configuration("digits", "64-32-10", "pepita", "int8", "nucleo_l4r5zi", seed, epochs, stochastic=False) for seed in chosen
    ]
