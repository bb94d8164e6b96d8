"""PEPITA's variants: each against its equation in a few lines of NumPy, in float64, on a network with biases where not said otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_rules_math import batch, start

from edgeff import registry
from edgeff.contracts.rules import EPOCHS, over_seeds
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops import parameters
from edgeff.ops.softmax import Softmax
from edgeff.rules import Run
from edgeff.rules.pepita import EPS, PepitaSettings
from edgeff.train.loop import accuracy, train
from edgeff.train.optimisers import OPTIMISERS

PEPITA = registry.rules["pepita"]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "minus": {"modulation": "minus"},
    "first error": {"output_pass": 1},
    "hebbian": {"hebbian": True},
    "hebbian, minus": {"hebbian": True, "modulation": "minus"},
    "normalised": {"normalise": True},
    "normalised, hebbian": {"normalise": True, "hebbian": True},
    "uniform": {"distribution": "uniform", "feedback": "stored"},
    "stored": {"feedback": "stored"},
}
TIME_LOCAL: dict[str, dict[str, Any]] = {
    "time-local": {"time_local": True},
    "time-local, minus": {"time_local": True, "modulation": "minus"},
    "time-local, normalised": {"time_local": True, "normalise": True},
}


def softmax(z: Array) -> Array:
    made = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(made / made.sum(axis=1, keepdims=True))


def layers_of(weights: list[Array], x: Array, *, normalise: bool = False) -> list[Array]:
    """h_0 .. h_{L-1} and o of a dense network without biases."""
    h = [x]
    for weight in weights[:-1]:
        h.append(np.maximum(h[-1] @ weight.T, 0))
        if normalise:
            h[-1] = h[-1] / (np.linalg.norm(h[-1], axis=1, keepdims=True) / np.sqrt(h[-1].shape[1]) + EPS)
    return [*h, softmax(h[-1] @ weights[-1].T)]


def outer(a: Array, b: Array) -> Array:
    return np.asarray(a.T @ b / len(a))


def by_equation(weights: list[Array], f: Array, x: Array, t: Array, lr: float, **v: Any) -> list[Array]:
    """The directions of all layers as the papers write them, for x + s F e with s = +-1."""
    s = -1.0 if v.get("modulation") == "minus" else 1.0
    normalise = bool(v.get("normalise"))
    h = layers_of(weights, x, normalise=normalise)
    e = h[-1] - t
    first = [s * outer(h[i + 1], h[i]) for i in range(len(weights) - 1)] + [outer(h[-1], h[-2])]
    second = [w - lr * g for w, g in zip(weights, first, strict=True)] if v.get("time_local") else weights
    m = layers_of(second, x + s * e @ f.T, normalise=normalise)
    if v.get("time_local") or v.get("hebbian"):
        return [first[i] - s * outer(m[i + 1], m[i]) for i in range(len(weights) - 1)] + [first[-1] - outer(t, m[-2])]
    last = outer(e if v.get("output_pass") == 1 else m[-1] - t, m[-2])
    return [s * outer(h[i + 1] - m[i + 1], m[i]) for i in range(len(weights) - 1)] + [last]


@pytest.mark.parametrize("changes", (VARIANTS | TIME_LOCAL).values(), ids=VARIANTS | TIME_LOCAL)
def test_a_variant_is_its_equation(changes: dict[str, Any]) -> None:
    run = start("pepita", "9-8-7-4", bias=False, feedback_scale=0.8, **changes)
    run.lr = 0.3
    x, t = batch(run, 12)
    weights = [run.params[layer.name]["weight"] for layer in run.network.trainable]
    expected = by_equation(weights, run.extra["F"].astype(np.float64), x, t, run.lr, **changes)
    plain = by_equation(weights, run.extra["F"].astype(np.float64), x, t, run.lr)
    found = PEPITA.step(run, x, t)
    for index, layer in enumerate(run.network.trainable):
        np.testing.assert_allclose(found[layer.name]["weight"], expected[index], rtol=0, atol=1e-12)
    if changes and "feedback" not in changes:
        assert max(float(np.abs(a - b).max()) for a, b in zip(expected, plain, strict=True)) > 1e-2


def test_plus_and_minus_are_adaptive_feedback_alignment_to_first_order() -> None:
    """x + F e and x - F e descend alike: both tend to AFA as F shrinks. The Hebbian form has ``h_l (h_{l-1} - h'_{l-1})`` besides."""
    for changes in ({"modulation": "plus"}, {"modulation": "minus"}, {"hebbian": True}):
        distances = []
        for scale in (1e-4, 1e-5):
            run = start("pepita", "9-8-7-4", bias=False, feedback_scale=scale, **changes)
            x, t = batch(run, 12)
            found, expected = PEPITA.step(run, x, t), registry.rules["afa"].step(run, x, t)
            if changes.get("hebbian"):
                weights = [run.params[layer.name]["weight"] for layer in run.network.trainable]
                h = layers_of(weights, x)
                m = layers_of(weights, x + (h[-1] - t) @ run.extra["F"].T)
                for index, layer in enumerate(run.hidden):
                    expected[layer.name]["weight"] += outer(h[index + 1], h[index] - m[index])
            distances.append(
                max(float(np.linalg.norm(found[n]["weight"] - g["weight"]) / np.linalg.norm(g["weight"])) for n, g in expected.items())
            )
        assert distances[1] == pytest.approx(distances[0] / 10, rel=0.05)
        assert distances[1] < 1e-4


def test_time_local_is_hebbian_as_the_rate_shrinks() -> None:
    distances = []
    for lr in (1e-4, 1e-5):
        run = start("pepita", "9-8-7-4", bias=True, feedback_scale=0.8, time_local=True)
        run.lr = lr
        x, t = batch(run, 12)
        found = PEPITA.step(run, x, t)
        hebbian = PEPITA.step(start("pepita", "9-8-7-4", bias=True, feedback_scale=0.8, hebbian=True), x, t)
        distances.append(max(float(np.abs(found[n][p] - g).max()) for n, values in hebbian.items() for p, g in values.items()))
    assert distances[1] == pytest.approx(distances[0] / 10, rel=0.05)


def test_the_biases_follow_their_layers_delta() -> None:
    for changes in ({}, {"hebbian": True}, {"modulation": "minus"}):
        run = start("pepita", "9-8-7-4", bias=True, feedback_scale=0.8, **changes)
        x, t = batch(run, 12)
        found = PEPITA.step(run, x, t)
        h = PEPITA._pass(run.network, run.params, x, {})
        m = PEPITA._pass(run.network, run.params, PEPITA._modulated(run, x, h["softmax"] - t), {})
        sign = run.settings.sign
        np.testing.assert_allclose(found["dense_1"]["bias"], sign * (h["dense_1"] - m["dense_1"]).mean(axis=0), atol=1e-14)
        o = h["softmax"] if changes.get("hebbian") else m["softmax"]
        np.testing.assert_allclose(found["dense_3"]["bias"], (o - t).mean(axis=0), atol=1e-14)


def test_weight_decay_adds_the_weights_to_the_direction() -> None:
    for rule in ("pepita", "mempepita"):
        run = start(rule, "9-8-7-4", bias=False, weight_decay=0.01, momentum=0.0)
        x, t = batch(run, 12)
        before = {name: values["weight"].copy() for name, values in run.params.items()}
        direction = registry.rules[rule].step(run, x, t)
        OPTIMISERS["sgd"](run).apply(direction, 0.5)
        for name, weight in before.items():
            expected = weight - 0.5 * (direction[name]["weight"] + 0.01 * weight)
            np.testing.assert_allclose(run.params[name]["weight"], expected, rtol=1e-12)


def conv_network() -> Network:
    stack = Stack((8, 7, 2))
    stack.conv("conv", 3, (3, 3), norm=False)
    stack.max_pool("pool", (2, 2))
    stack.flatten()
    stack.dense("dense", 4)
    stack.add("softmax", Softmax())
    return stack.network("conv")


def conv_run(rule: str, **changes: Any) -> Run:
    settings = replace(PEPITA.settings, **({"dropout": 0.3, "feedback_scale": 0.5} | changes))
    network = PEPITA.prepare(initialised(conv_network(), 1), settings, 0)
    run = Run(network, parameters(network, np.float32), settings, np.random.default_rng(3), seed=4, lr=0.1)
    registry.rules[rule].start(run)
    return run


@pytest.mark.parametrize("changes", [{}, {"modulation": "minus"}, {"hebbian": True}])
@pytest.mark.parametrize("rule", ["pepita", "mempepita"])
def test_hidden_steps_grow_as_the_published_f_shrinks(rule: str, changes: dict[str, Any]) -> None:
    """112 inputs against 28: F's deviation is half of what it would be, and hidden layers go twice as far as published."""
    published, longer = (conv_run(rule, dropout=0.0, hidden_inputs=n, **changes) for n in (0, 28))
    x, t = (part.astype(np.float32) for part in batch(published, 5))
    plain, doubled = (registry.rules[rule].step(run, x, t) for run in (published, longer))
    *hidden, last = [layer.name for layer in published.network.trainable]
    for layer in hidden:
        np.testing.assert_allclose(doubled[layer]["weight"], 2 * plain[layer]["weight"], rtol=1e-3, atol=1e-4)  # float32
    np.testing.assert_allclose(doubled[last]["weight"], plain[last]["weight"], rtol=1e-3, atol=1e-5)


def test_a_convolutions_update_is_a_sum_over_positions_and_a_mean_over_the_batch() -> None:
    """Explicitly, patch by patch: the batch divides once."""
    run = conv_run("pepita", dropout=0.0, hidden_inputs=0)
    x, t = batch(run, 5)
    x, t = x.astype(np.float32), t.astype(np.float32)
    h = PEPITA._pass(run.network, run.params, x, {})
    modulated = PEPITA._modulated(run, x, h["softmax"] - t)
    difference = h["conv"] - PEPITA._pass(run.network, run.params, modulated, {})["conv"]
    padded = np.pad(modulated, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((3, 3, 3, 2))
    for row in range(8):
        for column in range(7):
            expected += np.einsum("no,nhwc->ohwc", difference[:, row, column], padded[:, row : row + 3, column : column + 3])
    expected /= 5
    found = PEPITA.step(run, x, t)["conv"]["weight"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())  # float32 sums of 280 terms


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("kind_of_network", ["dense", "convolutional"])
def test_mempepita_is_pepita_to_the_bit_in_every_variant(kind_of_network: str, changes: dict[str, Any]) -> None:
    found = []
    for rule in ("pepita", "mempepita"):
        if kind_of_network == "convolutional":
            run = conv_run(rule, **changes)
        else:
            run = start(rule, "9-8-7-4", bias=True, feedback_scale=0.5, **changes)
            run.settings = replace(run.settings, dropout=0.3)
        x, t = batch(run, 12)
        step = registry.rules[rule].step(run, x.astype(np.float32), t.astype(np.float32))
        found.append({layer: {name: g.tobytes() for name, g in values.items()} for layer, values in sorted(step.items())})
    assert found[0] == found[1]


def mirrored(rule: str = "pepita", **changes: Any) -> Run:
    settings = replace(PEPITA.settings, mirror_every=2, dropout=0.0, **changes)
    network = initialised(structure("30-20-10"), 0)
    run = Run(network, parameters(network), settings, np.random.default_rng(0), seed=1)
    registry.rules[rule].start(run)
    return run


def test_mempepita_is_pepita_to_the_bit_with_mirrors() -> None:
    found = []
    for rule in ("pepita", "mempepita"):
        run = mirrored(rule)
        x, t = (part.astype(np.float32) for part in batch(run, 40))
        registry.rules[rule].begin_epoch(run, x, t)
        step = registry.rules[rule].step(run, x, t)
        found.append([step[layer.name]["weight"].tobytes() for layer in run.network.trainable])
    assert found[0] == found[1]


def test_mirrors_learn_from_noise_as_the_equation_says() -> None:
    run = mirrored(mirror_lr=0.2, mirror_decay=0.01, batch=8)
    mirror, rng = run.extra["mirror"], copy_of(run.rng)
    before = [matrix.astype(np.float64) for matrix in mirror.matrices]
    mirror.epoch(run.params, 1)
    made = []
    for matrix, layer in zip(before, run.network.trainable, strict=True):
        noise = 0.1 * rng.standard_normal((8, len(matrix)), np.float32).astype(np.float64)
        noise -= noise.mean()
        seen = noise @ run.params[layer.name]["weight"].T
        made.append(0.99 * matrix + 0.2 * noise.T @ (np.maximum(seen, 0) if layer is not run.last else seen) / 8)
    product = -(made[0] @ made[1])
    expected = product / product.std() * run.settings.feedback_scale * np.sqrt(2 / 30)
    np.testing.assert_allclose(mirror.feedback(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def copy_of(rng: np.random.Generator) -> np.random.Generator:
    made = np.random.default_rng()
    made.bit_generator.state = rng.bit_generator.state
    return made


def test_mirrors_turn_to_the_transposed_weights_and_the_update_to_the_gradient() -> None:
    """Cosines: of each mirror with W^T, and of PEPITA's hidden update with back-propagation's; the control is the random F at the start."""
    run = mirrored(mirror_lr=1.0, mirror_decay=0.01, mirror_first=1)
    x, t = (part.astype(np.float32) for part in batch(run, 64))

    def cosine(a: Array, b: Array) -> float:
        return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))

    def agreement() -> float:
        bp = registry.rules["bp"].step(run, x, t)["dense_1"]["weight"]
        return cosine(PEPITA.step(run, x, t)["dense_1"]["weight"], bp)

    assert abs(agreement()) < 0.35
    start_of_epoch = np.zeros((2000 * run.settings.batch, 1))
    PEPITA.begin_epoch(run, start_of_epoch, start_of_epoch)
    mirror = run.extra["mirror"]
    for matrix, layer in zip(mirror.matrices, run.network.trainable, strict=True):
        assert cosine(matrix, run.params[layer.name]["weight"].T) > 0.9
    assert run.extra["F"].std() == pytest.approx(run.settings.feedback_scale * np.sqrt(2 / 30), rel=1e-5)
    assert agreement() > 0.5


def test_mirroring_comes_first_and_then_every_few_epochs() -> None:
    mirror = mirrored(mirror_first=3).extra["mirror"]
    assert [mirror.due(epoch) for epoch in range(5)] == [3, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"modulation": "times"}, "setting modulation: got 'times'; allowed: plus, minus"),
        ({"output_pass": "3"}, "setting output_pass: got 3; allowed: 1, 2"),
        ({"hebbian": "true", "time_local": "true"}, "settings of PEPITA: got hebbian and time_local"),
        ({"hebbian": "true", "output_pass": "1"}, "settings of PEPITA: got output_pass=1 in a Hebbian form"),
        ({"time_local": "true", "optimiser": "adam"}, "settings of PEPITA: got time_local with adam"),
        ({"distribution": "uniform"}, "settings of PEPITA: got a generated uniform F"),
        (
            {"distribution": "uniform", "feedback": "stored", "mirror_every": "1"},
            "settings of PEPITA: got a uniform F and weight mirroring",
        ),
        ({"mirror_every": "-1"}, "setting mirror_every: got -1; allowed: 0 to "),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, str], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        PepitaSettings().changed(changes)
    assert str(caught.value).startswith(line)


def test_what_a_rule_cannot_do_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"time_local with mempepita: got no clean activation to recompute; allowed: pepita"):
        start("mempepita", "9-8-4", bias=False, time_local=True)
    with pytest.raises(Unsupported, match=r"weight mirroring: got layers that are not a chain of dense layers"):
        conv_run("pepita", mirror_every=1)


def test_the_uniform_feedback_has_the_papers_deviation() -> None:
    settings = PepitaSettings(distribution="uniform", feedback="stored", feedback_scale=0.05)
    f = settings.matrix(784, 10, 3) * settings.entry(784)
    assert np.abs(f).max() <= 0.05 * np.sqrt(6 / 784)
    assert f.std() == pytest.approx(0.05 * np.sqrt(2 / 784), rel=0.02)
    assert abs(f.mean()) < 0.02 * f.std() * 2


LEARNERS: dict[str, dict[str, Any]] = {
    "minus": {"modulation": "minus"},
    "first error": {"output_pass": 1},
    "hebbian": {"hebbian": True},
    "mirrored": {"mirror_every": 1},
    "normalised": {"normalise": True},
    "time-local": {"time_local": True, "lr": 0.01, "feedback_scale": 0.2},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", LEARNERS.values(), ids=LEARNERS)
def test_a_variant_beats_frozen_hidden_layers_and_needs_the_labels(changes: dict[str, Any]) -> None:
    settings, found = replace(PEPITA.settings, epochs=EPOCHS, **changes), []
    for seed in range(2):
        data = registry.tasks["digits"].load(seed)
        found.append(accuracy(train(data, structure("64-32-10"), "pepita", settings, seed=seed).scores(data.x_test), data.y_test))
    assert sum(found) / 2 > over_seeds("frozen") + 0.03
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    blind = train(shuffled, structure("64-32-10"), "pepita", replace(settings, epochs=8), seed=1)
    assert accuracy(blind.scores(data.x_test), data.y_test) < 0.3
