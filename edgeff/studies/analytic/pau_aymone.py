"""Training memory and multiply-accumulates by the conventions of Pau & Aymone (COINS 2023) and of the spreadsheet published with the paper.

In comes a network with parameters; out go, for back-propagation, Forward-Forward, PEPITA and MEMPEPITA, the MACs of a training step and of
an inference, and the bytes of activations and parameters. Every figure follows from the geometry. The sheet's departures from its own
conventions are named deviations (``deviations``); ``corrected=True`` leaves them out. Refused: layers without a formula.

Batch size 1, one byte per parameter and activation, batch normalisation folded away.

MACs. f, forward: taps on the padding count, a pool takes its window, an addition 1 per value, the softmax with its two converters 19 per
value. b, backward: f after the first layer with weights, without additions and softmax. w, weight update: f of the layers with weights.
Goodness and normalisation: each 1 for every output value of a layer with weights. Error: 1 for every output. F, projection of the error
onto the input: 1 per entry. BP = f + b + w + error; PEPITA = 2f + w + error + F; MEMPEPITA = 3f + w + error + F. Forward-Forward has no
softmax and takes 2 (f + w + goodness + normalisation) to learn and f + goodness + normalisation per class to predict.

Bytes. BP and PEPITA keep the input, the inputs and outputs of layers with weights, and the softmax, four bytes per value. Forward-Forward
keeps the input and, for the layer where that is most, its input, its output and the skip connections around it. MEMPEPITA keeps no
input, but the larger of that layer's input and output and the skip connections twice. A depthwise convolution reads a padded copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from edgeff.errors import BadInput
from edgeff.ir import Network
from edgeff.ops import Operator
from edgeff.studies.analytic.geometry import Count, counts

SOURCE = "Pau & Aymone, Suitability of Forward-Forward and PEPITA Learning to MLCommons-Tiny Benchmarks, IEEE COINS 2023"
RULES: Mapping[str, str] = {"bp": "BP", "ff": "FF", "pepita": "PEPITA", "mempepita": "MEMPEPITA"}
SOFTMAX_MACS = 19
"""MACs per value of the softmax, with the converters before and after it: the same in all three published networks that have one."""
SOFTMAX_BYTES = 4


@dataclass(frozen=True)
class Entry:
    """The counts of a network: the figures are sums over these, and a deviation of the sheet is a change of one of them.

    By layer: ``positions`` of the output that cost MACs, ``goodness`` MACs, and ``kept`` bytes while BP or PEPITA trains.
    """

    layers: tuple[Count, ...]
    inputs: int
    positions: Mapping[str, int]
    goodness: Mapping[str, int]
    kept: Mapping[str, int]

    @property
    def outputs(self) -> int:
        return self.layers[-1].values

    @property
    def softmax(self) -> bool:
        return self.layers[-1].op.probabilities

    def macs(self, layer: Count) -> int:
        return SOFTMAX_MACS * layer.values if layer.op.probabilities else self.positions[layer.name] * layer.macs_per_position


@dataclass(frozen=True)
class LayerMacs:
    """MACs of one layer: forward, backward, weight update and goodness (its normalisation takes as many as its goodness)."""

    name: str
    op: str
    forward: int
    backward: int
    update: int
    goodness: int


@dataclass(frozen=True)
class Parts:
    """MACs of the parts of a training step; ``softmax`` is the part of ``forward`` that Forward-Forward does without."""

    forward: int
    backward: int
    update: int
    goodness: int
    normalisation: int
    projection: int
    error: int
    softmax: int


@dataclass(frozen=True)
class Figures:
    """The cost of a rule: MACs of a training step and of an inference, bytes of activations and parameters while it trains."""

    train_macs: int
    infer_macs: int
    activation_bytes: int
    parameter_bytes: int

    @property
    def ram_bytes(self) -> int:
        return self.activation_bytes + self.parameter_bytes


def entry(network: Network) -> Entry:
    """The counts of ``network`` by the conventions. Raises Unsupported for a layer without a formula, BadInput if none has weights."""
    layers = counts(network)
    if not any(layer.learns for layer in layers):
        raise BadInput(f"network {network.name!r} in an analytic table", got="no layer with weights", allowed="at least one")
    inputs = prod(network.input_shape)
    values = {"input": inputs} | {layer.name: layer.values for layer in layers}
    kept = {"input": inputs}
    for layer in layers:
        if layer.learns:
            kept |= {name: values[name] for name in (*layer.inputs, layer.name)}
        elif layer.op.probabilities:
            kept[layer.name] = SOFTMAX_BYTES * layer.values
    positions = {layer.name: layer.positions for layer in layers}
    return Entry(layers, inputs, positions, {layer.name: layer.values for layer in layers if layer.learns}, kept)


def layer_macs(entry: Entry) -> tuple[LayerMacs, ...]:
    """The MACs of every layer, in order."""
    result: list[LayerMacs] = []
    below = False  # whether there is a layer with weights below, so that a gradient must go further down
    for layer in entry.layers:
        forward = entry.macs(layer)
        backward = forward if below and layer.op.arity == 1 and not layer.op.probabilities else 0
        update = forward if layer.learns else 0
        result.append(LayerMacs(layer.name, layer.op.name, forward, backward, update, entry.goodness.get(layer.name, 0)))
        below |= layer.learns
    return tuple(result)


def parts(entry: Entry) -> Parts:
    """The sums over the layers, and the costs per network."""
    layers = layer_macs(entry)
    goodness = sum(layer.goodness for layer in layers)
    return Parts(
        forward=sum(layer.forward for layer in layers),
        backward=sum(layer.backward for layer in layers),
        update=sum(layer.update for layer in layers),
        goodness=goodness,
        normalisation=goodness,
        projection=entry.inputs * entry.outputs,
        error=entry.outputs,
        softmax=sum(layer.forward for layer, count in zip(layers, entry.layers, strict=True) if count.op.probabilities),
    )


def figures(entry: Entry) -> dict[str, Figures]:
    """The figures of each of ``RULES``."""
    p = parts(entry)
    plain = p.forward - p.softmax
    train = {
        "bp": p.forward + p.backward + p.update + p.error,
        "ff": 2 * (plain + p.update + p.goodness + p.normalisation),
        "pepita": 2 * p.forward + p.update + p.error + p.projection,
        "mempepita": 3 * p.forward + p.update + p.error + p.projection,
    }
    passes = entry.outputs if entry.softmax else 1
    infer = dict.fromkeys(RULES, p.forward) | {"ff": passes * (plain + p.goodness + p.normalisation)}
    whole = sum(entry.kept.values())
    windows = [*_windows(entry)]
    activations = {
        "bp": whole,
        "ff": entry.kept["input"] + max(w.read + w.made + w.skipped for w in windows if not w.op.probabilities),
        "pepita": whole,
        "mempepita": max(w.read + w.made + w.larger + 2 * w.skipped for w in windows),
    }
    parameters = sum(layer.parameters for layer in entry.layers)
    return {rule: Figures(train[rule], infer[rule], activations[rule], parameters) for rule in RULES}


@dataclass(frozen=True)
class _Window:
    """The bytes in use while a layer is computed: its input and output, the larger of both without padding, and the skip connections."""

    op: Operator
    read: int
    made: int
    larger: int
    skipped: int


def _windows(entry: Entry) -> Iterable[_Window]:
    values = {"input": entry.kept["input"]} | {layer.name: layer.values for layer in entry.layers}
    last_use = {name: index for index, layer in enumerate(entry.layers) for name in layer.inputs}
    alive = ["input"]
    for index, layer in enumerate(entry.layers):
        main, *others = layer.inputs
        around = {*others, *(name for name in alive if last_use.get(name, -1) > index)} - {main}
        read = layer.padded_values if layer.op.channelwise and layer.learns else values[main]
        out = layer.values * (SOFTMAX_BYTES if layer.op.probabilities else 1)
        yield _Window(layer.op, read, out, max(values[main], out), sum(values[name] for name in around))
        alive.append(layer.name)
