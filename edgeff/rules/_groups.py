"""One network, several rules: a composition such as ``frozen:conv_2,pepita`` gives each group of layers its own rule.

``RULE:LAYER`` takes the layers up to and including LAYER; the last rule, without a layer, takes the rest and its head. A rule below another
one must be ``local``: no error reaches it from above. The last rule sees the output of the groups below it as its input: it may be any
rule, with its own preparation, and its error never passes the cut. A cut is possible after a layer if it is the only one that later layers
read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.ops import forward
from edgeff.ops.building import Value
from edgeff.rules import Gradients, Rule, Run
from edgeff.rules._building import RuleBuilder
from edgeff.rules._rates import rate_of


class Group(NamedTuple):
    """A rule and the layers it trains, as a network of their own; ``cut`` is the layer whose output the next group reads, empty for the
    last group.

    ``bridge`` converts that output if the next group has another number format.
    """

    rule: Rule
    network: Network
    cut: str
    bridge: Layer | None = None


@lru_cache
def composed(name: str) -> Composed:
    """The composition called ``name``. Raises BadInput for a malformed one, an unknown rule, or one that cannot be below another."""
    *below, last = (part.strip().partition(":") for part in name.split(","))
    if last[1] or not all(layer for _, _, layer in below):
        raise BadInput("composition of rules", got=repr(name), allowed="RULE:LAYER,..,RULE such as frozen:conv_2,pepita")
    parts = [(registry.rules[rule], layer) for rule, _, layer in (*below, last)]
    for rule, _ in parts[:-1]:
        if not rule.local:
            allowed = ", ".join(known for known in registry.rules if registry.rules[known].local)
            raise BadInput(f"rule {rule.name} below another rule", got="a rule that waits for the network's error", allowed=allowed)
    return Composed(name, tuple(parts))


class Composed(Rule):
    """The rules of a composition, each on its group. Settings are those of the last rule; the others keep their own, except for the
    optimiser.

    A direction of a group below is scaled by the ratio of its rule's learning rate to the last rule's, both by default, so that one
    optimiser and one schedule serve all (Adam is insensitive to the ratio).
    """

    source = "each rule's own"

    def __init__(self, name: str, parts: tuple[tuple[Rule, str], ...]) -> None:
        tail = parts[-1][0]
        self.name, self.parts, self.tail = name, parts, tail
        self.summary = ", then ".join(f"{rule.name} up to {cut}" if cut else rule.name for rule, cut in parts)
        self.settings, self.device, self.divergence_hint = tail.settings, tail.device, tail.divergence_hint
        self.drops_out = tail.drops_out
        self.values = all(rule.values for rule, _ in parts)
        self.numerics = tuple(n for n in tail.numerics if all(n in rule.numerics for rule, _ in parts))
        self.why_not = next((rule.why_not for rule, _ in parts if rule.why_not), "")
        self.side_branches = any(rule.side_branches for rule, _ in parts)

    def learning_numeric(self, network: Network) -> Numeric:
        return self.groups(network)[-1].network.numeric

    def device_settings(self, numeric: Numeric) -> Any:
        return self.tail.device_settings(numeric)

    def groups(self, network: Network) -> list[Group]:
        """The network split at the cuts. Raises BadInput if a cut is not a layer, or later layers also read others before it."""
        found, rest = [], network
        for rule, cut in self.parts[:-1]:
            below, bridge, rest = split(rest, cut)
            found.append(Group(rule, below, cut, bridge))
        return [*found, Group(self.tail, rest, "")]

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        classes = classes or prod(network.layers[-1].shape)
        layers: list[Layer] = []
        below = "input"
        for rule, part, cut, bridge in self.groups(network):
            prepared = rule.prepare(part, rule.settings if cut else settings, seed, classes if cut else None)
            layers += [_reading(layer, {"input": below}) for layer in prepared]
            layers += [bridge] if bridge else []
            below = bridge.name if bridge else cut
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        return any(rule.prepare_needed(part, head=not cut) for rule, part, cut, _ in self.groups(network))

    def start(self, run: Run) -> None:
        classes = prod(run.network.layers[-1].shape)
        run.extra["groups"] = []
        for rule, part, cut, _ in self.groups(run.network):
            own = rule.device_settings(part.numeric) if run.device else rule.settings
            settings, below = (own, classes) if cut else (run.settings, None)
            run.extra["groups"].append((rule, cut, Run(part, run.params, settings, run.rng, run.seed, classes=below, device=run.device)))
        for rule, _, part in run.extra["groups"]:
            rule.start(part)

    def _walk(self, run: Run, x: Array) -> Iterator[tuple[Rule, Run, Array, float]]:
        """Each group's rule and run, its input, and the factor on its directions."""
        for rule, cut, part in run.extra["groups"]:
            part.params, part.steps, part.epoch = run.params, run.steps, run.epoch
            # On a device each group uses the rate of its own settings, independent of the last rule's.
            last = rate_of(self.tail, run.settings if run.device else self.tail.settings)
            factor = rate_of(rule, part.settings) / last if cut else 1.0
            part.lr = factor * run.lr
            yield rule, part, x, factor
            if cut:
                x = forward(up_to(part.network, cut), run.params, x)[cut]

    def begin_epoch(self, run: Run, x: Array, t: Array) -> None:
        for rule, part, inputs, _ in self._walk(run, x):
            rule.begin_epoch(part, inputs, t)

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        gradients: Gradients = {}
        for rule, part, inputs, factor in self._walk(run, x):
            for layer, direction in rule.step(part, inputs, t).items():
                gradients[layer] = direction if factor == 1.0 else {name: factor * value for name, value in direction.items()}
        return gradients

    def finished(self, run: Run, x: Array, t: Array) -> None:
        for rule, part, inputs, _ in self._walk(run, x):
            rule.finished(part, inputs, t)

    def scores(self, run: Run, x: Array) -> Array:
        *_, (rule, part, inputs, _) = self._walk(run, x)
        return rule.scores(part, inputs)

    def on_steps(self, network: Network, settings: Any, given: Collection[str]) -> Any:
        """Those of the last rule for what its group reads."""
        return self.tail.on_steps(self.groups(network)[-1].network, settings, given)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """The last rule's, with its margin around its group's input, which it may modulate, and none around the network's own input."""
        *_, below, last = self.groups(network)
        room = self.tail.headroom(last.network, settings, numeric)
        return replace(room, input_margin=0.0, margins={below.cut: room.input_margin})

    @property
    def predicts_by_rule(self) -> bool:
        return self.tail.predicts_by_rule

    def learns(self, network: Network, *, head: bool = True, settings: Any = None) -> tuple[Layer, ...]:
        parts = self.groups(network)
        return tuple(
            layer
            for rule, part, cut, _ in parts
            for layer in (rule.learns(part, head=False) if cut else rule.learns(part, settings=settings))
        )

    def paced_by(self, network: Network) -> frozenset[str]:
        """The layers of the last rule, whose settings these are."""
        return self.tail.paced_by(self.groups(network)[-1].network)

    def caution(self, network: Network) -> str:
        return self.tail.caution(self.groups(network)[-1].network)

    def lower_predict(self, build: RuleBuilder) -> Value:
        x, part, rule = self._last(build, self._lower_below(build, learn=False))
        with build.group(part, build.settings, x, None):
            return rule.lower_predict(build)

    def lower(self, build: RuleBuilder) -> None:
        self._learn_last(build, self._lower_below(build, learn=True))

    def lower_features(self, build: RuleBuilder) -> Value:
        """The output of the groups below, as the last of them makes it, where nothing in them learns."""
        return build.x if self._learns_below(build.network) else self._lower_below(build, learn=False)

    def lower_from(self, build: RuleBuilder, features: Value) -> None:
        if self._learns_below(build.network):
            super().lower_from(build, features)
        else:
            self._learn_last(build, features)

    def _learns_below(self, network: Network) -> bool:
        return any(rule.learns(part, head=False) for rule, part, cut, _ in self.groups(network) if cut)

    def _lower_below(self, build: RuleBuilder, *, learn: bool) -> Value:
        """Group by group: its output from the old weights first, then its learning. The output of the last but one, not yet converted."""
        x, classes, above = build.x, prod(build.network.layers[-1].shape), None
        for rule, part, cut, bridge in self.groups(build.network)[:-1]:
            x = x if above is None else build.forward(above, x)
            settings = rule.device_settings(part.numeric)
            with build.group(part, replace(settings, lr=rate_of(rule, settings)), x, classes):
                x = build.run(x, up_to(part, cut).layers)[cut]
                if learn:
                    rule.lower(build)
            above = bridge
        return x

    def _last(self, build: RuleBuilder, x: Value) -> tuple[Value, Network, Rule]:
        """What the last group reads, from the output of the one below; its network and its rule."""
        *_, (_, _, _, bridge), (rule, part, _, _) = self.groups(build.network)
        return x if bridge is None else build.forward(bridge, x), part, rule

    def _learn_last(self, build: RuleBuilder, x: Value) -> None:
        """The last group's learning, from the output of the one below."""
        x, part, rule = self._last(build, x)
        with build.group(part, build.settings, x, None):
            rule.lower(build)


def up_to(network: Network, name: str) -> Network:
    """The layer called ``name`` as the output, with the layers on which it depends."""
    index = [layer.name for layer in network].index(name)
    return replace(network, layers=network.layers[: index + 1]).upstream


def split(network: Network, cut: str) -> tuple[Network, Layer | None, Network]:
    """The layers up to ``cut`` with their side branches, the layer that converts its output, and the layers after it, which read that as
    ``"input"``.

    There is no conversion if all later layers read the layer itself.
    """
    names = [layer.name for layer in network.upstream]
    if cut not in names[:-1]:
        raise BadInput(f"the cut of network {network.name!r}", got=repr(cut), allowed=", ".join(names[:-1]))
    lower = {layer.name for layer in up_to(network, cut)} | {"input"}
    main = {layer.name for layer in network.upstream}
    for layer in network:
        if layer.name not in main and all(name in lower for name in layer.inputs):
            lower.add(layer.name)
    above = [layer for layer in network if layer.name not in lower]
    readers = [layer for layer in above if cut in layer.inputs]
    bridge = readers[0] if len(readers) == 1 and readers[0].kind == "convert" else None
    if bridge is not None:
        above.remove(bridge)
    crossing = {name for layer in above for name in layer.inputs if name in lower} - {cut}
    if crossing:
        raise BadInput(
            f"a cut of network {network.name!r} after {cut!r}",
            got=f"later layers that read {', '.join(sorted(crossing))}",
            allowed=f"a cut where they read only {cut!r}",
        )
    last = bridge or network[cut]
    later = tuple(_reading(layer, {last.name: "input"}) for layer in above)
    part = replace(network, layers=tuple(layer for layer in network if layer.name in lower))
    return part, bridge, replace(network, input_shape=last.shape, input_quant=last.quant.get("output"), layers=later)


def _reading(layer: Layer, names: dict[str, str]) -> Layer:
    return replace(layer, inputs=tuple(names.get(name, name) for name in layer.inputs))
