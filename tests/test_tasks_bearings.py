"""The bearings: a recording at another rate, splits without leaks, what is learned from them, and files that cannot be cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from task_data import checked, digests, empty_folders, refusal, task

from edgeff import registry
from edgeff.bench.metrics import auc
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.ops.mfcc import with_features
from edgeff.program.deploy import deploy
from edgeff.tasks import Task, bearings
from edgeff.train.loop import accuracy, train

Find = Callable[[str], Path]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture
def recordings(reference_data: Find, data_folder: Path) -> dict[str, Array]:
    path = reference_data(bearings.FILE)
    (data_folder / bearings.FILE).symlink_to(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


RAMP = 4 * 10 * bearings.WINDOW


def made_up(**changed: Array) -> dict[str, Array]:
    """A file of 37 recordings: the normal one rises by 1 every 4 samples, each of the others is its own number throughout."""
    names = ["normal", *bearings.FAULTS]
    y, loads = [0], [0]
    for label in range(1, 10):
        y, loads = [*y, *[label] * 4], [*loads, 0, 1, 2, 3]
    signals = [np.arange(RAMP, dtype=np.int64) // 4] + [np.full(RAMP, number) for number in range(1, 37)]
    arrays: dict[str, Array] = {
        "signal": np.concatenate(signals).astype(np.int16),
        "offsets": np.arange(38, dtype=np.int64) * RAMP,
        "y": np.array(y, np.uint8),
        "load_hp": np.array(loads, np.uint8),
        "classes": np.array(names),
    }
    return arrays | changed


def write(folder: Path, arrays: dict[str, Array]) -> Path:
    np.savez_compressed(folder / bearings.FILE, **arrays)  # type: ignore[arg-type]
    return folder / bearings.FILE


def lines(signal: Array, rate: int) -> Array:
    """How far each half hertz from 20 to 400 Hz stands out of its neighbourhood, in a recording's first five seconds."""
    part = signal[: 5 * rate].astype(np.float64)
    power = np.abs(np.fft.rfft((part - part.mean()) * np.hanning(len(part)))) ** 2
    place = np.searchsorted(np.fft.rfftfreq(len(part), 1 / rate), np.arange(20, 400, 0.5))
    level = np.log([power[first : first + 3].max() for first in place])
    return np.asarray(level - np.convolve(level, np.ones(41) / 41, "same"))


def test_the_normal_recording_has_the_machines_lines_at_48_khz_and_keeps_them_at_12_khz(
    recordings: dict[str, Array], data_folder: Path
) -> None:
    offsets, names = recordings["offsets"], recordings["classes"][recordings["y"]]
    parts = [recordings["signal"][first:last] for first, last in pairwise(offsets)]
    (normal,) = [part for part, name in zip(parts, names, strict=True) if name == "normal"]
    faults = [part for part, name, load in zip(parts, names, recordings["load_hp"], strict=True) if name != "normal" and load == 0]
    (made,) = [signal for signal, fault, _ in bearings.read_recordings(data_folder / bearings.FILE) if not fault]
    for fault in faults:
        reference = lines(fault, 12_000)
        at_12, at_48, slowed = (
            np.corrcoef(lines(signal, rate), reference)[0, 1] for signal, rate in ((normal, 12_000), (normal, 48_000), (made, 12_000))
        )
        assert at_12 < 0.55
        assert at_48 > 0.7
        assert abs(slowed - at_48) < 0.02


@pytest.mark.parametrize(("name", "seed"), [("bearings", 0), ("bearings", 1), ("bearings", 2), ("bearings_raw", 1), ("bearings_10", 0)])
def test_no_test_window_shares_a_sample_a_load_or_where_sizes_are_held_out_a_bearing_with_training(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, seed: int
) -> None:
    arrays = made_up()
    write(data_folder, arrays)
    cut: list[Array] = []
    shape = task(name).input_shape

    def inputs(_: Task, windows: Array) -> Array:
        cut.append(windows)
        return np.zeros((len(windows), *shape), np.float32)

    monkeypatch.setattr(bearings.Bearings, "inputs", inputs)
    checked(task(name).load(seed), name)
    train_side, test_side = cut
    normal = [side[np.ptp(side, axis=1) > 0].astype(np.int64) for side in cut]
    assert normal[0].max() + bearings.WINDOW // 2 < normal[1][:-1].min()
    faults = [{int(number) for number in side[np.ptp(side, axis=1) == 0][:, 0]} for side in (train_side, test_side)]
    held_out = bearings.SIZES[seed % 3]
    numbers = range(1, 37)
    names, loads = arrays["classes"][arrays["y"]], arrays["load_hp"]
    apart = {number for number in numbers if str(names[number]).endswith(held_out)}
    unloaded = {number for number in numbers if loads[number] == 0}
    if name == "bearings_10":
        assert faults == [set(numbers) - unloaded, unloaded]
    else:
        assert faults == [set(numbers) - unloaded - apart, unloaded & apart]
        assert (len(faults[0]), len(faults[1])) == (18, 3)


def test_test_windows_do_not_overlap_and_cover_what_is_left_of_the_normal_recording(recordings: dict[str, Array]) -> None:
    data = checked(task("bearings").load(0), "bearings")
    normal, fault = (int((data.y_test == label).sum()) for label in range(2))
    length = -(-int(recordings["offsets"][1]) // 4)
    assert normal == (length - round(0.6 * length) - bearings.WINDOW) // bearings.WINDOW
    assert fault == 3 * (120_000 // bearings.WINDOW)
    assert not digests(data.x_train) & digests(data.x_test)


@pytest.mark.parametrize("name", ["bearings", "bearings_10", "bearings_raw"])
def test_bearings_depend_on_the_seed_alone_and_are_mixed_for_calibration(recordings: dict[str, Array], name: str) -> None:
    data, again = (checked(task(name).load(4), name) for _ in range(2))
    assert np.array_equal(data.x_train, again.x_train)
    assert np.array_equal(data.y_train, again.y_train)
    assert np.array_equal(data.x_test, again.x_test)
    assert set(data.y_train[:200].tolist()) == set(range(len(data.classes)))
    assert len(recordings["y"]) == 37


def test_inputs_do_not_change_with_the_gain_of_the_sensor() -> None:
    windows = np.random.default_rng(0).integers(-3000, 3000, (5, bearings.WINDOW)).astype(np.int16)
    for name in ("bearings", "bearings_raw"):
        item = task(name)
        assert isinstance(item, bearings.Bearings)
        plain, loud = item.inputs(windows), item.inputs((windows * 8).astype(np.int16))
        # exact but for the coefficients' float32 division by the largest sample, and a deviation's last bit
        assert np.abs(plain - loud).max() < 1e-5
        assert np.isfinite(item.inputs(np.zeros((2, bearings.WINDOW), np.int16))).all()


def test_a_board_computes_the_inputs_of_bearings_from_samples(recordings: dict[str, Array]) -> None:
    item = task("bearings")
    assert isinstance(item, bearings.Bearings)
    signal = recordings["signal"][int(recordings["offsets"][5]) :][: 40 * bearings.WINDOW]
    windows = bearings.windows(signal, bearings.WINDOW)
    network = initialised(structure("20-8-2"), 0)
    plain, behind = deploy(network), deploy(with_features(network, item.features, item.samples))
    from_inputs = HostTarget(plain.program).predict_many(plain.inputs(item.inputs(windows)))[1]
    from_samples = HostTarget(behind.program).predict_many(behind.inputs(windows))[1]
    assert np.array_equal(from_samples, from_inputs)
    assert len({row.tobytes() for row in from_samples}) == 40


@pytest.mark.slow
def test_what_is_trained_on_bearings_hears_faults_of_bearings_that_it_never_saw(recordings: dict[str, Array]) -> None:
    for seed in range(3):
        data = task("bearings").load(seed)
        for rule in ("bp", "pepita"):
            settings = registry.rules[rule].settings.changed({"epochs": "5"})
            outputs = train(data, structure("20-16-2"), rule, settings, seed).scores(data.x_test)
            assert auc(outputs[:, 1] - outputs[:, 0], data.y_test == 1) >= 0.95
    assert len(recordings["y"]) == 37


@pytest.mark.slow
def test_nine_faults_are_told_apart_at_a_load_never_seen_and_not_from_shuffled_labels(recordings: dict[str, Array]) -> None:
    data = task("bearings_10").load(0)
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    shares = []
    for known in (data, shuffled):
        settings = registry.rules["bp"].settings.changed({"epochs": "10"})
        scores = train(known, structure("20-64-10"), "bp", settings, 0).scores(data.x_test)
        shares.append(accuracy(scores, data.y_test))
    assert shares[0] > 0.95
    assert shares[1] < 0.3
    assert len(recordings["y"]) == 37


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"offsets": np.arange(37, dtype=np.int64) * RAMP}, "got 37 recordings that do not fit their offsets"),
        ({"offsets": np.arange(38, dtype=np.int64)[::-1] * RAMP}, "got 37 recordings that do not fit their offsets"),
        ({"offsets": np.zeros(0, np.int64)}, "got 37 recordings that do not fit their offsets"),
        (
            {
                "offsets": np.zeros(1, np.int64),
                "signal": np.zeros(0, np.int16),
                "y": np.zeros(0, np.uint8),
                "load_hp": np.zeros(0, np.uint8),
            },
            "got 0",
        ),
        ({"load_hp": np.zeros(36, np.uint8)}, "got 37 recordings that do not fit their offsets"),
        ({"load_hp": np.zeros(37, np.uint8)}, "got no recording of B007 for one of the two parts"),
        ({"y": np.full(37, 10, np.uint8)}, "labels: got 10 to 10; allowed: 0 to 9"),
        ({"y": np.full(37, 1, np.uint8)}, "got no recording of normal for one of the two parts"),
        ({"classes": np.array(["a\nb", *bearings.FAULTS])}, "classes: got a\\nb, B007"),
        ({"classes": np.array([*bearings.FAULTS, *bearings.FAULTS])}, "got no recording of normal"),
        ({"signal": np.zeros(RAMP * 37, np.float32)}, "array 'signal': got float32"),
    ],
)
def test_recordings_that_cannot_be_cut_are_one_line(data_folder: Path, changed: dict[str, Array], said: str) -> None:
    path = write(data_folder, made_up(**changed))
    assert said in refusal(lambda: bearings.read_recordings(path))
