"""Forward-Forward beyond the contract: convolutions, the options of its settings, and what it refuses."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from small_networks import deployed, samples, small
from test_conv_learning import executions, sequence
from test_rules_math import assert_close, numerical_gradient

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats import load
from edgeff.formats.onnx.writer import write_onnx
from edgeff.formats.tflite.reader import from_tflite
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network, Numeric
from edgeff.kernels.arithmetic import step_key, stream_key
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops import forward, kind, parameters
from edgeff.ops.label import with_label
from edgeff.ops.softmax import Softmax
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import quantize
from edgeff.rules import Run
from edgeff.rules._goodness import PEER_KEEP, goodness, likely_wrong, mixtures, parts, uniform_wrong
from edgeff.rules._labelled import Labelled
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, fit
from edgeff.verify import BOARDS

FF = registry.rules["ff"]


def small_images(side: int = 8, channels: tuple[int, int] = (6, 10)) -> Network:
    """Two convolutions with ReLU, each followed by pooling, and a dense head."""
    stack = Stack((side, side, 1))
    for number, count in enumerate(channels, 1):
        stack.conv(f"conv_{number}", count, (3, 3), norm=False)
        stack.max_pool(f"pool_{number}", (2, 2))
    stack.flatten()
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return initialised(stack.network("small_images"), 0)


def run_of(network: Network, dtype: Any = np.float64, **changes: Any) -> Run:
    settings = replace(FF.settings, **changes)
    prepared = FF.prepare(network, settings, 11)
    run = Run(prepared, parameters(prepared, dtype), settings, np.random.default_rng(5), seed=11)
    FF.start(run)
    return run


def inputs(network: Network, count: int, seed: int = 9) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(count, *network.input_shape)), np.eye(10)[rng.integers(0, 10, count)]


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_a_convolution_follows_the_gradient_of_its_own_loss(kind: str) -> None:
    """channels / 2 s (softplus(s (theta - G+)) + softplus(s (G- - theta))), G the mean over channels and positions."""
    run = run_of(small_images(4, (3, 2)), goodness=kind, theta=1.3)
    x, t = inputs(run.network, 5)
    labels = t.argmax(axis=1)
    gradients = FF.step(run, x, t)
    wrong = uniform_wrong(step_key(stream_key(run.seed, "negative"), 0), labels, 10)
    h = {"input": x}
    FF._forward(run, parts(run.network).below, h, np.concatenate([labels, wrong]))
    for layer in parts(run.network).hidden:
        below = h[layer.inputs[0]]
        channels = layer.shape[-1]
        sharpness = channels if kind == "sum" else 1

        def loss(layer: Any = layer, below: Array = below, sharpness: int = sharpness, channels: int = channels) -> float:
            alone = Network("one", below.shape[1:], (replace(layer, inputs=("input",)),))
            pull = sharpness * (goodness(forward(alone, run.params, below)[layer.name]) - run.settings.theta)
            return float(channels / 2 / sharpness * (np.logaddexp(0, -pull[:5]) + np.logaddexp(0, pull[5:])).mean())

        assert_close(numerical_gradient(loss, {layer.name: run.params[layer.name]}), {layer.name: gradients[layer.name]})


def test_peer_normalisation_is_the_gradient_of_the_spread_of_mean_activities() -> None:
    """strength / 2 (1 - keep) sum (m - mean m)^2 in layers whose units are all on; the ReLU does not gate it by definition."""
    network = initialised(structure("9-5-4-10", bias=True), 3)
    plain, peers = (run_of(network, peer=peer) for peer in (0.0, 0.7))
    x, t = inputs(network, 6)
    for run in (plain, peers):
        for layer in parts(run.network).hidden:
            run.params[layer.name]["bias"] = np.linspace(9.0, 12.0, layer.shape[0])
    started = np.linspace(0.0, 2.0, 5)
    peers.extra["peers"]["dense_1"][:] = started
    difference = FF.step(peers, x, t)["dense_1"]
    difference = {name: value - FF.step(plain, x, t)["dense_1"][name] for name, value in difference.items()}
    label, norm, layer = plain.network.layers[:3]
    rows = kind(norm).forward(norm, {}, with_label(label, x, t.argmax(axis=1)))

    def loss() -> float:
        alone = Network("one", rows.shape[1:], (replace(layer, inputs=("input",)),))
        y = forward(alone, plain.params, rows)["dense_1"]
        assert (y > 0).all()
        means = PEER_KEEP * started + (1 - PEER_KEEP) * y.mean(axis=0)
        return float(0.7 / 2 / (1 - PEER_KEEP) * np.sum((means - means.mean()) ** 2))

    expected = numerical_gradient(loss, {"dense_1": plain.params["dense_1"]})
    assert_close(expected, {"dense_1": difference})


def test_a_peer_revives_a_unit_that_is_always_off() -> None:
    moves = []
    for peer in (0.5, 0.0):
        run = run_of(initialised(structure("9-5-10", bias=True), 3), peer=peer)
        run.params["dense_1"]["bias"][2] = -100.0
        moves.append(FF.step(run, *inputs(run.network, 6))["dense_1"]["bias"][2])
    assert moves[0] < 0.0  # descent raises it
    assert moves[1] == 0.0


@pytest.mark.parametrize("draw", ["uniform", "hard"])
def test_a_wrong_label_is_never_the_right_one(draw: str) -> None:
    """Uniform over the others, or in proportion to the scores; even where all chance lies on the right one."""
    labels = np.repeat(np.arange(4), 20_000)
    scores = np.array([[0.0, 0.6, 0.3, 0.1], [0.2, 0.2, 0.2, 0.4], [0.0, 0.0, 1.0, 0.0], [0.25, 0.5, 0.25, 0.0]])
    wrong = uniform_wrong(123, labels, 4) if draw == "uniform" else likely_wrong(123, labels, scores[labels])
    assert (wrong != labels).all()
    for label in range(4):
        chance = np.ones(4) if draw == "uniform" else scores[label] + 1e-9
        chance[label] = 0.0
        found = np.bincount(wrong[labels == label], minlength=4) / 20_000
        assert np.abs(found - chance / chance.sum()).max() < 5 * np.sqrt(0.25 / 20_000)  # five deviations of a share


def test_a_mixture_takes_every_pixel_from_one_of_two_images_in_large_regions() -> None:
    x = np.zeros((50, 28, 28, 2)) + np.arange(1, 51)[:, None, None, None]
    mixed = mixtures(x, np.random.default_rng(0))
    own = mixed == x
    assert (own[..., 0] == own[..., 1]).all()
    for image, number in zip(mixed, range(1, 51), strict=True):
        assert len(set(np.unique(image)) - {number}) == 1
    assert 0.4 < own.mean() < 0.6
    border = np.mean(own[:, 1:] != own[:, :-1])
    assert border < 0.15  # bits without blurring change at every second pixel


def conv_deployment(numeric: Numeric, make: Any = small_images, **changes: Any) -> Deployment:
    network = make()
    x = digits().x_train.reshape(-1, *network.input_shape)
    return deploy(network, x, rule="ff", numeric=numeric, changes=changes, seed=3)


@pytest.mark.parametrize("make", [small_images, sequence, lambda: initialised(structure("64-20-12-11-10", bias=True), 0)])
@pytest.mark.parametrize("predict", ["probe", "head"])
def test_step_is_what_lower_says(make: Any, predict: str) -> None:
    """Of convolutions, and of a head on several hidden layers; sample after sample along the way the twin goes."""
    deployment = conv_deployment("float32", make, predict=predict, head_reads="but_first", probe_reads="but_first")
    assert_step_is_lowered(deployment, FF, 6)
    learned = {tensor.name for tensor in deployment.program.by_role("variable")} - {"rate"}
    layers = deployment.network.trainable if predict == "head" else parts(deployment.network).hidden
    assert learned == {f"{layer.name}.{key}" for layer in layers for key in layer.params}


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_convolutions_learn_the_same_bits_on_twin_host_and_core(numeric: Numeric) -> None:
    executions(conv_deployment(numeric), 8, BOARDS[:1])


@pytest.mark.parametrize("make", [small_images, lambda: initialised(structure("64-20-12-10"), 0)])
def test_layer_scores_end_in_the_rules_scores_and_in_the_macs_of_the_program(make: Any) -> None:
    deployment = conv_deployment("float32", make)
    run = Run(deployment.network, parameters(deployment.network, np.float64), deployment.settings, np.random.default_rng(0))
    x = digits().x_test[:7].reshape(-1, *run.network.input_shape).astype(np.float64)
    *_, last = FF.layer_scores(run, x)
    assert np.abs(last.scores - FF.scores(run, x)).max() < 1e-12 * last.scores.max()  # products of other shapes add in another order
    assert last.macs == cost(deployment.program).macs("infer")


@pytest.mark.parametrize("changes", [{}, {"head_reads": "but_first"}, {"negatives": "mixed", "predict": "head"}])
@pytest.mark.parametrize("make", [small_images, lambda: initialised(structure("64-9-8-7-10", input_shape=(8, 8, 1)), 0)])
def test_a_network_of_images_survives_its_files(make: Any, changes: dict[str, str], tmp_path: Path) -> None:
    network = FF.prepare(make(), replace(FF.settings, on=0.75, **changes), 0)
    float_file = tmp_path / "m.onnx"
    for each, path in ((network, float_file), (quantize(network, inputs(network, 4)[0].astype(np.float32)), tmp_path / "q.onnx")):
        write_onnx(each, path)
        assert described(load(path)) == described(each)
    assert described(from_tflite(to_tflite(network))) == described(network)


def described(network: Network) -> list[Any]:
    return [
        (
            layer.name,
            layer.kind,
            layer.inputs,
            layer.shape,
            kind(layer).attributes,
            {key: value.tobytes() for key, value in layer.params.items()},
        )
        for layer in network
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("goodness", "sum"), ("negatives", "hard"), ("peer", 0.03)], ids=["goodness", "negatives", "peer"]
)
def test_what_only_the_host_does_is_refused_on_a_device(name: str, value: Any) -> None:
    with pytest.raises(Unsupported, match=rf"^{name} of rule ff on a device: got {value}; allowed: \S+; --set {name}="):
        conv_deployment("float32", **{name: value})


def test_a_network_without_labels_learns_on_the_host_alone() -> None:
    network = run_of(small_images(), negatives="mixed", predict="head").network
    with pytest.raises(Unsupported, match=r"^rule ff on a device: got a network without a label input"):
        deploy(network, rule="ff")
    with pytest.raises(BadInput, match=r"^setting predict: got probe with negatives=mixed"):
        replace(FF.settings, negatives="mixed")


def test_networks_that_are_no_chain_of_relus_are_refused() -> None:
    for name, got in (("resnet8", "layers of kind add, batch_norm"), ("fc_ae", "layers of kind batch_norm")):
        with pytest.raises(Unsupported, match=rf"^rule ff: got {got}; allowed: a chain of"):
            FF.prepare(initialised(structure(name), 0), FF.settings, 0)
    stack = Stack((8, 8, 1))
    stack.conv("conv", 4, (3, 3), norm=False, activation="relu6")
    stack.dense("dense", 10)
    with pytest.raises(Unsupported, match=r"^rule ff, layer 'conv': got activation relu6; allowed: relu$"):
        FF.prepare(initialised(stack.network("six"), 0), FF.settings, 0)


def test_a_schedule_cools_down() -> None:
    made = {name: replace(FF.settings, lr=1.0, epochs=4, schedule=name) for name in ("linear", "cosine")}
    rates = {name: [settings.rate(epoch) for epoch in range(4)] for name, settings in made.items()}
    assert rates["linear"] == [1.0, 1.0, 1.0, 0.5]
    assert rates["cosine"] == pytest.approx([1.0, 0.8535534, 0.5, 0.1464466], abs=1e-6)
    with pytest.raises(BadInput, match=r"^setting schedule: got 'cubic'; allowed: steps, linear, cosine$"):
        replace(FF.settings, schedule="cubic")


@functools.cache
def images() -> Data:
    data = digits()
    return replace(data, x_train=data.x_train.reshape(-1, 8, 8, 1), x_test=data.x_test.reshape(-1, 8, 8, 1))


def learned(labels: Array, **changes: Any) -> float:
    """The test accuracy of small convolutions after a few epochs."""
    settings = replace(FF.settings, **{"epochs": 25, "lr": 0.02, "theta": 2.0, "batch": 20, "decay_epochs": ()} | changes)
    network = FF.prepare(small_images(8, (8, 12)), settings, 0)
    trained = fit(network, "ff", images().x_train, images().targets(labels), settings)
    return accuracy(trained.scores(images().x_test), images().y_test)


def test_rows_under_many_labels_are_those_that_are_written_out() -> None:
    """The shared products of label, normalisation and dense layer beside the layers' own; the gradient of some copies alone."""
    run = run_of(initialised(structure("12-5-3", bias=True), 0))
    label, norm, dense = run.network.layers[:3]
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(4, 12)), np.concatenate([[0, 1, 2, 1], [2, 2, 0, 0], [-1] * 4])
    params, delta = run.params[dense.name], rng.normal(size=(8, 5))
    params["bias"][:] = rng.normal(size=5)
    rows = kind(norm).forward(norm, {}, with_label(label, x, labels))
    plain = Labelled.of(label, x, labels)
    assert isinstance(plain, Labelled)
    shared = plain.through(norm, {})
    assert isinstance(shared, Labelled)
    np.testing.assert_allclose(np.asarray(shared.through(dense, params)), kind(dense).forward(dense, params, rows), rtol=1e-12)
    made, expected = shared[:8].weight_gradient(delta, params), kind(dense).weight_gradient(dense, params, delta, rows[:8])
    assert made.keys() == expected.keys() == {"weight", "bias"}
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("make", [small_images, lambda: initialised(structure("64-12-10"), 0)])
def test_a_hidden_rate_of_0_leaves_hidden_layers_as_they_were_drawn(make: Any) -> None:
    """On the host and on a device, where the step then has the head's pass alone."""
    network = make()
    settings = replace(FF.settings, hidden_rate=0.0, epochs=1, predict="head", head_reads="last")
    x = digits().x_train[:64].reshape(-1, *network.input_shape)
    made = FF.prepare(network, settings, 0)
    trained = fit(made, "ff", x, np.eye(10, dtype=np.float32)[digits().y_train[:64]], settings, 0).network
    for layer in trained.trainable:
        kept = layer.params["weight"].tobytes() == made[layer.name].params["weight"].tobytes()
        assert kept == (layer.name != trained.trainable[-1].name)
    changes = {"hidden_rate": 0.0, "predict": "head"}
    program = deploy(network, x, rule="ff", numeric="float32", changes=changes).program
    assert {call.layer for call in program.learn if "update" in call.kernel} == {trained.trainable[-1].name}
    with pytest.raises(BadInput, match=r"^setting hidden_rate: got -1.0; allowed: 0 to 1000$"):
        FF.settings.changed({"hidden_rate": "-1"})


@pytest.mark.parametrize("numeric", ["float32", "int16", "int8"])
@pytest.mark.parametrize(("lift", "wakes"), [(0.0, False), (0.1, True)])
def test_a_unit_that_is_off_for_every_sample_wakes_up_by_the_lift_alone(numeric: Numeric, lift: float, wakes: bool) -> None:
    """Inputs and label are not negative, so a unit with negative weights is off; on a board nothing else would ever change it."""
    deployment = deployed("ff", numeric, small("12-16-4"), changes={"lift": lift})
    twin = Interpreter(deployment.program)
    weights = twin._arrays["dense_1.weight"]
    weights[0] = -np.abs(weights[0])
    before = weights[0].copy()
    for number, x in enumerate(deployment.inputs(np.abs(samples(60)))):
        twin.learn(x, number % 4)
    assert (weights[0].mean() > before.mean()) == wakes
    assert np.array_equal(weights[0], before) != wakes
