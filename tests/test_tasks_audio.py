"""The audio tasks: their splits and features, on real data where they are, on made-up wav files, and on hostile ones."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeff import registry
from edgeff.deploy import deploy
from edgeff.errors import BadInput, EdgeffError, MissingTool
from edgeff.ir import Array, Quant
from edgeff.layers.mfcc import Recipe, coefficients, with_features
from edgeff.networks import initialised, structure
from edgeff.quantize import quantise_array
from edgeff.targets.host import HostTarget
from edgeff.tasks import ad, fsdd, kws
from edgeff.tasks._audio import log_mel, normalised, of_length, read_wav, slaney_bands, stacked, with_noise


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache, and no way to the network; returns the data folder."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    return tmp_path / "data"


def wav_bytes(samples: Array, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return buffer.getvalue()


def refusal(action: Callable[[], Any]) -> str:
    """The message of a refusal, which is one line."""
    with pytest.raises(EdgeffError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tone(hz: float, count: int, rate: int = 16_000, height: float = 8000.0) -> Array:
    return (height * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.int16)


# ------------------------------------------------------------------ wav files and clips


def test_a_wav_file_comes_back(tmp_path: Path) -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    (tmp_path / "a.wav").write_bytes(wav_bytes(samples))
    assert read_wav(tmp_path / "a.wav", 16_000).tolist() == samples.tolist()
    assert read_wav(wav_bytes(samples), 16_000).dtype == np.int16


BAD_WAVS = {
    "nothing": b"",
    "text": b"not a wav file",
    "half a header": wav_bytes(np.zeros(9))[:30],
    "no samples": wav_bytes(np.zeros(0)),
    "another rate": wav_bytes(np.zeros(9), rate=8000),
    "two channels": wav_bytes(np.zeros(10), channels=2),
    "8 bits": wav_bytes(np.zeros(10), width=1),
    "two minutes and more": wav_bytes(np.zeros(16_000 * 120 + 1, np.int16)),
    "float samples": wav_bytes(np.zeros(9)).replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 3, 1)),
}


@pytest.mark.parametrize("case", BAD_WAVS)
def test_a_bad_wav_file_is_refused_by_its_name(case: str) -> None:
    assert refusal(lambda: read_wav(BAD_WAVS[case], 16_000, "odd.wav")).startswith("wav file odd.wav: got ")


def test_a_wav_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "wav file" in refusal(lambda: read_wav(tmp_path, 16_000))
    assert "No such file" in refusal(lambda: read_wav(tmp_path / "none.wav", 16_000))


@given(st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_damaged_wav_file_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(wav_bytes(np.arange(50, dtype=np.int16)))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        samples = read_wav(cut, 16_000)
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert samples.dtype == np.int16
        assert 1 <= len(samples) <= 50


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True)
def test_a_clip_has_its_length_and_the_loudest_stretch(count: int, length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)
    clip = of_length(samples, count)
    assert clip.shape == (count,)
    if length <= count:
        assert clip.tolist() == samples.tolist() + [0] * (count - length)
    else:
        energies = [int((samples[i : i + count].astype(np.int64) ** 2).sum()) for i in range(length - count + 1)]
        assert int((clip.astype(np.int64) ** 2).sum()) == max(energies)


def test_noise_comes_as_often_and_as_loud_as_the_recipe_says() -> None:
    clip, noise = tone(440, 800), np.full(2000, 32767, np.int16)
    rng = np.random.default_rng(0)
    clean = np.rint(np.clip(normalised(clip), -1, 1) * 32767).astype(np.int16)
    made = [with_noise(clip, [noise], rng) for _ in range(2000)]
    with_some = [clip for clip in made if not np.array_equal(clip, clean)]
    assert 0.77 < len(with_some) / len(made) < 0.83
    quiet = clean < 20_000
    added = np.array([int((noisy - clean.astype(int))[quiet].max()) for noisy in with_some]) / 32767
    assert 0.099 < added.max() <= 0.1001
    assert 0.045 < added.mean() < 0.055
    assert np.array_equal(with_noise(clip, [noise], rng, share=0.0), clean)
    assert np.array_equal(with_noise(clip, [noise[:799]], rng, share=1.0), clean)
    assert np.array_equal(with_noise(clip, [noise], np.random.default_rng(5)), with_noise(clip, [noise], np.random.default_rng(5)))


# ------------------------------------------------------------------ spoken digits


@pytest.fixture
def digits(reference_data: Callable[[str], Path], own_folders: Path) -> dict[str, Array]:
    """The recordings' file, linked into the data folder, and its arrays."""
    path = reference_data(fsdd.FILE)
    (own_folders / fsdd.FILE).symlink_to(path)
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_takes_0_to_4_are_the_test_part(digits: dict[str, Array]) -> None:
    data = registry.tasks["fsdd"].load()
    assert (data.x_train.shape, data.x_test.shape) == ((2700, 49, 10, 1), (300, 49, 10, 1))
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int64)
    assert np.array_equal(data.y_test, digits["y"][digits["take"] < 5])
    assert np.array_equal(data.y_train, digits["y"][digits["take"] >= 5])
    assert np.bincount(data.y_test).tolist() == [30] * 10
    json.dumps(data.metadata)


def test_a_speaker_left_out_is_only_in_the_test_part(digits: dict[str, Array]) -> None:
    everyone = registry.tasks["fsdd"].load()
    both = np.concatenate([everyone.x_train, everyone.x_test])
    for place, speaker in ((4, "theo"), (0, "george")):
        data = registry.tasks[f"fsdd_{speaker}"].load()
        assert (len(data.x_train), len(data.x_test)) == (2500, 500)
        assert np.array_equal(data.y_test, digits["y"][digits["speaker"] == place])
        rows = {row.tobytes() for row in data.x_test}
        assert not rows & {row.tobytes() for row in data.x_train}
        assert rows <= {row.tobytes() for row in both}


def test_there_is_a_task_for_every_speaker() -> None:
    names = [name for name in registry.tasks if name.startswith("fsdd")]
    assert names == ["fsdd", *(f"fsdd_{speaker}" for speaker in fsdd.SPEAKERS)]
    summaries = {registry.tasks[name].summary for name in names}
    assert len(summaries) == len(names)


def test_a_clone_of_the_repository_gives_the_same_bits(digits: dict[str, Array], own_folders: Path) -> None:
    folder = own_folders / fsdd.FOLDER
    folder.mkdir(parents=True)
    chosen = [i for i in range(3000) if digits["take"][i] in (0, 7) and digits["y"][i] < 3]
    chosen.append(2908)  # the longest, 2.3 s
    for i in chosen:
        name = f"{digits['y'][i]}_{digits['speakers'][digits['speaker'][i]]}_{digits['take'][i]}.wav"
        (folder / name).write_bytes(wav_bytes(digits["audio"][digits["offsets"][i] : digits["offsets"][i + 1]], 8000))
    from_wavs = registry.tasks["fsdd"].load()
    for path in folder.glob("*.wav"):
        path.unlink()
    folder.rmdir()
    from_arrays = registry.tasks["fsdd"].load()
    assert len(from_wavs.x_train) + len(from_wavs.x_test) == len(chosen)
    for part in ("train", "test"):
        x, labels = getattr(from_wavs, f"x_{part}"), getattr(from_wavs, f"y_{part}")
        known = dict(zip((r.tobytes() for r in getattr(from_arrays, f"x_{part}")), getattr(from_arrays, f"y_{part}"), strict=True))
        assert [known[row.tobytes()] for row in x] == labels.tolist()


def test_a_board_computes_the_inputs_of_the_task_from_audio(digits: dict[str, Array]) -> None:
    task = registry.tasks["fsdd"]
    data = task.load()
    test = np.flatnonzero(digits["take"] < 5)[:20]
    clips = np.stack([of_length(digits["audio"][digits["offsets"][i] : digits["offsets"][i + 1]], 8000) for i in test])
    network = initialised(structure("490-10"), 0)
    deployment = deploy(with_features(network, task.features, task.samples))
    behind = deploy(network)
    from_audio = HostTarget(deployment.program).predict_many(deployment.inputs(clips))[1]
    assert np.array_equal(from_audio, HostTarget(behind.program).predict_many(behind.inputs(data.x_test[:20]))[1])


def write_digits(folder: Path, **changes: Array) -> None:
    arrays = {
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


BAD_DIGITS: dict[str, dict[str, Array]] = {
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
    assert refusal(lambda: registry.tasks["fsdd"].load()).startswith(f"data file {own_folders / fsdd.FILE}")


def test_a_recording_of_another_name_is_refused(own_folders: Path) -> None:
    folder = own_folders / fsdd.FOLDER
    folder.mkdir(parents=True)
    assert "no wav files" in refusal(lambda: registry.tasks["fsdd"].load())
    (folder / "3_nobody_0.wav").write_bytes(wav_bytes(np.zeros(9), 8000))
    assert "recording 3_nobody_0.wav" in refusal(lambda: registry.tasks["fsdd"].load())


@pytest.mark.parametrize(("task", "name"), [("fsdd", fsdd.FILE), ("fsdd_theo", fsdd.FILE), ("kws", kws.FILE), ("ad", ad.FOLDER)])
def test_data_that_are_not_there_end_a_command_in_one_line(task: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = CommandLine(capsys)("train", task, "--network", "490-10", "--rule", "bp", "-o", "m.onnx")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert name in ended.err
    assert "EDGEFF_DATA_DIR" in ended.err
    assert not Path("m.onnx").exists()


# ------------------------------------------------------------------ keywords


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
        assert np.array_equal(quantise_array(data.x_test, quant, "int8"), file["x"].reshape(1000, 49, 10, 1))
        assert np.array_equal(data.y_test, file["y"])
        assert tuple(file["classes"]) == data.classes == registry.tasks["kws"].classes
    json.dumps(data.metadata)


def test_the_clips_give_nearly_the_official_bits(keywords: Path, reference_data: Callable[[str], Path], own_folders: Path) -> None:
    official = registry.tasks["kws"].load()
    (own_folders / kws.FILE).unlink()
    (own_folders / kws.CLIPS).symlink_to(reference_data(kws.CLIPS))
    made = registry.tasks["kws"].load()
    assert np.array_equal(made.y_test, official.y_test)
    steps = np.rint((made.x_test - official.x_test) / kws.INPUT_SCALE)
    assert set(np.unique(steps)) <= {-1, 0, 1}
    assert np.count_nonzero(steps) == 1366
    assert made.metadata["test"] != official.metadata["test"]


def test_without_speech_commands_there_is_nothing_to_train_on_and_a_line_that_says_so(keywords: Path) -> None:
    data = registry.tasks["kws"].load()
    assert (data.x_train.shape, data.y_train.shape) == ((0, 49, 10, 1), (0,))
    for part in ("speech_commands_v0.02.tar.gz", "download()", "EDGEFF_DATA_DIR"):
        assert part in data.metadata["training"]


def test_training_without_speech_commands_ends_in_one_line(keywords: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
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
    assert names == ["yes"] * 2 + ["stop"] * 2 + ["unknown"] * 5 + ["silence"] * 4
    assert x.shape == (13, 49, 10, 1)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_noise_is_mixed_into_the_audio_by_the_seed(own_folders: Path) -> None:
    path = own_folders / kws.ARCHIVE.name
    write_archive(path)
    first, again, other = (kws.read_speech_commands(path, seed)[0] for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    clips = np.stack([of_length(spoken("yes", take), 16_000) for take in (0, 2)])
    clean = coefficients(clips, Recipe())
    silent = clips[1, -640:].any(axis=-1)
    assert not silent
    assert [bool((row[-1, 1:] == 0).all()) for row in clean] == [False, True]
    noisy = [kws.read_speech_commands(path, seed)[0][1] for seed in range(12)]
    assert 1 <= sum(bool((row[-1, 1:] == 0).all()) for row in noisy) <= 6  # one in five has no noise


def test_features_are_computed_once_and_kept(keywords: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_download_in_the_cache_is_found(keywords: Path, own_folders: Path) -> None:
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


BAD_KEYWORDS: dict[str, dict[str, Array]] = {
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
    good = {
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
    assert refusal(lambda: registry.tasks["kws"].load()).startswith(f"data file {path}")


# ------------------------------------------------------------------ machine sounds


def test_the_spectrogram_is_that_of_librosa() -> None:
    """librosa 0.11.0: melspectrogram(y=x / 32768, sr=16000, n_fft=1024, hop_length=512, n_mels=128, power=2), 10 log10 of it + eps."""
    k = np.arange(32_000, dtype=np.int64)
    x = ((k * k * 7919 + k * 104729) % 4001 - 2000 + (k % 97) * 100 - 4800).astype(np.int16)
    expected = [
        [-4.3438, -22.8389, -16.7348, -8.2566, -18.9407, -17.6201, -18.0238, -19.7889],
        [-15.875, -15.9042, -11.8757, -2.6081, -17.8978, -16.7851, -14.6746, -14.2601],
        [-15.9501, -13.4746, -15.9311, -3.6104, -13.6617, -10.3038, -16.3037, -17.2489],
        [-24.9438, -18.4429, -14.855, -6.7598, -15.4372, -15.7902, -17.0529, -10.0393],
    ]
    made = log_mel(x, 16_000)
    assert made.shape == (63, 128)
    assert np.abs(made[::20, ::16] - np.array(expected)).max() < 1e-3  # float32 spectra, four digits printed


def test_the_bands_are_those_of_librosa() -> None:
    bands = slaney_bands(16_000, 1024, 128)
    assert bands.shape == (128, 513)
    sums, peaks = bands[[0, 40, 127]].sum(axis=1), bands[[0, 40, 127]].max(axis=1)
    assert np.allclose(sums, [0.05695532262325287, 0.06096005439758301, 0.06395111978054047], rtol=1e-6)
    assert np.allclose(peaks, [0.028577780351042747, 0.032582513988018036, 0.005223188549280167], rtol=1e-6)


def test_windows_hold_frame_after_frame() -> None:
    spectrogram = np.arange(7 * 3, dtype=np.float32).reshape(7, 3)
    windows = stacked(spectrogram, 5)
    assert windows.shape == (3, 15)
    assert windows[1].tolist() == list(range(3, 18))


def write_machines(folder: Path, seconds: float = 4.0) -> None:
    """Toy cars: a hum of changing pitch; the broken ones also whistle."""
    rng = np.random.default_rng(0)
    count = int(16_000 * seconds)
    for part, kinds in (("train", ["normal"] * 6), ("test", ["normal"] * 4 + ["anomaly"] * 4)):
        (folder / part).mkdir(parents=True)
        for number, kind in enumerate(kinds):
            sound = tone(rng.uniform(100, 140), count, height=6000) + rng.normal(0, 300, count)
            if kind == "anomaly":
                sound = sound + tone(rng.uniform(2500, 3500), count, height=900)
            (folder / part / f"{kind}_id_01_{number:08d}.wav").write_bytes(wav_bytes(sound.astype(np.int16)))


def test_machine_sounds_become_windows_of_their_files(own_folders: Path) -> None:
    write_machines(own_folders / "ToyCar")
    task = registry.tasks["ad"]
    data = task.load()
    windows = 126 - 50 - 4  # of 4 s: 126 frames, the first 50 dropped
    assert (data.x_train.shape, data.x_test.shape) == ((6 * windows, 640), (8 * windows, 640))
    assert data.x_train.dtype == np.float32
    assert not data.y_train.any()
    assert data.files_test is not None
    assert np.bincount(data.files_test).tolist() == [windows] * 8
    names = sorted(path.name for path in (own_folders / "ToyCar" / "test").glob("*.wav"))
    for number, name in enumerate(names):
        assert set(data.y_test[data.files_test == number]) == {int(name.startswith("anomaly"))}
    spectrogram = log_mel(read_wav(own_folders / "ToyCar" / "test" / names[2], 16_000), 16_000)
    assert data.x_test[2 * windows + 7].tolist() == spectrogram[57:62].reshape(-1).tolist()
    assert (task.metric, task.target, task.input_shape) == ("auc", "input", (640,))
    json.dumps(data.metadata)


def test_at_most_200_frames_of_a_long_file_count(own_folders: Path) -> None:
    write_machines(own_folders / "ToyCar", seconds=11.0)
    assert len(registry.tasks["ad"].load().x_train) == 6 * 196


def test_reconstruction_tells_broken_machines_from_whole_ones(own_folders: Path) -> None:
    """A linear autoencoder's error by file; one with random directions, the control, does not tell them apart as well."""
    from sklearn.metrics import roc_auc_score

    write_machines(own_folders / "ToyCar")
    data = registry.tasks["ad"].load()
    assert data.files_test is not None
    mean = data.x_train.mean(axis=0)
    learned = np.linalg.svd(data.x_train - mean, full_matrices=False)[2][:8]
    labels = np.array([data.y_test[data.files_test == file][0] for file in range(8)])
    error = ((data.x_test - mean) - (data.x_test - mean) @ learned.T @ learned) ** 2
    by_file = np.bincount(data.files_test, error.mean(axis=1)) / np.bincount(data.files_test)
    assert roc_auc_score(labels, by_file) == 1.0
    shuffled = np.random.default_rng(0).permutation(8)
    assert roc_auc_score(labels[shuffled], by_file) < 1.0


BAD_MACHINES: dict[str, tuple[str, bytes | None, str]] = {
    "an anomaly to train on": ("train/anomaly_id_01_9.wav", wav_bytes(np.zeros(64_000, np.int16)), "got anomalies"),
    "a name that says nothing": ("test/sound_9.wav", wav_bytes(np.zeros(64_000, np.int16)), "'sound_9.wav'"),
    "a short file": ("test/normal_9.wav", wav_bytes(np.zeros(1000, np.int16)), "too short for a window"),
    "a damaged file": ("test/normal_9.wav", b"RIFF", "wav file"),
    "another rate": ("test/normal_9.wav", wav_bytes(np.zeros(64_000, np.int16), rate=44_100), "at 44100 Hz"),
}


@pytest.mark.parametrize("case", BAD_MACHINES)
def test_bad_machine_sounds_are_refused_in_one_line(case: str, own_folders: Path) -> None:
    name, content, said = BAD_MACHINES[case]
    write_machines(own_folders / "ToyCar", seconds=2.0)
    (own_folders / "ToyCar" / name).write_bytes(content or b"")
    assert said in refusal(lambda: registry.tasks["ad"].load())


def test_a_folder_without_sounds_is_refused(own_folders: Path) -> None:
    (own_folders / "ToyCar").mkdir()
    assert "no wav files" in refusal(lambda: registry.tasks["ad"].load())
    with pytest.raises(MissingTool, match="ToyCar"):
        (own_folders / "ToyCar").rmdir()
        registry.tasks["ad"].load()
