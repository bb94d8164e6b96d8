"""A user's own data where a task is named: read, checked, split, and learned by the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine

from edgeff.errors import BadInput, Doubtful, EdgeffError
from edgeff.tasks import Data
from edgeff.tasks.own import own_data

KINDS = ("fault", "idle", "run")
"""In the order of the alphabet, as classes are."""


def write_csv(path: Path, *, seed: int = 0, count: int = 120, more: str = "") -> Path:
    """Three kinds of a machine, told by two of three columns; ``machine`` names six of them."""
    rng = np.random.default_rng(seed)
    lines = ["pressure;temp;still;kind;machine"]
    for index in range(count):
        kind = index % 3
        lines.append(f"{101300 + 25 * kind + rng.normal():.3f};{20 + rng.normal():.3f};7;{KINDS[kind]};m{index % 7}")
    path.write_text("\n".join(lines) + "\n" + more, encoding="utf-8")
    return path


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
    "values for classes": (npz(x=X, y=X[:, 0]), "got numbers of many values; allowed: classes"),
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
