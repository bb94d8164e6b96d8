"""MEMPEPITA: PEPITA without stored clean activations; they are computed again beside the modulated ones (Pau & Aymone 2023)."""

from __future__ import annotations

from typing import Any

from edgeff.ir import Array
from edgeff.layers import kind
from edgeff.rules import Gradients, Run, register
from edgeff.rules.pepita import Pepita


@register
class MemPepita(Pepita):
    """Bit-identical to PEPITA, at three forwards' cost and a window of two layers' activations."""

    name = "mempepita"
    summary = "PEPITA with recomputed clean activations"
    source = "Pau & Aymone 2023"
    stores = "two layers' activations; F is generated"

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        masks = self._masks(run, len(x))
        e = self._pass(run, x, masks)[run.network.layers[-1].name] - t
        clean = {"input": x}
        modulated = {"input": self._modulated(run, x, e)}
        gradients: Gradients = {}
        for layer in run.network:
            params, mask = run.params.get(layer.name, {}), masks.get(layer.name, 1.0)
            clean[layer.name] = kind(layer).forward(layer, params, *(clean[name] for name in layer.inputs)) * mask
            modulated[layer.name] = kind(layer).forward(layer, params, *(modulated[name] for name in layer.inputs)) * mask
            if layer.trainable and layer is not run.last:
                delta = clean[layer.name] - modulated[layer.name]
                gradients[layer.name] = kind(layer).weight_gradient(layer, params, delta, modulated[layer.inputs[0]])
        delta = modulated[run.network.layers[-1].name] - t
        last = run.last
        gradients[last.name] = kind(last).weight_gradient(last, run.params[last.name], delta, modulated[last.inputs[0]])
        return gradients

    def lower(self, build: Any) -> None:
        """Both passes walk the layers together; a layer is updated after both have read its weights."""
        e = build.error(build.run(build.x)[build.layers[-1].name])
        trained = build.network.trainable
        clean, modulated = {"input": build.x}, {"input": self.modulate(build, e, build.copy(build.x))}
        below_last = build.layers[: build.layers.index(trained[-1])]
        for layer in build.layers:
            if layer in below_last:
                clean[layer.name] = build.forward(layer, *(clean[name] for name in layer.inputs))
            modulated[layer.name] = build.forward(layer, *(modulated[name] for name in layer.inputs))
            if layer in trained[:-1]:
                build.update(layer, build.difference(clean[layer.name], modulated[layer.name]), modulated[layer.inputs[0]])
        build.update(trained[-1], build.error(modulated[build.layers[-1].name]), modulated[trained[-1].inputs[0]])
