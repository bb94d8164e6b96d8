"""Forward derivatives in float64: each operator's jvp against central differences and its own backward pass; then whole networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from image_networks import Builder
from random_networks import one_layer

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import Activations, Params, forward, jvp, kind, make

WITHOUT: dict[str, dict[str, Any]] = {
    "audio_frontend": {}, "gru": {}, "lstm": {}, "mfcc": {}, "physical": {"map": "speckle", "seed": 1}, "recent": {"kept": 1}, "svdf": {},
}  # fmt: skip
"""Operators without a forward pass in float, whose inside is unknown, or that remember."""
OPS = sorted(set(registry.ops) - set(WITHOUT) - {"rsqrt"})  # which bends too much within a step near zero: edgeff.contracts has it
STEP = 1e-6
CLOSE = 1e-7
"""Of the largest entry: the error of a central difference is about STEP**2 plus 1e-16 / STEP."""


class Case(NamedTuple):
    """A layer, its parameters and inputs, and a direction for all of them, in float64."""

    layer: Layer
    params: dict[str, Array]
    xs: tuple[Array, ...]
    tangents: dict[str, Array]
    dxs: tuple[Array, ...]

    def at(self, step: float) -> tuple[dict[str, Array], tuple[Array, ...]]:
        """Parameters and inputs ``step`` further along the direction."""
        params = {name: value + step * self.tangents.get(name, np.zeros(())) for name, value in self.params.items()}
        return params, tuple(x + step * dx for x, dx in zip(self.xs, self.dxs, strict=True))


def drawn(op: str, seed: int) -> Case:
    """A layer of the kind with random attributes, over a batch of twelve."""
    network = one_layer(op, seed)
    layer, rng = network.layers[-1], np.random.default_rng(seed)
    shapes = {"input": network.input_shape} | {each.name: each.shape for each in network}
    params = {
        name: rng.uniform(0.5, 2.0, value.shape) if name == "variance" else rng.normal(scale=0.2, size=value.shape)
        for name, value in layer.params.items()
    }
    xs, dxs = (tuple(rng.normal(size=(12, *shapes[name])) for name in layer.inputs) for _ in range(2))
    return Case(layer, params, xs, {name: rng.normal(size=value.shape) for name, value in params.items()}, dxs)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("op", OPS)
def test_a_layers_forward_derivative_is_its_central_difference(op: str, seed: int, training: bool) -> None:
    made = drawn(op, seed)
    item, layer = kind(made.layer), made.layer

    def run(step: float) -> tuple[Array, Any]:
        params, xs = made.at(step)
        return item.forward_training(layer, params, *xs) if training else (item.forward(layer, params, *xs), None)

    y, saved = run(0.0)
    found = item.jvp(layer, made.params, made.tangents, made.dxs, made.xs, y, saved)
    expected = (run(STEP)[0] - run(-STEP)[0]) / (2 * STEP)
    assert np.abs(found - expected).max() < CLOSE * max(1.0, np.abs(expected).max())
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("op", OPS)
def test_forward_and_backward_derivatives_are_adjoint(op: str, seed: int, training: bool) -> None:
    """<delta, J v> = <J^T delta, v>, over inputs and parameters at once; sums of a few thousand products in float64."""
    made = drawn(op, seed)
    item, layer, params, xs = kind(made.layer), made.layer, made.params, made.xs
    y, saved = item.forward_training(layer, params, *xs) if training else (item.forward(layer, params, *xs), None)
    delta = np.random.default_rng(seed + 100).normal(size=y.shape)
    if training:
        below, gradients = item.backward(layer, params, delta, y, xs, saved, wanted=True)
    else:
        gate = item.gate(layer, delta, y)
        below, gradients = item.input_gradients(layer, params, gate, *xs), item.weight_gradient(layer, params, gate, xs[0])
    moving = {name: made.tangents[name] for name in gradients if name not in item.moving}
    learned = made.layer.trainable and (training or op != "batch_norm")
    assert set(moving) == (set(params) - set(item.moving) if learned else set())
    pairs = [*zip(below, made.dxs, strict=True), *((len(xs[0]) * gradients[name], v) for name, v in moving.items())]
    forwards = float(np.sum(delta * item.jvp(layer, params, moving, made.dxs, xs, y, saved)))
    backwards = sum(float(np.sum(g * v)) for g, v in pairs)
    assert forwards == pytest.approx(backwards, rel=1e-10, abs=1e-10 * sum(float(np.abs(g * v).sum()) for g, v in pairs))


@pytest.mark.parametrize("op", sorted(WITHOUT))
def test_a_layer_without_a_forward_derivative_refuses(op: str) -> None:
    made = make(op, WITHOUT[op])
    with pytest.raises(Unsupported, match=rf"^operator '{op}': got a forward derivative; allowed: layers with one; use another rule$"):
        made.jvp(Layer("one", made, ("input",), (1,)), {}, {}, (), (), np.zeros(1))


def graph() -> tuple[Network, Params, Array]:
    """A skip connection around a convolution and pools after it, in float64, and a batch."""
    build = Builder((6, 5, 2), 3)
    build.window("conv", "conv2d", (3, 3), pads=(1, 1, 1, 1), outputs=4, activation="relu")
    build.window("inner", "conv2d", (3, 3), pads=(1, 1, 1, 1), outputs=4)
    build.add("sum", "add", ("conv", "inner"), activation="relu")
    build.window("largest", "max_pool2d", (2, 2), (2, 2))
    build.window("depthwise", "depthwise_conv2d", (2, 2), multiplier=2, activation="relu")
    build.window("grouped", "conv2d", (1, 1), outputs=6, groups=2, activation="relu")
    build.add("mean", "global_average_pool")
    build.dense("dense", 3)
    build.add("softmax", "softmax")
    network = build.network()
    params = {layer.name: {name: 0.3 * value.astype(np.float64) for name, value in layer.params.items()} for layer in network.trainable}
    return network, params, np.random.default_rng(0).normal(size=(4, 6, 5, 2))


def directions(params: Params, x: Array) -> tuple[Params, Array]:
    rng = np.random.default_rng(1)
    moved = {layer: {name: rng.normal(size=value.shape) for name, value in values.items()} for layer, values in params.items()}
    return moved, rng.normal(size=x.shape)


@pytest.mark.parametrize("moving", ["parameters", "input", "both", "one layer"])
def test_a_networks_forward_derivative_is_its_central_difference(moving: str) -> None:
    network, params, x = graph()
    tangents, dx = directions(params, x)
    if moving == "one layer":
        tangents = {"inner": tangents["inner"]}
    if moving == "input":
        tangents = {}
    still = moving in ("parameters", "one layer")

    def at(step: float) -> Activations:
        there = {
            layer: {n: v + step * tangents[layer][n] if layer in tangents else v for n, v in vs.items()} for layer, vs in params.items()
        }
        return forward(network, there, x if still else x + step * dx)

    values, found = jvp(network, params, tangents, x, None if still else dx)
    above, below = at(STEP), at(-STEP)
    assert set(found) == set(values) == set(above)
    for name, tangent in found.items():
        assert values[name].tobytes() == at(0.0)[name].tobytes()
        expected = (above[name] - below[name]) / (2 * STEP)
        assert np.abs(tangent - expected).max() < CLOSE * max(1.0, np.abs(expected).max()), name
    assert np.abs(found["softmax"]).max() > 1e-3


def test_a_shift_before_the_activation_is_a_bias_of_every_sample_and_place() -> None:
    network, params, x = graph()
    bias = np.random.default_rng(2).normal(size=4)
    shift = np.broadcast_to(bias, (4, 6, 5, 4)).copy()
    _, expected = jvp(network, params, {"inner": {"bias": bias}}, x)
    _, found = jvp(network, params, {}, x, shifts={"inner": shift}, values=forward(network, params, x))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-14)
    assert np.abs(found["dense"]).max() > 1e-3


def test_the_slope_of_the_loss_is_the_gradient_of_back_propagation_along_the_direction() -> None:
    """<e, dz> = <gradient, v>, what forward gradients stand on."""
    from edgeff.rules import Run

    network, params, x = graph()
    tangents, _ = directions(params, x)
    rule, t = registry.rules["bp"], np.eye(3)[[0, 2, 1, 2]]
    values, moved = jvp(network, params, tangents, x)
    slope = float(np.sum((values["softmax"] - t) * moved["dense"])) / len(x)
    gradient = rule.step(Run(network, params, rule.settings, np.random.default_rng(0)), x, t)
    expected = sum(float(np.sum(gradient[layer][name] * v)) for layer, values in tangents.items() for name, v in values.items())
    assert slope == pytest.approx(expected, rel=1e-12)
