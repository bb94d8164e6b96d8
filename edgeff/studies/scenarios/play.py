"""A scenario of classes played: trained, shipped, changed, learned on the device, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.state import state_bytes
from edgeff.rules import find_rule
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.train.loop import train

CONTROL_RULE = "bp"
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What a device learned: shares of test samples that are right, between 0 and 1.

    ``before`` and ``after``: in the changed world; ``control``: after back-propagation in float32 on the same layers and samples;
    ``known_before`` and ``known_after``: in the world it was trained for. ``samples`` are different ones, ``steps`` how often it learned.
    """

    case: str
    rule: str
    numeric: str
    before: float
    after: float
    control: float
    known_before: float
    known_after: float
    samples: int
    steps: int
    arena_bytes: int
    save_bytes: int

    @property
    def recovered(self) -> float | None:
        """The gain as a share of the control's; None where the control gained nothing."""
        return None if self.control <= self.before else (self.after - self.before) / (self.control - self.before)


def trained(scenario: Scenario, parts: Parts, seed: int, say: Say, teacher: str = CONTROL_RULE) -> Network:
    """The float network that is shipped: trained on the host on what is known, by default by back-propagation."""
    settings = find_rule(teacher).settings.changed({"epochs": str(scenario.epochs)})
    data, report = parts.known, lambda done, total: say("training on the host", done, total)
    return train(data, structure(scenario.network), teacher, settings, seed, report, scenario.name, guarded=False).network


def shipped(network: Network, parts: Parts, rule: str, numeric: Numeric, changes: Mapping[str, Any], seed: int) -> Deployment:
    """The program of ``network`` that learns by ``rule`` on the device."""
    return deploy(network, parts.known.x_train, rule=rule, numeric=numeric, changes=changes, seed=seed)


def learned(deployment: Deployment, parts: Parts, passes: int, seed: int) -> tuple[list[float], HostTarget]:
    """The accuracies in the changed and the known world, before and after, by the C on this machine; and what ran it."""
    host = HostTarget(deployment.program)

    def right(x: Array, y: Array) -> float:
        return float(np.mean(host.predict_many(deployment.inputs(x))[0] == y))

    def both() -> list[float]:
        return [right(parts.x_new, parts.y_new), right(parts.known.x_test, parts.known.y_test)]

    first, x, rng = both(), deployment.inputs(parts.x), np.random.default_rng([seed, 3])
    for _ in range(passes):
        host.learn_many(x, parts.y.astype(np.int32), rng.permutation(len(x)))
    return [*first, *both()], host


def play(
    scenario: Scenario,
    *,
    rule: str = "bp",
    numeric: Numeric = "int8",
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda _what, _done, _of: None,
    networks: dict[str, Network] | None = None,
) -> tuple[Outcome, Deployment]:
    """The outcome of a case, and the deployment that learned.

    Args: ``rule`` and ``numeric`` of the device, ``changes`` of the rule's settings there; ``seed`` picks the case and draws weights and
    order; ``networks``: those trained so far in this case, by their teacher, to which those trained here are added.
    Raises: BadInput and Unsupported as ``train`` and ``deploy`` do, and where the data are not on this machine.
    """
    parts, networks = scenario.parts(seed), {} if networks is None else networks
    own = find_rule(rule).prepare_needed(initialised(structure(scenario.network), seed))  # one made for the rule, such as with labels
    teacher = rule if own else CONTROL_RULE
    for name in dict.fromkeys((teacher, CONTROL_RULE)):
        if name not in networks:
            networks[name] = trained(scenario, parts, seed, say, name)
    deployment = shipped(networks[teacher], parts, rule, numeric, changes or {}, seed)
    say("learning on the device", 0, 2)
    (before, known_before, after, known_after), host = learned(deployment, parts, scenario.passes, seed)
    say("learning on the device", 1, 2)
    control = shipped(networks[CONTROL_RULE], parts, CONTROL_RULE if own else _control_of(rule), "float32", {}, seed)
    (_, _, best, _), _ = learned(control, parts, scenario.passes, seed)
    say("learning on the device", 2, 2)
    outcome = Outcome(
        parts.case,
        rule,
        deployment.program.numeric,
        before,
        after,
        best,
        known_before,
        known_after,
        len(parts.x),
        scenario.passes * len(parts.x),
        host.memory.arena_bytes,
        state_bytes(host.memory),
    )
    return outcome, deployment


def _control_of(rule: str) -> str:
    """Back-propagation on the layers that ``rule`` trains: below the last cut of a composition nothing learns."""
    below, comma, _ = rule.rpartition(",")
    return f"{below}{comma}{CONTROL_RULE}"
