"""A user's own data where a task is named: read, checked, split, and learned by the commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from onnx import TensorProto, helper, numpy_helper
from own_files import KINDS, tone, write_csv, write_pictures, write_sounds, write_wav

from edgeff.cli import run
from edgeff.cli.models import load_model
from edgeff.errors import BadInput, Doubtful, EdgeffError
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ops import REAL, forward, parameters
from edgeff.program.codes import Code
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import quantize
from edgeff.tasks import Data
from edgeff.tasks.own import Known, own_data
from edgeff.tasks.own.options import Options
from edgeff.verify.engines import tflm


def load(path: Path, seed: int = 0, **choices: Any) -> Data:
    return own_data(str(path), choices).load(seed)


def test_a_table_gives_its_columns_and_a_stratified_split_by_the_seed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "sensor.csv")
    with pytest.warns(Doubtful, match="says nothing: column still"):
        data = load(path, target="kind", drop="machine")
    assert data.classes == KINDS
    assert data.x_train.shape == (96, 3)
    assert np.bincount(data.y_test).tolist() == [8, 8, 8]
    means = [float(data.x_train[data.y_train == kind, 0].mean()) for kind in range(3)]
    assert np.allclose(means, [101300, 101325, 101350], atol=1)  # the labels stay with their rows
    again, other = load(path, target="kind", drop="machine"), load(path, 1, target="kind", drop="machine")
    assert data.x_test.tobytes() == again.x_test.tobytes() != other.x_test.tobytes()


def test_groups_are_left_out_whole(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "sensor.csv", more="101300;20;8;idle;m7\n")
    data = load(path, target="kind", groups="machine")
    held_out = data.metadata["split"].removeprefix("machine ").removesuffix(" test").split(", ")
    rows = [line.split(";") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    expected = sorted(float(row[0]) for row in rows if row[4] in held_out)
    assert len(held_out) == 2
    assert np.allclose(sorted(data.x_test[:, 0].tolist()), expected, atol=0.01)  # float32


def test_named_groups_are_left_out(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "sensor.csv")
    assert load(path, target="kind", groups="machine", leave="m2,m5").metadata["split"] == "machine m2, m5 test"
    for choices, message in (
        ({"groups": "machine", "leave": "m7"}, "got 'm7'; allowed: m0, m1"),
        ({"groups": "machine", "leave": ",".join(f"m{index}" for index in range(7))}, "got all groups"),
        ({"drop": "machine", "leave": "m2"}, "allowed: names of groups, beside groups=NAME"),
    ):
        with pytest.raises(BadInput, match="setting leave of") as raised:
            load(path, 0, target="kind", **choices)
        assert message in str(raised.value)


@pytest.mark.parametrize("column", ["machine", None])
def test_a_model_left_by_groups_meets_a_new_one(column: str | None, tmp_path: Path) -> None:
    """The samples of one new machine, and a table that does not say which machine it was."""
    path = write_csv(tmp_path / "later.csv", count=60)
    lines = [line.split(";") for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [";".join([*cells[:4], "m9"] if column else cells[:4]) for cells in lines[1:]]
    path.write_text("\n".join([";".join(lines[0][: 5 if column else 4]), *rows]), encoding="utf-8")
    options = Options(target="kind", groups="machine", leave=("m2",))
    known = Known("sensor.csv", options, ("pressure", "temp", "still"), KINDS, "another file")
    with pytest.warns(Doubtful, match="later.csv is of one machine, 'm9'") if column else nullcontext():
        data = own_data(str(path), {}, known).load()
    assert np.bincount(data.y_test).tolist() == [4, 4, 4]
    with pytest.raises(BadInput, match=r"groups of .*later\.csv: got no column 'day'"):
        own_data(str(path), {"groups": "day"}, known).load()


def bad_csv(change: Callable[[list[str]], None]) -> Callable[[Path], Any]:
    def make(folder: Path) -> Path:
        path = write_csv(folder / "bad.csv")
        lines = path.read_text(encoding="utf-8").splitlines()
        change(lines)
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return make


def npz(**arrays: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "bad.npz", **arrays)
        return folder / "bad.npz"

    return make


def cell(line: int, column: int, text: str) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        cells = lines[line - 1].split(";")
        cells[column] = text
        lines[line - 1] = ";".join(cells)

    return change


X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 2
BAD = {
    "a word in a column of numbers": (bad_csv(cell(5, 1, "n/a")), "line 5, column 'temp': got 'n/a'; allowed: a finite number"),
    "an empty cell": (bad_csv(cell(9, 0, " ")), "line 9, column 'pressure': got an empty cell"),
    "NaN in a table": (bad_csv(cell(9, 0, "nan")), "line 9, column 'pressure': got 'nan'"),
    "a number beyond float32": (bad_csv(cell(9, 0, "1e39")), "line 9, column 'pressure': got '1e39'"),
    "a short line": (bad_csv(lambda lines: lines.insert(7, "1;2;3")), "line 8: got 3 cells; allowed: 5"),
    "a name twice": (bad_csv(cell(1, 1, "pressure")), "line 1: got the name 'pressure' twice"),
    "names alone": (bad_csv(lambda lines: lines.__delitem__(slice(1, None))), "got no samples"),
    "an empty file": (bad_csv(list.clear), "got no samples"),
    "one class": (npz(x=X, y=np.zeros(12, int)), "got one class, '0'"),
    "a class with one sample": (npz(x=X, y=np.eye(12, dtype=int)[3]), "got a class with one sample; allowed: at least 2"),
    "a missing label": (bad_csv(cell(4, 3, "")), "labels of"),
    "NaN in an array": (npz(x=np.where(X > 1.2, np.nan, X), y=Y), "values that are NaN or infinite, the first in sample"),
    "other counts": (npz(x=X, y=Y[:5]), "array 'y': got int64 of shape (5,); allowed: (12,)"),
    "no labels": (npz(x=X), "got no array 'y' among x"),
    "pickled objects": (npz(x=np.array([{}] * 3, object), y=Y[:3]), "allowed: an .npz file without pickled objects"),
    "words for numbers": (npz(x=X.astype(str), y=Y), "array 'x': got <U32"),
    "a number alone": (npz(x=np.float32(3), y=Y), "array 'x': got float32 of shape (); allowed: at least one sample"),
    "no sample": (npz(x=np.zeros((0, 4)), y=np.zeros(0)), "array 'x': got float64 of shape (0, 4); allowed: at least one sample"),
    "NaN among labels": (npz(x=X, y=np.where(Y, np.nan, 1.0)), "array 'y': got 6 values that are NaN or infinite, the first of sample 1"),
    "inputs that do not vary": (npz(x=np.ones_like(X), y=Y), "got the same inputs in every training sample"),
    "one value": (npz(x=X, y=np.full(12, 0.5)), "got 0.5 for every sample; allowed: at least two different numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_end_in_one_line_that_names_the_place(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    path = make(tmp_path)
    with pytest.raises(EdgeffError) as raised:
        own_data(str(path), {"target": "kind", "drop": "machine"} if path.suffix == ".csv" else {}).load()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"colour": "red"}, "unknown setting of your own data: got 'colour'; allowed: target, groups"),
        ({"picture": "9"}, "setting picture of your own data: got '9'; allowed: height x width x channels"),
        ({"target": "mood"}, "got no column 'mood'; allowed: pressure, temp"),
        ({"target": "kind", "groups": "mood"}, "groups of"),
    ],
)
def test_bad_settings_say_what_is_allowed(choices: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="allowed") as raised:
        load(write_csv(tmp_path / "sensor.csv"), 0, **choices)
    assert message in str(raised.value)


def test_labels_need_not_be_consecutive_and_a_split_of_the_file_stays(tmp_path: Path) -> None:
    labels = np.array([7, -1, 40, 7])
    np.savez(tmp_path / "own.npz", x_train=X[:4], y_train=labels, x_test=X[4:6], y_test=labels[1:3])
    data = load(tmp_path / "own.npz")
    assert data.classes == ("-1", "7", "40")
    assert data.y_test.tolist() == [0, 2]
    assert data.x_test.tobytes() == X[4:6].tobytes()


def test_an_unknown_task_is_told_from_a_missing_file(cli: CommandLine, tmp_path: Path) -> None:
    assert "unknown task: got 'digitz'" in cli("train", "digitz", "--network", "4-2", "--rule", "bp", "-o", tmp_path / "m.onnx").err
    missing = cli("train", "no.csv", "--network", "4-2", "--rule", "bp", "-o", tmp_path / "m.onnx")
    assert (missing.status, missing.err.count("\n")) == (2, 1)
    assert "data 'no.csv': got no such file or folder" in missing.err
    named = cli("train", "digits", "--target", "y", "--network", "64-10", "--rule", "bp", "-o", tmp_path / "m.onnx")
    assert "option --data: got the registered task digits" in named.err


def sounds(*changes: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        home = write_sounds(folder / "sounds", each=3)
        for change in changes:
            change(home)
        return home

    return make


def pictures(*changes: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        home = write_pictures(folder / "pictures", each=3)
        for change in changes:
            change(home)
        return home

    return make


def cut(name: str) -> Callable[[Path], object]:
    """A change that leaves the first half of a file."""
    return lambda home: (home / name).write_bytes((home / name).read_bytes()[: (home / name).stat().st_size // 2])


RNG = np.random.default_rng(3)
BAD_FOLDERS = {
    "no folder in it": (lambda folder: folder, "got no folder in it; allowed: one folder for each class"),
    "an empty class": (sounds(lambda home: (home / "none").mkdir()), "none: got no files"),
    "one class alone": (sounds(lambda home: shutil.rmtree(home / "low")), "got one class, 'high'"),
    "another rate": (sounds(lambda home: write_wav(home / "low" / "1.wav", tone(300, RNG), 16000)), "got 16000 Hz; allowed: 8000 Hz"),
    "two channels": (sounds(lambda home: write_wav(home / "low" / "1.wav", tone(300, RNG), 8000, 2)), "got 2 channels; allowed: 1 channel"),
    "a truncated recording": (sounds(cut("low/1.wav")), "of the 2,000 samples that it states"),
    "an empty recording": (sounds(lambda home: write_wav(home / "low" / "1.wav", np.zeros(0, np.int16))), "got no samples"),
    "clips too short": (sounds(), "got clips of 160 samples; allowed: at least one frame of 240 (30 ms)"),
    "a truncated picture": (pictures(cut("left/1.png")), "allowed: a whole picture"),
    "a picture that is a text": (pictures(lambda home: (home / "left" / "1.png").write_text("no")), "cannot identify image file"),
    "an unknown suffix": (pictures(lambda home: (home / "left" / "a.txt").write_text("no")), "got the suffix '.txt'"),
    "recordings beside pictures": (pictures(lambda home: write_wav(home / "left" / "a.wav", tone(300, RNG))), "beside pictures"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_end_in_one_line_that_names_the_place(name: str, tmp_path: Path) -> None:
    make, message = BAD_FOLDERS[name]
    choices = {"seconds": "0.02"} if name == "clips too short" else {"seconds": "0.25"}
    with pytest.raises(EdgeffError) as raised:
        own_data(str(make(tmp_path)), choices).load()
    assert message in str(raised.value)


def test_recordings_are_converted_where_it_is_asked_for(tmp_path: Path) -> None:
    home = write_sounds(tmp_path / "sounds", each=3)
    stereo = np.stack([tone(300, RNG, 4000, 16000)] * 2, axis=1)
    write_wav(home / "low" / "1.wav", stereo, 16000, 2)
    data = load(home, seconds="0.25", convert="yes", rate="8000")
    assert data.x_train.shape[1:] == (12, 10, 1)
    assert data.metadata["features"]["rate"] == 8000
    assert data.metadata["samples"] == 2000


@pytest.fixture(scope="module")
def sensor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sensor.csv`` and ``m.onnx``, trained on it for a few epochs from columns of unlike scale."""
    folder = tmp_path_factory.mktemp("sensor")
    words = ("train", write_csv(folder / "sensor.csv"), "--target", "kind", "--data", "drop=machine", "--network", "3-8-3", "--rule", "bp")
    assert run([str(word) for word in (*words, "--epochs", "30", "-o", folder / "m.onnx")]) == 0
    return folder


def test_a_table_is_learned_and_the_model_knows_how_it_was_read(sensor: Path, cli: CommandLine) -> None:
    model, data = load_model(sensor / "m.onnx"), sensor / "sensor.csv"
    first = model.network.layers[0]
    assert first.kind == "scale_input"
    assert np.isclose(1 / first.params["factor"][0], load(data, target="kind", drop="machine").x_train[:, 0].std(), rtol=1e-3)
    assert cli.ok("evaluate", sensor / "m.onnx", data, "--json").json["value"] > 0.9  # three kinds, 25 deviations apart
    cli.ok("quantize", sensor / "m.onnx", "--calibrate", data, "-o", sensor / "m8.onnx")
    values = {
        engine: cli.ok("evaluate", sensor / "m8.onnx", data, "--engine", engine, "--json").json["value"] for engine in ("edgeff", "c")
    }
    assert values["edgeff"] == values["c"] > 0.9
    again = load_model(sensor / "m8.onnx").network
    assert again.input_quant == REAL
    assert again.layers[0].params["mean"].tobytes() == first.params["mean"].tobytes()


def test_new_data_are_predicted_and_evaluated_as_a_whole(sensor: Path, cli: CommandLine) -> None:
    model = sensor / "m.onnx"
    (sensor / "new.csv").write_text("temp;pressure;still\n23;101325;7\n20;101300.5;7\n", encoding="utf-8")  # no target, another order
    said = cli.ok("predict", model, sensor / "new.csv", "--json").json
    assert [entry["class"] for entry in said] == ["idle", "fault"]
    assert np.isclose(sum(said[0]["scores"]), 1.0)
    assert said[0]["score"] == max(said[0]["scores"])
    later = write_csv(sensor / "later.csv", seed=5, count=30)
    found = cli.ok("evaluate", model, later, "--json")
    assert "all 30 samples test" in found.err
    assert found.json["samples"] == sum(map(sum, found.json["confusion"])) == 30
    assert [entry["name"] for entry in found.json["classes"]] == [*KINDS]
    later.write_text(later.read_text(encoding="utf-8").replace("idle", "idel"), encoding="utf-8")
    assert "got 'idel'; allowed: fault, idle, run" in cli("evaluate", model, later).err
    (sensor / "new.csv").write_text("temp;still\n23;7\n", encoding="utf-8")
    assert "got no column 'pressure'; allowed: the columns that the model reads" in cli("predict", model, sensor / "new.csv").err


def test_a_model_that_says_one_class_of_everything_is_noted(sensor: Path, cli: CommandLine) -> None:
    network = load_model(sensor / "m.onnx").network
    last = network.trainable[-1]
    still = replace(last, params={name: 0 * value for name, value in last.params.items()})
    (sensor / "still.onnx").write_bytes(to_onnx(network.replacing({last.name: still})).SerializeToString())
    noted = cli.ok("evaluate", sensor / "still.onnx", sensor / "sensor.csv")
    assert "the model says fault of 100.0 % of the samples, which 33.3 % are: it tells nothing" in noted.err
    assert "note" not in cli.ok("evaluate", sensor / "m.onnx", sensor / "sensor.csv").err


def test_standardised_inputs_come_back_from_files_and_run_in_other_libraries(sensor: Path) -> None:
    network = load_model(sensor / "m.onnx").network
    x = load(sensor / "sensor.csv", target="kind", drop="machine").x_test
    int8 = quantize(network, x)
    for form in (network, int8):
        for again in (from_tflite(to_tflite(form)), from_onnx(to_onnx(form).SerializeToString())):
            assert [(layer.name, layer.kind) for layer in again] == [(layer.name, layer.kind) for layer in form]
            assert (again.name, again.input_quant, again.layers[-1].quant) == (form.name, form.input_quant, form.layers[-1].quant)
    twin = Interpreter(deploy(int8).program)
    scores = []
    for sample in x:
        twin.predict(sample)
        scores.append(twin.output().reshape(-1))
    assert np.array_equal(tflm(to_tflite(int8), x, lambda: None), scores)
    assert twin.predict(np.array([np.nan, 1, 1], np.float32)) == Code.NOT_FINITE


def test_arithmetic_on_the_input_of_a_foreign_model_is_read() -> None:
    """A shift, a quotient and a sum, then a product with a matrix."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    constants = {"three": [3.0], "two": [2.0, 4.0], "one": [1.0], "w": weight}
    nodes = [("Sub", "x", "three", "a"), ("Div", "a", "two", "b"), ("Add", "b", "one", "c"), ("MatMul", "c", "w", "y")]
    graph = helper.make_graph(
        [helper.make_node(op, [first, second], [out], name=f"n_{out}") for op, first, second, out in nodes],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    network = from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    x = np.array([[3.0, 5.0], [-1.0, 7.5]], np.float32)
    expected = ((x - 3.0) / np.array([2.0, 4.0]) + 1.0) @ weight
    assert [layer.kind for layer in network] == ["scale_input", "dense"]
    assert np.allclose(
        forward(network, parameters(network), x)[network.layers[-1].name], expected, rtol=1e-6
    )  # the sum moves into the mean


def test_numbers_of_many_values_are_learned_in_their_own_units(tmp_path: Path, cli: CommandLine) -> None:
    """A level in pascals, a plane over two columns of unlike scale: the error is far below the variance, in float, in int8 and in C."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(20, 3, 300), rng.normal(0.01, 0.002, 300)
    level = 101300 + 5 * a + 4000 * b + rng.normal(0, 0.5, 300)
    rows = [f"{x:.4f},{y:.6f},{z:.3f}" for x, y, z in zip(a, b, level, strict=True)]
    table, model, int8 = tmp_path / "tank.csv", tmp_path / "m.onnx", tmp_path / "m8.onnx"
    table.write_text("temp,flow,level\n" + "\n".join(rows) + "\n", encoding="utf-8")
    words = ("train", table, "--target", "level", "--network", "2-12-1", "--bias")
    made = cli.ok(*words, "--rule", "bp", "--epochs", "40", "-o", model, "--json").json
    variance = float(np.var(level))
    assert made["mse"]["test"] < 0.05 * variance
    assert np.isclose(cli.ok("evaluate", model, table, "--json").json["value"], made["mse"]["test"], rtol=0.02)  # float32 at 1e5
    search = ("tune", "2-12-1", table, "--target", "level", "--bias", "--rule", "bp", "--no-controls", "--epochs", 3, "--candidates", 9)
    tuned = cli.ok(*search, "--splits", 1, "--seeds", 1, "-o", tmp_path / "tune.json", "--json").json["rules"]["bp"]
    assert tuned["validation"] < 0.5 * variance  # in units of the column, as the test error
    assert 0.01 * variance < tuned["test"]["0"] < 0.5 * variance
    noted = cli.ok("quantize", model, "--calibrate", table, "-o", int8).err
    assert "a step of the int8 output is 398" in noted  # the scale spans 0 to 101,500: 255 steps
    values = [cli.ok("evaluate", int8, table, "--engine", engine, "--json").json["value"] for engine in ("edgeff", "c")]
    assert values[0] == values[1]
    (said,) = cli.ok("predict", model, write_row(tmp_path / "new.csv", "temp,flow", "20,0.01"), "--json").json
    assert said["class"] is None
    assert abs(said["score"] - (101300 + 100 + 40)) < 5
    assert "numbers are learned by afa, bp" in cli(*words, "--rule", "ff", "-o", model).err
    later = tmp_path / "later.csv"  # 60 Pa more: the sensor has drifted
    later.write_text("temp,flow,level\n" + "\n".join(f"{x:.4f},{y:.6f},{z + 60:.3f}" for x, y, z in zip(a, b, level, strict=True)) + "\n")
    device = cli.ok("simulate", model, later, "--board", "rpi_pico", "--rule", "bp", "--json").json
    assert device["mse"]["before"] > 3000
    assert device["mse"]["after"] < variance
    assert device["accuracy"]["after"] is None


def write_row(path: Path, names: str, row: str) -> Path:
    path.write_text(f"{names}\n{row}\n", encoding="utf-8")
    return path
