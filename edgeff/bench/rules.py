"""Rules side by side: the same network on the same task with every rule, trained on the host, with the cost of a step on a device.

In comes one point: a task, a network, a rule and a seed. Out goes a trace with the test accuracy of the trained float network (by the
rule's own way of predicting) and of its int8 form in the generated C, and the MACs and bytes of the rule's float32 program, exact, if it
runs on a device. The first remark says what a step stores. A point that cannot run has a reason in one line instead.

Every rule sees the same initial weights, split and inputs; images are standardised. The control is the rule ``frozen``. ``bp+norm`` and
``frozen+norm`` have batch normalisation after their convolutions in training, as ``cwc`` adds it; it is folded away afterwards, and the
frozen one has the statistics of a few hundred training samples. ``frozen+ff`` and ``frozen+scff`` are the networks and heads of
those rules on hidden layers that keep their initial weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edgeff import registry
from edgeff.bench.metrics import measured, metric_of
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Diverged, Unsupported
from edgeff.ir import Memory, Network, Numeric, Trace
from edgeff.networks import initialised, recipe, structure
from edgeff.networks._norms import calibrated, with_norms
from edgeff.program.cost import cost, program_costs
from edgeff.program.deploy import deploy
from edgeff.rules import Rule, Settings, find_rule
from edgeff.tasks import Data, standardised
from edgeff.train.loop import Trained, fit, train

EVIDENCE = "exact (counted from the program)"
SEEDS = 3
NORM = "+norm"
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bp" + NORM: ("bp", {}),
    "frozen" + NORM: ("frozen", {}),
    "frozen+ff": ("ff", {"hidden_rate": 0.0}),
    "frozen+scff": ("scff", {"lr": 0.0, "epochs": 1, "decay_epochs": ()}),
}
"""The further variants compared on convolutional networks: for each name its rule and settings."""
COMPARED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("digits", "64-32-10"): {},
    ("mnist", "cnn_small"): {"epochs": 3, "decay_epochs": (2,)},
    ("cifar10", "cnn_small"): {},
}
"""The tasks and networks, with settings that all rules share there: MNIST has 60,000 images, so fewer epochs."""
OWN: Mapping[tuple[str, str, str], Mapping[str, Any]] = {("mnist", "cnn_small", "scff"): {"goodness": "sample"}}
"""Further settings of one rule: most places of a digit are background and carry no information."""


def changes_of(task: str, network: str, rule: str) -> dict[str, Any]:
    """The settings of a compared point that differ from the rule's for the network."""
    return {**COMPARED[task, network], **OWN.get((task, network, rule), {}), **VARIANTS.get(rule, ("", {}))[1]}


@dataclass(frozen=True)
class RulePoint:
    """One point of the comparison; ``changes`` are settings that differ from the rule's for the network."""

    task: str
    network: str
    rule: str
    seed: int = 0
    changes: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """A file name for this point."""
        return f"{self.task}-{self.network}-{self.rule}-s{self.seed}"

    def data(self) -> Data:
        """The task's data for this seed; images are standardised."""
        found: Data = registry.tasks[self.task].load(self.seed)
        return standardised(found) if len(found.input_shape) > 1 else found

    def run(self) -> Trace:
        """The trace of this point."""
        return run(self)


def rule_points(seed: int = 0) -> list[RulePoint]:
    """Every rule on a small dense network and a small convolutional one, ``SEEDS`` seeds each."""
    return [
        RulePoint(task, network, rule, seed + number, changes_of(task, network, rule))
        for task, network in COMPARED
        for number in range(SEEDS)
        for rule in (*registry.rules, *(VARIANTS if network in registry.networks else ()))
    ]


def run(point: RulePoint) -> Trace:
    """The trace of ``point``; a refusal by the rule, the network or the task goes to its ``refused``."""
    rule = rule_of(point)
    trace = Trace(point.task, point.network, point.rule, "float32", None, "host", point.seed, remarks=(f"stores {rule.stores}",))
    try:
        data = point.data()
        trained = trained_on(data, point)
    except (BadInput, Unsupported, Diverged) as error:
        return replace(trace, refused=str(error))
    accuracy = {"float": test_metric(point.task, trained, data), "quantized": int8_metric(point.task, trained.network, rule, data)}
    return with_costs(replace(trace, accuracy=accuracy), trained.network, rule)


def rule_of(point: RulePoint) -> Rule:
    """The rule, or that of the variant."""
    return find_rule(VARIANTS[point.rule][0] if point.rule in VARIANTS else point.rule)


def trained_on(data: Data, point: RulePoint) -> Trained:
    """The point's network trained on ``data``."""
    rule = rule_of(point)
    settings = replace(rule.settings, **recipe(point.network, rule.name) | dict(point.changes or {}))
    plain = structure(point.network, bias=True, input_shape=data.input_shape, classes=len(data.classes))
    if not point.rule.endswith(NORM):
        return train(data, plain, rule.name, settings, point.seed, task=point.task)
    network = with_norms(initialised(plain, point.seed))
    network = calibrated(network, data.x_train) if rule.name == "frozen" else network
    network = replace(network, metadata={"settings": asdict(settings)})
    augment = registry.tasks[point.task].augment
    return fit(network, rule.name, data.x_train, data.targets(data.y_train), settings, point.seed, augment=augment)


def test_metric(task: str, trained: Trained, data: Data) -> float:
    """The task's metric on its test part, by the rule's own way of predicting."""
    return measured(metric_of(task), trained.network, data.x_test, trained.scores(data.x_test), data.y_test, data.files_test)


def int8_metric(task: str, network: Network, rule: Rule, data: Data) -> float | None:
    """The same of the network quantised to int8 after training, by its C on this machine; None if there is no such program."""
    own = rule.name if rule.predicts_by_rule else None
    try:
        changes = _own_settings(rule, network, "int8") if own else None
        deployment = deploy(network, data.x_train, rule=own, numeric="int8", changes=changes)
    except Unsupported:
        return None
    best, _ = HostTarget(deployment.program).predict_many(deployment.inputs(data.x_test))
    return float((best == data.y_test).mean()) if metric_of(task) == "accuracy" else None


def _own_settings(rule: Rule, network: Network, numeric: Numeric) -> dict[str, Any]:
    """The settings of the run that the network's metadata records, except those that every rule has or that differ on a device."""
    own = {field.name for field in fields(rule.settings)} - {field.name for field in fields(Settings)} - set(rule.device.get(numeric, {}))
    return {name: value for name, value in dict(network.metadata["settings"]).items() if name in own}


def with_costs(trace: Trace, network: Network, rule: Rule) -> Trace:
    """``trace`` with the exact costs of inference and of a learning step in float32, if they run on a device."""
    try:
        infer = cost(deploy(network).program)
        trace = replace(trace, lines=program_costs(infer, EVIDENCE), memory=Memory(weight_bytes=infer.weight_bytes))
        learn = cost(deploy(network, rule=rule.name, changes=_own_settings(rule, network, "float32")).program)
    except Unsupported as error:
        return replace(trace, remarks=(*trace.remarks, f"no learning step on a device: {error}"))
    return replace(
        trace,
        lines=program_costs(learn, EVIDENCE),
        memory=Memory(weight_bytes=infer.weight_bytes, arena_bytes=learn.memory.arena_bytes),
    )
