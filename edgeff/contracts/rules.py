"""The contract of every learning rule: its two forms agree in every number format, it is deterministic, keeps shapes, and learns.

The network is small and the data are the handwritten digits, which are always available. Controls: shuffled labels, and frozen hidden
layers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.contracts.check import Check, require
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Unsupported
from edgeff.ir import NUMERICS, Array, Headroom, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.networks.heads import with_output
from edgeff.ops import parameters
from edgeff.ops.canonical import canonical
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.rules import Rule, Run, find_rule
from edgeff.rules._rates import rate_of
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, train
from edgeff.verify.step import compare_step

SEED = 3
STEPS = 100
"""Learning steps whose changes are compared with those of ``step`` in integers; a ratio is then accurate to a few per cent."""
EXACT_STEPS = 25
LEARNED, CHANCE = 0.6, 0.3
"""The accuracy on ten classes that a rule must reach, and the one that it must not reach with shuffled labels."""
MARGIN, EPOCHS = 0.03, 40
"""The required margin over frozen hidden layers, and the epochs of both."""


@lru_cache
def digits(seed: int = 0) -> Data:
    """The task on which rules are checked."""
    data: Data = registry.tasks["digits"].load(seed)
    return data


def dense(widths: str = "64-32-16-10") -> Network:
    """A dense network with seeded weights and biases."""
    return _with_biases(initialised(structure(widths, bias=True), 0))


def convolutions() -> Network:
    """Strided, depthwise and pointwise convolutions, a pool and a dense layer over the image of a digit, batch normalisation folded in."""
    stack = Stack((8, 8, 1))
    stack.conv("conv", 6, (3, 3), (2, 1))
    stack.depthwise("depthwise", (3, 3), (1, 2))
    stack.conv("pointwise", 8, (1, 1))
    stack.average_pool("pool", (2, 2))
    stack.flatten()
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return _with_biases(canonical(initialised(stack.network("convolutions"), 0)))


def _with_biases(network: Network) -> Network:
    rng = np.random.default_rng(1)
    for layer in network.trainable:
        if "bias" in layer.params:
            layer.params["bias"][:] = rng.normal(scale=0.1, size=layer.params["bias"].shape)
    return network


def deployed(rule: Rule, numeric: Numeric, network: Network, headroom: Headroom | None = None, **changes: Any) -> Deployment:
    """``network`` with the rule, calibrated on digits; with the rule's own headroom by default."""
    x = digits().x_train.reshape(-1, *network.input_shape)
    return deploy(network, x, rule=rule.name, numeric=numeric, seed=SEED, changes=changes, headroom=headroom)


def says_what_it_is(rule: Rule) -> None:
    """It is registered under its name, has a summary, a source and a docstring, and settings for one sample at a time."""
    require(find_rule(rule.name) is rule, f"rule {rule.name}", got="another rule of that name", next_step="register it under its name")
    for part in ("summary", "source", "__doc__"):
        require(bool(getattr(type(rule), part, None) or getattr(rule, part, None)), f"rule {rule.name}", got=f"no {part.strip('_')}")
    complete = set(rule.numerics) == set(NUMERICS)
    require(
        bool(rule.why_not) != complete,
        f"why_not of rule {rule.name}",
        got=repr(rule.why_not),
        allowed="the reason, if a numeric is missing",
    )
    for numeric in NUMERICS:
        settings = rule.device_settings(numeric)
        got = (settings.batch, settings.momentum, settings.dropout)
        require(got == (1, 0.0, 0.0), f"rule {rule.name} on a device, batch, momentum and dropout", got=got, allowed="(1, 0.0, 0.0)")


def repeats_its_step(rule: Rule) -> None:
    """The same samples and generator give the same direction; it has the shapes of existing parameters, is finite, and changes none."""
    network = rule.prepare(initialised(structure("64-16-12-10", bias=True), 0), rule.settings, 0)
    run = Run(network, parameters(network), rule.settings, np.random.default_rng(0), seed=SEED, lr=rate_of(rule, rule.settings))
    rule.start(run)
    before = copy.deepcopy(run.params)
    x, t = digits().x_train[:9], digits().targets(digits().y_train[:9])
    directions = []
    for _ in range(2):
        run.rng = np.random.default_rng(7)
        directions.append(rule.step(run, x.copy(), t.copy()))
    what = f"step of rule {rule.name}"
    layers = {layer.name: layer.params for layer in network.trainable}
    for layer, values in directions[0].items():
        require(layer in layers, what, got=f"a direction for {layer!r}", allowed=", ".join(layers))
        for name, value in values.items():
            expected = layers[layer][name].shape
            require(value.shape == expected, f"{what}, {layer}.{name}", got=f"shape {value.shape}", allowed=expected)
            require(bool(np.isfinite(value).all()), f"{what}, {layer}.{name}", got="values that are NaN or infinite")
            same = value.tobytes() == directions[1][layer][name].tobytes()
            require(same, f"{what}, {layer}.{name}", got="another direction for the same samples")
    for layer, own in before.items():
        for name, value in own.items():
            require(
                value.tobytes() == run.params[layer][name].tobytes(), what, got=f"a change of {layer}.{name}", allowed="none: it is read"
            )


def lowers_alike(rule: Rule) -> None:
    """Lowering twice gives the same calls and tensors."""
    numeric = rule.numerics[0]
    first, second = (deployed(rule, numeric, dense("64-16-10")).program for _ in range(2))
    same = (first.infer, first.learn, list(first.tensors)) == (second.infer, second.learn, list(second.tensors))
    require(same, f"lower of rule {rule.name}", got="another program for the same network")


def agrees(numeric: Numeric, rule: Rule) -> None:
    """A dense network's parameters change in the program as ``step`` says, weights and biases, layer by layer."""
    _agrees(rule, deployed(rule, numeric, dense()))


def agrees_through_convolutions(numeric: Numeric, rule: Rule) -> None:
    """The same for convolutions, if the rule supports them; it may refuse.

    With no more room for activations than rules have by default: in wider ranges many are rounded to 0, where their gate is shut.
    """
    network, settings = convolutions(), rule.device_settings(numeric)
    own, usual = rule.headroom(network, settings, numeric), Rule.headroom(rule, network, settings, numeric)
    try:
        deployment = deployed(rule, numeric, network, replace(own, hidden=min(own.hidden, usual.hidden)))
    except Unsupported:
        return
    _agrees(rule, deployment)


def agrees_on_values(numeric: Numeric, rule: Rule) -> None:
    """The same for two values learned in their own units, hundreds; the rate is so low that no int16 update is clipped."""
    x, labels = digits().x_train, digits().y_train
    y = 300.0 * np.stack([labels / 3.0 - 1.5, x[:, :32].sum(axis=1) / 3.0 - 3.0], axis=1)
    plain = _with_biases(initialised(structure("64-16-2", softmax=False, bias=True), 0))
    network = replace(with_output(plain, 0.0, 300.0), metadata={"values": {"centre": 0.0, "spread": 300.0}})
    changes = {"lr": 0.002}
    deployment = deploy(network, x, rule=rule.name, numeric=numeric, target="value", changes=changes, seed=SEED)
    _agrees(rule, deployment, truths=np.clip(y, -600.0, 600.0))


def decays_its_rate(rule: Rule) -> None:
    """The rate follows the settings in every step, before and after it decays."""
    _agrees(rule, deployed(rule, "float32", dense("64-16-10"), decay=0.5, decay_steps=3), steps=8)


def _agrees(rule: Rule, deployment: Deployment, steps: int | None = None, truths: Array | None = None) -> None:
    numeric = deployment.program.numeric
    steps = steps or (EXACT_STEPS if numeric == "float32" else STEPS)
    x, labels = deployment.inputs(digits().x_train[:STEPS]), digits().y_train[:STEPS]
    labels = labels if truths is None else deployment.targets(truths[:STEPS])
    rows = compare_step(deployment, rule, x, labels, strict=True, steps=steps)
    require(bool(rows), f"lower of rule {rule.name} in {numeric}", got="a program that learns nothing")
    for row in rows:
        what = f"step of rule {rule.name} against its program in {numeric}, {row.what}"
        got = row.note or f"{row.differing} of {row.elements} that differ"
        require(row.ok, what, got=got, allowed=f"{row.allowed:.2g} off")


def scores_alike(rule: Rule) -> None:
    """The program's scores are those with which the rule predicts."""
    deployment = deployed(rule, "float32", dense())
    network, x = deployment.network, digits().x_test[:40]
    run = Run(network, parameters(network, np.float64), deployment.settings, np.random.default_rng(0), seed=SEED, device=True)
    rule.start(run)
    twin, rows = Interpreter(deployment.program), []
    for sample in deployment.inputs(x):
        twin.predict(sample)
        rows.append(twin.output().reshape(-1))
    expected = rule.scores(run, x.astype(np.float64))
    off, most = np.abs(np.array(rows) - expected).max(), 1e-5 * max(1.0, np.abs(expected).max())  # float32 sums of 64 terms
    require(off < most, f"scores of rule {rule.name}", got=f"a program that is off by {off:.3g}", allowed=f"{most:.3g}")


def _shuffled(labels: Array) -> Array:
    return np.random.default_rng(0).permutation(labels)


def learns_on_the_host(rule: Rule) -> None:
    """After eight epochs it classifies digits, but not with shuffled labels."""
    data, settings = digits(), replace(rule.settings, epochs=8)
    control = replace(data, y_train=_shuffled(data.y_train))
    accuracies = [
        accuracy(train(task, structure("64-32-10"), rule.name, settings).scores(data.x_test), data.y_test) for task in (data, control)
    ]
    require(accuracies[0] > LEARNED, f"rule {rule.name} on the host, accuracy", got=f"{accuracies[0]:.3f}", allowed=f"above {LEARNED}")
    require(accuracies[1] < CHANCE, f"rule {rule.name} on the host, shuffled labels", got=f"{accuracies[1]:.3f}", allowed=f"below {CHANCE}")


def is_reproducible(rule: Rule) -> None:
    """A seed gives the same weights each time, another seed gives others."""
    settings = replace(rule.settings, epochs=1)

    def weights(seed: int) -> bytes:
        trained = train(digits(), structure("64-12-10"), rule.name, settings, seed=seed)
        return b"".join(layer.params["weight"].tobytes() for layer in trained.network.trainable)

    require(weights(1) == weights(1), f"training by rule {rule.name}", got="different weights for the same seed")
    require(weights(1) != weights(2), f"training by rule {rule.name}", got="the same weights for another seed")


def learns_in_c(numeric: Numeric, rule: Rule) -> None:
    """Its C learns digits one sample at a time, but not with shuffled labels."""
    deployment = deployed(rule, numeric, initialised(structure("64-32-10"), 0))
    target, data = HostTarget(deployment.program), digits()
    x, unseen = deployment.inputs(data.x_train), deployment.inputs(data.x_test)

    def right() -> float:
        return float((target.predict_many(unseen)[0] == data.y_test).mean())

    before, learned = right(), []
    for labels in (data.y_train, _shuffled(data.y_train)):
        target.init()
        for epoch in range(5):
            target.learn_many(x, labels, np.random.default_rng(epoch).permutation(len(x)))
        learned.append(right())
    what, least = f"rule {rule.name} in {numeric} on a device", max(LEARNED, before + 0.3)
    require(learned[0] > least, f"{what}, accuracy", got=f"{learned[0]:.3f}", allowed=f"above {least:.3f}")
    require(learned[1] < CHANCE, f"{what}, shuffled labels", got=f"{learned[1]:.3f}", allowed=f"below {CHANCE}")


def beats_frozen_layers(rule: Rule) -> None:
    """With its own settings on 64-32-10, over the same splits and initial weights as frozen hidden layers."""
    own, control = over_seeds(rule.name), over_seeds("frozen")
    what = f"rule {rule.name} on 64-32-10"
    require(own > control + MARGIN, what, got=f"{own:.3f}", allowed=f"above {control + MARGIN:.3f}", next_step="or say why in no_margin")


@lru_cache
def over_seeds(rule: str) -> float:
    """The mean test accuracy of two seeds on 64-32-10 after ``EPOCHS``."""
    settings = replace(find_rule(rule).settings, epochs=EPOCHS)
    trained = [(train(digits(seed), structure("64-32-10"), rule, settings, seed=seed), digits(seed)) for seed in range(2)]
    return sum(accuracy(each.scores(data.x_test), data.y_test) for each, data in trained) / len(trained)


def _lowered(numeric: Numeric, rule: Rule) -> bool:
    return numeric in rule.numerics


def _of_values(numeric: Numeric, rule: Rule) -> bool:
    return rule.values and numeric in rule.numerics


CHECKS: Sequence[Check[Rule]] = (
    Check("it says what it is and where it comes from", says_what_it_is),
    Check("a step is deterministic, and keeps shapes and parameters", repeats_its_step),
    Check("lowering is deterministic", lowers_alike, lambda rule: bool(rule.numerics)),
    *(Check(f"step is what its program does in {n}", partial(agrees, n), partial(_lowered, n)) for n in NUMERICS),
    *(
        Check(f"step is what its program does through convolutions in {n}", partial(agrees_through_convolutions, n), partial(_lowered, n))
        for n in NUMERICS
    ),
    *(Check(f"step is what its program does with values in {n}", partial(agrees_on_values, n), partial(_of_values, n)) for n in NUMERICS),
    Check("its rate decays as its settings say", decays_its_rate, partial(_lowered, "float32")),
    Check("its program's scores are its own", scores_alike, partial(_lowered, "float32")),
    Check("it learns on the host, and not from shuffled labels", learns_on_the_host),
    Check("its training is reproducible by its seed", is_reproducible),
    *(Check(f"its C learns in {n}, and not from shuffled labels", partial(learns_in_c, n), partial(_lowered, n)) for n in NUMERICS),
    Check("it beats frozen hidden layers", beats_frozen_layers, lambda rule: not rule.no_margin, slow=True),
)
"""Every check of a rule, the quickest first."""
