"""Physical local learning: the gradient of the cosine loss, maps that have no derivative, learning beside its control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from test_rules_math import assert_close, labelled, numerical_gradient, start

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.networks import initialised, structure
from edgeff.ops import forward, kind, parameters
from edgeff.ops.physical import MAPS, Physical, find_map
from edgeff.program.lower import lower
from edgeff.rules import Run
from edgeff.train.loop import accuracy, train

RULE = registry.rules["phyll"]
HERE = __name__


def camera(x: Array, outputs: int, seed: int) -> Array:
    """A speckle seen by a camera of four bits: a staircase, whose derivative is 0 wherever there is one."""
    return np.minimum(np.floor(4.0 * MAPS["speckle"](x, outputs, seed)), 15.0)


def short(x: Array, outputs: int, _seed: int) -> Array:
    """One output too few."""
    return np.zeros((len(x), outputs - 1))


def broken(x: Array, outputs: int, _seed: int) -> Array:
    """No numbers."""
    return np.full((len(x), outputs), np.nan)


@pytest.mark.parametrize("name", [*MAPS, f"{HERE}:camera"])
def test_a_direction_is_the_gradient_of_the_cosine_loss(name: str) -> None:
    """``log(1 + exp(theta cos(h+, h-)))`` in each layer's parameters alone, what its map puts out held still."""
    run = start("phyll", "9-8-7-4", bias=True, map=name, theta=3.0)
    rng = np.random.default_rng(2)
    x, labels = rng.uniform(size=(6, 9)), rng.integers(0, 4, 6)
    key = step_key(stream_key(run.seed, "negative"), run.steps)
    other = (draws(key, np.arange(6)).astype(np.uint64) * np.uint64(3) >> np.uint64(32)).astype(np.int64)
    wrong = other + (other >= labels)
    gradients = RULE.step(run, x, np.eye(4)[labels])
    assert set(gradients) == {"dense_1", "dense_2"}
    sides = [labelled(run, x, chosen) for chosen in (labels, wrong)]
    for layer in run.hidden:
        inputs = [side[layer.inputs[0]] for side in sides]

        def loss(layer: Layer = layer, inputs: list[Array] = inputs) -> float:
            up, down = (kind(layer).forward(layer, run.params[layer.name], side) for side in inputs)
            cosine = np.sum(up * down, axis=1) / np.linalg.norm(up, axis=1) / np.linalg.norm(down, axis=1)
            return float(np.mean(np.logaddexp(0, 3.0 * cosine)))

        assert_close(numerical_gradient(loss, {layer.name: run.params[layer.name]}), {layer.name: gradients[layer.name]})


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_fixed_and_nonlinear(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    y = MAPS[name](x, 20, 3)
    assert y.shape == (5, 20)
    assert np.isfinite(y).all()
    assert y.tobytes() == MAPS[name](x, 20, 3).tobytes()
    assert not np.allclose(y, MAPS[name](x, 20, 4), atol=0.1)
    assert not np.allclose(MAPS[name](2 * x, 20, 3), 2 * y, atol=0.1)
    assert np.abs(MAPS[name](np.full((1, 12), 1e3, np.float32), 20, 3)).max() < np.inf


def learned(seed: int = 0, shuffled: bool = False, **changes: Any) -> float:
    """The test accuracy of 64-32-10 on digits."""
    data = registry.tasks["digits"].load(seed)
    if shuffled:
        data = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    settings = replace(RULE.settings, epochs=15, decay_epochs=(10,), **changes)
    return accuracy(train(data, structure("64-32-10"), "phyll", settings, seed=seed).scores(data.x_test), data.y_test)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["speckle", f"{HERE}:camera"])
def test_it_beats_a_read_out_of_untrained_layers_and_calls_no_derivative(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same maps, the linear layers as they were drawn, the head fitted to the last of them."""

    def refused(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("a derivative of a physical map")

    for method in ("input_gradients", "gate", "jvp", "backward", "weight_gradient"):
        monkeypatch.setattr(Physical, method, refused)
    control = learned(map=name, lr=0.0, predict="head")
    assert control > 0.6
    assert learned(map=name) > control + 0.03


def test_shuffled_labels_teach_nothing() -> None:
    assert learned(shuffled=True) < 0.2


def test_the_head_predicts_in_one_pass() -> None:
    assert learned(predict="head") > 0.8


def test_a_probe_scores_the_label_that_is_least_like_the_others() -> None:
    run = start("phyll", "9-8-7-4", bias=True)
    x = np.random.default_rng(1).uniform(size=(3, 9))
    expected = np.zeros((3, 4))
    for layer in ("dense_1", "dense_2"):
        h = np.stack([labelled(run, x, np.full(3, label))[layer] for label in range(4)], axis=1)
        u = h / np.linalg.norm(h, axis=2, keepdims=True)
        cosines = np.einsum("bin,bjn->bij", u, u)
        expected -= cosines.sum(axis=2) - 1.0
    assert np.allclose(RULE.scores(run, x), expected, rtol=0, atol=1e-6)  # SMALL in the length


def physical(name: str) -> Network:
    return Network("n", (4,), (Layer("p", Physical(map=name, seed=1), ("input",), (5,)),))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("prism", r"^physical map: got 'prism'; allowed: cavity, oscillators, speckle, or module:function$"),
        ("nowhere:prism", r"^physical map: got 'nowhere:prism' \(No module named 'nowhere'\); allowed: cavity"),
        ("math:prism", r"^physical map: got 'math:prism' \(module 'math' has no attribute 'prism'\)"),
        ("math:pi", r"^physical map: got 'math:pi', which is not a function"),
        (f"{HERE}:short", r"^physical map '.*:short': got outputs of shape \(2, 4\); allowed: \(2, 5\)$"),
        (f"{HERE}:broken", r"^physical map '.*:broken': got outputs that are NaN or infinite; allowed: finite numbers$"),
    ],
)
def test_a_bad_map_is_named(name: str, line: str) -> None:
    with pytest.raises(BadInput, match=line):
        forward(physical(name), {}, np.ones((2, 4)))


def test_a_users_map_is_found_by_its_path() -> None:
    assert find_map(f"{HERE}:camera").__doc__ == camera.__doc__


def test_a_physical_layer_stays_on_the_host() -> None:
    network = physical("speckle")
    with pytest.raises(Unsupported, match=r"^layer 'p': got a physical map; allowed: layers that a device can compute$"):
        lower(network)
    with pytest.raises(Unsupported, match=r"^layer 'p': got a gradient through a physical map; allowed: forward runs; use rule phyll$"):
        kind(network["p"]).input_gradients(network["p"], {}, np.ones((2, 5)), np.ones((2, 4)))
    for export in (to_onnx, to_tflite):
        with pytest.raises(Unsupported, match=r"^layer 'p': got kind 'physical'; allowed: in \w+ files abs, .*; it is a black box"):
            export(network)
    with pytest.raises(Unsupported, match=r"^rule phyll on a device in int8: got the physical map is a black box on the host"):
        RULE.check_device("int8")


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (lambda: structure("9-4"), r"^rule phyll: got a network without a hidden layer"),
        (lambda: structure("cnn_small"), r"^rule phyll: got layers of kind conv2d, max_pool2d; allowed: dense"),
        (lambda: structure("9-4-9", softmax=False), r"^rule phyll: got a network that reproduces its input; allowed: a classifier"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network: Any, line: str) -> None:
    with pytest.raises(Unsupported, match=line):
        RULE.prepare(initialised(network(), 0), RULE.settings, 0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"map": "prism"}, r"^physical map: got 'prism'"),
        ({"predict": "vote"}, r"^setting predict: got 'vote'; allowed: probe, head$"),
        ({"expansion": "0"}, r"^setting expansion: got 0; allowed: 1 to 1000$"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, str], line: str) -> None:
    with pytest.raises(BadInput, match=line):
        RULE.settings.changed(changes)


def test_the_width_of_a_map_is_its_expansion() -> None:
    made = RULE.prepare(initialised(structure("9-8-4"), 0), replace(RULE.settings, expansion=3), 0)
    assert made["physical_1"].shape == (39,)
    assert made["dense_1"].params["weight"].shape == (8, 39)
    run = Run(made, parameters(made), RULE.settings, np.random.default_rng(0))
    assert RULE.step(run, np.ones((2, 9), np.float32), np.eye(4, dtype=np.float32)[:2])["dense_1"]["weight"].dtype == np.float32


def test_the_command_line_refuses_before_it_trains(cli: CommandLine, folder: Path) -> None:
    ended = cli("train", "digits", "--network", "64-8-10", "--rule", "phyll", "--epochs", "100000", "-o", "m.onnx")
    assert ended.status == 2
    assert ended.err.strip().startswith("error: layer 'physical_1': got kind 'physical'; allowed: in ONNX files abs, add, ")
    assert not list(folder.iterdir())
