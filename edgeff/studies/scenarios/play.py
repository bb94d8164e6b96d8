"""A scenario of classes played: trained, shipped, changed, learned on the device, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array, Network, Numeric
from edgeff.networks import initialised, recipe, structure
from edgeff.networks.heads import with_prototypes
from edgeff.ops import forward, parameters
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.state import state_bytes
from edgeff.rules import find_rule
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.train.loop import accuracy, train

CONTROL_RULE = "bp"
Say = Callable[[str, int, int], None]
HELD_OUT = 3
"""One of so many samples tells which rate to take."""


@dataclass(frozen=True)
class Outcome:
    """What a device learned: shares of test samples that are right, between 0 and 1.

    ``before`` and ``after``: in the changed world; ``control``: after back-propagation in float32 on the same layers and samples;
    ``known_before`` and ``known_after``: in the world it was trained for. ``samples`` are different ones, ``steps`` how often it learned.
    ``rate`` and ``control_rate`` are the chosen shares of the rule's own rates, 1 where none was chosen.
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
    rate: float = 1.0
    control_rate: float = 1.0

    @property
    def recovered(self) -> float | None:
        """The gain as a share of the control's; None where the control gained nothing."""
        return None if self.control <= self.before else (self.after - self.before) / (self.control - self.before)


@dataclass(frozen=True)
class Means:
    """What class means tell, as ``Outcome`` says it of a device that learned."""

    case: str
    before: float
    after: float
    known_before: float
    known_after: float
    samples: int


def trained(scenario: Scenario, parts: Parts, seed: int, say: Say, teacher: str = CONTROL_RULE) -> Network:
    """The float network that is shipped: trained on the host on what is known, by default by back-propagation."""
    settings = replace(find_rule(teacher).settings, **recipe(scenario.network, teacher) | {"epochs": scenario.epochs})

    def report(done: int, total: int) -> None:
        say("training on the host", done, total)

    return train(parts.known, plain(scenario, parts), teacher, settings, seed, report, scenario.name, guarded=False).network


def plain(scenario: Scenario, parts: Parts) -> Network:
    """The structure of the scenario's network."""
    return structure(scenario.network, input_shape=parts.known.input_shape, classes=len(parts.known.classes))


def shipped(network: Network, parts: Parts, rule: str, numeric: Numeric, changes: Mapping[str, Any], seed: int) -> Deployment:
    """The program of ``network`` that learns by ``rule`` on the device."""
    return deploy(network, parts.known.x_train, rule=rule, numeric=numeric, changes=changes, seed=seed)


@dataclass(frozen=True)
class Device:
    """A deployment in service: its C on this machine."""

    deployment: Deployment
    host: HostTarget

    def begin(self, rate: float) -> None:
        """As after a reset, with a rate relative to the program's own."""
        self.host.init()
        self.host.set_rate(rate)

    def right(self, x: Array, y: Array) -> float:
        """The share of samples whose class it tells."""
        return float(np.mean(self.host.predict_many(self.deployment.inputs(x))[0] == y))

    def learn(self, x: Array, y: Array, passes: int, seed: int) -> None:
        """Learns the samples so often, one at a time, in an order drawn anew for each pass."""
        inputs, rng = self.deployment.inputs(x), np.random.default_rng([seed, 3])
        for _ in range(passes):
            self.host.learn_many(inputs, y.astype(np.int32), rng.permutation(len(x)))


def in_service(
    network: Network, parts: Parts, rule: str, numeric: Numeric, changes: Mapping[str, Any], scenario: Scenario, seed: int
) -> tuple[Device, float]:
    """A device as it is before it learns, with the share of the scenario's ``rates`` that it is set to.

    It is the one that leaves most right of a third of the samples after the others are learned: no sample that tests takes part. A rate
    that ``changes`` gives is not tried.
    """
    if "lr" in changes:
        given = shipped(network, parts, rule, numeric, changes, seed)
        return Device(given, HostTarget(given.program)), 1.0
    own, most = shipped(network, parts, rule, numeric, changes, seed).settings.lr, max(scenario.rates)
    deployment = shipped(network, parts, rule, numeric, {**changes, "lr": own * most}, seed)
    device = Device(deployment, HostTarget(deployment.program))
    order = np.random.default_rng([seed, 6]).permutation(len(parts.x))
    out, rest = order[: len(order) // HELD_OUT], order[len(order) // HELD_OUT :]
    scores = []
    for share in scenario.rates:
        device.begin(share / most)
        device.learn(parts.x[rest], parts.y[rest], scenario.passes, seed)
        scores.append(device.right(parts.x[out], parts.y[out]))
    best = scenario.rates[int(np.argmax(scores))]
    device.begin(best / most)
    return device, best


def play(
    scenario: Scenario,
    *,
    rule: str = "bp",
    numeric: Numeric = "int8",
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda _what, _done, _of: None,
    networks: dict[tuple[str, int], Network] | None = None,
    controls: dict[str, tuple[float, float]] | None = None,
) -> tuple[Outcome, Deployment]:
    """The outcome of a case, and the deployment that learned.

    Args: ``rule`` and ``numeric`` of the device, ``changes`` of the rule's settings there: without a rate among them it is chosen, as the
    control's is (``in_service``); ``seed`` picks the case and draws weights and order; ``networks``: those trained so far in this
    scenario, by their teacher and the seed of their weights, and ``controls``: accuracy and rate of those played so far in this case, by
    rule; what is trained or played here is added to both.
    Raises: BadInput and Unsupported as ``train`` and ``deploy`` do, and where the data are not on this machine.
    """
    parts, networks, controls = scenario.parts(seed), {} if networks is None else networks, {} if controls is None else controls
    own = find_rule(rule).prepare_needed(initialised(plain(scenario, parts), seed))  # one made for the rule, such as with labels
    teacher = rule if own else CONTROL_RULE
    network, best_network = (_shipped_model(scenario, parts, name, seed, say, networks) for name in (teacher, CONTROL_RULE))
    known, what, passes = parts.known, "learning on the device", scenario.passes
    say(what, 0, 4)
    device, rate = in_service(network, parts, rule, numeric, changes or {}, scenario, seed)
    say(what, 1, 4)
    before, known_before = device.right(parts.x_new, parts.y_new), device.right(known.x_test, known.y_test)
    device.learn(parts.x, parts.y, passes, seed)
    after, known_after = device.right(parts.x_new, parts.y_new), device.right(known.x_test, known.y_test)
    say(what, 2, 4)
    best_rule = CONTROL_RULE if own else _control_of(rule)
    if best_rule not in controls:
        best, its_rate = in_service(best_network, parts, best_rule, "float32", {}, scenario, seed)
        say(what, 3, 4)
        best.learn(parts.x, parts.y, passes, seed)
        controls[best_rule] = best.right(parts.x_new, parts.y_new), its_rate
    control, control_rate = controls[best_rule]
    outcome = Outcome(
        case=parts.case,
        rule=rule,
        numeric=device.deployment.program.numeric,
        before=before,
        after=after,
        control=control,
        known_before=known_before,
        known_after=known_after,
        samples=len(parts.x),
        steps=passes * len(parts.x),
        arena_bytes=device.host.memory.arena_bytes,
        save_bytes=state_bytes(device.host.memory),
        rate=rate,
        control_rate=control_rate,
    )
    say(what, 4, 4)
    return outcome, device.deployment


def class_means(
    scenario: Scenario, *, seed: int = 0, say: Say = lambda _what, _done, _of: None, networks: dict[tuple[str, int], Network] | None = None
) -> Means:
    """What the shipped float model tells, in this case, with a head of class means of the device's own samples: learning without steps.

    The mean of a class that the device has no sample of is that of the known samples.

    Args: ``networks``, as for ``play``. Raises as ``play`` does.
    """
    parts, networks = scenario.parts(seed), {} if networks is None else networks
    network = _shipped_model(scenario, parts, CONTROL_RULE, seed, say, networks)
    known = parts.known
    strange = ~np.isin(known.y_train, parts.y)
    x, y = np.concatenate([parts.x, known.x_train[strange]]), np.concatenate([parts.y, known.y_train[strange]])
    made = with_prototypes(network, x, y)

    def right(network: Network, x: Array, y: Array) -> float:
        return accuracy(forward(network, parameters(network), x)[network.layers[-1].name], y)

    return Means(
        case=parts.case,
        before=right(network, parts.x_new, parts.y_new),
        after=right(made, parts.x_new, parts.y_new),
        known_before=right(network, known.x_test, known.y_test),
        known_after=right(made, known.x_test, known.y_test),
        samples=len(parts.x),
    )


def _shipped_model(
    scenario: Scenario, parts: Parts, teacher: str, seed: int, say: Say, networks: dict[tuple[str, int], Network]
) -> Network:
    """The model that ``teacher`` trained for this case, trained now if it is not among ``networks``."""
    key = teacher, seed if parts.model is None else parts.model
    if key not in networks:
        networks[key] = trained(scenario, parts, key[1], say, teacher)
    return networks[key]


def _control_of(rule: str) -> str:
    """Back-propagation on the layers that ``rule`` trains: below the last cut of a composition nothing learns."""
    below, comma, _ = rule.rpartition(",")
    return f"{below}{comma}{CONTROL_RULE}"
