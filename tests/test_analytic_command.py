"""``edgeff analytic``: the published sheet as it prints it, and the exact figures of our own programs beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from published_sheet import EFFECTS, NAMES, PARTS, PRINTED, SHEET, network

from edgeff.cli.models import inference_only
from edgeff.cli.program_figures import program_figures, require_learning
from edgeff.errors import Unsupported
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Numeric
from edgeff.networks import initialised, random_inputs, structure
from edgeff.ops.canonical import canonical
from edgeff.program.cost import call_costs, cost
from edgeff.program.deploy import deploy
from edgeff.studies.analytic.deviations import analyse
from edgeff.studies.analytic.pau_aymone import RULES

# ---------------------------------------------------------------- our own programs beside it


@pytest.mark.parametrize("benchmark", NAMES)
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_the_program_of_every_network_takes_the_sheets_macs_in_each_layer_with_weights(benchmark: str, numeric: Numeric) -> None:
    plain = canonical(network(benchmark))
    program = deploy(plain, random_inputs(plain, 0), numeric=numeric).program
    of_layers: dict[str, int] = {}
    for call in call_costs(program, program.infer):
        of_layers[call.name] = of_layers.get(call.name, 0) + call.macs
    sheet = analyse(plain, benchmark=benchmark, corrected=True)
    expected = {made.name: made.update for made in sheet.layers if made.update}
    assert {name: of_layers[name] for name in expected} == expected


def test_the_figures_of_a_program_are_those_of_its_deployment_whatever_it_was_calibrated_on() -> None:
    plain = canonical(network("AD"))
    x = np.random.default_rng(5).uniform(-0.4, 0.9, (3, 640)).astype(np.float32)
    found = {(f.numeric, f.rule): f for f in program_figures(plain, tuple(RULES), 0, lambda _what, _done, _total: None)}
    for rule in ("bp", "pepita", "mempepita"):
        program = deploy(plain, x, rule=rule, numeric="int8", target="input").program
        whole, alone = cost(program), cost(inference_only(program))
        of = found["int8", rule]
        assert (of.learn_macs, of.learn_arena_bytes) == (whole.macs("learn"), whole.memory.arena_bytes)
        assert (of.infer_macs, of.infer_arena_bytes) == (whole.macs("infer"), alone.memory.arena_bytes)
        assert of.reason is None


def test_what_does_not_lower_has_a_reason_and_no_figures() -> None:
    told: list[tuple[str, int, int]] = []
    found = [*program_figures(canonical(network("AD")), ("ff",), 0, lambda *progress: told.append(progress))]
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
    with pytest.raises(Unsupported, match="learning by pepita on a device: got layers of kind dense, which it does not change"):
        require_learning(replace(made, program=replace(made.program, tensors=frozen)), "pepita")


def test_random_inputs_give_scores_of_order_one() -> None:
    plain = canonical(network("VWW"))
    assert random_inputs(plain, 0).shape == (2, 96, 96, 3)
    scores = deploy(plain, random_inputs(plain, 0), numeric="int8").network["dense"].quant["output"]
    assert 0.9999 / 255 <= scores.scale[0] <= 2 / 255  # float32: the largest score is 1 but for rounding


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
        assert [benchmark, *(f"{value:,}" for value in PARTS[benchmark])] in cells
    for (benchmark, rule), (train, infer, kept, parameters) in SHEET.items():
        exact = [f"{value:,}" for value in (train, infer, kept, parameters, kept + parameters)]
        assert [benchmark, RULES[rule], *exact] in cells


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


def test_the_command_takes_a_model_file(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(initialised(structure("8-6-3"), 0), path)
    found = cli.ok("analytic", path, "--json").json
    (made,) = found["sheet"]["networks"]
    assert (made["network"], made["benchmark"], made["parts"]["update"]) == ("m", None, 8 * 6 + 6 * 3)
    assert {p["numeric"] for p in found["programs"]} == {"int8", "float32"}


def test_an_unknown_network_is_refused_in_one_line(cli: CommandLine) -> None:
    ended = cli("analytic", "resnet9")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: network: got 'resnet9'; allowed: a dense list such as 64-32-10")
    assert ended.err.count("\n") == 1
