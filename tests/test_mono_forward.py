"""Mono-Forward: where its blocks end, its gradients without maps, the same bits everywhere, the RAM that it takes, what it learns."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from exact_cases import assert_step_is_lowered, digits
from test_conv_learning import executions, graph, normalised, plain, scaled

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Numeric
from edgeff.kernels.records import Step, Window
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops import forward, parameters
from edgeff.ops.add import Add
from edgeff.ops.canonical import canonical
from edgeff.ops.softmax import Softmax
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.rules import Run, mono_forward
from edgeff.rules._blocks import lower_backward, whole_blocks
from edgeff.rules.local_heads import headed_blocks
from edgeff.rules.mono_forward import MonoForwardSettings, at_most
from edgeff.rules.words.pooled import PoolGrid
from edgeff.verify import BOARDS

RULE = registry.rules["mono_forward"]


def separable() -> Network:
    """A first convolution and two pairs of a depthwise and a pointwise one; the network's own head reads the means."""
    stack = Stack((8, 8, 1))
    stack.conv("conv", 6, (4, 3), (2, 1), norm=False)
    for number, (outputs, stride) in enumerate(((7, (1, 2)), (9, (1, 1))), 1):
        stack.depthwise(f"depthwise_{number}", (3, 3), stride)
        stack.conv(f"pointwise_{number}", outputs, (1, 1))
    return _finished(stack, "separable")


def residual() -> Network:
    """ResNet-8 with two stacks and few channels: a skip connection of the input itself, and one through a convolution."""
    stack = Stack((8, 8, 1))
    below = stack.conv("conv", 6, (3, 3), norm=False)
    for number, (channels, stride) in enumerate(((6, (1, 1)), (8, (2, 2))), 1):
        stack.below = below
        stack.conv(f"a_{number}", channels, (3, 3), stride, norm=False)
        main = stack.conv(f"b_{number}", channels, (3, 3), norm=False, activation="none")
        if number > 1:
            stack.below = below
            below = stack.conv(f"skip_{number}", channels, (1, 1), stride, norm=False, activation="none")
        below = stack.add(f"sum_{number}", Add(activation="relu"), (below, main))
    return _finished(stack, "residual")


def _finished(stack: Stack, name: str) -> Network:
    stack.average_pool("pool", (stack.shape[0], stack.shape[1]))
    stack.flatten()
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return scaled(canonical(initialised(stack.network(name), 0)))


NETWORKS: dict[str, Callable[[], Network]] = {
    "separable": separable,
    "residual": residual,
    "plain": plain,
    "normalised": normalised,
    "graph": graph,
}


@functools.cache
def learner(name: str, numeric: Numeric = "float32", master: int = 8) -> Deployment:
    network = NETWORKS[name]()
    x = digits().x_train.reshape(-1, *network.input_shape)
    changes = {"lr": 0.01 if numeric == "float32" else 0.05, "master": master}
    return deploy(network, x, rule="mono_forward", numeric=numeric, changes=changes, seed=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_step_is_what_lower_says(name: str) -> None:
    """Through every form of block: one convolution, a pair, a first convolution and a pair, sums of those, and blocks of other forms."""
    assert_step_is_lowered(learner(name), RULE, 6)


def test_a_separable_network_learns_without_a_gradient_of_a_maps_size() -> None:
    """The gradients are those of a head's averages."""
    program = learner("separable").program
    gradients = [tensor for name, tensor in program.tensors.items() if ".gradient" in name]
    assert max(tensor.elements for tensor in gradients) == 2 * 2 * 7
    names = [call.kernel for call in program.learn]
    assert [names.count(f"eff_pooled_pair_{form}_f32") for form in ("backward", "update")] == [1, 1]


def test_a_blocks_gradient_is_the_slope_of_its_heads_loss() -> None:
    """Against differences of the loss in float64, for a weight of each layer of the first block; the second block's loss moves none."""
    network = learner("separable").network
    run = Run(network, parameters(network, np.float64), RULE.settings, np.random.default_rng(0))
    x, t = digits().x_train[:4].reshape(-1, 8, 8, 1).astype(np.float64), digits().targets(digits().y_train[:4])
    gradients = RULE.step(run, x, t)

    def loss(head: str) -> float:
        return float(-np.log(forward(network, run.params, x)[head][t == 1]).mean())

    for layer in ("conv", "depthwise_1", "pointwise_1"):
        weight, slopes = run.params[layer]["weight"], []
        place = np.unravel_index(int(np.abs(gradients[layer]["weight"]).argmax()), weight.shape)
        for change in (1e-5, -2e-5):
            weight[place] += change
            slopes.append(loss("pointwise_1_head_scores") / 2e-5)
        weight[place] += 1e-5
        assert gradients[layer]["weight"][place] == pytest.approx(slopes[0] - slopes[1], rel=1e-6)


@pytest.mark.parametrize(("name", "boards"), [("separable", BOARDS[:1]), ("residual", ()), ("plain", ())])
def test_float32_steps_are_the_same_on_twin_host_and_core(name: str, boards: tuple[str, ...]) -> None:
    executions(learner(name), 6, boards)


def after(deployment: Deployment, steps: int = 8) -> dict[str, bytes]:
    """What the twin has learned."""
    twin = Interpreter(deployment.program)
    for sample, label in zip(deployment.inputs(digits().x_train[:steps]), digits().y_train, strict=False):
        twin.learn(sample, int(label))
    return {tensor.name: twin.tensor(tensor.name).tobytes() for tensor in deployment.program.by_role("variable")}


@pytest.mark.parametrize("numeric", ["float32", "int8"])
@pytest.mark.parametrize("name", ["separable", "residual", "plain"])
def test_the_way_without_maps_gives_the_bits_of_the_general_one(name: str, numeric: Numeric, monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = after(learner(name, numeric))
    around = name == "residual" and numeric == "int8"
    assert ("eff_pooled_skip_update_i8" in [call.kernel for call in learner(name, numeric).program.learn]) == around
    monkeypatch.setattr(mono_forward, "lower_pooled", lower_backward)
    general = learner.__wrapped__(name, numeric)
    assert not any("pooled" in call.kernel for call in general.program.learn)
    assert pooled == after(general)


@pytest.mark.parametrize(
    ("name", "master", "boards"), [("separable", 8, ()), ("separable", 16, BOARDS[:1]), ("residual", 16, ()), ("plain", 16, ())]
)
def test_int8_steps_are_the_same_on_twin_host_and_core(name: str, master: int, boards: tuple[str, ...]) -> None:
    executions(learner(name, "int8", master), 10, boards)


@functools.cache
def alone(name: str, numeric: Numeric, block: int) -> Deployment:
    """The network of ``learner`` as it stands, with one block that learns."""
    changes = {"lr": 0.01 if numeric == "float32" else 0.05, "block": block}
    return deploy(learner(name, numeric).network, rule="mono_forward", changes=changes, seed=3)


@pytest.mark.parametrize("numeric", ["float32", "int8"])
@pytest.mark.parametrize("name", ["separable", "residual", "plain"])
def test_a_block_alone_learns_what_it_learns_among_the_others(name: str, numeric: Numeric) -> None:
    """In the first step, to the bit; the program of a block changes nothing else, and the blocks together change all."""
    together, changed = after(learner(name, numeric), 1), set[str]()
    for block in range(1, len(headed_blocks(learner(name).network)[0]) + 1):
        own = after(alone(name, numeric, block), 1)
        changed |= own.keys()
        assert {key: together[key] for key in own} == own
        names = {layer.name for layer in headed_blocks(learner(name).network)[0][block - 1].layers}
        assert {key.partition(".")[0] for key in own} - {"rate"} <= names
    assert changed == together.keys()


@pytest.mark.parametrize(("block", "boards"), [(1, BOARDS[:1]), (2, ())])
def test_a_block_alone_is_the_same_on_twin_host_and_core(block: int, boards: tuple[str, ...]) -> None:
    kernel = "eff_pooled_stem_separable_i8" if block == 1 else "eff_pooled_separable_i8"
    assert kernel in [call.kernel for call in alone("separable", "int8", block).program.learn]
    executions(alone("separable", "int8", block), 10, boards)


def test_a_block_that_the_network_does_not_have_is_refused() -> None:
    with pytest.raises(BadInput, match="setting block: got 3; allowed: 0 to 2, the network's blocks"):
        alone("separable", "float32", 3)


def test_a_master_keeps_what_a_step_of_its_weight_rounds_off() -> None:
    """Rounded to nearest, a change of a fifth of a step is lost in 8 bits; in 16 it adds up to two steps in ten."""
    item, step = registry.kernels["eff_pooled_update_i8"], Step(multiplier=2**30, shift=0, stochastic=0, key=0)
    window, grid = Window(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0), PoolGrid(1, 1, 1)
    moved = []
    for fine in (0, 1):
        w, low = np.array([7], np.int8), np.zeros(1, np.int8)
        g, a, count = np.array([round(0.2 * 2**23 / 100)], np.int16), np.array([100], np.int8), np.zeros(1, np.uint32)
        for _ in range(10):
            item.run(w, low, np.array([1], np.int8), g, a, np.array([65536], np.uint32), count, window, grid, step, fine)
        moved.append(int(w[0]))
    assert moved == [7, 5]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("cnn_small", ["conv_1", "conv_2", "conv_3"]),
        ("ds_cnn", ["pointwise_1", "pointwise_2", "pointwise_3", "pointwise_4"]),
        ("resnet8", ["stack_1", "stack_2", "stack_3"]),
        ("mobilenet_v1_025", [f"pointwise_{number}" for number in range(1, 14)]),
        ("64-32-16-10", ["dense_1", "dense_2"]),
    ],
)
def test_blocks_end_where_one_activation_goes_on(name: str, ends: list[str]) -> None:
    layers = canonical(initialised(structure(name), 0)).layers
    parts = whole_blocks(layers)
    assert [block.end.name for block in parts] == ends
    weighted = [layer.name for layer in layers if layer.trainable][:-1]
    assert [layer.name for block in parts for layer in block.layers if layer.trainable] == weighted


def arena(name: str, numeric: Numeric, rule: str | None, line: str) -> int:
    network = initialised(structure(name), 0)
    x: Array = np.random.default_rng(0).normal(size=(2, *network.input_shape)).astype(np.float32)
    return cost(deploy(network, x, rule=rule, numeric=numeric).program).memory.line_bytes[line]


@pytest.mark.parametrize(
    ("name", "numeric", "to_inference", "to_bp"),
    [
        ("cnn_small", "float32", 1.06, 0.43),
        ("ds_cnn", "float32", 2.03, 0.22),
        ("cnn_small", "int8", 1.19, 0.34),
        ("ds_cnn", "int8", 2.23, 0.21),
    ],
)
def test_learning_takes_little_more_than_inference(name: str, numeric: Numeric, to_inference: float, to_bp: float) -> None:
    """Activations alone: two maps of DS-CNN, which inference has over one another, and two of cnn_small, of which one is small."""
    learning = arena(name, numeric, "mono_forward", "learn")
    assert learning < to_inference * arena(name, numeric, None, "infer")
    assert learning < to_bp * arena(name, numeric, "bp", "learn")


@pytest.mark.parametrize(("shape", "windows"), [((7, 7, 3), (4, 4)), ((25, 5, 3), (13, 3)), ((2, 3, 3), (1, 2)), ((1, 9, 1), (1, 5))])
def test_a_head_averages_to_two_by_two_and_leaves_nothing_out(shape: tuple[int, ...], windows: tuple[int, int]) -> None:
    pool = at_most(shape, 2)
    assert pool is not None
    assert pool.window == windows
    assert (shape[0] + pool.pad_bottom, shape[1] + pool.pad_right) == tuple(
        -(-size // window) * window for size, window in zip(shape, windows, strict=False)
    )
    assert at_most((2, 2, 5), 2) is None
    with pytest.raises(BadInput, match="setting master: got 12; allowed: 8, 16"):
        MonoForwardSettings(master=12)
    with pytest.raises(BadInput, match=r"setting pool: got \(2, 0\); allowed: 1 to 10000 each, at least one"):
        MonoForwardSettings(pool=(2, 0))
