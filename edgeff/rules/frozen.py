"""The control of every learning claim: hidden layers stay at their random start, only the last layer learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.ir import Array, Layer, Network
from edgeff.ops import forward, kind
from edgeff.rules import DIGITS_POWER, Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder


@register
class Frozen(Rule):
    """``g_L = (o - t)^T h_{L-1} / B`` and nothing else: a linear read-out of random features."""

    values = True
    name = "frozen"
    summary = "control: only the last layer learns"
    source = "the control of rules such as PEPITA; random features, Rahimi & Recht 2007"
    stores = "the last layer's input"
    settings = Settings(relative_lr=0.2038, epochs=100)
    local = True
    digits_energy = 32 * DIGITS_POWER
    no_margin = "it is the control itself"
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.4796},
        "int16": {"relative_lr": 0.4796},
        "int8": {"relative_lr": 0.3837},
    }

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        if run.classes is not None:
            return {}
        h = forward(run.network, run.params, x)
        last = run.last
        delta = h[run.network.layers[-1].name] - t
        return {last.name: kind(last).weight_gradient(last, run.params[last.name], delta, h[last.inputs[0]])}

    def learns(self, network: Network, *, head: bool = True, settings: Any = None) -> tuple[Layer, ...]:
        return network.trainable[-1:] if head else ()

    def lower(self, build: RuleBuilder) -> None:
        if build.classes is not None:
            return
        h = build.run(build.x)
        last = build.network.trainable[-1]
        build.update(last, build.error(h[build.layers[-1].name]), h[last.inputs[0]])
