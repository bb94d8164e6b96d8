"""Host training: reproducible, refused when it diverges, and better than its controls."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from small_networks import samples, small

from edgeff import registry
from edgeff.errors import BadInput, Diverged
from edgeff.networks import initialised, normalised, structure
from edgeff.networks._stack import Stack
from edgeff.ops import forward, kind, parameters
from edgeff.ops.add import Add
from edgeff.tasks import Data
from edgeff.train.loop import Trained, accuracy, fit, train

NETWORK = "64-32-10"
EPOCHS = 12


@cache
def digits() -> Data:
    return registry.tasks["digits"].load(0)


@cache
def trained(rule: str, *, shuffled: bool = False) -> float:
    """The test accuracy after twelve epochs from seed 0; ``shuffled`` gives the training samples each other's labels."""
    data = digits()
    if shuffled:
        data = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    settings = replace(registry.rules[rule].settings, epochs=EPOCHS, decay_epochs=())
    return accuracy(train(data, structure(NETWORK), rule, settings, seed=0).scores(data.x_test), data.y_test)


def test_the_frozen_control_learns_its_last_layer_alone() -> None:
    data = digits()
    settings = replace(registry.rules["frozen"].settings, epochs=2)
    network = initialised(structure(NETWORK), 5)
    after = train(data, structure(NETWORK), "frozen", settings, seed=5).network
    assert (after["dense_1"].params["weight"] == network["dense_1"].params["weight"]).all()
    assert (after["dense_2"].params["weight"] != network["dense_2"].params["weight"]).any()
    assert trained("frozen", shuffled=True) <= 0.2
    assert 0.5 <= trained("frozen") < trained("bp")


def quick(rule: str, seed: int = 0, **changes: object) -> Trained:
    settings = replace(registry.rules[rule].settings, **({"epochs": 2} | changes))
    return train(digits(), structure("64-8-10", bias=True), rule, settings, seed, task="digits")


def test_the_seed_of_fit_is_0_unless_another_is_given() -> None:
    network, targets = initialised(structure("64-8-10"), 0), np.eye(10, dtype=np.float32)[digits().y_train]
    settings = replace(registry.rules["bp"].settings, epochs=1)
    unsaid, zero = (fit(network, "bp", digits().x_train, targets, settings), fit(network, "bp", digits().x_train, targets, settings, 0))
    assert unsaid.history == zero.history


def test_the_network_says_how_it_came_about() -> None:
    found = quick("pepita", seed=3)
    metadata = found.network.metadata
    assert (metadata["task"], metadata["rule"], metadata["seed"]) == ("digits", "pepita", 3)
    assert metadata["settings"]["epochs"] == 2
    assert metadata["classes"] == list("0123456789")
    assert len(found.history) == 2


def test_progress_is_told_after_each_epoch() -> None:
    told: list[tuple[int, int]] = []
    settings = replace(registry.rules["frozen"].settings, epochs=3)
    train(digits(), structure("64-8-10"), "frozen", settings, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_run_that_diverges_names_the_cause() -> None:
    with pytest.raises(Diverged) as caught:
        quick("pepita", lr=10.0, feedback_scale=0.5, epochs=5)
    line = str(caught.value)
    assert line.startswith("training with pepita diverged in epoch ")
    assert "got largest weight " in line
    assert line.endswith(registry.rules["pepita"].divergence_hint)
    assert "feedback_scale x lr is too large" in line


def test_weights_of_zero_may_grow() -> None:
    network = small()
    for layer in network.trainable:
        layer.params["weight"][:] = 0.0
    targets = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    after = fit(network, "frozen", samples(8), targets, replace(registry.rules["frozen"].settings, epochs=2))
    assert np.isfinite(after.network["dense_2"].params["weight"]).all()


def test_the_trained_network_is_a_copy() -> None:
    network = small()
    before = network["dense_2"].params["weight"].copy()
    targets = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    after = fit(network, "bp", samples(8), targets, replace(registry.rules["bp"].settings, epochs=1))
    assert (network["dense_2"].params["weight"] == before).all()
    assert (after.network["dense_2"].params["weight"] != before).any()


@pytest.mark.parametrize(("name", "line"), [("63-8-10", "network input: got (63,)"), ("64-8-9", "network output: got (9,)")])
def test_a_network_that_does_not_fit_the_task_is_refused(name: str, line: str) -> None:
    with pytest.raises(BadInput) as caught:
        train(digits(), structure(name), "bp")
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lr": "fast"}, "setting lr: got 'fast'"),
        ({"lr": "nan"}, "setting lr: got 'nan'"),
        ({"lr": "-1"}, "setting lr: got -1.0; allowed: 0 to 1000"),
        ({"epochs": "-1"}, "setting epochs: got -1; allowed: 0 or more"),
        ({"epochs": "1.5"}, "setting epochs: got '1.5'"),
        ({"decay_epochs": "3,x"}, "setting decay_epochs: got '3,x'"),
        ({"rate": "1"}, "unknown setting: got 'rate'; allowed: lr, "),
        ({"feedback": "none"}, "setting feedback: got 'none'; allowed: generated, stored"),
        ({"feedback_scale": "0"}, "setting feedback_scale: got 0.0"),
    ],
)
def test_settings_from_text_are_checked(changes: dict[str, str], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        registry.rules["pepita"].settings.changed(changes)
    assert str(caught.value).startswith(line)


def test_settings_from_text_keep_their_types() -> None:
    found = registry.rules["pepita"].settings.changed({"lr": "0.5", "epochs": "7", "decay_epochs": "3,5", "feedback": "stored"})
    assert (found.lr, found.epochs, found.decay_epochs, found.feedback) == (0.5, 7, (3, 5), "stored")


def test_first_weights_give_each_channel_mean_0_and_variance_1() -> None:
    """Of a separable network with a skip connection; the dense head, and what a dense network has, are as they were drawn."""
    stack = Stack((8, 8, 2))
    stem = stack.conv("stem", 6, (3, 3), norm=False)
    stack.depthwise("depthwise", (3, 3), (1, 1))
    main = stack.conv("pointwise", 6, (1, 1), activation="none")
    stack.add("sum", Add(activation="relu"), (stem, main))
    stack.flatten()
    stack.dense("dense", 3)
    network = initialised(stack.network("mixed"), 0)
    x = np.random.default_rng(1).standard_normal((50, 8, 8, 2)).astype(np.float32)
    made = normalised(network, x)
    values = forward(made, parameters(made), x)
    for name in ("stem", "depthwise", "pointwise"):
        layer = made[name]
        plain = replace(layer, op=kind(layer).replacing(activation="none"))
        channels = kind(plain).forward(plain, layer.params, values[layer.inputs[0]]).reshape(-1, 6)
        np.testing.assert_allclose(channels.mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(channels.var(axis=0), 1, atol=2e-2)
    np.testing.assert_array_equal(made["dense"].params["weight"], network["dense"].params["weight"])


def test_no_epochs_write_first_weights() -> None:
    data = registry.tasks["digits"].load(0)
    settings = replace(registry.rules["bp"].settings, epochs=0)
    trained = train(data, structure("64-8-10"), "bp", settings, 3, task="digits")
    assert not trained.history
    assert not trained.doubts
    fresh = initialised(structure("64-8-10"), 3)
    np.testing.assert_array_equal(trained.network["dense_1"].params["weight"], fresh["dense_1"].params["weight"])
