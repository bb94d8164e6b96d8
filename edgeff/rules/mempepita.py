"""MEMPEPITA: PEPITA without stored clean activations; they are computed again beside the modulated ones (Pau & Aymone 2023)."""

from __future__ import annotations

from typing import Any

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.rules import Gradients, Run, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules.pepita import Pepita, compared, ended


@register
class MemPepita(Pepita):
    """Bit-identical to PEPITA, at the cost of three forward passes and with the activations of two layers at a time.

    Supports every variant except time-local learning, which keeps no clean activations in the first place.
    """

    values = True
    name = "mempepita"
    summary = "PEPITA with recomputed clean activations"
    source = "Pau & Aymone 2023"
    stores = "two layers' activations; F is generated"

    def _check(self, settings: Any) -> None:
        if settings.time_local:
            raise Unsupported(
                "time_local with mempepita", got="no clean activation to recompute", allowed="pepita", next_step="use --rule pepita"
            )

    def start(self, run: Run) -> None:
        self._check(run.settings)
        super().start(run)

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        masks, out, last, output = self._masks(run, len(x)), run.extra["compared"], run.last, run.network.layers[-1].name
        o = self._pass(run.network, run.params, x, masks)[output]
        clean, modulated = {"input": x}, {"input": self._modulated(run, x, o - t)}
        below_last = run.network.layers[: run.network.layers.index(last)]
        gradients: Gradients = {}
        for layer in run.network:
            if layer in below_last:
                clean[layer.name] = self._forward(layer, run.params, clean, masks)
            modulated[layer.name] = self._forward(layer, run.params, modulated, masks)
            for done in ended(run.network, out, layer):
                if done is not last:
                    gradients[done.name] = self._gradient(run, done, clean, modulated, t)
        gradients[last.name] = self._gradient(run, last, clean | {output: o}, modulated, t)
        return gradients

    def lower(self, build: RuleBuilder) -> None:
        """Both passes walk the layers together; a layer is updated after both have read its weights."""
        self._check(build.settings)
        self.check_lowering(build)
        h = build.run(build.x)
        output, last, out = build.layers[-1].name, build.network.trainable[-1], compared(build.network)
        e = build.error(h[output])
        clean, modulated = {"input": build.x}, {"input": self.modulate(build, e, build.copy(build.x))}
        below_last = build.layers[: build.layers.index(last)]
        second = self._second(build.network, build.settings)
        for layer in build.layers:
            if layer in below_last:
                clean[layer.name] = build.forward(layer, *(clean[name] for name in layer.inputs))
            if layer in second:
                modulated[layer.name] = build.forward(layer, *(modulated[name] for name in layer.inputs))
            for done in ended(build.network, out, layer):
                if done is not last:
                    self.lower_hidden(build, done, clean, modulated)
        self.lower_last(build, e, clean | {output: h[output]}, modulated)
