"""The analytic table of Pau & Aymone (2023): every published integer, its conventions on small networks, and the command that prints it."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine

from edgeff.analytic.deviations import BENCHMARKS, Analysis, analyse
from edgeff.analytic.geometry import counts
from edgeff.analytic.pau_aymone import RULES, Figures, entry, figures, parts
from edgeff.cli.models import inference_only
from edgeff.cli.program_figures import calibration_inputs, program_figures, require_learning
from edgeff.cost import call_costs, cost
from edgeff.deploy import deploy
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Attr, Layer, Network
from edgeff.layers.folding import fold
from edgeff.networks import initialised, structure

# The published sheet: training MACs, inference MACs, activation bytes in training, parameters (https://doi.org/10.1109/COINS57856.2023.10189239).
SHEET = {
    ("KWS", "bp"): (7_666_544, 2_664_996, 72_602, 22_604),
    ("KWS", "ff"): (10_931_120, 33_705_504, 20_586, 22_604),
    ("KWS", "pepita"): (7_992_652, 2_664_996, 72_602, 22_604),
    ("KWS", "mempepita"): (10_657_648, 2_664_996, 28_096, 22_604),
    ("VWW", "bp"): (22_356_136, 7_618_726, 259_467, 210_850),
    ("VWW", "ff"): (31_454_720, 16_221_952, 82_945, 210_850),
    ("VWW", "pepita"): (22_909_134, 7_618_726, 259_467, 210_850),
    ("VWW", "mempepita"): (30_527_860, 7_618_726, 92_160, 210_850),
    ("IC", "bp"): (37_099_592, 12_534_590, 113_779, 77_706),
    ("IC", "ff"): (50_416_168, 127_064_520, 52_225, 77_706),
    ("IC", "pepita"): (37_601_542, 12_534_590, 113_779, 77_706),
    ("IC", "mempepita"): (50_136_132, 12_534_590, 81_920, 77_706),
    ("AD", "bp"): (711_296, 264_192, 2_312, 265_864),
    ("AD", "ff"): (1_063_456, 267_536, 1_408, 265_864),
    ("AD", "pepita"): (1_202_816, 264_192, 2_312, 265_864),
    ("AD", "mempepita"): (1_467_008, 264_192, 1_408, 265_864),
}
# forward, backward, update, goodness, normalisation, projection, error, and the part of forward that is the softmax and its converters
PARTS = {
    "KWS": (2_664_996, 2_344_768, 2_656_768, 72_012, 72_012, 5_880, 12, 228),
    "VWW": (7_618_726, 7_121_024, 7_616_384, 246_144, 246_144, 55_296, 2, 38),
    "IC": (12_534_590, 12_063_360, 12_501_632, 86_026, 86_026, 30_720, 10, 190),
    "AD": (264_192, 182_272, 264_192, 1_672, 1_672, 409_600, 640, 0),
}
# The table in print: kB (MMAC a step) for BP, FF, PEPITA and MEMPEPITA, then MMAC an inference of FF and of the others.
PRINTED = {
    "KWS": ("95.2 (7.7)", "43.2 (10.9)", "95.2 (8.0)", "50.7 (10.7)", "33.7 / 2.7"),
    "VWW": ("470.3 (22.4)", "293.8 (31.5)", "470.3 (22.9)", "303.0 (30.5)", "16.2 / 7.6"),
    "IC": ("191.5 (37.1)", "129.9 (50.4)", "191.5 (37.6)", "159.6 (50.1)", "127.1 / 12.5"),
    "AD": ("268.2 (0.7)", "267.3 (1.1)", "268.2 (1.2)", "267.3 (1.5)", "0.3 / 0.3"),
}
# What the departures of the sheet add.
EFFECTS: dict[str, dict[str, dict[str, int]]] = {
    "KWS": {"dense output": {"rules.bp.activation_bytes": -12, "rules.pepita.activation_bytes": -12}},
    "VWW": {
        "depthwise output": {
            "parts.forward": 126_720,
            "parts.backward": 126_720,
            "parts.update": 126_720,
            "parts.goodness": 14_080,
            "parts.normalisation": 14_080,
        },
        "input byte": {f"rules.{rule}.activation_bytes": 1 for rule in ("bp", "ff", "pepita")},
        "dense goodness": {"parts.goodness": 510, "parts.normalisation": 510},
    },
    "IC": {"input byte": {f"rules.{rule}.activation_bytes": 1 for rule in ("bp", "ff", "pepita")}},
    "AD": {},
}
NAMES = {benchmark: name for name, benchmark in BENCHMARKS.items()}


def network(benchmark: str) -> Network:
    return initialised(structure(NAMES[benchmark]), seed=0)


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
    return Layer(name, op, (below,) if isinstance(below, str) else below, shape, {"activation": "none", **attrs}, params)


def window(name: str, op: str, below: str, shape: tuple[int, ...], weight: tuple[int, ...], pads: tuple[int, ...], size: str) -> Layer:
    """A window of 3x3 with stride 1."""
    attrs: dict[str, Attr] = {f"{size}_h": 3, f"{size}_w": 3, "stride_h": 1, "stride_w": 1} | dict(zip(PADS, pads, strict=True))
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
    with pytest.raises(Unsupported, match=r"layer 'odd' in an analytic table: got normalise; allowed: dense, conv2d, .*, relu, reshape$"):
        analyse(small((4,), layer("odd", "normalise", "input", (4,)), layer("a", "dense", "odd", (2,), (2, 4))))


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


# ---------------------------------------------------------------- our own programs beside it


@pytest.mark.parametrize("benchmark", NAMES)
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_the_program_of_every_network_takes_the_sheets_macs_in_each_layer_with_weights(benchmark: str, numeric: Any) -> None:
    plain = fold(network(benchmark))
    program = deploy(plain, calibration_inputs(plain, 0), numeric=numeric).program
    of_layers: dict[str, int] = {}
    for call in call_costs(program, program.infer):
        of_layers[call.name] = of_layers.get(call.name, 0) + call.macs
    sheet = analyse(plain, benchmark=benchmark, corrected=True)
    expected = {made.name: made.update for made in sheet.layers if made.update}
    assert {name: of_layers[name] for name in expected} == expected


def test_the_figures_of_a_program_are_those_of_its_deployment_whatever_it_was_calibrated_on() -> None:
    plain = fold(network("AD"))
    x = np.random.default_rng(5).uniform(-0.4, 0.9, (3, 640)).astype(np.float32)
    found = {(f.numeric, f.rule): f for f in program_figures(plain, tuple(RULES), 0, lambda _what, _done, _total: None)}
    for rule in ("bp", "pepita", "mempepita"):
        program = deploy(plain, x, rule=rule, numeric="int8", target="input").program
        whole, alone = cost(program), cost(inference_only(program))
        of = found["int8", rule]
        assert (of.learn_macs, of.learn_arena_bytes) == (whole.learn_macs, whole.memory.arena_bytes)
        assert (of.infer_macs, of.infer_arena_bytes) == (whole.infer_macs, alone.memory.arena_bytes)
        assert of.reason is None


def test_what_does_not_lower_has_a_reason_and_no_figures() -> None:
    told: list[tuple[str, int, int]] = []
    found = [*program_figures(fold(network("AD")), ("ff",), 0, lambda *progress: told.append(progress))]
    refused = [f for f in found if f.rule == "ff"]
    assert [f.numeric for f in refused] == ["int8", "float32"]
    for f in refused:
        assert f.reason == "rule ff: got a network that reproduces its input; allowed: a classifier; use another rule"
        assert (f.infer_macs, f.infer_arena_bytes, f.learn_macs, f.learn_arena_bytes) == (None, None, None, None)
    assert told == [("fc_ae, inference in int8", 0, 4), ("fc_ae, ff in int8", 1, 4), ("fc_ae, inference in float32", 2, 4), *told[3:]]


def test_a_step_that_leaves_weights_as_they_are_has_no_figures() -> None:
    made = deploy(initialised(structure("8-6-3"), 0), rule="pepita")
    require_learning(made, "pepita")
    frozen = {name: replace(t, role="constant") if t.layer == "dense_1" else t for name, t in made.program.tensors.items()}
    with pytest.raises(Unsupported, match="learning by pepita on a device: got layers of kind dense, which it leaves as they are"):
        require_learning(replace(made, program=replace(made.program, tensors=frozen)), "pepita")


def test_calibration_inputs_give_scores_of_order_one() -> None:
    plain = fold(network("VWW"))
    assert calibration_inputs(plain, 0).shape == (2, 96, 96, 3)
    scores = deploy(plain, calibration_inputs(plain, 0), numeric="int8").network["dense"].quant["output"]
    assert 1 / 255 <= scores.scale[0] <= 2 / 255


# ---------------------------------------------------------------- the command


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def test_the_command_prints_the_table_in_print_and_every_integer(cli: CommandLine) -> None:
    shown = cli.ok("analytic").out
    rows = [line.split("  ") for line in shown.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    for benchmark, printed in PRINTED.items():
        assert [f"{benchmark} {NAMES[benchmark]}", *printed] in cells
        assert [f"{benchmark} {NAMES[benchmark]}", *(f"{value:,}" for value in PARTS[benchmark])] in cells
    for (benchmark, rule), (train, infer, kept, parameters) in SHEET.items():
        exact = [f"{value:,}" for value in (train, infer, kept, parameters, kept + parameters)]
        assert [f"{benchmark} {NAMES[benchmark]}", RULES[rule], *exact] in cells


def test_the_command_names_the_departures_and_leaves_them_out_when_corrected(cli: CommandLine) -> None:
    shown, corrected = cli.ok("analytic").out, cli.ok("analytic", "--corrected").out
    for text in (
        "depthwise output",
        "forward +126,720",
        "BP/FF/PEPITA activation bytes +1",
        "BP/PEPITA activation bytes -12",
        "unexplained",
    ):
        assert text in shown
        assert text not in corrected
    assert "7,492,006" in corrected
    assert "7,618,726" not in corrected


def test_the_json_holds_the_sheet_its_departures_and_our_programs(cli: CommandLine) -> None:
    found = cli.ok("analytic", "--json").json
    assert found["sheet"]["corrected"] is False
    assert "IEEE COINS 2023" in found["sheet"]["source"]
    assert [made["benchmark"] for made in found["sheet"]["networks"]] == ["KWS", "VWW", "IC", "AD"]
    for made in found["sheet"]["networks"]:
        for rule, values in made["rules"].items():
            expected = SHEET[made["benchmark"], rule]
            assert tuple(values[key] for key in ("train_macs", "infer_macs", "activation_bytes", "parameter_bytes")) == expected
            assert values["ram_bytes"] == expected[2] + expected[3]
        of_print = made["rules"]["mempepita"]
        assert f"{of_print['ram_kb']} ({of_print['train_mmacs']})" == PRINTED[made["benchmark"]][3]
        assert {d["name"]: d["effect"] for d in made["deviations"]} == EFFECTS[made["benchmark"]]
        assert tuple(made["parts"].values()) == PARTS[made["benchmark"]]
        assert sum(of_layer["forward"] for of_layer in made["layers"]) == made["parts"]["forward"]
    programs = found["programs"]
    assert len(programs) == 4 * 2 * (1 + len(RULES))
    for made in programs:
        figures_of = (made["infer"]["macs"], made["infer"]["arena_bytes"])
        assert (made["reason"] is None) == (None not in figures_of)
        assert (made["learn"]["macs"] is None) == (made["reason"] is not None or made["rule"] is None)
    assert [p["infer"]["macs"] for p in programs if p["rule"] is None and p["numeric"] == "int8"] == [
        analyse(network(benchmark), benchmark=benchmark, corrected=True).parts.update for benchmark in NAMES
    ]


def test_the_command_takes_dense_lists_and_shows_their_layers(cli: CommandLine) -> None:
    shown = cli.ok("analytic", "64-32-10", "--layers").out
    assert "64-32-10: MACs by layer" in shown
    assert ["dense_1", "dense", "2,048", "0", "2,048", "32"] in [line.split() for line in shown.splitlines()]
    assert "departs" not in shown
    assert "no figures" not in shown


def test_the_command_takes_a_model_file(cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    from edgeff.exporters.onnx import write_onnx

    path = tmp_path_factory.mktemp("analytic") / "m.onnx"
    write_onnx(initialised(structure("8-6-3"), 0), path)
    found = cli.ok("analytic", path, "--json").json
    assert found["sheet"]["networks"][0]["parts"]["update"] == 8 * 6 + 6 * 3
    assert {p["numeric"] for p in found["programs"]} == {"int8", "float32"}


def test_an_unknown_network_is_refused_in_one_line(cli: CommandLine) -> None:
    ended = cli("analytic", "resnet9")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: network: got 'resnet9'; allowed: a dense list such as 64-32-10")
    assert ended.err.count("\n") == 1
