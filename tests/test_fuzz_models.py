"""A few of the mutated model files that ``benchmarks/fuzz.py`` makes by the thousand, and what makes them."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import fuzz_onnx
import fuzz_tflite
import fuzz_worker
import numpy as np
import onnx
import pytest
from fuzz_corpus import corpus
from fuzz_run import outcomes
from fuzz_values import Draw

from edgeff.errors import Unsupported
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.tflite.flatbuffer import Table

CASES = 160


@pytest.mark.slow
@pytest.mark.parametrize("form", fuzz_worker.FORMS)
def test_mutated_files_are_read_or_refused_in_one_line_in_time_and_memory(form: str) -> None:
    found = dict(outcomes(form, 0, CASES))
    assert sorted(found) == list(range(CASES))
    assert {number: case["failure"] for number, case in found.items() if case["failure"]} == {}
    assert max(case["mebibytes"] for case in found.values()) < 1024
    assert max(case["seconds"] for case in found.values()) < fuzz_worker.SECONDS
    counts = Counter(case["outcome"] for case in found.values())
    assert counts["lowered"] > CASES / 20, counts
    assert counts["refused: BadInput"] > CASES / 5, counts
    assert counts["refused: Unsupported"] > CASES / 20, counts


@pytest.mark.parametrize(("form", "read"), [("tflite", from_tflite), ("onnx", from_onnx)])
def test_the_files_that_are_mutated_are_good_ones(form: str, read: Any) -> None:
    groups = corpus(form)
    assert len(groups) >= 2
    for data in (data for group in groups for data in group):
        read(data)


@pytest.mark.slow
def test_a_case_is_the_same_in_every_process() -> None:
    code = "import sys; from fuzz_worker import mutation; import hashlib; print(hashlib.sha256(mutation(sys.argv[1], 5)).hexdigest())"
    for form in fuzz_worker.FORMS:
        made = [
            subprocess.run([sys.executable, "-c", code, form], cwd=Path(__file__).parent, capture_output=True, check=True).stdout
            for _ in range(2)
        ]
        assert made[0] == made[1]


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        ("KeyError('x')", "KeyError in"),
        ("MemoryError()", "MemoryError in"),
        ("EdgeffError('')", "a refusal that is no line: ''"),
        ("RecursionError('deep')", "RecursionError in"),
    ],
)
def test_what_goes_wrong_is_seen(raised: str, failure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgeff.errors import EdgeffError

    def load(_path: Path) -> None:
        raise {"EdgeffError('')": EdgeffError("")}.get(raised) or eval(raised)  # noqa: S307 - the names above

    monkeypatch.setattr(fuzz_worker, "load", load)
    assert fuzz_worker.outcome(b"", tmp_path / "model")["failure"].startswith(failure)


def test_a_file_that_takes_too_long_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(_path: Path) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz_worker, "load", load)
    monkeypatch.setattr(fuzz_worker, "SECONDS", 0.05)
    assert fuzz_worker.outcome(b"", tmp_path / "model")["failure"] == "more than 0.05 s"


def test_the_memory_that_a_file_takes_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(_path: Path) -> None:
        size = np.full(mebibytes << 20, 1, np.int8).size
        raise Unsupported("a file", got=size)

    monkeypatch.setattr(fuzz_worker, "load", load)
    for mebibytes in (300, 2):
        found = fuzz_worker.outcome(b"", tmp_path / "model")
        assert mebibytes - 2 <= found["mebibytes"] <= mebibytes + 20
        assert found["failure"] == ""


def test_memory_beyond_the_limit_and_a_crash_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "fuzz_worker.py"
    tests = Path(__file__).parent
    worker.write_text(
        f"""
import os, sys
sys.path.insert(0, {str(tests)!r})
import importlib.util
spec = importlib.util.spec_from_file_location("real", {str(tests / "fuzz_worker.py")!r})
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
calls = 0
def load(path):
    global calls
    calls += 1
    if calls == 3 and int(sys.argv[2]) == 0:
        os.abort()
    if calls == 2:
        bytearray(3 << 30)
    raise real.EdgeffError("refused")
real.load = load
real.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
""",
        encoding="utf-8",
    )
    monkeypatch.setattr("fuzz_run.WORKER", worker)
    failures = [found["failure"] for _, found in outcomes("tflite", 0, 4)]
    assert failures[0].startswith("MemoryError")
    assert failures[1] == "the process ended with status -6"
    assert failures[2].startswith("MemoryError")  # the first case of the second process
    assert failures[3] == ""


def test_a_reader_without_its_check_of_offsets_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control: what the files above are refused for."""

    def trusting(table: Table, form: struct.Struct, position: int) -> Any:
        return form.unpack_from(table.data, position)[0]

    files = [fuzz_worker.mutation("tflite", number) for number in range(CASES)]
    monkeypatch.setattr(Table, "_read", trusting)
    failures = [found["failure"] for data in files if (found := fuzz_worker.outcome(data, tmp_path / "model"))["failure"]]
    assert len(failures) > CASES / 40
    assert all(failure.startswith("error in") for failure in failures)


def test_an_attribute_that_refers_to_another_is_refused_by_name() -> None:
    """Case 4770 of ONNX: the library raises for what only the body of a function may hold."""
    model = onnx.load_from_string(next(data for group in corpus("onnx") for data in group if b"kernel_shape" in data))
    node = next(node for node in model.graph.node if node.attribute)
    node.attribute[0].ref_attr_name = "outer"
    with pytest.raises(Unsupported, match=r"ONNX node \d+: got attribute '.*' that refers to 'outer'; allowed: attributes with a value"):
        from_onnx(model.SerializeToString())


def test_wire_fields_are_written_as_they_were_read() -> None:
    for group in corpus("onnx"):
        for data in group[:6]:
            assert fuzz_onnx.encode(fuzz_onnx.parse(data, onnx.ModelProto.DESCRIPTOR)) == data


def test_the_reader_is_whole_again_after_its_places_were_noted() -> None:
    data = corpus("tflite")[-1][0]
    found = fuzz_tflite.places(data)
    assert len(found) > 100
    assert Table._read.__name__ == "_read"
    assert from_tflite(data).layers


def test_most_mutations_change_the_file() -> None:
    for form, mutated in fuzz_worker.FORMS.items():
        data = corpus(form)[-1][0]
        assert sum(mutated(data, Draw((9, number))) != data for number in range(60)) > 45
