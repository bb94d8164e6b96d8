"""Top-down credit assignment: a meta-trained top-down network turns the output error into the hidden units' credits (Chen et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.ir import Array, Quant
from edgeff.ops import forward, kind
from edgeff.ops.building import Value
from edgeff.ops.dense import accumulator_shift
from edgeff.rules import FeedbackSettings, Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._feedback import lower_through_activations, through_activations
from edgeff.rules._top_down import CODE, CODE_NAME, CREDITS, SEED, TopDown, diffusion, diffusion_name, error_code, top_down


@dataclass(frozen=True)
class TopDownSettings(FeedbackSettings):
    """``top_down``: ``meta`` (the shipped network), ``random`` (untrained, drawn from the seed) or an .npz file of your own.

    ``feedback_scale`` is a factor on all credits.
    """

    top_down: str = "meta"


@register
class TopDownCreditAssignment(Rule):
    """``d_l = (T(e) D_l^T) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B`` with the top-down network T, ``d_L = e``; nothing runs backward.

    T is a small network that learned to teach: an evolution strategy chose its parameters by how well fresh bottom-up networks learn with
    them (``edgeff.rules._tdca_training``); here they are constants. ``edgeff.rules._top_down`` has T's equations.

    Departures from the paper, whose T reads the output and the label, has two tanh layers, also gives the output layer its credit and
    is evolved on the data set that it is used for: T reads their difference e (which determines both); its units are odd pairs of ReLUs,
    for which there are kernels; the last layer learns from e itself; it is evolved on synthetic tasks, so that it contains no task's data.
    The paper names credit diffusion, few credits spread to many units; the choice of random signs for D_l is edgeff's.
    """

    name = "tdca"
    summary = "output error through a meta-trained top-down network"
    source = "Chen, Liu & Wang, arXiv 2208.01416, 2022"
    stores = "all activations until the output error is known; the top-down network"
    settings: Settings = TopDownSettings(relative_lr=0.1439, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.5755},
    }
    divergence_hint = "lower the learning rate (--set lr=...) or the credits (--set feedback_scale=...)"

    def start(self, run: Run) -> None:
        run.extra["top_down"] = top_down(run.settings.top_down, run.seed)
        run.extra["code"] = error_code(prod(run.network.layers[-1].shape))
        run.extra["D"] = {layer.name: diffusion(prod(layer.shape), index) for index, layer in enumerate(run.hidden)}

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        h = forward(run.network, run.params, x)
        e = h[run.network.layers[-1].name] - t
        c = run.settings.feedback_scale * run.extra["top_down"].credits(e.reshape(len(e), -1) @ run.extra["code"].T)
        gradients: Gradients = {}
        for layer in run.network.trainable:
            delta = e
            if layer is not run.last:
                delta = through_activations(run.network, layer, (c @ run.extra["D"][layer.name].T).reshape(-1, *layer.shape), h)
            gradients[layer.name] = kind(layer).weight_gradient(layer, run.params[layer.name], delta, h[layer.inputs[0]])
        return gradients

    def lower(self, build: RuleBuilder) -> None:
        h = build.run(build.x)
        e = build.error(h[build.layers[-1].name])
        trained = build.network.trainable
        build.update(trained[-1], e, h[trained[-1].inputs[0]])
        if len(trained) == 1:
            return
        stored = build.settings.feedback == "stored"
        network = top_down(build.settings.top_down, build.seed)
        with build.seeded(SEED):
            code = build.feedback(CODE_NAME, e, 1.0 / sqrt(e.elements), n=CODE, stored=stored)
        c, largest = lower_credits(build, network, code, e.elements)
        scale = build.settings.feedback_scale / sqrt(CREDITS)
        for index, layer in reversed(list(enumerate(trained[:-1]))):
            with build.seeded(SEED):
                delta = build.feedback(diffusion_name(index), c, scale, n=h[layer.name].elements, stored=stored, largest=largest)
            build.update(layer, lower_through_activations(build, layer, delta, h), h[layer.inputs[0]])


def lower_credits(build: RuleBuilder, network: TopDown, code: Value, classes: int) -> tuple[Value, float]:
    """T applied to the code as two dense layers with weights in flash, and twice the sum of its |credits| for a certain mistake.

    Integers (int16 in int8 networks too, as errors are): each layer spans twice its output for confident mistakes between neighbouring
    classes, ``e = 1`` at one and -1 at the next, and saturates beyond.
    """
    first, bias, second = network.plain_layers()
    mistakes = (np.eye(classes) - np.roll(np.eye(classes), 1, axis=0)) @ error_code(classes).T
    units, c = np.maximum(mistakes @ first.T + bias, 0), network.credits(mistakes)
    largest = 2.0 * float(np.abs(c).sum(axis=1).max())
    u = _dense(build, "top_down_1", code, first, bias, 2.0 * float(units.max()))
    return _dense(build, "top_down_2", u, second, None, 2.0 * float(np.abs(c).max())), largest


def _dense(build: RuleBuilder, name: str, x: Value, weight: Array, bias: Array | None, largest: float) -> Value:
    """A dense layer with constant parameters, float32 or int16; with a bias it has a ReLU too."""
    n_out, n_in = weight.shape
    sizes = {"n_out": n_out, "n_in": n_in}
    if build.numeric == "float32":
        y = build.activation(name, (n_out,))
        b = None if bias is None else build.constant(f"{name}.bias", bias)
        build.call(
            "eff_dense_f32", [y], [x, build.constant(f"{name}.weight", weight), b], sizes | {"relu": int(b is not None)}, stage="feedback"
        )
        return y
    step, pre_shift = float(np.abs(weight).max()) / 32767, accumulator_shift(n_in)
    y = build.activation(name, (n_out,), dtype="int16", scale=largest / 32767)
    w = build.constant(f"{name}.weight", np.rint(weight / step).astype(np.int16), Quant((step,), dtype="int16"))
    unit = x.scale * step * 2.0**pre_shift
    b = None if bias is None else build.constant(f"{name}.bias", np.rint(bias / unit).astype(np.int32), Quant((unit,), dtype="int32"))
    multiplier, shift = build.fixed_point(unit / y.scale, f"the top-down layer {name!r}")
    factors = [build.constant(f"{name}.{key}", np.array([v], np.int32)) for key, v in (("multiplier", multiplier), ("shift", shift))]
    attrs = sizes | {"per_channel": 0, "pre_shift": pre_shift, "y_min": -32767 if b is None else 0}
    build.call("eff_dense_i16", [y], [x, w, b, *factors], attrs, stage="feedback")
    return y
