"""PEPITA: the second forward pass sees an input modulated by the error of the first (Dellaferrera & Kreiman, ICML 2022).

Its variants (Srinivasan et al., ICLR 2024) are settings. The equations, measurements and departures: docs/rules/pepita.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.arithmetic import feedback_signs, feedback_uniform, stream_key
from edgeff.ops import Activations, Params, kind
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.ops.normalise import Normalise
from edgeff.rules import FeedbackSettings, Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._filters import frozen_filters
from edgeff.rules._mirroring import Mirror

EPS = 1e-6
SIZE_OF_F = frozenset({"feedback_scale", "feedback_inputs", "hidden_inputs"})
"""Settings that, where one is given, keep F and the hidden steps as they are."""
LEAST_STEPS = 0.7
"""The least entry of F in steps of int8 inputs: a modulation that rounds to 0 teaches hidden layers nothing (docs/adr/0058)."""


@dataclass(frozen=True)
class PepitaSettings(FeedbackSettings):
    """Hyper-parameters of PEPITA; the defaults are the plain rule.

    ``feedback_scale``: s of F, whose deviation is s sqrt(2 / D); ``feedback_inputs``: the largest D there (0: the inputs, as published), so
    that wider inputs of the same size are modulated as much. ``hidden_inputs``: the hidden layers' steps are longer by sqrt(D /
    hidden_inputs) where F has a D beyond that, for F, and what they learn from it, is smaller by as much (0: as published).
    ``distribution`` of its entries: ``signs`` (+-s sqrt(2 / D)) or the paper's ``uniform`` (s U(+-sqrt(6 / D)), on a device stored).
    ``modulation``: ``plus`` (x + F e) or ``minus`` (x - F e; the hidden layers' update changes its sign too). ``output_pass``: the pass,
    1 or 2, whose error the last layer learns from. ``hebbian``: the difference of two Hebbian products. ``time_local``: the same, with its
    first term applied before pass 2 runs. ``normalise``: a hidden layer's output is divided by its root mean square.

    Weight mirroring (``mirror_every`` above 0; host): ``mirror_first`` epochs of noise before the first epoch and one before every
    ``mirror_every``-th, with learning rate ``mirror_lr`` and decay ``mirror_decay`` per step.
    """

    relative_lr: float = 0.3597
    batch: int = 16
    dropout: float = 0.1
    feedback_scale: float = 0.1
    feedback_inputs: int = 0
    hidden_inputs: int = 64
    distribution: str = "signs"
    modulation: str = "plus"
    output_pass: int = 2
    hebbian: bool = False
    time_local: bool = False
    normalise: bool = False
    mirror_every: int = 0
    mirror_first: int = 2
    mirror_lr: float = 0.01
    mirror_decay: float = 1e-4
    largest_scale: ClassVar[float] = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        choices: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("distribution", ("signs", "uniform")),
            ("modulation", ("plus", "minus")),
            ("output_pass", (1, 2)),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise BadInput(f"setting {name}", got=repr(getattr(self, name)), allowed=", ".join(map(str, allowed)))
        for name, high in (
            ("mirror_every", 10**6),
            ("feedback_inputs", 10**9),
            ("hidden_inputs", 10**9),
            ("mirror_first", 10**6),
            ("mirror_lr", 1e3),
            ("mirror_decay", 1.0),
        ):
            if not 0 <= getattr(self, name) <= high:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed=f"0 to {high:g}")
        for refused, got, instead in (
            (self.hebbian and self.time_local, "hebbian and time_local", "one of them: time_local is the Hebbian form in two parts"),
            (self.two_terms and self.output_pass == 1, "output_pass=1 in a Hebbian form", "2: its last layer reads both passes"),
            (self.time_local and self.optimiser != "sgd", f"time_local with {self.optimiser}", "sgd: its first term is a plain step"),
            (self.distribution == "uniform" and self.feedback == "generated", "a generated uniform F", "feedback=stored, or signs"),
            (
                self.distribution == "uniform" and self.mirror_every,
                "a uniform F and weight mirroring",
                "one of them: mirroring determines F",
            ),
        ):
            if refused:
                raise BadInput("settings of PEPITA", got=got, allowed=instead)

    @property
    def two_terms(self) -> bool:
        """Whether the update is a difference of two Hebbian products."""
        return self.hebbian or self.time_local

    @property
    def sign(self) -> float:
        """The sign of the modulation, and so of the hidden layers' update: +1 or -1."""
        return 1.0 if self.modulation == "plus" else -1.0

    def entry(self, n_in: int) -> float:
        """The largest magnitude of an entry of F; the uniform one is as published."""
        return self.feedback_scale * sqrt(6.0 / n_in) if self.distribution == "uniform" else self.deviation(n_in)

    def deviation(self, n_in: int) -> float:
        """Of the entries of F that are signs, and of one that mirrors make."""
        return self.feedback_scale * sqrt(2.0 / self._inputs(n_in))

    def hidden_factor(self, n_in: int) -> float:
        """By what the steps of hidden layers are longer than those of the last layer, for a network of ``n_in`` inputs.

        >>> PepitaSettings().hidden_factor(1024), PepitaSettings(hidden_inputs=0).hidden_factor(1024)
        (4.0, 1.0)
        """
        return max(1.0, sqrt(self._inputs(n_in) / self.hidden_inputs)) if self.hidden_inputs else 1.0

    def of_at_least(self, least: float, n_in: int) -> PepitaSettings:
        """The same, or with entries of F as large as ``least`` and hidden steps as much shorter, though no shorter than as published.

        >>> larger = PepitaSettings().of_at_least(0.02, 800)
        >>> round(PepitaSettings().entry(800), 4), round(larger.entry(800), 4), round(larger.hidden_factor(800), 2)
        (0.005, 0.02, 1.0)
        """
        entry = self.entry(n_in)
        if entry >= least:
            return self
        inputs, factor = self._inputs(n_in), max(self.hidden_factor(n_in) * entry / least, 1.0)
        hidden_inputs = max(round(inputs / factor**2), 1) if self.hidden_inputs else 0
        return replace(self, feedback_scale=min(self.feedback_scale * least / entry, self.largest_scale), hidden_inputs=hidden_inputs)

    def _inputs(self, n_in: int) -> int:
        """D in the deviation of F."""
        return min(n_in, self.feedback_inputs or n_in)

    def matrix(self, n_in: int, n_out: int, seed: int) -> Array:
        """F in units of its largest entry (n_in, n_out): int8 signs, or float64 from -1 to 1."""
        make = feedback_signs if self.distribution == "signs" else feedback_uniform
        return np.asarray(make(n_in, n_out, stream_key(seed, "feedback", "input")))


@register
class Pepita(Rule):
    """Pass 1: ``h_l``, ``o``, ``e = o - t``. Pass 2 from ``h'_0 = x + F e`` with the same weights and dropout masks.

    ``g_l = (h_l - h'_l)^T h'_{l-1} / B`` for hidden layers, ``g_L = (o' - t)^T h'_{L-1} / B``; Hebbian: ``g_l = (h_l^T h_{l-1} - h'_l^T
    h'_{l-1}) / B``, ``g_L = (o^T h_{L-1} - t^T h'_{L-1}) / B``. A convolution's products are summed over its output positions.
    ``h_l`` is a layer's output after ReLU, dropout and normalisation. Departures: F's entries are by default +-s with the paper's
    deviation, not uniform, so that one random bit gives an entry; the authors' program averages over a convolution's positions.
    """

    values = True
    name = "pepita"
    summary = "error-modulated second forward pass"
    source = "Dellaferrera & Kreiman, ICML 2022"
    stores = "all activations of the clean pass; F is generated"
    drops_out = True
    settings: Settings = PepitaSettings()
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 1.151, "feedback_scale": 0.15},
        "int16": {"relative_lr": 1.151, "feedback_scale": 0.15},
        "int8": {"relative_lr": 0.8633, "feedback_scale": 0.2},
    }

    divergence_hint = "feedback_scale x lr is too large: lower one of them (--set feedback_scale=... --set lr=...)"

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """With ``normalise``, the network with a ``normalise`` layer after every hidden one; else the same."""
        if not settings.normalise:
            return network
        layers: list[Layer] = []
        renamed: dict[str, str] = {}
        for layer in network:
            layers.append(replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs)))
            if layer.trainable and layer is not network.upstream.trainable[-1]:
                renamed[layer.name] = f"{layer.name}_norm"
                layers.append(Layer(f"{layer.name}_norm", Normalise(eps=EPS), (layer.name,), layer.shape))
        return replace(network, layers=tuple(layers))

    def caution(self, network: Network) -> str:
        return frozen_filters(self, network)

    def start(self, run: Run) -> None:
        settings, network = run.settings, run.network
        n_in, n_out = prod(network.input_shape), prod(network.layers[-1].shape)
        if settings.mirror_every:
            run.extra["mirror"] = mirror = Mirror(network, settings, settings.deviation(n_in), run.rng)
            run.extra["F"] = mirror.feedback()
        else:
            run.extra["F"] = settings.matrix(n_in, n_out, run.seed).astype(np.float32) * np.float32(settings.entry(n_in))
        run.extra["compared"] = compared(network)

    def begin_epoch(self, run: Run, x: Array, t: Array) -> None:
        """Weight mirroring, if it is due."""
        if run.settings.mirror_every:
            mirror: Mirror = run.extra["mirror"]
            for _ in range(mirror.due(run.epoch)):
                mirror.epoch(run.params, -(-len(x) // run.settings.batch))
                run.extra["F"] = mirror.feedback()

    def on_steps(self, network: Network, settings: Any, given: Collection[str]) -> Any:
        """In int8 F is no smaller than ``LEAST_STEPS`` of the inputs', where all that learns is dense (docs/adr/0058)."""
        quant = network.input_quant
        if quant is None or quant.dtype != "int8" or not SIZE_OF_F.isdisjoint(given):
            return settings
        if any(not isinstance(layer.op, Dense) for layer in network.trainable):
            return settings
        return settings.of_at_least(LEAST_STEPS * quant.scale[0], prod(network.input_shape))

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """As for any rule, plus the largest modulation around the inputs: sum |e| <= 2 after a softmax."""
        return replace(super().headroom(network, settings, numeric), input_margin=2.0 * settings.entry(prod(network.input_shape)))

    def _masks(self, run: Run, batch: int) -> dict[str, Array]:
        """Inverted dropout of the hidden layers' outputs: 0 or 1 / keep, float32, one mask for both passes."""
        keep = np.float32(1.0 - run.settings.dropout)
        if keep == 1.0:
            return {}
        return {layer.name: (run.rng.random((batch, *layer.shape), np.float32) < keep) * (1 / keep) for layer in run.hidden}

    def _forward(self, layer: Layer, params: Params, h: Activations, masks: Mapping[str, Array]) -> Array:
        y = kind(layer).forward(layer, params.get(layer.name, {}), *(h[name] for name in layer.inputs))
        if layer.name in masks:
            y *= masks[layer.name]
        return y

    def _pass(self, network: Iterable[Layer], params: Params, x: Array, masks: Mapping[str, Array]) -> Activations:
        h: Activations = {"input": x}
        for layer in network:
            h[layer.name] = self._forward(layer, params, h, masks)
        return h

    def _modulated(self, run: Run, x: Array, e: Array) -> Array:
        """``x + F e`` or ``x - F e``, in x's shape."""
        change = (e @ run.extra["F"].T).reshape(x.shape)
        return x + change if run.settings.modulation == "plus" else x - change

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        masks, params = self._masks(run, len(x)), run.params
        h = self._pass(run.network, params, x, masks)
        o = h[run.network.layers[-1].name]
        first: Gradients = {}
        if run.settings.time_local:
            first = {layer.name: self._first_term(run, layer, h) for layer in run.network.trainable}
            moved = {layer: {name: params[layer][name] - run.lr * g for name, g in terms.items()} for layer, terms in first.items()}
            params = {**params, **moved}
        hm = self._pass(self._second(run.network, run.settings), params, self._modulated(run, x, o - t), masks)
        return {layer.name: self._gradient(run, layer, h, hm, t, first.get(layer.name)) for layer in run.network.trainable}

    def _second(self, network: Any, settings: Any) -> list[Layer]:
        """The layers of pass 2: it stops below the last trainable one if that one needs no error of pass 2."""
        layers = list(network.layers)
        return layers if settings.output_pass == 2 and not settings.two_terms else layers[: layers.index(network.upstream.trainable[-1])]

    def _gradient(
        self, run: Run, layer: Layer, h: Activations, hm: Activations, t: Array, first: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """The layer's direction from the activations of both passes; ``first``: the term that was applied already."""
        settings, below, out = run.settings, layer.inputs[0], run.extra["compared"][layer.name]
        if settings.two_terms:
            direction = first or self._first_term(run, layer, h)
            for name, second in self._product(run, layer, t if layer is run.last else hm[out], hm).items():
                direction[name] -= second
            return direction
        if layer is run.last:
            delta = (h if settings.output_pass == 1 else hm)[out] - t
        else:
            delta = h[out] - hm[out] if settings.modulation == "plus" else hm[out] - h[out]
            delta *= self._hidden_factor(run)
        return kind(layer).weight_gradient(layer, run.params[layer.name], delta, hm[below])

    def _first_term(self, run: Run, layer: Layer, h: Activations) -> dict[str, Array]:
        return self._product(run, layer, h[run.extra["compared"][layer.name]], h)

    def _product(self, run: Run, layer: Layer, y: Array, h: Activations) -> dict[str, Array]:
        """``+-y^T h_{l-1} / B``; the sign is the modulation's for a hidden layer."""
        signed = y if layer is run.last else y * (self._hidden_factor(run) * run.settings.sign)
        return kind(layer).weight_gradient(layer, run.params[layer.name], signed, h[layer.inputs[0]])

    def _hidden_factor(self, run: Run) -> float:
        return float(run.settings.hidden_factor(prod(run.network.input_shape)))

    def check_lowering(self, build: RuleBuilder) -> None:
        """Raises Unsupported for settings that a device cannot follow."""
        if build.settings.mirror_every:
            raise Unsupported("weight mirroring on a device", got="an F that follows the weights", allowed="mirror_every=0: a fixed F")
        if build.settings.normalise and not any(isinstance(layer.op, Normalise) for layer in build.layers):
            raise Unsupported(
                "normalise on a device", got="a network without the layers", allowed="one trained with them", next_step="train it first"
            )

    def modulate(self, build: RuleBuilder, e: Value, x: Value) -> Value:
        """x += F e or x -= F e in place; returns x."""
        settings = build.settings
        entries = settings.matrix(x.elements, e.elements, build.seed) if settings.feedback == "stored" else None
        return build.feedback("input", e, settings.sign * settings.entry(x.elements), onto=x, entries=entries)

    def lower(self, build: RuleBuilder) -> None:
        """The modulated input overwrites the clean one, unless that is read again. Each layer is updated as soon as it can be.

        Time-local learning keeps no clean activation; the Hebbian form keeps the clean input too.
        """
        self.check_lowering(build)
        settings, out, last = build.settings, compared(build.network), build.network.trainable[-1]
        output = build.layers[-1].name
        h = {"input": build.x}
        for layer in build.layers:
            h[layer.name] = build.forward(layer, *(h[name] for name in layer.inputs))
            if settings.time_local:
                for done in ended(build.network, out, layer):
                    self.lower_product(build, done, h[out[done.name]], h)
        e = build.error(h[output])
        keep_input = build.target == "input" or settings.hebbian
        hm = {"input": self.modulate(build, e, build.copy(build.x) if keep_input else build.x)}
        for layer in self._second(build.network, settings):
            hm[layer.name] = build.forward(layer, *(hm[name] for name in layer.inputs))
            for done in ended(build.network, out, layer):
                if done is not last:
                    self.lower_hidden(build, done, h, hm)
        self.lower_last(build, e, h, hm)

    def lower_product(self, build: RuleBuilder, layer: Layer, y: Value, h: Mapping[str, Value], factor: float = 1.0) -> None:
        """Emits W -= lr factor (+-y^T h_{l-1}); the sign is the modulation's for a hidden layer."""
        if layer is not build.network.trainable[-1]:
            factor *= build.settings.sign * build.settings.hidden_factor(build.x.elements)
        build.update(layer, y, h[layer.inputs[0]], factor)

    def lower_hidden(self, build: RuleBuilder, layer: Layer, h: Mapping[str, Value], hm: Mapping[str, Value]) -> None:
        """Emits the update of a hidden layer from the activations of both passes."""
        settings, out = build.settings, compared(build.network)[layer.name]
        if settings.two_terms:
            if settings.hebbian:
                self.lower_product(build, layer, h[out], h)
            self.lower_product(build, layer, hm[out], hm, -1.0)
            return
        a, c = (h, hm) if settings.modulation == "plus" else (hm, h)
        build.update(layer, build.difference(a[out], c[out]), hm[layer.inputs[0]], settings.hidden_factor(build.x.elements))

    def lower_last(self, build: RuleBuilder, e: Value, h: Mapping[str, Value], hm: Mapping[str, Value]) -> None:
        """Emits the update of the last layer."""
        settings, last, output = build.settings, build.network.trainable[-1], build.layers[-1].name
        if settings.two_terms:
            if settings.hebbian:
                self.lower_product(build, last, h[output], h)
            e = build.error(build.zeros(h[output]))  # -t
        elif settings.output_pass == 2:
            e = build.error(hm[output])
        build.update(last, e, hm[last.inputs[0]])


def compared(network: Network) -> dict[str, str]:
    """For each trainable layer the one whose output represents it: its normalisation, the network's output for the last one, or itself."""
    outputs = {layer.name: layer.name for layer in network.trainable}
    outputs |= {layer.inputs[0]: layer.name for layer in network if isinstance(layer.op, Normalise) and layer.inputs[0] in outputs}
    return outputs | {network.upstream.trainable[-1].name: network.layers[-1].name}


def ended(network: Network, out: Mapping[str, str], layer: Layer) -> list[Layer]:
    """The trainable layers whose compared output is that of ``layer``."""
    return [trained for trained in network.trainable if out[trained.name] == layer.name]
