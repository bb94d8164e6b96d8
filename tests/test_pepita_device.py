"""PEPITA's variants on a device: both readings agree, NumPy is C to the bit, MEMPEPITA is PEPITA, and what is not lowered is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from test_conv_learning import plain
from test_exact_learning import assert_same, no_news, samples

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Unsupported
from edgeff.ir import NUMERICS, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.verify.executions import Host, twin_learning
from edgeff.verify.step import EXACT

VARIANTS: dict[str, dict[str, Any]] = {
    "minus": {"modulation": "minus"},
    "minus, stored": {"modulation": "minus", "feedback": "stored"},
    "first error": {"output_pass": 1},
    "hebbian": {"hebbian": True},
    "hebbian, minus": {"hebbian": True, "modulation": "minus"},
    "uniform": {"distribution": "uniform", "feedback": "stored"},
    "normalised": {"normalise": True},
    "longer hidden steps": {"hidden_inputs": 16},
}
TIME_LOCAL: dict[str, dict[str, Any]] = {
    "time-local": {"time_local": True},
    "time-local, longer hidden steps": {"time_local": True, "hidden_inputs": 16},
    "time-local, minus": {"time_local": True, "modulation": "minus", "normalise": True},
}
CASES = [("pepita", name) for name in VARIANTS | TIME_LOCAL] + [("mempepita", name) for name in VARIANTS]
NETWORKS = ("64-16-12-10", "convolutional")
# Both terms of a Hebbian form are products of whole activations, so their difference keeps fewer of float32's digits.
TWO_TERMS = 2e-2


def deployed(rule: str, variant: str, numeric: Numeric, network: Network, **options: Any) -> Deployment:
    changes = (VARIANTS | TIME_LOCAL)[variant] | {"lr": 0.01}
    item = registry.rules[rule]
    network = item.prepare(network, replace(item.settings, **changes), 0)
    return deploy(network, digits().x_train.reshape(-1, *network.input_shape), rule=rule, numeric=numeric, changes=changes, **options)


def fresh(name: str) -> Network:
    return plain() if name == "convolutional" else initialised(structure(name, bias=True), 0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("rule", "variant"), CASES)
def test_step_is_what_lower_says_of_a_variant(rule: str, variant: str, name: str) -> None:
    """As the contract of every rule, for every variant that is lowered: sample after sample along the way the twin goes."""
    deployment = deployed(rule, variant, "float32", fresh(name), seed=3)
    allowed = TWO_TERMS if deployment.settings.two_terms else EXACT
    assert_step_is_lowered(deployment, registry.rules[rule], 10, allowed=allowed)
    learned = {tensor.name for tensor in deployment.program.by_role("variable")} - {"rate"}
    assert learned == {f"{layer.name}.{key}" for layer in deployment.network.trainable for key in layer.params}


@pytest.mark.slow
@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize(("rule", "variant"), CASES)
def test_a_variant_is_the_same_on_twin_and_host(rule: str, variant: str, numeric: Numeric) -> None:
    deployment = deployed(rule, variant, numeric, fresh("64-16-12-10"))
    program = deployment.program
    x, labels = samples(deployment, 40)
    twin = twin_learning(program, plan(program), x, labels, x[:10], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:10], no_news))


@pytest.mark.parametrize("numeric", ["float32", "int8"])
@pytest.mark.parametrize("variant", ["hebbian, minus", "time-local", "uniform"])
def test_a_convolutional_variant_is_the_same_on_twin_and_host(variant: str, numeric: Numeric) -> None:
    deployment = deployed("pepita", variant, numeric, fresh("convolutional"))
    program = deployment.program
    x, labels = samples(deployment, 20)
    twin = twin_learning(program, plan(program), x, labels, x[:10], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:10], no_news))


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_mempepita_is_pepita_to_the_bit_on_a_device(variant: str, numeric: Numeric) -> None:
    for name in NETWORKS if numeric != "int16" else NETWORKS[:1]:
        found = []
        for rule in ("pepita", "mempepita"):
            deployment = deployed(rule, variant, numeric, fresh(name))
            x, labels = samples(deployment, 15)
            twin = Interpreter(deployment.program)
            for sample, label in zip(x, labels, strict=True):
                twin.learn(sample, int(label))
            found.append({t.name: twin.tensor(t.name).tobytes() for t in deployment.program.by_role("variable", "state")})
        assert found[0] == found[1]


def test_time_local_keeps_no_clean_activation() -> None:
    """Of 64-256-10 the others keep h_1, 1,024 bytes, until pass 2 has made its own; time-local keeps the label, 4 bytes."""
    needed = {}
    for variant in ("first error", "hebbian", "time-local"):
        needed[variant] = plan(deployed("pepita", variant, "float32", initialised(structure("64-256-10"), 0)).program).line_bytes["learn"]
    assert needed["time-local"] <= min(needed["first error"], needed["hebbian"]) - 1020


@pytest.mark.parametrize(
    ("rule", "changes", "line"),
    [
        ("pepita", {"mirror_every": 1}, "weight mirroring on a device: got an F that follows the weights"),
        ("pepita", {"normalise": True}, "normalise on a device: got a network without the layers"),
        ("mempepita", {"time_local": True}, "time_local with mempepita: got no clean activation to recompute"),
        ("pepita", {"weight_decay": 1e-4}, "weight_decay on a device: got 0.0001"),
    ],
)
def test_what_is_not_lowered_is_refused(rule: str, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(Unsupported) as caught:
        deploy(fresh("64-16-12-10"), rule=rule, changes=changes)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize(
    "changes", [{"hebbian": True}, {"time_local": True, "lr": 0.007, "feedback_scale": 0.3}], ids=["hebbian", "time-local"]
)
def test_the_forms_of_two_terms_learn_in_c_and_shuffled_labels_do_not(changes: dict[str, Any], numeric: Numeric) -> None:
    network = initialised(structure("64-32-10"), 0)
    deployment = deploy(network, digits().x_train, rule="pepita", numeric=numeric, changes=changes)
    target = HostTarget(deployment.program)
    x, unseen, found = deployment.inputs(digits().x_train), deployment.inputs(digits().x_test), []
    for labels in (digits().y_train, np.random.default_rng(0).permutation(digits().y_train)):
        target.init()
        for epoch in range(5):
            target.learn_many(x, labels, np.random.default_rng(epoch).permutation(len(x)))
        found.append(float((target.predict_many(unseen)[0] == digits().y_test).mean()))
    assert found[0] > 0.75
    assert found[1] < 0.3
