"""Back-propagation through layers that only pass a gradient on: the lowered step against the host's, in float32 and in int8."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.ir import Layer, Network
from edgeff.networks import initialised
from edgeff.ops import make
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.train.loop import start
from edgeff.verify.step import compare_step

WINDOW = {"kernel_h": 2, "kernel_w": 3, "stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 1, "pad_bottom": 0, "pad_right": 1}


def network(op: str, shape: tuple[int, ...], attrs: dict[str, str]) -> Network:
    """conv - ``op`` - dense - softmax on (3, 4, 2)."""
    layers = (
        Layer("conv", make("conv2d", WINDOW | {"activation": "none", "bias": True}), ("input",), (2, 4, 3)),
        Layer("middle", make(op, attrs), ("conv",), shape),
        Layer("dense", Dense(bias=True), ("middle",), (5,)),
        Layer("softmax", Softmax(), ("dense",), (5,)),
    )
    return initialised(Network("passes", (3, 4, 2), layers), 0)


@pytest.mark.parametrize(
    ("op", "shape", "attrs"),
    [("relu", (2, 4, 3), {"activation": "relu"}), ("transpose", (3, 2, 4), {"perm": "2,0,1"}), ("reshape", (24,), {})],
)
def test_a_step_of_back_propagation_passes_it(op: str, shape: tuple[int, ...], attrs: dict[str, str]) -> None:
    made = network(op, shape, attrs)
    rule = registry.rules["bp"]
    settings = replace(rule.device_settings("float32"), lr=0.02)
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    run = start(made, rule, settings, 0)
    expected = rule.step(run, x, np.eye(5, dtype=np.float32)[[2]])
    core = Interpreter(lower(made, "bp", settings))
    core.learn(x.reshape(-1), 2)
    for layer in made.trainable:
        for name, before in layer.params.items():
            change = (before.astype(np.float64) - core.tensor(f"{layer.name}.{name}")) / settings.lr
            np.testing.assert_allclose(change, expected[layer.name][name].astype(np.float64), atol=2e-5)
            assert np.abs(change).max() > 1e-3


@pytest.mark.parametrize(
    ("op", "shape", "attrs"),
    [
        ("relu", (2, 4, 3), {"activation": "relu"}),
        ("transpose", (3, 2, 4), {"perm": "2,0,1"}),
        ("logistic", (2, 4, 3), {}),
        ("tanh", (2, 4, 3), {}),
        ("leaky_relu", (2, 4, 3), {"alpha": -0.3}),
        ("hard_swish", (2, 4, 3), {}),
        ("average_pool2d", (2, 4, 3), {"pool_h": 3, "pool_w": 3, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
        ("max_pool2d", (1, 3, 3), {"pool_h": 2, "pool_w": 2}),
    ],
)
def test_an_integer_step_of_back_propagation_passes_it(op: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(100, 3, 4, 2)).astype(np.float32), rng.integers(0, 5, 100)
    deployment = deploy(network(op, shape, attrs), x, rule="bp", numeric="int8")
    rows = compare_step(deployment, registry.rules["bp"], deployment.inputs(x), labels, strict=True, steps=100)
    assert {row.what.partition(",")[0] for row in rows} == {f"{name}.{part}" for name in ("conv", "dense") for part in ("weight", "bias")}
    for row in rows:
        assert row.ok, f"{row.what}: {row.note}"
