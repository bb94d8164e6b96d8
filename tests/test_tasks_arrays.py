"""Files of arrays are untrusted: what is read has the type and shape that a task wants, and everything else is one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_data import refusal

from edgeff.errors import BadInput
from edgeff.tasks._files import check_labels, read_arrays

GOOD: dict[str, tuple[str, tuple[int | None, ...]]] = {"x": ("uint8", (None, 3)), "name": ("U", (2,)), "scale": ("float32", ())}


def archive_bytes(**changed: Any) -> bytes:
    arrays = {"x": np.arange(12, dtype=np.uint8).reshape(4, 3), "name": np.array(["a", "bc"]), "scale": np.float32(0.5)} | changed
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    return path


def test_arrays_come_as_they_were_written(tmp_path: Path) -> None:
    found = read_arrays(written(tmp_path, archive_bytes(other=np.zeros(3))), GOOD)
    assert {name: array.tolist() for name, array in found.items()} == {
        "x": np.arange(12).reshape(4, 3).tolist(),
        "name": ["a", "bc"],
        "scale": 0.5,
    }


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"x": np.zeros((4, 3), np.int8)}, "array 'x': got int8 (4, 3); allowed: uint8 (n, 3)"),
        ({"x": np.zeros((4, 4), np.uint8)}, "array 'x': got uint8 (4, 4); allowed: uint8 (n, 3)"),
        ({"x": np.zeros(3, np.uint8)}, "array 'x': got uint8 (3,); allowed: uint8 (n, 3)"),
        ({"name": np.array([1.0, 2.0])}, "array 'name': got float64 (2,); allowed: U (2)"),
        ({"scale": np.float64(1)}, "array 'scale': got float64 (); allowed: float32 ()"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(tmp_path: Path, changed: dict[str, Any], got: str) -> None:
    path = written(tmp_path, archive_bytes(**changed))
    assert refusal(lambda: read_arrays(path, GOOD)) == f"data file {path}, {got}"


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("dtype", ["uint8", "object", "U"])
def test_pickled_objects_are_never_read(tmp_path: Path, dtype: str) -> None:
    mark = tmp_path / "mark"
    path = written(tmp_path, archive_bytes(x=np.array([Trap(mark), None], object)))
    refusal(lambda: read_arrays(path, {"x": (dtype, (None,))}))
    assert not mark.exists()


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, archive_bytes())
    assert (
        refusal(lambda: read_arrays(path, {"y": ("uint8", (None,))}))
        == f"data file {path}, array 'y': got no such array; allowed: uint8 (n)"
    )


def test_a_header_that_promises_more_than_there_is_costs_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 45, 3)})
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"few")
    expected = f"data file {path}, array 'x': got (35184372088832, 3) in 131 bytes; allowed: as many numbers as its shape states"
    assert refusal(lambda: read_arrays(path, {"x": ("uint8", (None, 3))})) == expected


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + bytes(18), archive_bytes()[:-30], archive_bytes()[30:200]]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    refusal(lambda: read_arrays(written(tmp_path, content), GOOD))


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    refusal(lambda: read_arrays(tmp_path / "none.npz", GOOD))
    refusal(lambda: read_arrays(tmp_path, GOOD))


def test_mutated_archives_give_arrays_of_the_wanted_kind_or_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(12, dtype=np.uint8).reshape(4, 3), name=np.array(["a", "bc"]), scale=np.float32(0.5))
    sound = [buffer.getvalue(), archive_bytes()]
    refused = 0
    for trial in range(2000):
        content = bytearray(sound[trial % 2])
        for _ in range(int(rng.integers(1, 6))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        path = written(tmp_path, bytes(content[: len(content) - int(rng.integers(3)) * int(rng.integers(20))]))
        try:
            found = read_arrays(path, GOOD)
        except BadInput as error:
            refused += len(str(error).splitlines())
        else:
            assert [found["x"].dtype.name, found["x"].shape[1:], found["name"].shape, found["scale"].shape] == ["uint8", (3,), (2,), ()]
    assert 1000 < refused < 2000


@pytest.mark.parametrize(("labels", "good"), [([], True), ([0, 9], True), ([10], False), ([-1, 3], False)])
def test_labels_that_are_no_class_are_refused(labels: list[int], good: bool) -> None:
    path = Path("a.npz")
    if good:
        check_labels(path, np.array(labels, np.int8), 10)
    else:
        got = f"{labels[0]} to {labels[-1]}"
        assert refusal(lambda: check_labels(path, np.array(labels, np.int8), 10)) == f"data file a.npz, labels: got {got}; allowed: 0 to 9"
