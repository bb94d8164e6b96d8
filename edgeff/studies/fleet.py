"""A fleet: devices of unequal memory that learn one network together, each the last layers that its RAM holds (federated averaging).

Each round every device gets the network, learns its own samples by the C that boards run, and sends the bytes of ``eff_save``. The server
averages each layer over the devices that learned it, weighted by their samples (McMahan et al. 2017); layers that no device learned stay.
Which layers a device learns follows from its budget and the planner's arena (as SHELOB-FFL's clients take blocks by their resources; Izzo
et al. 2024). The setting ``anchor`` of a rule draws weights back to those that were sent, which is the proximal term of FedProx (Li et al.
2020): mu = anchor / lr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.parts import in_float
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.ops.canonical import canonical
from edgeff.program.codes import Code
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.learned import learned_network
from edgeff.program.plan import plan
from edgeff.program.state import restored
from edgeff.registry import rules
from edgeff.rules import find_rule
from edgeff.tasks import Data

Each = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterable[Any]]
"""Runs a function on each tuple of arguments, here or on other machines, and gives the results in their order."""


@dataclass(frozen=True)
class Fleet:
    """``clients`` devices, whose arenas may take ``budgets`` bytes in turn, learn by ``rule`` in ``numeric`` for ``rounds``, each its
    samples ``passes`` times a round. ``alpha`` is that of the Dirichlet distribution from which each class is dealt out; None deals evenly.
    """

    rule: str = "bp"
    numeric: Numeric = "int8"
    clients: int = 20
    budgets: tuple[int, ...] = (16 * 1024, 64 * 1024, 256 * 1024)
    rounds: int = 20
    passes: int = 1
    alpha: float | None = None
    changes: Mapping[str, Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for what, got in (("clients", self.clients), ("rounds", self.rounds), ("passes", self.passes), ("budgets", len(self.budgets))):
            if got < 1:
                raise BadInput(f"{what} of a fleet", got=got, allowed="1 or more")


@dataclass(frozen=True)
class Tier:
    """Devices of one budget: the rule that trains their layers, the names of these, and the arena in bytes."""

    budget: int
    rule: str
    layers: tuple[str, ...]
    arena_bytes: int


@dataclass(frozen=True)
class Round:
    """After ``number`` rounds, 0 for the first weights: the share of test samples that the network gets right, the bytes that all devices
    got and sent in this round, and how many of them diverged and were left out.
    """

    number: int
    accuracy: float
    bytes_down: int = 0
    bytes_up: int = 0
    diverged: int = 0


def dealt(y: Array, clients: int, alpha: float | None, seed: int) -> list[Array]:
    """The indices of each client's samples, whose labels are y (n,). Raises BadInput where a client would have none.

    Each class is cut into shares drawn from a Dirichlet distribution with ``alpha`` for every client; None deals all samples evenly.
    """
    rng = np.random.default_rng([seed, 7])
    if alpha is None:
        parts = [np.sort(part) for part in np.array_split(rng.permutation(len(y)), clients)]
    else:
        parts = [np.empty(0, np.int64)] * clients
        for label in np.unique(y):
            rows = rng.permutation(np.flatnonzero(y == label))
            cuts = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1]
            parts = [np.concatenate(pair) for pair in zip(parts, np.split(rows, np.rint(cuts * len(rows)).astype(int)), strict=True)]
    if empty := sum(not len(part) for part in parts):
        step = "take fewer clients, or a larger alpha"
        raise BadInput("samples of a fleet", got=f"{empty} of {clients} clients without one", allowed="one or more each", next_step=step)
    return parts


def tier_of(network: Network, data: Data, fleet: Fleet, budget: int) -> Tier:
    """The most of the last layers whose learning fits ``budget`` bytes of arena. Raises BadInput where not even one does."""
    names, needed = [layer.name for layer in network.trainable], 0
    for first, name in enumerate(names):
        rule = fleet.rule if not first else f"frozen:{network[name].inputs[0]},{fleet.rule}"
        needed = plan(_deployed(network, data, fleet, rule, fleet.seed).program).arena_bytes
        if needed <= budget:
            return Tier(budget, rule, tuple(names[first:]), needed)
    raise BadInput("budget of a device", got=f"{budget:,} bytes", allowed=f"{needed:,} or more, for layer {names[-1]}")


def local(deployment: Deployment, shares: Sequence[tuple[Array, Array, Sequence[int]]], passes: int) -> list[bytes | None]:
    """What devices of one kind send after each learned its own samples: the bytes of ``eff_save``; None of one that diverged.

    ``shares``: for each device its inputs (n, *shape), labels (n,) and the seed of their order.
    """
    host = HostTarget(deployment.program)
    sent: list[bytes | None] = []
    for x, y, seed in shares:
        host.init()
        inputs, labels, rng = deployment.inputs(x), y.astype(np.int32), np.random.default_rng(seed)
        codes = np.concatenate([host.learn_many(inputs, labels, rng.permutation(len(x))) for _ in range(passes)])
        sent.append(host.save() if (codes == Code.OK).all() else None)
    return sent


def in_turn(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterable[Any]:
    """Runs a function on each tuple of arguments in this process."""
    return (function(*each) for each in arguments)


def learn_together(
    network: Network,
    data: Data,
    fleet: Fleet,
    *,
    each: Each = in_turn,
    at_once: int = 1,
    say: Callable[[Round], object] = lambda _round: None,
) -> tuple[list[Round], tuple[Tier, ...], Network]:
    """The rounds, the tiers by budget, and the network in the end.

    Args: ``network``, in float32 with its first weights; ``data``, whose training part is dealt out; ``each`` runs devices, ``at_once``
    groups of a tier's; ``say`` gets each round. The results depend on neither. Raises: BadInput for a budget that holds no layer and a
    client without samples; Unsupported as ``deploy``, and for a rule that adds layers of its own.
    """
    network = canonical(network)
    if find_rule(fleet.rule).prepare_needed(network):
        allowed = ", ".join(name for name, rule in rules.items() if rule.numerics and not rule.prepare_needed(network))
        raise Unsupported(f"a fleet that learns by rule {fleet.rule}", got="layers beside the network's own", allowed=allowed)
    parts = dealt(data.y_train, fleet.clients, fleet.alpha, fleet.seed)
    tiers = tuple(tier_of(network, data, fleet, budget) for budget in fleet.budgets)
    rounds = [Round(0, accuracy(network, data, fleet.numeric))]
    say(rounds[0])
    for number in range(1, fleet.rounds + 1):
        sent = [_deployed(network, data, fleet, tier.rule, fleet.seed + number) for tier in tiers]
        groups = [clients for tier in range(len(tiers)) for clients in _groups(range(tier, fleet.clients, len(tiers)), at_once)]
        jobs = []
        for clients in groups:
            shares = [(data.x_train[parts[c]], data.y_train[parts[c]], (fleet.seed, number, c)) for c in clients]
            jobs.append((sent[clients[0] % len(sent)], shares, fleet.passes))
        states = {
            c: state for clients, result in zip(groups, each(local, jobs), strict=True) for c, state in zip(clients, result, strict=True)
        }
        learned = [
            (received(sent[c % len(sent)], state), tiers[c % len(tiers)].layers, len(parts[c]))
            for c, state in sorted(states.items())
            if state is not None
        ]
        network = averaged(network, learned)
        down = sum(cost(sent[c % len(sent)].program).weight_bytes for c in states)
        up = sum(len(state) for state in states.values() if state is not None)
        lost = sum(state is None for state in states.values())
        rounds.append(Round(number, accuracy(network, data, fleet.numeric), down, up, lost))
        say(rounds[-1])
    return rounds, tiers, network


def _groups(clients: range, at_once: int) -> list[range]:
    """Devices of one kind in groups that run one after the other: as many groups as run at once, or one a device."""
    count = min(at_once, len(clients))
    return [clients[number::count] for number in range(count)]


def received(deployment: Deployment, state: bytes) -> Network:
    """The network, in float32, whose learned layers a device sent."""
    values = restored(deployment.program, plan(deployment.program), state)
    return learned_network(deployment.network, deployment.program, values)


def averaged(network: Network, learned: Sequence[tuple[Network, Sequence[str], int]]) -> Network:
    """``network`` with each layer's parameters the mean over those who learned it, by their samples.

    ``learned``: networks, quantised or not, the names of the layers that they learned, and their samples.
    """
    layers: dict[str, Layer] = {}
    for layer in network.trainable:
        own = [(other[layer.name], count) for other, names, count in learned if layer.name in names]
        if not own:
            continue
        counts = [count for _, count in own]
        params: dict[str, Array] = {
            key: np.average(np.stack([real(other, key) for other, _ in own]), 0, counts).astype(np.float32) for key in layer.params
        }
        layers[layer.name] = replace(layer, params=params)
    return network.replacing(layers)


def real(layer: Layer, key: str) -> Array:
    """A parameter in real numbers, float32, by its scales if it has any."""
    quant = layer.quant.get(key)
    return layer.params[key] if quant is None else in_float(layer.params[key], quant)


def accuracy(network: Network, data: Data, numeric: Numeric) -> float:
    """The share of test samples that the network's C, in ``numeric``, gets right."""
    deployment = deploy(network, data.x_train, numeric=numeric)
    best, _ = HostTarget(deployment.program).predict_many(deployment.inputs(data.x_test))
    return float(np.mean(best == data.y_test))


def _deployed(network: Network, data: Data, fleet: Fleet, rule: str, seed: int) -> Deployment:
    return deploy(network, data.x_train, rule=rule, numeric=fleet.numeric, changes=fleet.changes, seed=seed)
