"""The tasks fashion_mnist, har, mitbih, gas_drift, arabic and kws_open: splits without leaks, inputs as documented, refused files."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_server import Site, serve
from task_data import checked, digests, empty_folders, refusal, task

from edgeff.contracts import check_task
from edgeff.ir import Array
from edgeff.tasks import arabic, fashion_mnist, gas_drift, har, kws, kws_open, mitbih, mnist
from edgeff.tasks._files import Remote

Find = Callable[[str], Path]
Arrays = dict[str, Array]

FILES = {
    "fashion_mnist": (fashion_mnist.FILE,),
    "har": (har.FILE,),
    "mitbih": (mitbih.FILE,),
    "gas_drift": (gas_drift.FILE,),
    "arabic": (arabic.FILE,),
    "kws_open": (kws_open.TRAIN, kws_open.REST, kws.CLIPS),
}
COUNTS = {
    "fashion_mnist": (10_000, 2_000),
    "mitbih": (8_898, 8_074),
    "gas_drift": (5_933, 764),
    "arabic": (432, 108),
    "kws_open": (2_908, 722),
}


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture
def link(reference_data: Find, data_folder: Path) -> Callable[[str], list[Path]]:
    """A function that puts a task's files into the data folder and returns them; it skips the test when one is missing."""

    def linked(name: str) -> list[Path]:
        paths = [reference_data(file) for file in FILES[name]]
        for path in paths:
            (data_folder / path.name).symlink_to(path)
        return paths

    return linked


Link = Callable[[str], list[Path]]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FILES))
def test_a_task_keeps_the_contract_of_tasks_on_its_own_data(link: Link, name: str) -> None:
    link(name)
    check_task(name)
    data = checked(task(name).load(3), name)
    json.dumps(data.metadata)
    if name in COUNTS:
        assert (len(data.x_train), len(data.x_test)) == COUNTS[name]
    assert set(data.y_train[:300].tolist()) >= set(data.y_test.tolist()) - {len(data.classes) - 1}


@pytest.mark.parametrize("name", list(FILES))
def test_data_that_are_not_there_are_one_line_that_names_the_file(name: str) -> None:
    message = refusal(task(name).load)
    assert FILES[name][0] in message
    assert "EDGEFF_DATA_DIR" in message


def idx(array: Array) -> bytes:
    return gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def write(folder: Path, file: str, arrays: Arrays) -> None:
    np.savez_compressed(folder / file, **arrays)  # type: ignore[arg-type]


# ------------------------------------------------------------------ fashion_mnist


def test_fashion_mnist_is_downloaded_beside_mnist_whose_files_have_the_same_names(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (9, 28, 28)).astype(np.uint8) for part in ("train", "test")}
    arrays |= {f"y_{part}": rng.integers(0, 10, 9).astype(np.uint8) for part in ("train", "test")}
    files, remotes = {}, {}
    for key, remote in fashion_mnist.OFFICIAL.items():
        content = idx(arrays[key])
        files[remote.name] = content
        remotes[key] = Remote(remote.url, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), remote.mirrors, remote.kept_as)
    assert not {remote.name for remote in remotes.values()} & {remote.name for remote in mnist.OFFICIAL.values()}
    monkeypatch.setattr(fashion_mnist, "OFFICIAL", remotes)
    with serve(Site(files)) as site:
        monkeypatch.setenv("EDGEFF_DATA_URL", site.url)
        data = checked(task("fashion_mnist").load(), "fashion_mnist")
    assert np.array_equal(np.rint(data.x_train[..., 0] * 255), arrays["x_train"])
    assert data.y_test.tolist() == arrays["y_test"].tolist()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(files)
    assert not list(data_folder.iterdir())


# ------------------------------------------------------------------ har


def activities(**changed: Array) -> Arrays:
    """Eight subjects of three windows; every number of a window is its subject's, in steps of the sensor."""
    subject = np.repeat([f"s{number}" for number in range(8)], 3)
    x = np.repeat(np.arange(8), 3)[:, None, None] * np.ones((1, har.WINDOW, har.AXES))
    arrays: Arrays = {
        "x": x.astype(np.int16),
        "scale": np.array([0.5, 0.5, 0.5, 0.25, 0.25, 0.25], np.float32),
        "y": (np.arange(24) % 5).astype(np.uint8),
        "subject": subject,
        "classes": np.array(har.CLASSES),
    }
    return arrays | changed


def test_har_tests_on_subjects_that_do_not_train_and_the_seed_draws_them(data_folder: Path) -> None:
    write(data_folder, har.FILE, activities())
    drawn = set()
    for seed in range(4):
        data = checked(task("har").load(seed), "har")
        sides = [{round(float(window[0, 3]) / 0.25) for window in x} for x in (data.x_train, data.x_test)]
        assert not sides[0] & sides[1]
        assert (len(sides[0]), len(sides[1])) == (3, har.TEST_SUBJECTS)
        drawn.add(frozenset(sides[1]))
    assert len(drawn) > 1


def test_har_gives_g_and_radians_a_second(data_folder: Path) -> None:
    write(data_folder, har.FILE, activities())
    data = task("har").load(0)
    for window in data.x_train:
        assert float(window[0, 0]) == pytest.approx(float(window[0, 3]) * 2 / 9.80665, rel=1e-6)  # float32
        assert float(window[0, 3]) % 0.25 == 0.0


# ------------------------------------------------------------------ mitbih


def beats(**changed: Array) -> Arrays:
    """Two beats of each of six records, in which the record's number stands at the R peak."""
    record = np.repeat(["101", "201", "100", "202", "200", "102"], 2)
    x = np.zeros((12, mitbih.SAMPLES), np.int16)
    x[:, 48] = record.astype(np.int16)
    arrays: Arrays = {
        "x": x,
        "y": (np.arange(12) % 2).astype(np.uint8),
        "record": record,
        "de_chazal": np.repeat(["DS1", "DS1", "DS2", "DS2", "DS2", "paced"], 2),
        "classes": np.array(mitbih.CLASSES),
    }
    return arrays | changed


def test_mitbih_does_not_test_a_window_that_it_trains_on(data_folder: Path) -> None:
    arrays = beats()
    arrays["x"][4] = arrays["x"][0]
    write(data_folder, mitbih.FILE, arrays)
    assert len(task("mitbih").load(0).x_test) == 3


def records_of(x: Array) -> set[int]:
    return {round(float(beat[48, 0] - beat[0, 0]) * 200) for beat in x}


def test_mitbih_keeps_patients_apart_and_leaves_out_paced_hearts_and_the_second_record_of_one_subject(data_folder: Path) -> None:
    write(data_folder, mitbih.FILE, beats())
    data = checked(task("mitbih").load(1), "mitbih")
    assert records_of(data.x_train) == {101, 201}
    assert records_of(data.x_test) == {100, 200}
    # float32 sums of 128 values
    assert np.abs(data.x_train.mean(axis=1)).max() < 1e-6


def test_mitbih_does_not_see_an_offset_of_the_electrode(data_folder: Path) -> None:
    write(data_folder, mitbih.FILE, beats())
    plain = task("mitbih").load(0)
    write(data_folder, mitbih.FILE, beats(x=beats()["x"] + np.int16(300)))
    assert np.array_equal(task("mitbih").load(0).x_test, plain.x_test)


# ------------------------------------------------------------------ gas_drift


def gases(**changed: Array) -> Arrays:
    """Four samples of each batch; feature 0 is the batch's number times 1,000, the others are random."""
    batch = np.repeat([1, 2, 3, 4, 5, 6, 8, 9], 4).astype(np.uint8)
    x = np.random.default_rng(0).normal(0, 1e4, (len(batch), gas_drift.FEATURES)).astype(np.float32)
    x[:, 0] = batch * 1000.0
    arrays: Arrays = {"x": x, "y": (np.arange(len(batch)) % 6).astype(np.uint8), "batch": batch, "classes": np.array(gas_drift.CLASSES)}
    return arrays | changed


def test_gas_drift_tests_on_later_months_and_reads_nothing_of_them_to_scale_its_inputs(data_folder: Path) -> None:
    write(data_folder, gas_drift.FILE, gases())
    data = checked(task("gas_drift").load(0), "gas_drift")

    def batches(x: Array) -> set[int]:
        logs = x[:, 0].astype(np.float64) * data.metadata["deviation"][0] + data.metadata["mean"][0]
        return set(np.rint(np.expm1(logs) / 1000).astype(int).tolist())

    assert (batches(data.x_train), batches(data.x_test)) == ({1, 2, 3, 4, 5, 6}, {8, 9})
    # float32 inputs
    assert np.abs(data.x_train.mean(axis=0)).max() < 1e-6
    assert np.abs(data.x_train.std(axis=0) - 1).max() < 1e-5
    late = gases()
    late["x"][late["batch"] > 6] *= 50
    write(data_folder, gas_drift.FILE, late)
    assert np.array_equal(task("gas_drift").load(0).x_train, data.x_train)


# ------------------------------------------------------------------ arabic and kws_open


def words(**changed: Array) -> Arrays:
    rng = np.random.default_rng(0)
    split = np.array(["train", "train", "val", "test", "test"])
    arrays: Arrays = {
        "x": rng.integers(-3000, 3000, (5, arabic.RATE)).astype(np.int16),
        "y": np.arange(5).astype(np.uint8),
        "speaker": np.array(["a", "b", "c", "d", "e"]),
        "split": split,
        "classes": np.array(arabic.WORDS),
    }
    return arrays | changed


def test_arabic_has_the_authors_test_speakers(data_folder: Path) -> None:
    write(data_folder, arabic.FILE, words())
    data = checked(task("arabic").load(0), "arabic")
    assert (sorted(data.y_train.tolist()), data.y_test.tolist()) == ([0, 1, 2], [3, 4])


def open_clips(folder: Path, *, test_speaker: str = "t", rest: Arrays | None = None) -> None:
    rng = np.random.default_rng(0)

    def clips(first: int, count: int) -> Arrays:
        x = rng.integers(-3000, 3000, (count, kws.RATE)).astype(np.int16)
        return {"x": x, "y": np.arange(first, first + count).astype(np.uint8), "classes": np.array(kws.CLASSES)}

    write(folder, kws_open.TRAIN, clips(0, 3) | {"speaker": np.array(["a", "b", "c"])})
    clean = {"test1000_speaker": np.array(["d", test_speaker, ""]), "test1000_clean": np.array([False, True, True])}
    write(folder, kws_open.REST, clips(3, 2) | {"speaker": np.array(["d", ""])} | clean | (rest or {}))
    write(folder, kws.CLIPS, clips(5, 3))


def test_kws_open_tests_on_the_clips_whose_speakers_it_never_heard(data_folder: Path) -> None:
    open_clips(data_folder)
    data = checked(task("kws_open").load(0), "kws_open")
    assert (sorted(data.y_train.tolist()), data.y_test.tolist()) == ([0, 1, 2, 3, 4], [6, 7])


def test_kws_open_refuses_a_speaker_on_both_sides(data_folder: Path) -> None:
    open_clips(data_folder, test_speaker="b")
    assert "speakers of both parts: b" in refusal(task("kws_open").load)


def test_kws_open_refuses_a_list_of_clean_clips_that_does_not_fit(data_folder: Path) -> None:
    open_clips(data_folder, rest={"test1000_clean": np.array([True, True])})
    assert "one entry for each clip" in refusal(task("kws_open").load)


def test_no_clip_of_kws_open_is_on_both_sides(link: Link) -> None:
    train, rest, test = (np.load(path) for path in link("kws_open"))
    assert not (digests(train["x"]) | digests(rest["x"])) & digests(test["x"][rest["test1000_clean"]])


# ------------------------------------------------------------------ other files

REFUSED: list[tuple[str, str, Arrays, str]] = [
    ("har", har.FILE, activities(scale=np.zeros(6, np.float32)), "scales above 0"),
    ("har", har.FILE, activities(y=np.full(24, 5, np.uint8)), "got 5 to 5; allowed: 0 to 4"),
    ("har", har.FILE, activities(subject=np.repeat(["a", "b"], 12)), "2 subjects"),
    ("har", har.FILE, activities(subject=np.array(["a"])), "24 windows"),
    ("mitbih", mitbih.FILE, beats(de_chazal=np.full(12, "DS1")), "0 to test"),
    ("mitbih", mitbih.FILE, beats(record=np.full(12, "100")), "records in both: 100"),
    ("mitbih", mitbih.FILE, beats(classes=np.array(list("NSVQF"))), "classes N, S, V, Q, F"),
    ("mitbih", mitbih.FILE, beats(y=np.zeros(11, np.uint8)), "11 labels"),
    ("gas_drift", gas_drift.FILE, gases(batch=np.full(32, 1, np.uint8)), "batches 1"),
    ("gas_drift", gas_drift.FILE, gases(x=np.ones((32, 128), np.float32)), "the same in all training samples"),
    ("gas_drift", gas_drift.FILE, gases(x=np.full((32, 128), np.nan, np.float32)), "not finite"),
    ("gas_drift", gas_drift.FILE, gases(y=np.zeros(2, np.uint8)), "2 labels"),
    ("arabic", arabic.FILE, words(speaker=np.full(5, "a")), "speakers in both: a"),
    ("arabic", arabic.FILE, words(split=np.full(5, "train")), "0 to test"),
    ("arabic", arabic.FILE, words(classes=np.array(sorted(arabic.WORDS))), "classes down, no, start"),
]


@pytest.mark.parametrize(("name", "file", "arrays", "said"), REFUSED)
def test_a_file_that_does_not_hold_what_it_should_is_one_line(data_folder: Path, name: str, file: str, arrays: Arrays, said: str) -> None:
    write(data_folder, file, arrays)
    assert said in refusal(task(name).load)
