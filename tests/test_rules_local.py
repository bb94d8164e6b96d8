"""Rules whose layers learn from a loss of their own: exact local gradients, no error from above, files, compositions, learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from test_conv_learning import learned, plain

from edgeff import registry
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.reader import from_onnx
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Array, Network, Numeric, Program
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.networks import initialised, structure
from edgeff.networks._norms import with_norms
from edgeff.networks._stack import Stack
from edgeff.ops import forward, kind, parameters, record
from edgeff.ops.canonical import canonical
from edgeff.ops.softmax import Softmax
from edgeff.ops.window import Windowed
from edgeff.ops.window_math import conv2d_weight_gradient
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.program.quantize import quantise_array, quantize
from edgeff.rules import Gradients, Rule, Run, find_rule
from edgeff.rules._blocks import blocks
from edgeff.rules.cwc import competitive_loss, goodness
from edgeff.rules.words.competition import spans
from edgeff.train.loop import accuracy, train


def pooled() -> Network:
    """Convolutions of 10 and 23 channels with max pooling between them: class groups of one channel, and of two and three."""
    stack = Stack((8, 8, 1))
    for number, channels in enumerate((10, 23), 1):
        stack.conv(f"conv_{number}", channels, (3, 3), norm=False)
        stack.max_pool(f"pool_{number}", (2, 2))
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return initialised(stack.network("pooled"), 0)


def dense() -> Network:
    return initialised(structure("64-24-16-12-10", bias=True), 0)


def batch(network: Network, count: int = 6) -> tuple[Array, Array]:
    x = digits().x_train[:count].reshape(count, *network.input_shape).astype(np.float64)
    return x, np.eye(10)[digits().y_train[:count]]


def changed(rule: Rule, **changes: Any) -> Any:
    """The rule's settings with changes of its own kind."""
    return replace(rule.settings, **changes)


def running(rule: Rule, network: Network, **changes: Any) -> Run:
    """The rule's run on ``network``, in float64, its biases away from 0, where blank pixels would stand on the corner of a ReLU."""
    settings = changed(rule, **changes)
    made = rule.prepare(network, settings, 0)
    run = Run(made, parameters(made, np.float64), settings, np.random.default_rng(0), seed=3)
    for layer in run.params:
        if "bias" in run.params[layer]:
            run.params[layer]["bias"] += np.random.default_rng(len(layer)).normal(scale=0.1, size=run.params[layer]["bias"].shape)
    rule.start(run)
    return run


def differences(loss: Callable[[], float], run: Run, layer: str, name: str, count: int = 12) -> list[tuple[int, float]]:
    """Central differences of ``loss`` for some entries of a parameter."""
    values, eps = run.params[layer][name].reshape(-1), 1e-6
    found = []
    for index in np.random.default_rng(1).permutation(values.size)[:count]:
        kept = values[index]
        ends = []
        for change in (eps, -eps):
            values[index] = kept + change
            ends.append(loss())
        values[index] = kept
        found.append((int(index), (ends[0] - ends[1]) / (2 * eps)))
    return found


def assert_gradient(loss: Callable[[], float], run: Run, direction: Gradients, layers: list[str]) -> None:
    for layer in layers:
        for name in run.params[layer]:
            for index, expected in differences(loss, run, layer, name):
                actual = direction[layer][name].reshape(-1)[index]
                assert abs(actual - expected) < 1e-6 * max(1.0, abs(expected)), f"{layer}.{name}[{index}]"  # second-order terms


@pytest.mark.parametrize("make", [dense, plain, pooled])
def test_competition_follows_the_gradient_of_its_local_loss(make: Callable[[], Network]) -> None:
    rule, network = find_rule("cwc"), make()
    run = running(rule, network, batch_norm=False)
    x, t = batch(network)
    direction = rule.step(run, x, t)
    for layer in run.hidden:

        def loss(name: str = layer.name) -> float:
            return float(competitive_loss(forward(run.network, run.params, x)[name], t, run.settings.sharpness).mean())

        assert_gradient(loss, run, direction, [layer.name])


def test_deeper_forward_is_the_mean_goodness_of_its_paper() -> None:
    """Groups of one, two and three channels: G = mean of the activations, loss = cross-entropy of softmax(k G), inputs standardised."""
    rule, network = find_rule("deeper_forward"), pooled()
    run = running(rule, network, sharpness=3.0, predict="goodness")
    x, t = batch(network)
    direction, h = rule.step(run, x, t), forward(run.network, run.params, x)
    means = []
    for name, read in (("conv_1", x), ("conv_2", h["pool_1"])):
        flat = read.reshape(len(read), -1)
        standard = (flat - flat.mean(axis=1, keepdims=True)) / np.sqrt(flat.var(axis=1, keepdims=True) + 1e-5)
        layer, inputs = run.network[name], standard.reshape(read.shape)
        y = kind(layer).forward(layer, run.params[name], inputs)
        groups = spans(y.shape[-1], 10)
        means.append(np.stack([y[..., group].mean(axis=(1, 2, 3)) for group in groups], axis=1))
        chances = np.exp(3.0 * means[-1])
        error = chances / chances.sum(axis=1, keepdims=True) - t
        delta = np.zeros_like(y)
        for label, group in enumerate(groups):
            places = y.shape[1] * y.shape[2] * (group.stop - group.start)
            delta[..., group] = 3.0 * error[:, label].reshape(-1, 1, 1, 1) / places * (y[..., group] > 0)
        expected = kind(layer).weight_gradient(layer, run.params[name], delta, inputs)
        assert np.allclose(direction[name]["weight"], expected["weight"], rtol=1e-6, atol=1e-9)  # float32 weights 3 / c of the fixed head
    assert np.allclose(rule.scores(run, x), 3.0 * means[1], rtol=1e-6)  # as above; the first layer is left out
    assert not any(name.endswith("_head") for name in direction)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("make", [dense, plain, pooled])
def test_local_heads_follow_the_gradient_of_their_own_cross_entropy(make: Callable[[], Network], block: int) -> None:
    rule, network = find_rule("local_heads"), make()
    run = running(rule, network, block=block, pool=2)
    x, t = batch(network)
    direction = rule.step(run, x, t)
    ends = [layer.name for layer in run.network if layer.kind == "softmax"]
    seen: set[str] = set()
    for end in ends:
        names = {end}
        for layer in reversed(run.network.layers):
            if layer.name in names:
                names.update(layer.inputs)
        own = [layer.name for layer in run.network.trainable if layer.name in names - seen]
        seen |= names

        def loss(end: str = end) -> float:
            return float(-np.log((forward(run.network, run.params, x)[end] * t).sum(axis=1)).mean())

        assert_gradient(loss, run, direction, own)
    assert direction.keys() == {layer.name for layer in run.network.trainable}


def pair_loss(run: Run, theta: float, x: Array, labels: tuple[Array, Array], end: str) -> float:
    """n / 2 softplus(theta - G) with the right labels and n / 2 softplus(G - theta) with the wrong ones, averaged over the batch."""
    total = 0.0
    for which, sign in zip(labels, (1, -1), strict=True):
        start = np.concatenate([np.eye(10)[which], x], axis=1)
        values = {"label": start}
        for layer in run.network.layers[1:]:
            values[layer.name] = kind(layer).forward(layer, run.params.get(layer.name, {}), values[layer.inputs[0]])
            if layer.name == end:
                break
        h = values[end]
        total += float((h.shape[1] / 2 * np.log1p(np.exp(sign * (theta - (h * h).mean(axis=1))))).mean())
    return total


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blockwise_forward_forward_follows_the_gradient_of_its_blocks_loss(block: int) -> None:
    """One layer a block is layerwise Forward-Forward: the same check with every layer's own loss."""
    rule, network = find_rule("block_ff"), dense()
    run = running(rule, network, block=block, theta=1.0)
    x, t = batch(network)
    right = t.argmax(axis=1)
    drawn = draws(step_key(stream_key(run.seed, "negative"), run.steps), np.arange(len(x))).astype(np.int64) * 9 >> 32
    direction = rule.step(run, x, t)
    for part in blocks(run.network.layers, block):

        def loss(end: str = part.end.name) -> float:
            return pair_loss(run, 1.0, x, (right, drawn + (drawn >= right)), end)

        assert_gradient(loss, run, direction, [layer.name for layer in part.layers if layer.trainable])


def same(a: Gradients, b: Gradients) -> bool:
    a, b = ({layer: own for layer, own in each.items() if own} for each in (a, b))
    return a.keys() == b.keys() and all(np.array_equal(a[layer][name], b[layer][name]) for layer in a for name in a[layer])


@pytest.mark.parametrize(
    ("rule_name", "changes"),
    [("cwc", {}), ("deeper_forward", {}), ("local_heads", {"block": 2}), ("block_ff", {"block": 2, "theta": 1.0})],
)
def test_nothing_comes_down_from_a_later_block(rule_name: str, changes: dict[str, Any]) -> None:
    """Other weights above the first block leave its direction as it is, to the bit, and change that of the last hidden layer."""
    rule = find_rule(rule_name)
    run = running(rule, dense(), **changes)
    x, t = batch(dense())
    size = int(changes.get("block", 1))
    lower_part = {f"dense_{number}" for number in range(1, size + 1)}
    before = rule.step(run, x, t)
    for layer in run.network.trainable:
        if layer.name.startswith("dense") and layer.name.split("_head")[0] not in lower_part:
            run.params[layer.name]["weight"] = run.params[layer.name]["weight"] * 1.5
    after = rule.step(run, x, t)
    mine = [layer for layer in before if layer.split("_head")[0] in lower_part]
    assert same({layer: before[layer] for layer in mine}, {layer: after[layer] for layer in mine})
    assert not np.array_equal(before["dense_3"]["weight"], after["dense_3"]["weight"])


@pytest.mark.parametrize("make", [dense, plain, pooled])
def test_one_block_of_all_layers_with_the_networks_own_head_is_back_propagation(make: Callable[[], Network]) -> None:
    network = make()
    x, t = batch(network)
    whole, bp = running(find_rule("local_heads"), network, block=100), running(find_rule("bp"), network)
    assert [layer.name for layer in whole.network] == [layer.name for layer in network]
    assert same(find_rule("local_heads").step(whole, x, t), find_rule("bp").step(bp, x, t))


def test_competing_groups_one_layer_a_block_are_rule_cwc() -> None:
    network = pooled()
    x, t = batch(network)
    settings = {"batch_norm": False, "head_rate": 1.0}
    single = running(find_rule("block_ff"), network, goodness="groups", block=1, **settings)
    double = running(find_rule("block_ff"), network, goodness="groups", block=2, **settings)
    layerwise = find_rule("cwc").step(running(find_rule("cwc"), network, **settings), x, t)
    assert same(find_rule("block_ff").step(single, x, t), layerwise)
    whole = find_rule("block_ff").step(double, x, t)

    def loss() -> float:
        return float(competitive_loss(forward(network, double.params, x)["conv_2"], t, 3.0).mean())

    assert_gradient(loss, double, whole, ["conv_1", "conv_2"])
    assert not np.allclose(whole["conv_1"]["weight"], layerwise["conv_1"]["weight"])


def test_groups_share_out_the_channels_and_classes_share_groups() -> None:
    assert [span.stop - span.start for span in spans(23, 10)] == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert [span.stop - span.start for span in spans(4, 10)] == [1, 1, 1, 1]
    h = np.zeros((1, 2, 5))
    h[0, :, 2:4] = 2.0  # classes 1 and 4 of 5 channels cut for 3 classes: [0, 1], [2, 3], [4]
    assert goodness(h, 3)[0].tolist() == [[0.0, 3.0, 0.0]]
    assert goodness(np.zeros((1, 2, 5)), 3)[0].tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_networks_local_heads_survive_its_file_and_its_deployment_without_them(numeric: Numeric, tmp_path: Path) -> None:
    rule = find_rule("local_heads")
    network = rule.prepare(pooled(), changed(rule, pool=2), 0)
    assert {"conv_1_head_pool", "conv_1_head", "conv_1_head_scores"} <= {layer.name for layer in network}
    images = digits().x_train.reshape(-1, 8, 8, 1)
    if numeric == "int8":
        network = quantize(network, images, learning=[layer.name for layer in network.trainable])
    loaded = from_onnx(write_onnx(network, tmp_path / "model.onnx"))
    assert [(layer.name, layer.kind, layer.inputs, layer.shape) for layer in loaded] == [
        (layer.name, layer.kind, layer.inputs, layer.shape) for layer in network
    ]
    for ours, theirs in zip(network, loaded, strict=True):
        assert ours.quant == theirs.quant
        assert all(np.array_equal(value, theirs.params[name]) for name, value in ours.params.items())
    before, after = (deploy(each, images, rule="local_heads", numeric=numeric) for each in (network, loaded))
    assert (before.program.infer, before.program.learn) == (after.program.infer, after.program.learn)
    bare = deploy(loaded, images, rule="bp" if numeric == "float32" else "frozen", numeric=numeric)
    assert not any("head" in tensor for tensor in bare.program.tensors)
    inference = deploy(loaded, numeric=numeric).program
    assert [call.outputs for call in inference.infer] == [call.outputs for call in before.program.infer]
    assert not any("head" in tensor for tensor in inference.tensors)


def test_int8_gradients_of_a_local_head_and_through_pools_are_the_float_ones() -> None:
    """Behind an average pool, in the first block, and behind a maximum, in the last: against the gradients of the dequantised network."""
    network, rule = pooled(), find_rule("local_heads")
    images = digits().x_train.reshape(-1, 8, 8, 1)
    settings = replace(rule.device_settings("int8"), pool=2)
    made = rule.prepare(network, settings, 0)
    quantised = quantize(made, images, learning=[layer.name for layer in made.trainable])
    program = lower(quantised, "local_heads", settings)
    real = parameters(made, np.float64)
    for layer in quantised.trainable:
        real[layer.name] = {name: value.astype(np.float64) * layer.quant[name].scale[0] for name, value in layer.params.items()}
    run = Run(made, real, settings, np.random.default_rng(0))
    twin, updates = Interpreter(program), [call for call in program.learn if call.kernel == "eff_conv2d_update_i8"]
    gradients: dict[str, Array] = {}
    wanted: dict[str, Array] = {}
    inputs = quantise_array(images, quantised.input_quant)  # type: ignore[arg-type]
    for number in range(30):
        x, label = images[number : number + 1].astype(np.float64), int(digits().y_train[number])
        expected = rule.step(run, x, np.eye(10)[[label]])
        twin.init()
        twin.learn(inputs[number], label)
        for call in updates:
            layer = quantised[call.layer]
            delta, a = (real_values(program, twin, name) for name in call.inputs[:2])
            shape = program.tensors[call.inputs[1]].shape
            op = record(layer, Windowed)
            made_here = conv2d_weight_gradient(delta.reshape(1, *layer.shape), a.reshape(1, *shape), op.window, op.stride, op.pads)
            gradients[layer.name] = gradients.get(layer.name, 0.0) + made_here
            wanted[layer.name] = wanted.get(layer.name, 0.0) + expected[layer.name]["weight"]
    assert gradients.keys() == {"conv_1", "conv_2"}
    for name, value in gradients.items():
        alike = (value * wanted[name]).sum() / np.sqrt((value**2).sum() * (wanted[name] ** 2).sum())
        assert alike > 0.99, name  # an int8 softmax gives errors in steps of 1/256
        assert 0.95 < np.sqrt((value**2).sum() / (wanted[name] ** 2).sum()) < 1.05, name


def real_values(program: Program, twin: Interpreter, name: str) -> Array:
    """A tensor's present value in real numbers."""
    quant = program.tensors[name].quant
    assert quant is not None
    return (twin.tensor(name).astype(np.float64) - quant.zero_point) * quant.scale[0]


COMPOSITIONS = ["cwc:conv_1,bp", "local_heads:conv_1,frozen", "local_heads:conv_1,cwc", "cwc:conv_2,frozen"]


@pytest.mark.parametrize("rule_name", COMPOSITIONS)
def test_a_local_rule_below_another_steps_as_its_program_does(rule_name: str) -> None:
    rule, x = find_rule(rule_name), digits().x_train.reshape(-1, 8, 8, 1)
    settings = changed(rule, batch_norm=False) if rule_name.endswith("cwc") else rule.settings
    deployment = deploy(rule.prepare(plain(), settings, 0), x, rule=rule_name, seed=3)
    assert_step_is_lowered(deployment, rule, 4)
    learned = {tensor.name for tensor in deployment.program.by_role("variable")} - {"rate"}
    assert learned == {f"{layer.name}.{key}" for layer in rule.learns(deployment.network) for key in layer.params}


@pytest.mark.parametrize(("local_rule", "numeric"), [("local_heads", "float32"), ("cwc", "int8")])
def test_a_composition_learns_in_c(local_rule: str, numeric: Numeric) -> None:
    """Convolutions by a local rule under a head that learns by itself, against convolutions that stay as they are."""
    data, found = registry.tasks["digits"].load(0), []
    for below in (local_rule, "frozen"):
        rule = find_rule(f"{below}:conv_2,frozen")
        network, images = rule.prepare(plain(), rule.settings, 0), data.x_train.reshape(-1, 8, 8, 1)
        deployment = deploy(network, images, rule=rule.name, numeric=numeric, seed=0, changes={"lr": 0.01})
        found.append(learn_on_host(HostTarget(deployment.program), deployment, data, 8, 0, points=1).after)
    assert found[0] > found[1] + 0.05


def test_early_predictions_are_those_of_the_layers_and_say_what_they_cost() -> None:
    network = plain()
    x, _ = batch(network)
    run = running(find_rule("local_heads"), network)
    found = [*(find_rule("local_heads").layer_scores(run, x) or ())]
    conv_1, conv_2 = 4 * 4 * 8 * 9, 2 * 2 * 16 * 9 * 8
    assert [(name, spent) for name, _, spent in found] == [("conv_1", conv_1 + 1280), ("dense", conv_1 + conv_2 + 640)]
    assert np.array_equal(found[-1][1], find_rule("local_heads").scores(run, x))
    run = running(find_rule("cwc"), network, batch_norm=False, predict="goodness")
    found = [*(find_rule("cwc").layer_scores(run, x) or ())]
    assert [(name, spent) for name, _, spent in found] == [("conv_1", conv_1 + 128), ("conv_2", conv_1 + conv_2 + 128 + 64)]
    assert np.array_equal(found[-1][1], find_rule("cwc").scores(run, x))
    first = goodness(forward(network, run.params, x)["conv_1"], 10)[0]
    assert np.array_equal(found[0][1], first[:, np.arange(10) % 8])


def test_batch_normalisation_for_training_folds_away() -> None:
    network = with_norms(plain())
    assert [layer.name for layer in network] == ["conv_1", "conv_1_norm", "conv_2", "conv_2_norm", "dense", "softmax"]
    folded = canonical(network)
    assert [(layer.name, layer.kind, layer.shape, kind(layer).attributes["activation"]) for layer in folded.trainable] == [
        (layer.name, layer.kind, layer.shape, kind(layer).attributes["activation"]) for layer in plain().trainable
    ]


@pytest.mark.parametrize("rule_name", ["block_ff", "cwc", "deeper_forward", "local_heads"])
def test_what_has_no_classes_is_refused(rule_name: str) -> None:
    network = initialised(structure("64-8-64", softmax=False), 0)
    with pytest.raises(Unsupported, match=rf"^rule {rule_name}: got a network that ends in dense; allowed: a classifier"):
        find_rule(rule_name).prepare(network, find_rule(rule_name).settings, 0)


def test_labels_of_blockwise_forward_forward_have_no_place_in_an_image() -> None:
    rule = find_rule("block_ff")
    with pytest.raises(Unsupported, match=r"got labels as inputs of layers of kind conv2d; allowed: dense; set goodness=groups$"):
        rule.prepare(plain(), rule.settings, 0)
    with pytest.raises(Unsupported, match="a network without a layer for labels"):
        deploy(plain(), rule="block_ff")
    assert deploy(plain(), rule="block_ff", changes={"goodness": "groups"}).program.learn
    with pytest.raises(BadInput, match=r"setting goodness: got 'pairs'; allowed: labels, groups"):
        changed(rule, goodness="pairs")


@pytest.mark.slow
def test_local_rules_learn_through_convolutions_on_the_host_and_shuffled_labels_do_not() -> None:
    data = registry.tasks["digits"].load(0)
    data = replace(data, x_train=data.x_train.reshape(-1, 8, 8, 1), x_test=data.x_test.reshape(-1, 8, 8, 1))
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    for rule_name, changes in (
        ("cwc", {}),
        ("local_heads", {"lr": 0.01}),
        ("block_ff", {"goodness": "groups", "lr": 0.01, "head_rate": 1.0}),
    ):
        settings = changed(find_rule(rule_name), epochs=10, batch=16, **changes)
        learned_, control = (
            accuracy(train(each, pooled(), rule_name, settings).scores(data.x_test), data.y_test) for each in (data, shuffled)
        )
        assert learned_ > 0.85, rule_name
        assert control < 0.3, rule_name


@pytest.mark.slow
def test_int8_local_rules_learn_more_than_frozen_filters() -> None:
    """One seed of benchmarks/conv_learning.py, and fewer epochs."""
    frozen = learned("frozen", "int8", 0)[1]
    assert learned("local_heads", "int8", 0)[1] > frozen + 0.04
    assert learned("cwc", "int8", 0)[1] > frozen + 0.02
