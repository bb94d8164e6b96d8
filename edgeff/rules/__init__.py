"""Learning rules, one per file.

Each has two forms: ``step``, plain NumPy over a batch in the paper's notation, and ``lower``, its kernel calls. ``find_rule`` returns the
rule for a name, or of a composition such as ``frozen:conv_2,pepita``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import cos, pi
from typing import Any, ClassVar, NamedTuple

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import NUMERICS, Array, Headroom, Layer, Network, Numeric
from edgeff.ops import Params, forward
from edgeff.ops.building import Value
from edgeff.registry import rules as registry
from edgeff.rules._building import RuleBuilder

Gradients = dict[str, dict[str, Array]]
OPTIMISERS = ("sgd", "adam")
SCHEDULES = ("steps", "linear", "cosine")
DIGITS_POWER = 0.2398
"""The mean square of the 8x8 digits' pixels, each image weighted by its own."""
LEAST_ANCHOR, LARGEST_ANCHOR = 2.0**-25, 2.0**-11
"""The ends of the setting ``anchor``: what integers can say of the share of 1,024 steps, of which a half is the most."""
AUTO = "auto"
FOLLOWING: Mapping[str, Any] = {"lr": 0.05, "decay_epochs": (40, 54)}
"""The settings that follow from the network, the inputs or other settings unless they are given, with a value such as they have."""


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of host training and of the device.

    ``lr`` learning rate, None (``auto``): what ``relative_lr`` gives for the network and its inputs (``edgeff.rules._rates``);
    ``momentum``; ``batch``; ``epochs``; ``dropout`` share of hidden activations dropped; ``weight_decay``; ``decay`` the factor on the
    learning rate, at each of the ``decay_epochs`` (host; empty: not; None: at the ``decay_shares`` of the epochs), after every
    ``decay_every`` epochs (host, 0: never) or after every ``decay_steps`` steps (device, 0: never); ``anchor`` (device): the share of its
    distance from the exported value that each parameter loses per step, 0 or from 2**-25 to 2**-11; ``optimiser`` (host): ``sgd`` or
    ``adam``; ``schedule`` (host): ``steps``, the decay as said; ``linear``, the full rate for the first half of the epochs and then a
    straight line to 0; ``cosine``, half a cosine to 0.
    """

    lr: float | None = None
    relative_lr: float = 0.36
    momentum: float = 0.9
    batch: int = 64
    epochs: int = 100
    dropout: float = 0.0
    weight_decay: float = 0.0
    decay: float = 0.1
    decay_epochs: tuple[int, ...] | None = None
    decay_shares: tuple[float, ...] = (0.6, 0.9)
    decay_every: int = 0
    decay_steps: int = 0
    anchor: float = 0.0
    optimiser: str = "sgd"
    schedule: str = "steps"

    def __post_init__(self) -> None:
        for name, low, high in (
            *([("lr", 0.0, 1e3)] if self.lr is not None else []),
            ("relative_lr", 0.0, 1e3),
            ("momentum", 0.0, 1.0),
            ("dropout", 0.0, 1.0),
            ("weight_decay", 0.0, 1.0),
            ("decay", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed=f"{low:g} to {high:g}")
        if self.anchor and not LEAST_ANCHOR <= self.anchor <= LARGEST_ANCHOR:
            raise BadInput("setting anchor", got=self.anchor, allowed=f"0, or {LEAST_ANCHOR:.3g} to {LARGEST_ANCHOR:.3g}")
        if self.optimiser not in OPTIMISERS:
            raise BadInput("setting optimiser", got=repr(self.optimiser), allowed=", ".join(OPTIMISERS))
        if self.schedule not in SCHEDULES:
            raise BadInput("setting schedule", got=repr(self.schedule), allowed=", ".join(SCHEDULES))
        if self.decay_every < 0:
            raise BadInput("setting decay_every", got=self.decay_every, allowed="0 or more")
        if not all(0.0 <= share <= 1.0 for share in self.decay_shares):
            raise BadInput("setting decay_shares", got=self.decay_shares, allowed="0 to 1 each")
        for name, least in (("batch", 1), ("epochs", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed=f"{least} or more")

    @property
    def searched(self) -> Mapping[str, float]:
        """The settings to which the rule is sensitive, for ``edgeff tune``: each by a factor, up and down from its value here."""
        return {"lr": 16.0}

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch on the host, counted from 0. Raises BadInput while ``lr`` or the steps' ``decay_epochs`` are open.

        >>> [Settings(lr=1.0, epochs=4, schedule="linear").rate(epoch) for epoch in range(4)]
        [1.0, 1.0, 1.0, 0.5]
        """
        if self.lr is None or (self.decay_epochs is None and self.schedule == "steps"):
            what = "lr" if self.lr is None else "decay_epochs"
            raise BadInput(f"setting {what}", got="none", allowed="a number", next_step="let training fill it in")
        if self.schedule == "linear":
            return self.lr * min(1.0, 2.0 * (self.epochs - epoch) / self.epochs)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1.0 + cos(pi * epoch / self.epochs))
        passed = sum(epoch >= at for at in self.decay_epochs or ()) + (epoch // self.decay_every if self.decay_every else 0)
        return self.lr * self.decay**passed

    def changed(self, changes: Mapping[str, str]) -> Settings:
        """These settings with some fields parsed from text (``--set key=value``)."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        parsed: dict[str, Any] = {}
        for name, text in changes.items():
            if name not in known:
                raise BadInput("unknown setting", got=repr(name), allowed=", ".join(known))
            like = FOLLOWING[name] if name in FOLLOWING else known[name]
            try:
                parsed[name] = None if name in FOLLOWING and text == AUTO else _parse(text, like)
            except ValueError:
                allowed = f"{AUTO}, or a value like {like!r}" if name in FOLLOWING else f"a value like {like!r}"
                raise BadInput(f"setting {name}", got=repr(text), allowed=allowed) from None
        return replace(self, **parsed)


@dataclass(frozen=True)
class FeedbackSettings(Settings):
    """Settings of a rule with a fixed random matrix.

    ``feedback_scale``: each rule defines its meaning. ``feedback``: ``generated`` (never stored; signs from the counter-based
    generator) or ``stored`` (the same matrix in flash).
    """

    feedback_scale: float = 1.0
    feedback: str = "generated"
    largest_scale: ClassVar[float] = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feedback not in ("generated", "stored"):
            raise BadInput("setting feedback", got=repr(self.feedback), allowed="generated, stored")
        if not 0.0 < self.feedback_scale <= self.largest_scale:
            raise BadInput("setting feedback_scale", got=self.feedback_scale, allowed=f"above 0, at most {self.largest_scale:g}")

    @property
    def searched(self) -> Mapping[str, float]:
        return {**super().searched, "feedback_scale": 5.0}


def _parse(text: str, like: Any) -> Any:
    if isinstance(like, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(text)
        return text.lower() in ("true", "1")
    if isinstance(like, tuple):
        element = float if any(isinstance(part, float) for part in like) else int
        return tuple(element(part) for part in text.split(",") if part)
    value = type(like)(text)
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(text)
    return value


@dataclass
class Run:
    """A training run in progress: the structure, the parameters that ``step`` reads, the rule's own state, and the generator.

    ``lr`` is the current learning rate and ``epoch`` the current epoch, from 0. ``params`` may hold more than the network's parameters,
    under names of no layer: the optimiser updates them too, and they end with the run. ``classes`` is set if the network is a
    group of layers without a head, which a ``local`` rule trains for that many classes; otherwise it is None. ``device``: the run
    stands for learning on a device, with a device's settings, and not for training on the host.
    """

    network: Network
    params: Params
    settings: Any
    rng: np.random.Generator
    seed: int = 0
    steps: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    lr: float = 0.0
    epoch: int = 0
    classes: int | None = None
    device: bool = False

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The trainable layers except the head; for a group without a head all of them, side branches included."""
        return self.network.trainable if self.classes is not None else self.network.upstream.trainable[:-1]

    @property
    def last(self) -> Layer:
        """The head: the last layer with weights."""
        return self.network.upstream.trainable[-1]


class LayerScores(NamedTuple):
    """The prediction after the layer called ``layer``: the scores of the classes (B, C) from all layers so far, and the
    multiply-accumulates per sample so far.
    """

    layer: str
    scores: Array
    macs: int


class Rule:
    """The contract of a learning rule. Subclasses set the class attributes and implement ``step`` and ``lower``.

    ``source`` names the paper; ``stores`` says what a step keeps besides the weights; ``settings`` are the host's hyper-parameters;
    ``device`` maps a numeric to the changed settings for batch-1 learning there. ``numerics`` are those its step is lowered in, none for a
    host-only rule, and ``why_not`` says why the others are missing. ``drops_out``: its step supports dropout on the host. ``local``: no
    layer waits for an error from above it, so the rule can train the layers below another rule's (``edgeff.rules._groups``).
    ``side_branches``: it trains layers that the output does not depend on, such as local classifiers; for other rules such layers are left
    out. ``digits_energy``: the mean squared length of what its layers read on 64-32-10 with digits, where its ``relative_lr`` was chosen.
    ``values``: its step takes any numbers as targets, so it learns values too, and not only classes.
    ``no_margin`` is the reason why the rule need not beat frozen hidden layers on 64-32-10; empty: it must.
    """

    name: str = ""
    summary: str = ""
    source: str = ""
    stores: str = "the activations of one forward pass"
    settings: Settings = Settings()
    device: Mapping[str, Mapping[str, Any]] = {}
    numerics: tuple[Numeric, ...] = NUMERICS
    why_not: str = ""
    drops_out: bool = False
    local: bool = False
    side_branches: bool = False
    values: bool = False
    digits_energy: float = (64 + 32) * DIGITS_POWER
    no_margin: str = ""
    divergence_hint: str = "lower the learning rate (--set lr=...)"

    def device_settings(self, numeric: Numeric) -> Any:
        """The hyper-parameters for learning from one sample at a time, without momentum, in a numeric.

        The rate stays constant: a device has no last step for a schedule to end at. ``decay_steps`` gives it a decay.
        """
        plain = {"batch": 1, "momentum": 0.0, "dropout": 0.0, "weight_decay": 0.0, "decay": 0.95, "decay_steps": 0}
        return replace(self.settings, **(plain | dict(self.device.get(numeric, {}))))

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network this rule trains, derived from an initialised plain one; by default the same. Added parameters are drawn from
        ``seed``.

        ``classes`` is given if the network is a group of layers below another rule's, without a head of its own: then a rule may only
        add side branches, and must keep the names of the others.
        """
        return network

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        """Whether ``network``, or without a ``head`` a group of layers, still lacks the structure that ``prepare`` gives."""
        return False

    def start(self, run: Run) -> None:
        """Sets up the rule's own state (such as feedback matrices) in ``run.extra``."""

    def begin_epoch(self, run: Run, x: Array, t: Array) -> None:
        """Called before each epoch with all training inputs x (n, ...) and targets t (n, C): for what a rule does apart from its steps.

        It may change ``run.extra`` and, if its source lets them learn separately, ``run.params``.
        """

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        """The direction of one step for a batch x (B, D) and targets t (B, C): layer -> parameter -> array, averaged over the batch.

        ``edgeff.train.loop`` applies it (learning rate, momentum, decay). ``run.params`` is read and never written.
        """
        raise NotImplementedError

    def finished(self, run: Run, x: Array, t: Array) -> None:
        """Called once after the last epoch with all training inputs and targets, for parts that are fitted to a trained network."""

    def scores(self, run: Run, x: Array) -> Array:
        """The scores of the classes (B, C); the largest is the prediction."""
        return forward(run.network.upstream, run.params, x)[run.network.layers[-1].name]

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores] | None:
        """The scores of x (B, ...) layer after layer, computed only as far as the caller reads; the last are those of ``scores``.

        None if only the whole network predicts. ``edgeff.studies.early_exit`` stops reading once a sample is certain.
        """
        return None

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """The room that quantisation leaves for learning with this rule, in every range and around the inputs."""
        return Headroom(weights=4.0, hidden=4.0, output=16.0) if numeric == "int16" else Headroom(weights=2.0, hidden=2.0, output=8.0)

    def on_steps(self, network: Network, settings: Any, given: Collection[str]) -> Any:
        """``settings`` for the steps in which the inputs of a quantised ``network`` are counted; those ``given`` by name stay. By default
        the same.
        """
        return settings

    def learning_numeric(self, network: Network) -> Numeric:
        """The number format in which this rule learns, and which its settings are for."""
        return network.numeric

    def check_device(self, numeric: Numeric) -> None:
        """Raises Unsupported if this rule's step is not lowered in ``numeric``."""
        if numeric not in self.numerics:
            allowed = ", ".join(self.numerics) or "training on the host"
            raise Unsupported(
                f"rule {self.name} on a device in {numeric}", got=self.why_not, allowed=allowed, next_step="see its page in docs/rules"
            )

    def learns(self, network: Network, *, head: bool = True, settings: Any = None) -> tuple[Layer, ...]:
        """The layers whose parameters this rule changes on a device with ``settings`` (None: its own); by default all that have any.

        Without a ``head`` the network is a group of layers below another rule's.
        """
        return network.trainable

    def paced_by(self, network: Network) -> frozenset[str]:
        """The layers whose inputs decide the rate of the settings (``edgeff.rules._rates``); by default all that learn."""
        return frozenset(layer.name for layer in self.learns(network))

    def pace(self, network: Network) -> float:
        """A factor on the rate beside what follows from the inputs, relative to that of 64-32-10; by default 1."""
        return 1.0

    def caution(self, network: Network) -> str:
        """Why this rule is not expected to learn more on ``network`` than the frozen control does; empty where it is."""
        return ""

    @property
    def predicts_by_rule(self) -> bool:
        """Whether the rule predicts in its own way instead of by the network's forward pass."""
        return type(self).lower_predict is not Rule.lower_predict

    def lower_predict(self, build: RuleBuilder) -> Value:
        """Emits inference and returns the scores' value; by default the network's forward pass."""
        return build.run(build.x)[build.layers[-1].name]

    def lower(self, build: RuleBuilder) -> None:
        """Emits one learning step on ``build.x`` and ``build.label`` through ``edgeff.program.lower.Builder``."""
        raise NotImplementedError

    def lower_features(self, build: RuleBuilder) -> Value:
        """Emits what comes before the layers that learn and returns what they read, from which ``lower_from`` goes on; by default ``x``."""
        return build.x

    def lower_from(self, build: RuleBuilder, features: Value) -> None:
        """Emits one learning step that starts from what ``lower_features`` returned, of this sample or of an earlier one."""
        with build.reading(features):
            self.lower(build)


def find_rule(name: str) -> Rule:
    """The rule called ``name``, or the composition that it spells. Raises BadInput for anything else.

    >>> find_rule("pepita").name, find_rule("frozen:dense_1,pepita").name
    ('pepita', 'frozen:dense_1,pepita')
    """
    if ":" in name or "," in name:
        from edgeff.rules._groups import composed

        return composed(name)
    rule: Rule = registry[name]
    return rule


def is_rule(name: str) -> bool:
    """Whether ``find_rule`` knows the name."""
    try:
        find_rule(name)
    except BadInput:
        return False
    return True


def register(rule: type[Rule]) -> type[Rule]:
    """A class decorator: an instance of the rule, registered under its name."""
    registry.add(rule.name, rule())
    return rule
