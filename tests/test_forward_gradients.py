"""Forward gradients in float64 against back-propagation, and their steps on a device; feedback alignment and AFA through convolutions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from test_exact_learning import assert_same, no_news
from test_forward_derivatives import graph
from test_rules_math import batch, start

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import plan
from edgeff.rules import Gradients, Run
from edgeff.verify import BOARDS
from edgeff.verify.executions import Emulated, Host, twin_learning

RULE = registry.rules["forward_gradient"]
BP = registry.rules["bp"]
EVERY = [(perturb, distribution) for perturb in ("activities", "weights") for distribution in ("signs", "normal")]


def flat(gradients: Gradients) -> Array:
    return np.concatenate([gradients[layer][name].reshape(-1) for layer in sorted(gradients) for name in sorted(gradients[layer])])


def on_graph(rule: str, **changes: Any) -> tuple[Run, Array, Array]:
    """A run of a rule on a network with a skip connection, pools and a depthwise convolution, and a batch."""
    network, params, x = graph()
    run = Run(network, params, replace(registry.rules[rule].settings, **changes), np.random.default_rng(0), seed=11)
    registry.rules[rule].start(run)
    return run, x, np.eye(3)[[0, 2, 1, 2]]


def estimates(run: Run, x: Array, t: Array, count: int) -> Array:
    """``count`` estimates, a step's directions each."""
    found = []
    for run.steps in range(count):
        found.append(flat(RULE.step(run, x, t)))
    return np.array(found)


def assert_unbiased(found: Array, expected: Array) -> None:
    """The mean is the gradient within its standard error: no entry is six of them off, and all together they look like chance."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    certain = error < 1e-12 * np.abs(expected).max()
    assert np.abs(found.mean(axis=0) - expected)[certain].max(initial=0.0) < 1e-12
    away = ((found.mean(axis=0) - expected) / np.where(certain, 1, error))[~certain]
    assert len(away) > 10
    assert np.abs(away).max() < 6
    assert np.sqrt(np.mean(away**2)) == pytest.approx(1.0, abs=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("tangents", [1, 3])
@pytest.mark.parametrize(("perturb", "distribution"), EVERY)
def test_the_mean_estimate_is_unbiased(perturb: str, distribution: str, tangents: int) -> None:
    run = start(RULE.name, "6-5-4-3", bias=True, perturb=perturb, distribution=distribution, tangents=tangents)
    x, t = batch(run, 7)
    assert_unbiased(estimates(run, x, t, 1500), flat(BP.step(run, x, t)))


@pytest.mark.parametrize("perturb", ["activities", "weights"])
def test_the_mean_estimate_is_unbiased_through_convolutions(perturb: str) -> None:
    run, x, t = on_graph(RULE.name, perturb=perturb)
    assert_unbiased(estimates(run, x, t, 400), flat(BP.step(run, x, t)))


def test_the_check_of_bias_sees_a_bias() -> None:
    run = start(RULE.name, "6-5-4-3", bias=True)
    x, t = batch(run, 7)
    with pytest.raises(AssertionError):
        assert_unbiased(1.1 * estimates(run, x, t, 1500), flat(BP.step(run, x, t)))


@pytest.mark.parametrize(("perturb", "distribution"), EVERY)
def test_as_many_orthogonal_directions_as_dimensions_give_the_gradient(perturb: str, distribution: str) -> None:
    """A square matrix of directions: the projection is the identity. Signs may depend on each other: eight more make it whole."""
    run = start(RULE.name, "6-5-4-3", bias=True, perturb=perturb, distribution=distribution, projection="orthogonal")
    x, t = batch(run, 7)
    dimensions = sum(v.size for vs in run.params.values() for v in vs.values()) if perturb == "weights" else 5 + 4
    run.settings = replace(run.settings, tangents=dimensions + (8 if distribution == "signs" else 0))
    expected = flat(BP.step(run, x, t))
    found = flat(RULE.step(run, x, t))
    assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()  # the condition number of a square matrix, squared


def test_the_orthogonal_estimate_has_the_slopes_of_the_gradient_and_no_more_length() -> None:
    run = start(RULE.name, "6-5-4-3", bias=True, perturb="weights", projection="orthogonal", tangents=9)
    x, t = batch(run, 7)
    expected = flat(BP.step(run, x, t))
    for found in estimates(run, x, t, 5):
        assert found @ expected == pytest.approx(found @ found, rel=1e-10)  # a projection: what is left over stands upright on it
        assert 0 < np.linalg.norm(found) < np.linalg.norm(expected)


def test_one_direction_of_signs_is_scaled_by_its_length() -> None:
    found = []
    for projection in ("mean", "orthogonal"):
        run = start(RULE.name, "6-5-4-3", bias=True, perturb="weights", projection=projection)
        found.append(flat(RULE.step(run, *batch(run, 7))))
    np.testing.assert_allclose(found[0], found[1] * len(found[0]), rtol=1e-12)


def test_directions_are_others_at_every_step_and_for_every_sample() -> None:
    run = start(RULE.name, "6-5-4-3", bias=False)
    x, t = batch(run, 1)
    pair, labels = np.concatenate([x, x]), np.concatenate([t, t])
    first, again = RULE.step(run, x, t), RULE.step(run, x, t)
    both = RULE.step(run, pair, labels)
    run.steps += 1
    later = RULE.step(run, x, t)
    assert np.array_equal(flat(first), flat(again))
    assert not np.array_equal(flat(first), flat(later))
    assert not np.allclose(flat(first), flat(both))


def test_a_network_without_hidden_layers_learns_as_by_back_propagation() -> None:
    run = start(RULE.name, "6-3", bias=True)
    x, t = batch(run, 7)
    np.testing.assert_array_equal(flat(RULE.step(run, x, t)), flat(BP.step(run, x, t)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tangents": 0}, r"^setting tangents: got 0; allowed: 1 or more$"),
        ({"projection": "frog"}, r"^setting projection: got 'frog'; allowed: mean, orthogonal$"),
        ({"perturb": "inputs"}, r"^setting perturb: got 'inputs'; allowed: activities, weights$"),
        ({"distribution": "uniform"}, r"^setting distribution: got 'uniform'; allowed: signs, normal$"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(RULE.settings, **changes)


# ---------------------------------------------------------------- on a device

DEVICE: list[dict[str, Any]] = [
    {"perturb": "weights", "lr": 1e-3},
    {"perturb": "weights", "lr": 1e-3, "tangents": 3},
    {"perturb": "activities", "tangents": 3},
]


def device(changes: dict[str, Any]) -> Deployment:
    network = initialised(structure("64-16-12-10", bias=True), 0)
    return deploy(network, digits().x_train, rule=RULE.name, numeric="float32", changes=changes, seed=3)


@pytest.mark.parametrize("changes", DEVICE)
def test_step_is_what_lower_says_of_every_setting(changes: dict[str, Any]) -> None:
    assert_step_is_lowered(device(changes), RULE, 10)


@pytest.mark.parametrize("changes", DEVICE)
def test_steps_of_every_setting_are_the_same_on_twin_host_and_core(changes: dict[str, Any]) -> None:
    program = device(changes).program
    x, labels = digits().x_train[:20].reshape(20, 64), digits().y_train[:20]
    twin = twin_learning(program, plan(program), x, labels, x[:5], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:5], no_news))
    for board in BOARDS:
        assert_same(twin, Emulated(program, load_board(board)).learning(x, labels, x[:5], no_news))


def test_a_direction_for_the_weights_needs_no_more_than_inference_and_a_tangent() -> None:
    """However deep the network: the widest layer's input, output and their tangents, the errors and a slope."""
    network = initialised(structure("-".join(["64", *["32"] * 8, "10"])), 0)
    found = {}
    for rule, changes in ((RULE.name, {"perturb": "weights"}), ("bp", {})):
        memory = cost(deploy(network, rule=rule, numeric="float32", changes=changes).program).memory
        found[rule] = memory.arena_bytes - memory.persistent_bytes
    assert found[RULE.name] <= 4 * (64 + 32 + 2 * 32 + 10 + 1)
    assert found["bp"] > 2 * found[RULE.name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"distribution": "normal"},
            r"^forward gradients on a device: got normal directions, their mean combination; allowed: signs, mean; ",
        ),
        ({"projection": "orthogonal"}, r"^forward gradients on a device: got signs directions, their orthogonal combination; allowed: "),
    ],
)
def test_what_a_device_cannot_draw_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        device(changes)


# ---------------------------------------------------------------- feedback through convolutions


def test_pepita_tends_to_afa_through_convolutions_and_pools() -> None:
    distances = []
    for scale in (1e-3, 1e-4, 1e-5):
        run, x, t = on_graph("pepita", feedback_scale=scale, dropout=0.0)
        pepita, afa = registry.rules["pepita"].step(run, x, t), registry.rules["afa"].step(run, x, t)
        weights = [(pepita[layer]["weight"], afa[layer]["weight"]) for layer in afa]
        distances.append([float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in weights])
    for large, small in pairwise(distances):
        for a, b in zip(large, small, strict=True):
            assert b == pytest.approx(a / 10, rel=0.05)


def test_feedback_alignment_with_the_networks_own_weights_is_back_propagation() -> None:
    run, x, t = on_graph("fa")
    other = registry.rules["fa"].step(run, x, t)
    assert {layer: matrix.shape for layer, matrix in run.extra["B"].items()} == {
        layer: run.params[layer]["weight"].shape for layer in ("inner", "depthwise", "grouped", "dense")
    }
    run.extra["B"] = {layer: run.params[layer]["weight"] for layer in run.extra["B"]}
    found, expected = registry.rules["fa"].step(run, x, t), BP.step(run, x, t)
    assert flat(found).tobytes() == flat(expected).tobytes()
    assert not np.allclose(other["conv"]["weight"], expected["conv"]["weight"], rtol=0.1)
    assert other["dense"]["weight"].tobytes() == expected["dense"]["weight"].tobytes()
