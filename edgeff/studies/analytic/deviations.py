"""The published sheet of Pau & Aymone (2023) as published: its four networks, and its deviations from its own conventions.

In comes a network with parameters; out goes its ``Analysis``. For one of the four published networks the deviations are in the figures,
named, with their effect on each figure; ``corrected=True`` leaves them out. Each is a change of one count of one layer; if only the
residual is known but not its reason, the deviation says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from edgeff.errors import BadInput
from edgeff.ir import Network
from edgeff.ops.dense import Dense
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.studies.analytic.pau_aymone import Entry, Figures, LayerMacs, Parts, entry, figures, layer_macs, parts

BENCHMARKS: Mapping[str, str] = {"ds_cnn": "KWS", "mobilenet_v1_025": "VWW", "resnet8": "IC", "fc_ae": "AD"}
"""The networks of the published table: their name in edgeff, and their benchmark in the paper."""

Kind = Literal["known error", "unexplained"]


@dataclass(frozen=True)
class Deviation:
    """A deviation of the sheet from its conventions: its ``benchmarks``, and the change made by ``applied``.

    ``kind`` is ``unexplained`` if only the size of the residual is known: ``text`` then says what would be as large.
    """

    name: str
    kind: Kind
    text: str
    benchmarks: tuple[str, ...]
    applied: Callable[[Entry], Entry]


@dataclass(frozen=True)
class Analysis:
    """A network by the conventions. ``effects``: the amount that each deviation adds, by the name of the figure."""

    network: str
    benchmark: str | None
    layers: tuple[LayerMacs, ...]
    parts: Parts
    rules: Mapping[str, Figures]
    effects: Mapping[str, Mapping[str, int]]


def analyse(network: Network, *, benchmark: str | None = None, corrected: bool = False) -> Analysis:
    """The figures of ``network``.

    Args:
        network: with parameters; one that classifies ends in a softmax.
        benchmark: ``"KWS"``, ``"VWW"``, ``"IC"`` or ``"AD"`` if ``network`` is that one of the published sheet.
        corrected: leaves out the deviations of the sheet.
    Raises: Unsupported for a layer without a formula; BadInput for another benchmark or a network without weights.
    """
    if benchmark is not None and benchmark not in BENCHMARKS.values():
        raise BadInput("benchmark", got=repr(benchmark), allowed=", ".join(BENCHMARKS.values()))
    plain = entry(network)
    chosen = [] if corrected else [deviation for deviation in DEVIATIONS if benchmark in deviation.benchmarks]
    published = _with(plain, chosen)
    effects = {d.name: _difference(_with(plain, [other for other in chosen if other is not d]), published) for d in chosen}
    return Analysis(network.name, benchmark, layer_macs(published), parts(published), figures(published), effects)


def _with(counted: Entry, deviations: Sequence[Deviation]) -> Entry:
    for deviation in deviations:
        counted = deviation.applied(counted)
    return counted


def _difference(before: Entry, after: Entry) -> dict[str, int]:
    """The differences of ``after`` from ``before``: ``parts.NAME`` and ``rules.RULE.activation_bytes``; {} for equal ones."""
    old, new = (
        {f"parts.{name}": value for name, value in asdict(parts(e)).items()}
        | {f"rules.{rule}.activation_bytes": figure.activation_bytes for rule, figure in figures(e).items()}
        for e in (before, after)
    )
    return {name: new[name] - old[name] for name in new if new[name] != old[name]}


def _larger_output(counted: Entry) -> Entry:
    layer = [layer for layer in counted.layers if isinstance(layer.op, DepthwiseConv2d)][5]
    return replace(
        counted,
        positions={**counted.positions, layer.name: 16 * 16},
        goodness={**counted.goodness, layer.name: 16 * 16 * layer.channels},
    )


def _input_byte(counted: Entry) -> Entry:
    return replace(counted, kept={**counted.kept, "input": counted.kept["input"] + 1})


def _dense_goodness(counted: Entry) -> Entry:
    layer = [layer for layer in counted.layers if isinstance(layer.op, Dense)][-1]
    return replace(counted, goodness={**counted.goodness, layer.name: layer.macs})


def _dense_left_out(counted: Entry) -> Entry:
    layer = [layer for layer in counted.layers if isinstance(layer.op, Dense)][-1]
    return replace(counted, kept={**counted.kept, layer.name: 0})


DEVIATIONS = (
    Deviation(
        "depthwise output",
        "known error",
        "the sixth depthwise layer, whose output is 6x6, is counted as 16x16",
        ("VWW",),
        _larger_output,
    ),
    Deviation(
        "input byte",
        "known error",
        "an input of three channels takes one byte more than it has values, as X-CUBE-AI allocates it, although no activation does",
        ("VWW", "IC"),
        _input_byte,
    ),
    Deviation(
        "dense goodness",
        "unexplained",
        "a residual, as large as if the goodness of the dense layer were its MACs instead of its outputs",
        ("VWW",),
        _dense_goodness,
    ),
    Deviation(
        "dense output",
        "unexplained",
        "a residual, as large as if the sum of all activations left the outputs of the dense layer out",
        ("KWS",),
        _dense_left_out,
    ),
)
