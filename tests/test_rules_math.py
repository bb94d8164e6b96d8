"""The rules' mathematics in float64: BP and Forward-Forward against finite differences, PEPITA against AFA, others against formulae."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.ir import Array, Network
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.networks import initialised, structure
from edgeff.ops import Params, forward, kind, parameters
from edgeff.ops.label import with_label
from edgeff.rules import Gradients, Run

STEP = 1e-6


def start(rule: str, name: str, *, bias: bool, softmax: bool = True, **changes: Any) -> Run:
    """A run in float64 on a small network, biases not zero."""
    item = registry.rules[rule]
    settings = replace(item.settings, dropout=0.0, **changes)
    network = item.prepare(initialised(structure(name, bias=bias, softmax=softmax), 3), settings, 11)
    rng = np.random.default_rng(5)
    params = parameters(network, np.float64)
    for values in params.values():
        if "bias" in values:
            values["bias"] = rng.normal(size=values["bias"].shape) * 0.3
    run = Run(network, params, settings, rng, seed=11)
    item.start(run)
    return run


def batch(run: Run, count: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(count, *run.network.input_shape))
    classes = run.network.layers[-1].shape[0]
    return x, np.eye(classes)[rng.integers(0, classes, count)]


def numerical_gradient(loss: Any, params: Params) -> Gradients:
    """Central differences of ``loss()`` in every parameter."""
    gradients: Gradients = {}
    for layer, values in params.items():
        gradients[layer] = {name: np.zeros_like(value) for name, value in values.items()}
        for name, value in values.items():
            for index in np.ndindex(*value.shape):
                kept = value[index]
                value[index] = kept + STEP
                above = loss()
                value[index] = kept - STEP
                below = loss()
                value[index] = kept
                gradients[layer][name][index] = (above - below) / (2 * STEP)
    return gradients


def assert_close(expected: Gradients, actual: Gradients) -> None:
    """Within 1e-7 of the largest entry: the error of a central difference is about STEP**2 plus 1e-16 / STEP."""
    assert set(expected) == set(actual)
    for layer, values in expected.items():
        assert set(values) == set(actual[layer])
        for name, value in values.items():
            assert np.abs(value - actual[layer][name]).max() < 1e-7 * max(1.0, np.abs(value).max()), f"{layer}.{name}"


@pytest.mark.parametrize("bias", [True, False])
def test_bp_is_the_gradient_of_the_cross_entropy(bias: bool) -> None:
    run = start("bp", "6-5-4-3", bias=bias)
    x, t = batch(run, 7)

    def loss() -> float:
        return float(-np.sum(t * np.log(forward(run.network, run.params, x)["softmax"])) / len(x))

    assert_close(numerical_gradient(loss, run.params), registry.rules["bp"].step(run, x, t))


@pytest.mark.parametrize("bias", [True, False])
def test_bp_is_the_gradient_of_half_the_squared_error(bias: bool) -> None:
    run = start("bp", "6-5-4-3", bias=bias, softmax=False)
    x, _ = batch(run, 7)
    t = np.random.default_rng(1).normal(size=(7, 3))

    def loss() -> float:
        return float(0.5 * np.sum((forward(run.network, run.params, x)["dense_3"] - t) ** 2) / len(x))

    assert_close(numerical_gradient(loss, run.params), registry.rules["bp"].step(run, x, t))


def test_the_gradient_check_sees_a_wrong_gradient() -> None:
    run = start("bp", "6-5-4-3", bias=True)
    x, t = batch(run, 7)
    gradients = registry.rules["bp"].step(run, x, t)
    gradients["dense_1"]["weight"][0, 0] += 1e-5
    with pytest.raises(AssertionError, match=r"dense_1\.weight"):
        assert_close(registry.rules["bp"].step(run, x, t), gradients)


@pytest.mark.parametrize("rule", ["pepita", "mempepita"])
def test_pepita_tends_to_afa_as_the_feedback_shrinks(rule: str) -> None:
    """To first order in F: the relative distance falls as F does, in the hidden layers and in the last one.

    F is so small that no ReLU changes sides between the passes: beyond that point the distance is a line through zero.
    """
    distances = []
    for scale in (1e-3, 1e-4, 1e-5):
        run = start(rule, "9-8-7-4", bias=True, feedback_scale=scale)
        x, t = batch(run, 12)
        pepita, afa = registry.rules[rule].step(run, x, t), registry.rules["afa"].step(run, x, t)
        pairs = [(pepita[layer]["weight"], afa[layer]["weight"]) for layer in afa]
        distances.append([float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs])
    for large, small in pairwise(distances):
        for a, b in zip(large, small, strict=True):
            assert b == pytest.approx(a / 10, rel=0.05)
    assert max(distances[-1]) < 1e-4


def test_afa_carries_the_error_from_the_input_up() -> None:
    run = start("afa", "9-8-7-4", bias=True, feedback_scale=0.3)
    x, t = batch(run, 12)
    gradients = registry.rules["afa"].step(run, x, t)
    h = forward(run.network, run.params, x)
    error = h["softmax"] - t
    delta, below = -error @ run.extra["F"].T, "input"
    for name in ("dense_1", "dense_2"):
        delta = (delta @ run.params[name]["weight"].T) * (h[name] > 0)
        assert np.allclose(gradients[name]["weight"], delta.T @ h[below] / 12, rtol=1e-12, atol=1e-15)
        assert np.allclose(gradients[name]["bias"], delta.mean(axis=0), rtol=1e-12, atol=1e-15)
        below = name
    assert np.allclose(gradients["dense_3"]["weight"], error.T @ h["dense_2"] / 12, rtol=1e-12, atol=0)


def test_fa_sends_each_layers_error_through_a_fixed_matrix() -> None:
    run = start("fa", "9-8-7-4", bias=True, feedback_scale=2.0)
    x, t = batch(run, 12)
    gradients = registry.rules["fa"].step(run, x, t)
    h = forward(run.network, run.params, x)
    delta = h["softmax"] - t
    for name, above, below in (("dense_3", "", "dense_2"), ("dense_2", "dense_3", "dense_1"), ("dense_1", "dense_2", "input")):
        if above:
            delta = (delta @ run.extra["B"][above]) * (h[name] > 0)
        assert np.allclose(gradients[name]["weight"], delta.T @ h[below] / 12, rtol=1e-12, atol=1e-15)
        assert np.allclose(gradients[name]["bias"], delta.mean(axis=0), rtol=1e-12, atol=1e-15)
    assert set(run.extra["B"]) == {"dense_2", "dense_3"}
    assert set(np.abs(run.extra["B"]["dense_2"]).ravel()) == {np.float32(2.0 * np.sqrt(2 / 8))}


def test_mempepita_is_pepita() -> None:
    runs = [start(rule, "9-8-7-4", bias=True, feedback_scale=0.3) for rule in ("pepita", "mempepita")]
    x, t = batch(runs[0], 12)
    a, b = (registry.rules[rule].step(run, x, t) for rule, run in zip(("pepita", "mempepita"), runs, strict=True))
    assert {layer: {name: v.tobytes() for name, v in values.items()} for layer, values in a.items()} == {
        layer: {name: v.tobytes() for name, v in values.items()} for layer, values in b.items()
    }


def test_pepita_shares_its_dropout_masks_between_the_passes() -> None:
    """With all feedback gone the passes are one, so hidden layers stand still, whatever was dropped."""
    for rule in ("pepita", "mempepita"):
        run = start(rule, "9-8-7-4", bias=True)
        run.settings = replace(run.settings, dropout=0.5)
        run.extra["F"] = np.zeros_like(run.extra["F"])
        x, t = batch(run, 12)
        gradients = registry.rules[rule].step(run, x, t)
        assert not any(gradients[layer.name][name].any() for layer in run.hidden for name in gradients[layer.name])
        assert gradients[run.last.name]["weight"].any()


def test_dfa_sends_the_error_through_its_own_matrices() -> None:
    run = start("dfa", "9-8-7-4", bias=True)
    x, t = batch(run, 12)
    gradients = registry.rules["dfa"].step(run, x, t)
    h = forward(run.network, run.params, x)
    error = h["softmax"] - t
    assert np.allclose(gradients["dense_3"]["weight"], error.T @ h["dense_2"] / 12, rtol=1e-12, atol=0)
    below = "input"
    for name in ("dense_1", "dense_2"):
        delta = (error @ run.extra["B"][name].T) * (h[name] > 0)
        assert np.allclose(gradients[name]["weight"], delta.T @ h[below] / 12, rtol=1e-12, atol=1e-15)
        assert np.allclose(gradients[name]["bias"], delta.mean(axis=0), rtol=1e-12, atol=1e-15)
        below = name


def labelled(run: Run, x: Array, labels: Array) -> dict[str, Array]:
    """Every layer's output with the labels written in."""
    h = {"input": x}
    for layer in run.network:
        below = h[layer.inputs[0]]
        h[layer.name] = (
            with_label(layer, below, labels) if layer.kind == "label" else kind(layer).forward(layer, run.params.get(layer.name, {}), below)
        )
    return h


def test_forward_forward_is_the_gradient_of_each_layers_own_loss() -> None:
    """n / 2 (softplus(theta - G+) + softplus(G- - theta)) in the layer's parameters alone, what lies below it held still."""
    run = start("ff", "9-8-7-4", bias=True)
    rng = np.random.default_rng(2)
    x, labels = rng.uniform(size=(6, 9)), rng.integers(0, 4, 6)
    key = step_key(stream_key(run.seed, "negative"), run.steps)
    other = (draws(key, np.arange(6)).astype(np.uint64) * np.uint64(3) >> np.uint64(32)).astype(np.int64)
    wrong = other + (other >= labels)
    assert (wrong != labels).all()
    gradients = registry.rules["ff"].step(run, x, np.eye(4)[labels])
    for layer in run.hidden:
        sides = [labelled(run, x, chosen) for chosen in (labels, wrong)]
        inputs = [side[layer.inputs[0]] for side in sides]

        def loss(layer: Any = layer, inputs: list[Array] = inputs) -> float:
            alone = Network("one", inputs[0].shape[1:], (replace(layer, inputs=("input",)),))
            up, down = (np.mean(forward(alone, run.params, side)[layer.name] ** 2, axis=1) for side in inputs)
            terms = np.logaddexp(0, run.settings.theta - up) + np.logaddexp(0, down - run.settings.theta)
            return float(layer.shape[0] / 2 * terms.mean())

        expected = numerical_gradient(loss, {layer.name: run.params[layer.name]})
        assert_close(expected, {layer.name: gradients[layer.name]})


def test_frozen_moves_the_last_layer_alone() -> None:
    run = start("frozen", "9-8-7-4", bias=True)
    x, t = batch(run, 12)
    gradients = registry.rules["frozen"].step(run, x, t)
    assert set(gradients) == {"dense_3"}
    bp = registry.rules["bp"].step(start("bp", "9-8-7-4", bias=True), x, t)
    assert np.allclose(gradients["dense_3"]["weight"], bp["dense_3"]["weight"], rtol=1e-12, atol=0)
