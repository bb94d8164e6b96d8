"""Feedback that reaches a layer directly takes the slope of every activation function that the layer ends in, fused or free-standing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.ir import Layer, Network
from edgeff.ops import Operator, forward, make, parameters
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import deploy
from edgeff.rules import Run
from edgeff.verify.step import compare_step

FUNCTIONS: dict[str, tuple[Operator, ...]] = {
    "tanh": (make("tanh", {}),),
    "leaky_relu": (make("leaky_relu", {"alpha": 0.3}),),
    "relu": (make("relu", {}),),
    "two": (make("logistic", {}), make("hard_swish", {})),
}
SLOPES: dict[str, Any] = {
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "leaky_relu": lambda x: np.where(x > 0, 1.0, 0.3),
    "relu": lambda x: np.where(x > 0, 1.0, 0.0),
    "logistic": lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    "hard_swish": lambda x: np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5)),
}


def network(functions: tuple[Operator, ...]) -> Network:
    """7 - 6 (functions) - 4."""
    rng = np.random.default_rng(0)
    layers = [Layer("first", Dense(), ("input",), (6,), {"weight": rng.normal(size=(6, 7)).astype(np.float32)})]
    layers += [Layer(f"f{i}", op, (layers[-1].name if not i else f"f{i - 1}",), (6,)) for i, op in enumerate(functions)]
    layers += [Layer("last", Dense(), (layers[-1].name,), (4,), {"weight": rng.normal(size=(4, 6)).astype(np.float32)})]
    return Network("free", (7,), (*layers, Layer("softmax", Softmax(), ("last",), (4,))))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("rule", ["dfa", "tdca"])
def test_the_step_takes_every_slope(rule: str, name: str) -> None:
    item, net = registry.rules[rule], network(FUNCTIONS[name])
    run = Run(net, parameters(net, np.float64), item.settings, np.random.default_rng(5), seed=11)
    item.start(run)
    rng = np.random.default_rng(9)
    x, t = rng.normal(size=(12, 7)), np.eye(4)[rng.integers(0, 4, 12)]
    h = forward(net, run.params, x)
    e = h["softmax"] - t
    if rule == "dfa":
        delta = e @ run.extra["B"]["first"].T
    else:
        signal = run.extra["top_down"].credits(e @ run.extra["code"].T)
        delta = run.settings.feedback_scale * signal @ run.extra["D"]["first"].T
    below = h["first"]
    for i, op in enumerate(FUNCTIONS[name]):
        delta = delta * SLOPES[op.name](below)
        below = h[f"f{i}"]
    np.testing.assert_allclose(item.step(run, x, t)["first"]["weight"], delta.T @ x / 12, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("rule", ["dfa", "tdca"])
def test_the_program_is_the_step(rule: str, name: str) -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(20, 7)).astype(np.float32), rng.integers(0, 4, 20)
    deployment = deploy(network(FUNCTIONS[name]), x, rule=rule, numeric="float32")
    rows = compare_step(deployment, registry.rules[rule], x, labels, strict=True, steps=20)
    assert {row.what.partition(",")[0] for row in rows} >= {"first.weight", "last.weight"}
    for row in rows:
        assert row.ok or (row.max_difference is not None and row.max_difference <= 2e-4), f"{row.what}: {row.note}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_integer_program_is_the_step(name: str) -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(100, 7)).astype(np.float32), rng.integers(0, 4, 100)
    deployment = deploy(network(FUNCTIONS[name]), x, rule="dfa", numeric="int8")
    for row in compare_step(deployment, registry.rules["dfa"], deployment.inputs(x), labels, strict=True, steps=100):
        assert row.ok, f"{row.what}: {row.note}"
