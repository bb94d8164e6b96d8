"""Keywords: the official features, training from an archive in the form of Speech Commands, and what is damaged or not there."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import empty_folders, refusal, tone, wav_bytes
from command_line import CommandLine

from edgeff import registry
from edgeff.ir import Array, Quant
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.program.quantize import quantise_array
from edgeff.tasks import ad, fsdd, kws
from edgeff.tasks._audio import of_length


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache; returns the data folder."""
    return empty_folders(tmp_path, monkeypatch)


@pytest.mark.parametrize(("task", "name"), [("fsdd", fsdd.FILE), ("fsdd_theo", fsdd.FILE), ("kws", kws.FILE), ("ad", ad.FOLDER)])
def test_data_that_are_not_there_end_a_command_in_one_line(task: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = CommandLine(capsys)("train", task, "--network", "490-10", "--rule", "bp", "-o", "m.onnx")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert name in ended.err
    assert "EDGEFF_DATA_DIR" in ended.err
    assert not Path("m.onnx").exists()


@pytest.fixture
def keywords(reference_data: Callable[[str], Path], own_folders: Path) -> Path:
    """The official features, linked into the data folder."""
    path = reference_data(kws.FILE)
    (own_folders / kws.FILE).symlink_to(path)
    return path


def test_an_int8_model_reads_the_official_bits(keywords: Path) -> None:
    data = registry.tasks["kws"].load()
    with np.load(keywords) as file:
        quant = Quant((float(file["in_scale"]),), int(file["in_zero_point"]))
        assert (quant.scale[0], quant.zero_point) == (kws.INPUT_SCALE, kws.INPUT_ZERO)
        assert np.array_equal(quantise_array(data.x_test, quant), file["x"].reshape(1000, 49, 10, 1))
        assert np.array_equal(data.y_test, file["y"])
        assert tuple(file["classes"]) == data.classes == registry.tasks["kws"].classes
    json.dumps(data.metadata)


@pytest.mark.usefixtures("keywords")
def test_the_clips_give_nearly_the_official_bits(reference_data: Callable[[str], Path], own_folders: Path) -> None:
    official = registry.tasks["kws"].load()
    (own_folders / kws.FILE).unlink()
    (own_folders / kws.CLIPS).symlink_to(reference_data(kws.CLIPS))
    made = registry.tasks["kws"].load()
    assert np.array_equal(made.y_test, official.y_test)
    steps = np.rint((made.x_test - official.x_test) / kws.INPUT_SCALE)
    assert set(np.unique(steps)) <= {-1, 0, 1}
    assert np.count_nonzero(steps) == 1366
    assert made.metadata["test"] != official.metadata["test"]


@pytest.mark.usefixtures("keywords")
def test_without_speech_commands_there_is_nothing_to_train_on_and_a_line_that_says_so() -> None:
    data = registry.tasks["kws"].load()
    assert (data.x_train.shape, data.y_train.shape) == ((0, 49, 10, 1), (0,))
    for part in ("speech_commands_v0.02.tar.gz", "download()", "EDGEFF_DATA_DIR"):
        assert part in data.metadata["training"]


@pytest.mark.usefixtures("keywords")
def test_training_without_speech_commands_ends_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ended = CommandLine(capsys)("train", "kws", "--network", "ds_cnn", "--rule", "bp", "-o", tmp_path / "m.onnx")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    for part in ("speech_commands_v0.02.tar.gz", "download()", "EDGEFF_DATA_DIR"):
        assert part in ended.err
    assert not (tmp_path / "m.onnx").exists()


def test_a_download_that_fails_names_both_ways() -> None:
    line = refusal(kws.download)
    assert "speech_commands_v0.02.tar.gz" in line
    assert "EDGEFF_DATA_DIR" in line


def spoken(word: str, take: int) -> Array:
    """A made-up recording: its pitch depends on the word, its length on the take."""
    return tone(200 + 37 * len(word) + 11 * take, 16_000 - 1000 * take)


def write_archive(path: Path, drop: tuple[str, ...] = (), extra: dict[str, bytes] | None = None) -> None:
    """An archive in the form of Speech Commands: four words of three takes, two held out, three noises."""
    files: dict[str, bytes] = {}
    for word in ("yes", "stop", "bed", "marvin"):
        for take in range(3):
            files[f"./{word}/{take}_nohash_0.wav"] = wav_bytes(spoken(word, take))
    rng = np.random.default_rng(0)
    for name, seconds in (("pink.wav", 2.0), ("dishes.wav", 1.4), (kws.VALIDATION_NOISE, 3.0)):
        files[f"./{kws.NOISE}/{name}"] = wav_bytes(rng.integers(-3000, 3000, int(16_000 * seconds)))
    files[f"./{kws.NOISE}/README.md"] = b"noise"
    files["./validation_list.txt"] = b"yes/1_nohash_0.wav\n"
    files["./testing_list.txt"] = b"bed/2_nohash_0.wav\nstop/0_nohash_0.wav\n"
    files |= extra or {}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            if name.removeprefix("./") not in drop:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def test_training_leaves_out_what_the_lists_name(own_folders: Path) -> None:
    write_archive(own_folders / kws.ARCHIVE.name)
    x, labels = kws.read_speech_commands(own_folders / kws.ARCHIVE.name, 0)
    names = [kws.CLASSES[label] for label in labels]
    # pink noise gives the seconds that start at 0, 0.5 and 1; dishes that at 0; running_tap is kept for validation
    assert sorted(names) == ["silence"] * 4 + ["stop"] * 2 + ["unknown"] * 5 + ["yes"] * 2
    assert names != sorted(names)
    assert x.shape == (13, 49, 10, 1)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_noise_is_mixed_into_the_audio_by_the_seed(own_folders: Path) -> None:
    path = own_folders / kws.ARCHIVE.name
    write_archive(path)
    first, again, other = (kws.read_speech_commands(path, seed)[0] for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    # The third take of "yes" ends in 0.12 s of zeros, whose last frames are silent unless there is noise; in one of five there is none.
    clip = of_length(spoken("yes", 2), 16_000)[None]
    assert [bool((row[-1, 1:] == 0).all()) for row in coefficients(clip, Mfcc())] == [True]
    yes = kws.CLASSES.index("yes")
    silent = 0
    for seed in range(30):
        x, labels = kws.read_speech_commands(path, seed)
        silent += sum(bool((row[-1, 1:] == 0).all()) for row in x[labels == yes])
    assert 1 <= silent <= 14


@pytest.mark.usefixtures("keywords")
def test_features_are_computed_once_and_kept(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(own_folders / kws.ARCHIVE.name)
    first = registry.tasks["kws"].load(3)
    kept = sorted((own_folders.parent / "cache").glob("kws_*"))
    assert len(kept) == 1
    assert len(first.x_train) == 13
    assert first.metadata["training"].startswith("13 clips")
    with monkeypatch.context() as patch:
        patch.setattr(kws, "read_speech_commands", lambda *_: pytest.fail("the kept features were not used"))
        again = registry.tasks["kws"].load(3)
    assert np.array_equal(again.x_train, first.x_train)
    assert np.array_equal(again.y_train, first.y_train)
    kept[0].write_bytes(kept[0].read_bytes()[:5000])
    assert np.array_equal(registry.tasks["kws"].load(3).x_train, first.x_train)
    assert not np.array_equal(registry.tasks["kws"].load(4).x_train, first.x_train)


@pytest.mark.usefixtures("keywords")
def test_a_download_in_the_cache_is_found(own_folders: Path) -> None:
    (own_folders.parent / "cache").mkdir()
    write_archive(own_folders.parent / "cache" / kws.ARCHIVE.name)
    assert len(registry.tasks["kws"].load().x_train) == 13


BAD_ARCHIVES: dict[str, dict[str, Any]] = {
    "no test list": {"drop": ("testing_list.txt",)},
    "no noise": {"drop": (f"{kws.NOISE}/pink.wav", f"{kws.NOISE}/dishes.wav")},
    "a wav of two channels": {"extra": {"./yes/odd.wav": wav_bytes(np.zeros(10), channels=2)}},
    "a text for a wav": {"extra": {"./yes/odd.wav": b"hello"}},
    "a member of 16 MB": {"extra": {"./yes/odd.wav": bytes(kws.LARGEST_MEMBER_BYTES + 1)}},
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_in_one_line(case: str, own_folders: Path) -> None:
    path = own_folders / kws.ARCHIVE.name
    write_archive(path, **BAD_ARCHIVES[case])
    assert str(path) in refusal(lambda: kws.read_speech_commands(path, 0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_half_an_archive_is_refused_in_one_line(share: float, own_folders: Path) -> None:
    path = own_folders / kws.ARCHIVE.name
    write_archive(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert str(path) in refusal(lambda: kws.read_speech_commands(path, 0))


def test_members_of_other_places_are_not_read(own_folders: Path) -> None:
    path = own_folders / kws.ARCHIVE.name
    write_archive(path, extra={"../../etc/odd.wav": b"hello", "/yes/deep/odd.wav": b"hello", "./LICENSE": b"free"})
    assert len(kws.read_speech_commands(path, 0)[0]) == 13


BAD_KEYWORDS: dict[str, dict[str, Any]] = {
    "uint8 features": {"x": np.zeros((2, 49, 10), np.uint8)},
    "48 frames": {"x": np.zeros((2, 48, 10), np.int8)},
    "label 12": {"y": np.array([0, 12], np.uint8)},
    "one label too few": {"y": np.array([0], np.uint8)},
    "classes in another order": {"classes": np.array(kws.CLASSES[::-1])},
    "no scale": {"in_scale": np.float32(0.0)},
    "a scale that is no number": {"in_scale": np.float32(np.nan)},
    "a zero point beyond int8": {"in_zero_point": np.int32(128)},
}


@pytest.mark.parametrize("case", BAD_KEYWORDS)
def test_a_bad_file_of_keywords_is_refused_by_its_name(case: str, own_folders: Path) -> None:
    good: dict[str, Any] = {
        "x": np.zeros((2, 49, 10), np.int8),
        "y": np.array([0, 11], np.uint8),
        "classes": np.array(kws.CLASSES),
        "in_scale": np.float32(0.5),
        "in_zero_point": np.int32(83),
    }
    path = own_folders / kws.FILE
    np.savez(path, **good)
    assert registry.tasks["kws"].load().y_test.tolist() == [0, 11]
    np.savez(path, **{**good, **BAD_KEYWORDS[case]})
    assert refusal(registry.tasks["kws"].load).startswith(f"data file {path}")
