"""Self-contrastive Forward-Forward: the gradient of each layer's own loss, no labels below the head, learning beside its controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from model_files import assert_same_network
from test_conv_learning import executions, normalised, plain, plain_structure
from test_rules_math import assert_close, numerical_gradient

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.reader import from_onnx
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops import forward, kind, parameters
from edgeff.ops.dense import Dense
from edgeff.ops.reshape import Reshape
from edgeff.ops.softmax import Softmax
from edgeff.ops.standardise import EPS
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.quantize import quantize
from edgeff.rules import Run
from edgeff.rules.scff import hidden_layers
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, train

RULE = registry.rules["scff"]


def pooled() -> Network:
    """Two convolutions with a pool between them, and a dense head."""
    stack = Stack((6, 6, 2))
    stack.conv("conv_1", 4, (3, 3), norm=False)
    stack.max_pool("pool", (2, 2))
    stack.conv("conv_2", 5, (2, 2), norm=False)
    stack.flatten()
    stack.dense("dense", 3)
    stack.add("softmax", Softmax())
    return initialised(stack.network("pooled"), 1)


def started(network: Network, **changes: Any) -> Run:
    """A run in float64, biases not zero."""
    settings = replace(RULE.settings, **changes)
    made = RULE.prepare(network, settings, 3)
    params, rng = parameters(made, np.float64), np.random.default_rng(5)
    for values in params.values():
        if "bias" in values:
            values["bias"] = rng.normal(size=values["bias"].shape) * 0.3
    return Run(made, params, settings, rng, seed=3)


@pytest.mark.parametrize(("name", "goodness"), [("9-8-7-4", "place"), ("pooled", "place"), ("pooled", "sample")])
def test_a_direction_is_the_gradient_of_the_papers_loss(name: str, goodness: str) -> None:
    """``softplus(th1 - G+) + softplus(G- - th2) + lambda G+`` of ``a = W (z_1 + z_2) + 2 b``, times channels / 8, in one layer alone."""
    network = pooled() if name == "pooled" else initialised(structure(name, bias=True), 3)
    run = started(network, theta_positive=1.5, theta_negative=2.5, sparsity=0.2, readout="all", goodness=goodness)
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(5, *network.input_shape)), np.eye(network.layers[-1].shape[0])[[0, 1, 2, 0, 1]]
    run.rng = np.random.default_rng(7)
    others = np.roll(np.arange(5), int(np.random.default_rng(7).integers(1, 5)))
    gradients = RULE.step(run, x, t)
    assert len(gradients) == 4  # two hidden layers, two read-outs

    def standard(v: Array) -> Array:
        flat = v.reshape(len(v), -1)
        return ((flat - flat.mean(axis=1)[:, None]) / np.sqrt(flat.var(axis=1) + EPS)[:, None]).reshape(v.shape)

    def pair(layer: Layer, z_1: Array, z_2: Array) -> Array:
        """The tied halves before the activation."""
        alone = replace(layer, op=kind(layer).replacing(activation="none"))
        one, two = (kind(alone).forward(alone, run.params[layer.name], z) for z in (z_1, z_2))
        return one + two

    z = standard(x)
    seen = {1: (z, z), -1: (z, z[others])}
    assert len(hidden_layers(run.network)) == 2
    for layer in hidden_layers(run.network):

        def loss(layer: Layer = layer, seen: dict[int, tuple[Array, Array]] = seen) -> float:
            squares = [np.maximum(pair(layer, *seen[sign]), 0) ** 2 for sign in (1, -1)]
            up, down = (np.mean(each, axis=-1 if goodness == "place" else tuple(range(1, each.ndim))) for each in squares)
            terms = np.logaddexp(0, 1.5 - up) + np.logaddexp(0, down - 2.5) + 0.2 * up
            return float(layer.shape[-1] / 8 * terms.mean())

        assert_close(numerical_gradient(loss, {layer.name: run.params[layer.name]}), {layer.name: gradients[layer.name]})
        for sign in (1, -1):
            h = np.maximum(pair(layer, *seen[sign]), 0) / 2  # the factor of 2 is gone behind standardisation, but for eps
            h = h.reshape(5, 3, 2, 3, 2, 4).max(axis=(2, 4)) if layer.name == "conv_1" else h
            seen[sign] = (standard(h), standard(h))


def test_labels_reach_the_head_alone() -> None:
    """Other labels: the same hidden weights to the bit, and another head."""
    settings = replace(RULE.settings, epochs=3, readout_epochs=2, readout="all")
    shuffled = replace(digits(), y_train=np.random.default_rng(0).permutation(digits().y_train))
    for net in (structure("64-16-12-10", bias=True), plain_structure()):
        data = [replace(each, x_train=each.x_train.reshape(-1, *net.input_shape)) for each in (digits(), shuffled)]
        one, other = (train(each, net, "scff", settings).network for each in data)
        fresh = RULE.prepare(initialised(net, 0), settings, 0)
        for layer in hidden_layers(one):
            for name, value in layer.params.items():
                assert value.tobytes() == other[layer.name].params[name].tobytes()
                assert value.tobytes() != fresh[layer.name].params[name].tobytes()
        heads = [layer for layer in one.trainable if layer not in hidden_layers(one)]
        assert len(heads) == 2
        assert all((layer.params["weight"] != other[layer.name].params["weight"]).any() for layer in heads)


def test_a_step_of_one_sample_pairs_it_with_the_one_before() -> None:
    run = started(initialised(structure("9-8-4"), 3))
    x, t = np.random.default_rng(1).normal(size=(3, 9)), np.eye(4)[[0, 1, 2]]
    singly = [RULE.step(run, x[i : i + 1], t[i : i + 1])["dense_1"]["weight"] for i in range(3)]
    z = forward(run.network, run.params, x)["input_std"]
    for i, previous in ((0, np.zeros((1, 9))), (1, z[:1]), (2, z[1:2])):
        m = 0.5 * (z[i : i + 1] + previous)
        up, down = (np.maximum(v @ run.params["dense_1"]["weight"].T, 0) for v in (z[i : i + 1], m))
        rise = run.settings.sparsity - 1 / (1 + np.exp(4 * np.mean(up**2) - run.settings.theta_positive))
        fall = 1 / (1 + np.exp(run.settings.theta_negative - 4 * np.mean(down**2)))
        assert np.allclose(singly[i], (rise * up).T @ z[i : i + 1] + (fall * down).T @ m, rtol=1e-9, atol=1e-12)


def conv_learner(name: str, numeric: Numeric, goodness: str) -> Deployment:
    network = {"plain": plain, "normalised": normalised}[name]()
    x = digits().x_train.reshape(-1, *network.input_shape)
    return deploy(network, x, rule="scff", numeric=numeric, seed=3, changes={"goodness": goodness})


@pytest.mark.parametrize(("name", "goodness"), [("plain", "place"), ("normalised", "place"), ("plain", "sample")])
def test_step_is_what_lower_says_of_convolutions(name: str, goodness: str) -> None:
    deployment = conv_learner(name, "float32", goodness)
    assert_step_is_lowered(deployment, RULE, 8)
    learned = {tensor.name for tensor in deployment.program.by_role("variable")} - {"rate"}
    assert learned == {f"{layer.name}.{key}" for layer in deployment.network.trainable for key in layer.params}


@pytest.mark.parametrize("goodness", ["place", "sample"])
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_convolutions_learn_the_same_on_twin_and_host(numeric: Numeric, goodness: str) -> None:
    executions(conv_learner("plain", numeric, goodness), 20, ())


def learned(net: Network, seed: int, **changes: Any) -> float:
    """The test accuracy on digits."""
    data: Data = registry.tasks["digits"].load(seed)
    data = replace(data, x_train=data.x_train.reshape(-1, *net.input_shape), x_test=data.x_test.reshape(-1, *net.input_shape))
    return accuracy(train(data, net, "scff", replace(RULE.settings, **changes), seed=seed).scores(data.x_test), data.y_test)


@pytest.mark.slow
def test_it_beats_the_same_read_out_of_random_features() -> None:
    """The control differs in the hidden layers' learning rate alone, which is 0: the read-out is fitted in the same way."""
    control = learned(structure("64-32-10"), 0, lr=0.0, epochs=1)
    assert control > 0.8
    assert learned(structure("64-32-10"), 0) > control + 0.03


@pytest.mark.slow
def test_convolutions_against_random_filters() -> None:
    """Read from the last layer. A read-out of all layers of random filters is too strong for digits to tell: docs/rules/scff.md."""
    pairs = [[learned(plain_structure(), seed, **changes) for seed in range(2)] for changes in ({}, {"lr": 0.0, "epochs": 1})]
    assert np.mean(pairs[0]) > np.mean(pairs[1]) + 0.01


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_its_c_beats_a_head_alone(numeric: Numeric) -> None:
    """The control's hidden layers learn at a hundredth of the rate, its head at its best of those tried (1 to 2.5 times the rule's)."""
    network, found = initialised(structure("64-32-10"), 0), []
    for changes in ({}, {"lr": 5e-5, "head_rate": 1000.0}):
        deployment = deploy(network, digits().x_train, rule="scff", numeric=numeric, changes=changes)
        target = HostTarget(deployment.program)
        for epoch in range(10):
            order = np.random.default_rng(epoch).permutation(len(digits().x_train))
            target.learn_many(deployment.inputs(digits().x_train), digits().y_train, order)
        found.append(float((target.predict_many(deployment.inputs(digits().x_test))[0] == digits().y_test).mean()))
    assert found[1] > 0.85
    assert found[0] > found[1] + 0.015


def test_a_trained_network_is_an_onnx_file_in_both_numerics() -> None:
    settings = replace(RULE.settings, epochs=1, readout_epochs=1, readout="all")
    net = plain_structure()
    data = replace(digits(), x_train=digits().x_train.reshape(-1, 8, 8, 1))
    floats = replace(train(data, net, "scff", settings).network, metadata={})
    for network in (floats, quantize(floats, data.x_train[:100])):
        assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))
    with pytest.raises(Unsupported, match=r"^layer 'input_std': got kind 'standardise'; allowed: in TFLite .* write it as ONNX or C$"):
        to_tflite(floats)


@pytest.mark.parametrize(("axis", "scale", "line"), [(-1, 1.0, "part of an input"), (1, 2.0, "a scale or a bias")])
def test_another_layer_normalisation_is_refused(axis: int, scale: float, line: str) -> None:
    from onnx import TensorProto, helper, numpy_helper

    shape = (3,) if axis == -1 else (2, 3)
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y"], axis=axis, epsilon=0.5)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2, 3]) for name in "xy")
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(np.full(shape, scale, np.float32), "s")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(Unsupported, match=line):
        from_onnx(model.SerializeToString())


def branched() -> Network:
    return replace(pooled(), layers=(*pooled().layers, Layer("side", Reshape(), ("conv_1",), (144,))))


def bent() -> Network:
    network = initialised(structure("9-8-4"), 0)
    return network.replacing({"dense_1": replace(network["dense_1"], op=Dense(activation="relu6"))})


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (lambda: initialised(structure("9-4"), 0), r"^rule scff: got a network without a hidden layer; allowed: at least one"),
        (branched, r"^rule scff: got a network that branches; allowed: one layer after the other; use another rule$"),
        (bent, r"^rule scff on layer 'dense_1': got relu6; allowed: relu; train with ReLU$"),
        (lambda: initialised(structure("ds_cnn"), 0), r"^rule scff: got layers of kind batch_norm; allowed: convolutions and dense layers"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network: Any, line: str) -> None:
    with pytest.raises(Unsupported, match=line):
        RULE.prepare(network(), RULE.settings, 0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"readout": "first"}, r"^setting readout: got 'first'; allowed: last, all$"),
        ({"goodness": "mean"}, r"^setting goodness: got 'mean'; allowed: place, sample$"),
        ({"theta_positive": "-1"}, r"^setting theta_positive: got -1.0; allowed: 0 to 1000$"),
        ({"sparsity": "1"}, r"^setting sparsity: got 1.0; allowed: 0 to 0.99$"),
        ({"readout_epochs": "-1"}, r"^setting readout_epochs: got -1; allowed: 0 to 100000$"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, str], line: str) -> None:
    with pytest.raises(BadInput, match=line):
        RULE.settings.changed(changes)
