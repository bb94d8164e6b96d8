"""The analytic table of Pau & Aymone (2023): every published integer, and the conventions on networks small enough to count by hand."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from published_sheet import EFFECTS, NAMES, PARTS, SHEET, network

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Attr, Layer, Network
from edgeff.ops import make
from edgeff.studies.analytic.deviations import Analysis, analyse
from edgeff.studies.analytic.geometry import counts
from edgeff.studies.analytic.pau_aymone import Figures, entry, figures, parts


def published(benchmark: str) -> Analysis:
    return analyse(network(benchmark), benchmark=benchmark)


# ---------------------------------------------------------------- the published figures


@pytest.mark.parametrize(("benchmark", "rule"), SHEET)
def test_every_integer_of_the_sheet_follows_from_the_geometry(benchmark: str, rule: str) -> None:
    assert astuple(published(benchmark).rules[rule]) == SHEET[benchmark, rule]


@pytest.mark.parametrize("benchmark", PARTS)
def test_every_part_of_the_sheet_follows_from_the_geometry(benchmark: str) -> None:
    assert astuple(published(benchmark).parts) == PARTS[benchmark]


@pytest.mark.parametrize("benchmark", EFFECTS)
def test_each_departure_of_the_sheet_adds_what_is_known_of_it(benchmark: str) -> None:
    assert published(benchmark).effects == EFFECTS[benchmark]


@pytest.mark.parametrize("benchmark", EFFECTS)
def test_the_corrected_sheet_is_the_published_one_without_its_departures(benchmark: str) -> None:
    corrected, sheet = analyse(network(benchmark), benchmark=benchmark, corrected=True), published(benchmark)
    added: dict[str, int] = {}
    for effect in EFFECTS[benchmark].values():
        for name, value in effect.items():
            added[name] = added.get(name, 0) + value
    for name, value in vars(sheet.parts).items():
        assert getattr(corrected.parts, name) == value - added.get(f"parts.{name}", 0), name
    for rule, found in sheet.rules.items():
        assert corrected.rules[rule].activation_bytes == found.activation_bytes - added.get(f"rules.{rule}.activation_bytes", 0)
    assert corrected.effects == {}


def test_the_corrected_mobilenet_has_the_macs_of_its_true_geometry() -> None:
    corrected = analyse(network("VWW"), benchmark="VWW", corrected=True)
    assert (corrected.parts.forward, corrected.parts.update, corrected.parts.goodness) == (7_492_006, 7_489_664, 231_554)
    assert corrected.rules["bp"].train_macs == 22_356_136 - 3 * 126_720
    assert corrected.rules["ff"].train_macs == 31_454_720 - 2 * (2 * 126_720 + 2 * (14_080 + 510))


@pytest.mark.parametrize("benchmark", NAMES)
def test_the_layers_sum_up_to_the_parts(benchmark: str) -> None:
    found = published(benchmark)
    for part in ("forward", "backward", "update", "goodness"):
        assert sum(getattr(layer, part) for layer in found.layers) == getattr(found.parts, part)


def test_a_network_that_is_not_of_the_sheet_has_none_of_its_departures() -> None:
    assert analyse(network("VWW")) == replace(analyse(network("VWW"), benchmark="VWW", corrected=True), benchmark=None)


# ---------------------------------------------------------------- the conventions, on networks small enough to count by hand

PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


def layer(name: str, op: str, below: str | tuple[str, ...], shape: tuple[int, ...], weight: tuple[int, ...] = (), **attrs: Attr) -> Layer:
    """A layer with zero parameters, a bias among them where it has a weight."""
    params = {"weight": np.zeros(weight, np.float32), "bias": np.zeros(shape[-1], np.float32)} if weight else {}
    return Layer(name, make(op, attrs), (below,) if isinstance(below, str) else below, shape, params)


def window(name: str, op: str, below: str, shape: tuple[int, ...], weight: tuple[int, ...], pads: tuple[int, ...], size: str) -> Layer:
    """A window of 3x3 with stride 1."""
    attrs: dict[str, Attr] = {f"{size}_h": 3, f"{size}_w": 3, "stride_h": 1, "stride_w": 1, **dict(zip(PADS, pads, strict=True))}
    return layer(name, op, below, shape, weight, **attrs)


def small(shape: tuple[int, ...], *layers: Layer) -> Network:
    return Network("small", shape, layers)


@pytest.mark.parametrize(
    ("shape", "made", "macs", "values", "padded", "parameters"),
    [
        ((5, 4, 3), window("a", "conv2d", "input", (5, 4, 2), (2, 3, 3, 3), (1, 1, 1, 1), "kernel"), 20 * 2 * 27, 40, 7 * 6 * 3, 56),
        ((5, 4, 3), window("a", "conv2d", "input", (3, 2, 2), (2, 3, 3, 3), (0, 0, 0, 0), "kernel"), 6 * 2 * 27, 12, 60, 56),
        ((5, 4, 3), window("a", "depthwise_conv2d", "input", (5, 4, 6), (3, 3, 6), (0, 1, 2, 1), "kernel"), 20 * 54, 120, 7 * 6 * 3, 60),
        ((5, 4, 3), window("a", "average_pool2d", "input", (3, 2, 3), (), (0, 0, 0, 0), "pool"), 6 * 9 * 3, 18, 60, 0),
        ((5, 4, 3), window("a", "max_pool2d", "input", (5, 4, 3), (), (1, 1, 1, 1), "pool"), 20 * 9 * 3, 60, 7 * 6 * 3, 0),
        ((5, 4, 3), layer("a", "global_average_pool", "input", (3,)), 60, 3, 60, 0),
        ((5, 4, 3), layer("a", "dense", "input", (7,), (7, 60)), 420, 7, 60, 427),
        ((5, 4, 3), layer("a", "add", ("input", "input"), (5, 4, 3)), 60, 60, 60, 0),
        ((5, 4, 3), layer("a", "transpose", "input", (3, 5, 4), perm="2,0,1"), 0, 60, 60, 0),
        ((9, 2), layer("a", "conv1d", "input", (9, 4), (4, 3, 2), kernel=3, stride=1, pad_left=2, pad_right=0), 9 * 24, 36, 22, 28),
        ((1,), layer("a", "dense", "input", (1,), (1, 1)), 1, 1, 1, 2),
        ((1, 1, 1), window("a", "conv2d", "input", (1, 1, 1), (1, 3, 3, 1), (1, 1, 1, 1), "kernel"), 9, 1, 9, 10),
    ],
    ids=lambda value: value.op if isinstance(value, Layer) else None,
)
def test_a_layer_counts_its_macs_values_padding_and_parameters(
    shape: tuple[int, ...], made: Layer, macs: int, values: int, padded: int, parameters: int
) -> None:
    (found,) = counts(small(shape, made))
    assert (found.macs, found.values, found.padded_values, found.parameters) == (macs, values, padded, parameters)


def test_a_reshape_and_a_separate_relu_are_no_layers_of_the_table() -> None:
    plain = small((2, 3), layer("a", "dense", "input", (4,), (4, 6)), layer("b", "dense", "a", (5,), (5, 4)))
    dressed = small(
        (2, 3),
        layer("flat", "reshape", "input", (6,)),
        layer("a", "dense", "flat", (4,), (4, 6)),
        layer("relu", "relu", "a", (4,)),
        layer("b", "dense", "relu", (5,), (5, 4)),
    )
    assert counts(dressed) == counts(plain)


def test_a_layer_without_a_formula_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match=r"layer 'odd' in an analytic table: got normalise; allowed: abs, add, .*dense, .*relu, .*$"):
        analyse(small((4,), layer("odd", "normalise", "input", (4,), eps=1e-4), layer("a", "dense", "odd", (2,), (2, 4))))


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(BadInput, match="network 'small' in an analytic table: got no layer with weights; allowed: at least one"):
        analyse(small((4,), layer("a", "relu", "input", (4,))))


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(BadInput, match="benchmark: got 'ds_cnn'; allowed: KWS, VWW, IC, AD"):
        analyse(network("KWS"), benchmark="ds_cnn")


def test_the_rules_of_a_dense_classifier_counted_by_hand() -> None:
    hidden, last = layer("a", "dense", "input", (3,), (3, 4)), layer("b", "dense", "a", (2,), (2, 3))
    found = entry(small((4,), hidden, last, layer("s", "softmax", "b", (2,))))
    f, b, w, goodness, error, projection, softmax = 12 + 6 + 38, 6, 18, 5, 2, 8, 38
    assert astuple(parts(found)) == (f, b, w, goodness, goodness, projection, error, softmax)
    whole = 4 + 3 + 2 + 8
    assert figures(found) == {
        "bp": Figures(f + b + w + error, f, whole, 23),
        "ff": Figures(2 * (18 + w + 10), 2 * (18 + 10), 4 + (4 + 3), 23),
        "pepita": Figures(2 * f + w + error + projection, f, whole, 23),
        "mempepita": Figures(3 * f + w + error + projection, f, 2 + 8 + 8, 23),
    }


def test_a_skip_connection_is_held_once_by_forward_forward_and_twice_by_mempepita() -> None:
    """5 values go around 7 -> 5; the last addition, which no layer with weights reads, is kept by none."""
    found = entry(
        small(
            (2,),
            layer("a", "dense", "input", (5,), (5, 2)),
            layer("b", "dense", "a", (7,), (7, 5)),
            layer("c", "dense", "b", (5,), (5, 7)),
            layer("d", "add", ("a", "c"), (5,)),
        )
    )
    kept = {rule: made.activation_bytes for rule, made in figures(found).items()}
    assert kept == {"bp": 2 + 5 + 7 + 5, "ff": 2 + (7 + 5 + 5), "pepita": 19, "mempepita": 7 + 5 + 7 + 2 * 5}
    assert parts(found).backward == 35 + 35


def test_nothing_goes_back_below_the_first_layer_with_weights() -> None:
    pool = window("pool", "average_pool2d", "input", (2, 2, 1), (), (0, 0, 0, 0), "pool")
    found = entry(small((4, 4, 1), pool, layer("a", "dense", "pool", (3,), (3, 4)), layer("b", "dense", "a", (2,), (2, 3))))
    assert parts(found).backward == 6


def test_a_depthwise_convolution_reads_a_padded_copy() -> None:
    same = window("a", "depthwise_conv2d", "input", (4, 4, 2), (3, 3, 2), (1, 1, 1, 1), "kernel")
    kept = {rule: made.activation_bytes for rule, made in figures(entry(small((4, 4, 2), same))).items()}
    assert kept == {"bp": 32 + 32, "ff": 32 + (72 + 32), "pepita": 64, "mempepita": 72 + 32 + 32}
