"""Wav files, clips, and the task of anomalous machine sounds, on made-up files and on hostile ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from audio_files import empty_folders, refusal, tone, wav_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.tasks._audio import log_mel, normalised, of_length, read_wav, slaney_bands, stacked, with_noise


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache; returns the data folder."""
    return empty_folders(tmp_path, monkeypatch)


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
    except BadInput:
        assert refusal(lambda: read_wav(cut, 16_000))
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
    assert len({row.tobytes() for row in data.x_train}) == 6 * windows
    first_file = stacked(log_mel(read_wav(own_folders / "ToyCar/train/normal_id_01_00000000.wav", 16_000), 16_000)[50:250], 5)
    shares = [row.tobytes() in {window.tobytes() for window in first_file} for row in data.x_train[:60]]
    assert 0 < sum(shares) < 30  # the first windows come from several files: they calibrate
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
    assert said in refusal(registry.tasks["ad"].load)


def test_a_folder_without_sounds_is_refused(own_folders: Path) -> None:
    (own_folders / "ToyCar").mkdir()
    assert "no wav files" in refusal(registry.tasks["ad"].load)
    (own_folders / "ToyCar").rmdir()
    assert "ToyCar" in refusal(registry.tasks["ad"].load)
