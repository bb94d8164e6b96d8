"""Spoken digits: their splits and features on the real recordings, and files that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import empty_folders, refusal, wav_bytes

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.ops.mfcc import with_features
from edgeff.program.deploy import deploy
from edgeff.tasks import Data, fsdd
from edgeff.tasks._audio import of_length


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache; returns the data folder."""
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def digits(reference_data: Callable[[str], Path]) -> dict[str, Array]:
    """The arrays of the recordings' file."""
    with np.load(reference_data(fsdd.FILE)) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def everyone(reference_data: Callable[[str], Path]) -> Data:
    """The task ``fsdd`` of that file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFF_DATA_DIR", str(reference_data(fsdd.FILE).parent))
        data: Data = registry.tasks["fsdd"].load()
    return data


def test_takes_0_to_4_are_the_test_part(digits: dict[str, Array], everyone: Data) -> None:
    data = everyone
    assert (data.x_train.shape, data.x_test.shape) == ((2700, 49, 10, 1), (300, 49, 10, 1))
    assert (data.x_train.dtype.name, data.y_train.dtype.name) == ("float32", "int64")
    assert np.array_equal(data.y_test, digits["y"][digits["take"] < 5])
    assert np.bincount(data.y_train).tolist() == [270] * 10
    assert len(set(data.y_train[:100].tolist())) == 10  # the first samples calibrate: they stand for all
    assert np.bincount(data.y_test).tolist() == [30] * 10
    json.dumps(data.metadata)


def test_a_speaker_left_out_is_only_in_the_test_part(
    digits: dict[str, Array], everyone: Data, reference_data: Callable[[str], Path], own_folders: Path
) -> None:
    (own_folders / fsdd.FILE).symlink_to(reference_data(fsdd.FILE))
    both = np.concatenate([everyone.x_train, everyone.x_test])
    data = registry.tasks["fsdd_theo"].load()
    assert (len(data.x_train), len(data.x_test)) == (2500, 500)
    assert np.array_equal(data.y_test, digits["y"][digits["speaker"] == 4])
    rows = {row.tobytes() for row in data.x_test}
    assert not rows & {row.tobytes() for row in data.x_train}
    assert rows <= {row.tobytes() for row in both}


def test_there_is_a_task_for_every_speaker() -> None:
    names = [name for name in registry.tasks if name.startswith("fsdd")]
    assert names == ["fsdd", *(f"fsdd_{speaker}" for speaker in fsdd.SPEAKERS)]
    summaries = {registry.tasks[name].summary for name in names}
    assert len(summaries) == len(names)


def test_a_clone_of_the_repository_gives_the_same_bits(digits: dict[str, Array], everyone: Data, own_folders: Path) -> None:
    folder = own_folders / fsdd.FOLDER
    folder.mkdir(parents=True)
    chosen = [i for i in range(3000) if digits["take"][i] in (0, 7) and digits["y"][i] < 3]
    chosen.append(2908)  # the longest, 2.3 s
    for i in chosen:
        name = f"{digits['y'][i]}_{digits['speakers'][digits['speaker'][i]]}_{digits['take'][i]}.wav"
        (folder / name).write_bytes(wav_bytes(digits["audio"][digits["offsets"][i] : digits["offsets"][i + 1]], 8000))
    from_wavs = registry.tasks["fsdd"].load()
    assert len(from_wavs.x_train) + len(from_wavs.x_test) == len(chosen)
    for part in ("train", "test"):
        x, labels = getattr(from_wavs, f"x_{part}"), getattr(from_wavs, f"y_{part}")
        known = dict(zip((r.tobytes() for r in getattr(everyone, f"x_{part}")), getattr(everyone, f"y_{part}"), strict=True))
        assert [known[row.tobytes()] for row in x] == labels.tolist()


def test_a_board_computes_the_inputs_of_the_task_from_audio(digits: dict[str, Array], everyone: Data) -> None:
    task = registry.tasks["fsdd"]
    test = np.flatnonzero(digits["take"] < 5)[:20]
    clips = np.stack([of_length(digits["audio"][digits["offsets"][i] : digits["offsets"][i + 1]], 8000) for i in test])
    network = initialised(structure("490-10"), 0)
    deployment = deploy(with_features(network, task.features, task.samples))
    behind = deploy(network)
    from_audio = HostTarget(deployment.program).predict_many(deployment.inputs(clips))[1]
    assert np.array_equal(from_audio, HostTarget(behind.program).predict_many(behind.inputs(everyone.x_test[:20]))[1])


def write_digits(folder: Path, **changes: Any) -> None:
    arrays: dict[str, Any] = {
        "audio": np.arange(40, dtype=np.int16),
        "offsets": np.array([0, 10, 40]),
        "rate": np.int32(8000),
        "y": np.array([3, 9], np.uint8),
        "speaker": np.array([0, 1], np.uint8),
        "take": np.array([0, 5], np.uint8),
        "speakers": np.array(["theo", "lucas"]),
    }
    np.savez(folder / fsdd.FILE, **{**arrays, **changes})


def test_a_small_file_of_digits_is_read(own_folders: Path) -> None:
    write_digits(own_folders)
    data = registry.tasks["fsdd"].load()
    assert (data.y_train.tolist(), data.y_test.tolist()) == ([9], [3])
    assert registry.tasks["fsdd_theo"].load().y_test.tolist() == [3]
    write_digits(
        own_folders,
        offsets=np.arange(41),
        y=np.arange(40, dtype=np.uint8) % 10,
        speaker=np.zeros(40, np.uint8),
        take=np.full(40, 9, np.uint8),
    )
    orders = [registry.tasks["fsdd"].load(seed).y_train.tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


BAD_DIGITS: dict[str, dict[str, Any]] = {
    "float audio": {"audio": np.zeros(40)},
    "offsets beyond the audio": {"offsets": np.array([0, 10, 41])},
    "offsets that fall": {"offsets": np.array([0, 50, 40])},
    "an empty recording": {"offsets": np.array([0, 40, 40])},
    "too few offsets": {"offsets": np.array([0, 40])},
    "no recordings": {"offsets": np.array([0]), "y": np.zeros(0, np.uint8), "audio": np.zeros(0, np.int16)},
    "another rate": {"rate": np.array(16_000, np.int32)},
    "digit 10": {"y": np.array([3, 10], np.uint8)},
    "labels missing": {"y": np.array([3], np.uint8)},
    "speaker 2": {"speaker": np.array([0, 2], np.uint8)},
    "an unknown speaker": {"speakers": np.array(["theo", "nobody"])},
    "one speaker twice": {"speakers": np.array(["theo", "theo"])},
    "takes in two axes": {"take": np.zeros((2, 1), np.uint8)},
    "pickled objects": {"speakers": np.array(["theo", None], object)},
}


@pytest.mark.parametrize("case", BAD_DIGITS)
def test_a_bad_file_of_digits_is_refused_by_its_name(case: str, own_folders: Path) -> None:
    write_digits(own_folders, **BAD_DIGITS[case])
    assert refusal(registry.tasks["fsdd"].load).startswith(f"data file {own_folders / fsdd.FILE}")


def test_a_recording_of_another_name_is_refused(own_folders: Path) -> None:
    folder = own_folders / fsdd.FOLDER
    folder.mkdir(parents=True)
    assert "no wav files" in refusal(registry.tasks["fsdd"].load)
    (folder / "3_nobody_0.wav").write_bytes(wav_bytes(np.zeros(9), 8000))
    assert "recording 3_nobody_0.wav" in refusal(registry.tasks["fsdd"].load)
