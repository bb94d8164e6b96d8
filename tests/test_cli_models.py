"""The commands that list what there is, and make, import, quantise, evaluate and export models."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine, process
from test_onnx import N, build

import edgeff.ir
from edgeff.cli.engines import ENGINES as RUNNERS
from edgeff.cli.evaluate import ENGINES
from edgeff.cli.list_ import KINDS
from edgeff.cli.options import NUMERICS
from edgeff.formats import load


@pytest.mark.parametrize("kind", KINDS)
def test_list(cli: CommandLine, kind: str) -> None:
    entries = cli.ok("list", kind, "--json").json
    assert entries
    shown = cli.ok("list", kind).out
    for entry in entries:
        assert entry["name"]
        assert entry["summary"]
        assert entry["name"] in shown


def test_list_finds_a_plug_in(folder: Path) -> None:
    plugin = ["from edgeff.rules import Rule, register", "@register", "class Mine(Rule):", "    name = 'mine'", "    summary = 'my own'"]
    (folder / "mine.py").write_text("\n".join(plugin), encoding="utf-8")
    done = process("-m", "edgeff", "list", "rules", "--json", EDGEFF_PLUGIN_DIR=str(folder))
    assert {"name": "mine", "summary": "my own", "source": ""} in json.loads(done.stdout)


def test_a_broken_plug_in_is_one_line_and_the_rest_is_listed(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    done = process("-m", "edgeff", "list", "rules", EDGEFF_PLUGIN_DIR=str(folder))
    assert done.returncode == 0
    assert "pepita" in done.stdout
    assert re.fullmatch(r"note: skipped: plugin file .*broken\.py: got ZeroDivisionError: division by zero; .*\n", done.stderr)


def test_doctor(cli: CommandLine) -> None:
    found = {entry["name"]: entry for entry in cli.ok("doctor", "--json").json}
    assert found["numpy"]["version"] == np.__version__
    assert {"cc", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "qemu-system-arm", "qemu-system-riscv32", "tensorflow"} <= set(found)
    assert found["qemu-system-riscv32"]["how_to_get"] == "apt-get install qemu-system-misc"
    assert all(entry["how_to_get"] for entry in found.values() if entry["version"] is None)
    assert "numpy" in cli.ok("doctor").out


def test_train_writes_a_model_that_says_where_it_comes_from(cli: CommandLine, folder: Path) -> None:
    command = shlex.split("train digits --network 64-8-10 --rule bp --epochs 3 --set lr=0.2 --set batch=32 --seed 7")
    result = cli.ok(*command, "-o", "m.onnx", "--json").json
    network = load("m.onnx")
    assert (network.metadata["task"], network.metadata["rule"], network.metadata["seed"]) == ("digits", "bp", 7)
    settings = network.metadata["settings"]
    assert (settings["lr"], settings["batch"], settings["epochs"]) == (0.2, 32, 3)
    assert network.metadata["accuracy"] == result["accuracy"]
    assert result["accuracy"]["test"] > 0.5
    first = Path("m.onnx").read_bytes()
    assert "wrote m.onnx" in cli.ok(*command, "-o", "m.onnx").out
    assert Path("m.onnx").read_bytes() == first
    assert [path.name for path in folder.iterdir()] == ["m.onnx"]


@pytest.mark.usefixtures("folder")
def test_train_by_the_squared_error_with_biases(cli: CommandLine) -> None:
    command = "train digits --network 64-32-10 --rule bp --epochs 12 --set lr=0.003 --loss mse --bias -o m.onnx --json"
    result = cli.ok(*shlex.split(command)).json
    assert [layer.kind for layer in load("m.onnx")] == ["dense", "dense"]
    assert result["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert result["accuracy"]["test"] > 0.7


def test_evaluate_takes_the_split_the_model_was_trained_with(cli: CommandLine, models: Path) -> None:
    accuracy = load(models / "float.onnx").metadata["accuracy"]
    test = cli.ok("evaluate", models / "float.onnx", "digits", "--json").json
    expected = {"task": "digits", "metric": "accuracy", "value": pytest.approx(accuracy["test"]), "samples": 360, "engine": "edgeff"}
    assert {name: test[name] for name in expected} == expected
    assert [each["name"] for each in test["classes"]] == [*"0123456789"]
    assert sum(each["samples"] for each in test["classes"]) == 360
    train = cli.ok("evaluate", models / "float.onnx", "digits", "--split", "train", "--engine", "c", "--json").json
    assert (train["value"], train["samples"]) == (pytest.approx(accuracy["train"]), 1437)


def test_the_words_of_options_are_those_of_the_code() -> None:
    assert tuple(RUNNERS) == ENGINES
    assert NUMERICS == edgeff.ir.NUMERICS


@pytest.mark.parametrize("model", ["float", "int8", "channel"])
def test_the_engines_agree(cli: CommandLine, models: Path, model: str) -> None:
    """Of 360 samples three may change sides: ONNX Runtime and LiteRT round otherwise."""
    pytest.importorskip("tflite_micro")
    values = {e: cli.ok("evaluate", models / f"{model}.onnx", "digits", "--engine", e, "--json").json["value"] for e in ENGINES}
    assert values["c"] == values["edgeff"]
    assert max(values.values()) - min(values.values()) <= 3 / 360


def test_a_model_that_probes_is_evaluated_by_probing(cli: CommandLine, models: Path) -> None:
    expected = pytest.approx(load(models / "ff.onnx").metadata["accuracy"]["test"])
    for engine in ("edgeff", "c"):
        assert cli.ok("evaluate", models / "ff.onnx", "digits", "--engine", engine, "--json").json["value"] == expected
    head = cli.ok("evaluate", models / "ff.onnx", "digits", "--engine", "onnxruntime")
    assert head.err == "note: onnxruntime supports only layers: it runs the head of this model instead of the probing of ff\n"


def test_import_and_export_give_the_network_back(cli: CommandLine, models: Path, folder: Path) -> None:
    cli.ok("export", models / "int8.onnx", "--to", "tflite", "-o", "m.tflite")
    imported = cli.ok("import", "m.tflite", "-o", "m.onnx", "--json").json
    assert (imported["numeric"], imported["input_shape"], len(imported["layers"])) == ("int8", [64], 3)
    assert Path("m.onnx").read_bytes() == (models / "int8.onnx").read_bytes()
    cli.ok("export", "m.onnx", "--to", "onnx", "-o", "again.onnx")
    assert Path("again.onnx").read_bytes() == Path("m.onnx").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["again.onnx", "m.onnx", "m.tflite"]


def test_import_notes_weights_that_int8_holds_in_parts(cli: CommandLine, folder: Path) -> None:
    one, zero = np.array(0.5, np.float32), np.array(100, np.uint8)
    ends = [N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("DequantizeLinear", ["q", "s", "z"], ["xf"])]
    nodes = [*ends, N("DequantizeLinear", ["w", "s", "z"], ["wf"]), N("MatMul", ["xf", "wf"], ["p"])]
    nodes += [N("QuantizeLinear", ["p", "s", "z"], ["r"]), N("DequantizeLinear", ["r", "s", "z"], ["y"])]
    weight = np.array([[0, 255], [100, 7]], np.uint8)
    (folder / "a.onnx").write_bytes(build(nodes, {"s": one, "z": zero, "w": weight}, shape=["N", 2], output_shape=["N", 2]))
    result = cli.ok("import", "a.onnx", "-o", "m.onnx")
    parts = "int8 holds such weights in two or three parts, symmetric ones in one"
    assert result.err == f"note: layers whose weights have a zero point: 1; {parts}\n"
    assert load("m.onnx").layers[-1].params["weight"].tolist() == [[-100, 0, 0, 0], [127, -93, 28, 0]]
    assert cli.ok("import", "m.onnx", "-o", "again.onnx").err == result.err


def test_quantize_says_what_it_cost(cli: CommandLine, models: Path, folder: Path) -> None:
    result = cli.ok("quantize", models / "float.onnx", "--calibrate", "digits", "-o", "m.onnx", "--json").json
    assert abs(result["accuracy"]["float"] - result["accuracy"]["quantized"]) < 0.03
    assert Path("m.onnx").read_bytes() == (models / "int8.onnx").read_bytes()
    cli.ok("quantize", models / "float.onnx", "--calibrate", "digits", "--rule", "pepita", "-o", "room.onnx")
    assert load("room.onnx")["dense_1"].quant["weight"].scale[0] > load("m.onnx")["dense_1"].quant["weight"].scale[0]
    assert [path.name for path in sorted(folder.iterdir())] == ["m.onnx", "room.onnx"]
