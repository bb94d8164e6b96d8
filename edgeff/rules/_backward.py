"""What back-propagation stores, computes again and changes: settings of the rules that walk an error back, and the values of that walk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from edgeff.errors import BadInput
from edgeff.ir import Layer, Network
from edgeff.ops.building import Value
from edgeff.rules import Settings
from edgeff.rules._building import RuleBuilder

ALL, LEAST, NOTHING, BIAS = "all", "least", "none", "bias"


@dataclass(frozen=True)
class BackwardSettings(Settings):
    """``layers``: the last so many layers with parameters learn (0: all). ``parameters``: ``all``, or ``bias`` alone, which needs no input
    of a layer and leaves the weights in flash.

    ``keep`` (device): the layers whose outputs are stored until the backward pass reaches them, separated by commas; the others are
    computed again from those. ``all``, ``none``, or ``least``: those with which the arena is smallest. ``arena_limit`` (device): stores
    what makes a step cheapest in an arena of at most so many bytes; 0 for no limit. What is computed again is the same to the bit.
    """

    layers: int = 0
    parameters: str = ALL
    keep: str = ALL
    arena_limit: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "arena_limit"):
            if getattr(self, name) < 0:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="0 or more")
        if self.parameters not in (ALL, BIAS):
            raise BadInput("setting parameters", got=repr(self.parameters), allowed=f"{ALL}, {BIAS}")
        if not self.keep:
            raise BadInput("setting keep", got="nothing", allowed=f"{ALL}, {NOTHING}, {LEAST}, or names of layers separated by commas")
        if self.arena_limit and self.keep != ALL:
            raise BadInput("setting arena_limit", got=f"with keep={self.keep}", allowed=f"keep={ALL}: the limit chooses what is stored")

    @property
    def chooses(self) -> bool:
        """Whether the planner has to choose what is stored."""
        return self.keep == LEAST or self.arena_limit > 0

    def learning(self, network: Network) -> tuple[Layer, ...]:
        """The layers that learn. Raises BadInput for more layers than there are, and for biases where no layer has one."""
        trainable = network.trainable
        if self.layers > len(trainable):
            raise BadInput("setting layers", got=self.layers, allowed=f"at most {len(trainable)}, the layers with parameters")
        learning = trainable[-self.layers :] if self.layers else trainable
        if self.parameters == BIAS:
            learning = tuple(layer for layer in learning if "bias" in layer.params)
            if not learning:
                raise BadInput("setting parameters", got="bias, in layers that have none", allowed=ALL)
        return learning


def backward_settings(settings: Settings | None) -> BackwardSettings:
    """``settings`` themselves, or the defaults where they say nothing of a walk back."""
    return settings if isinstance(settings, BackwardSettings) else BackwardSettings()


def reached_from(network: Network, learning: Collection[Layer]) -> set[str]:
    """The layers whose output depends on a parameter that learns: those that a gradient must reach."""
    names, reached = {layer.name for layer in learning}, set[str]()
    for layer in network:
        if layer.name in names or any(name in reached for name in layer.inputs):
            reached.add(layer.name)
    return reached


@dataclass
class Activations:
    """The activations that a walk back reads, by layer: stored ones, and those computed again from them when they are first asked for.

    A layer is asked for before its own parameters change and after those of later layers have, so what is computed again has the
    same bits.
    """

    build: RuleBuilder
    first: dict[str, Value]
    keep: str
    again: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = {layer.name for layer in self.build.network}
        self.stored = names if self.keep == ALL else set() if self.keep == NOTHING else set(self.keep.split(","))
        if unknown := sorted(self.stored - names):
            raise BadInput("setting keep", got=repr(unknown[0]), allowed=f"{ALL}, {NOTHING}, {LEAST}, or {', '.join(sorted(names))}")

    def __getitem__(self, name: str) -> Value:
        if name == "input" or name in self.stored:
            return self.first[name]
        if name not in self.again:
            layer = self.build.network[name]
            with self.build.recomputing():
                self.again[name] = self.build.forward(layer, *(self[source] for source in layer.inputs))
        return self.again[name]
