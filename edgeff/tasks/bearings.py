"""Bearing faults from vibration: the drive-end recordings of Case Western Reserve University at 12 kHz, one normal and nine faults.

Inputs are 20 mel-frequency cepstral coefficients of a window of 1,024 samples (85 ms, 2.5 turns of the shaft): the layer of
``edgeff.ops.mfcc`` with ``FEATURES``, so a board computes the same bits from its sensor's int16 samples. ``bearings_raw`` gives the
window itself, for networks of 1-D convolutions. Neither changes with the sensor's gain: a window is divided by its largest sample before
its coefficients are computed, and a raw one by its standard deviation. Read from ``cwru_de12k_int16.npz``; refused: a file without a normal
recording, with recordings too short to be cut, or without all nine faults at loads of 0 hp and above.

The file's normal recording was made at 48 kHz, whatever the file says: only then does it have the spectral lines of all its faults (161.7
Hz, the passing of balls over the inner race at 1,797 turns per minute). It is resampled to 12 kHz here. Otherwise the sampling rate would
give the class away, and a network that distinguishes rates would appear to detect faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Attr
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.registry import tasks as registry
from edgeff.tasks import Data, Task
from edgeff.tasks._files import check_labels, need_local, read_arrays

FILE = "cwru_de12k_int16.npz"
SOURCE = (
    "engineering.case.edu/bearingdatacenter: the .mat files as arrays signal (n,) int16, one recording after the other, offsets int64, "
    "y and load_hp uint8, and classes"
)
RATE, NORMAL_RATE = 12_000, 48_000
WINDOW = 1024
FEATURES: Mapping[str, Attr] = Mfcc(
    rate=RATE, frame=WINDOW, hop=WINDOW, fft=WINDOW, bands=40, coefficients=20, low_hz=20.0, high_hz=6000.0, gain=0.125
).attributes
TRAIN_HOP, NORMAL_TRAIN_HOP = 512, 64
"""The distance between the starts of training windows; the normal class has little data, so its windows overlap more."""
NORMAL_TRAIN_SHARE = 0.6
TEST_LOAD_HP = 0
SIZES = ("007", "014", "021")
FAULTS = tuple(f"{part}{size}" for part in ("B", "IR", "OR") for size in SIZES)
"""Ball, inner race and outer race, each with a pit of 0.007, 0.014 or 0.021 inch."""


class Bearings(Task):
    """One classification of the recordings: normal or faulty, or which of nine faults.

    Normal windows: the first 60 % of the one recording, at 0 hp, are for training and the rest, from one window later on, for the test.
    Faults at 0 hp are for the test and those at 1, 2 and 3 hp for training, so a network that uses the load as a cue fails the test.
    ``bearings`` leaves out the three bearings of one size of pit, ``SIZES[seed % 3]``, from training and tests on them alone: neither
    bearing nor load of a faulty test window occurs in training. Windows overlap in training, but not in the test.
    """

    samples = WINDOW

    def __init__(self, name: str, summary: str, classes: tuple[str, ...], features: Mapping[str, Attr]) -> None:
        self.name, self.summary, self.classes, self.features = name, summary, classes, features
        self.input_shape = (20,) if features else (WINDOW, 1)
        self.tells_faults = len(classes) > 2
        self.metric = "accuracy" if self.tells_faults else "auc"

    def load(self, seed: int = 0) -> Data:
        path = need_local(FILE, "the bearing recordings", SOURCE)
        held_out = "" if self.tells_faults else SIZES[seed % len(SIZES)]
        sides: dict[str, list[tuple[Array, int]]] = {"train": [], "test": []}
        for signal, fault, load_hp in read_recordings(path):
            if not fault:
                border = round(NORMAL_TRAIN_SHARE * len(signal))
                sides["train"].append((windows(signal[:border], NORMAL_TRAIN_HOP), 0))
                sides["test"].append((windows(signal[border + WINDOW :], WINDOW), 0))
                continue
            label = self.classes.index(fault) if self.tells_faults else 1
            apart = bool(held_out) and fault.endswith(held_out)
            if load_hp != TEST_LOAD_HP and not apart:
                sides["train"].append((windows(signal, TRAIN_HOP), label))
            elif load_hp == TEST_LOAD_HP and (apart or not held_out):
                sides["test"].append((windows(signal, WINDOW), label))
        x, y = {}, {}
        for side, cut in sides.items():
            x[side] = self.inputs(np.concatenate([cuts for cuts, _ in cut]))
            y[side] = np.concatenate([np.full(len(cuts), label, np.int64) for cuts, label in cut])
        order = np.random.default_rng([seed, 4]).permutation(len(x["train"]))
        metadata = {
            "inputs": f"{'mel-frequency cepstral coefficients of ' if self.features else ''}1,024 samples at 12 kHz",
            "features": dict(self.features),
            "samples": WINDOW,
            "range": [float(x["train"].min()), float(x["train"].max())],
            "split": f"faults at {TEST_LOAD_HP} hp{f' of 0.{held_out} inch' if held_out else ''} and the end of the normal recording test",
        }
        return Data(x["train"][order], y["train"][order], x["test"], y["test"], self.classes, metadata)

    def inputs(self, cut: Array) -> Array:
        """The network's inputs for windows (n, 1024) int16."""
        if self.features:
            made = coefficients(cut, make(Mfcc, self.features))
            return np.ascontiguousarray(made.reshape(-1, *self.input_shape))
        centred = cut - cut.mean(axis=1, keepdims=True)
        deviation = np.maximum(centred.std(axis=1, keepdims=True), 1.0)
        return (centred / deviation).astype(np.float32).reshape(-1, *self.input_shape)


def windows(signal: Array, hop: int) -> Array:
    """The windows of a recording (n,) that begin every ``hop`` samples: (count, 1024)."""
    return np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::hop]


def read_recordings(path: Path) -> list[tuple[Array, str, int]]:
    """For each recording its samples (n,) int16 at 12 kHz, the name of its fault ("" for none) and the motor's load in hp."""
    one: tuple[int | None, ...] = (None,)
    wanted = {"signal": ("int16", one), "offsets": ("int64", one), "y": ("uint8", one), "load_hp": ("uint8", one), "classes": ("U", one)}
    arrays = read_arrays(path, wanted)
    offsets, y, loads, names = arrays["offsets"], arrays["y"], arrays["load_hp"], arrays["classes"].tolist()
    shortest = 6 * WINDOW * NORMAL_RATE // RATE  # for the normal one, so that a window after the gap is left for the test
    bounds = (int(offsets[0]), int(offsets[-1])) if len(offsets) > 1 else (-1, -1)
    if bounds != (0, len(arrays["signal"])) or not len(offsets) - 1 == len(y) == len(loads) or int(np.diff(offsets).min()) < shortest:
        got, allowed = f"{len(y)} recordings that do not fit their offsets", f"one after the other, each of {shortest:,} samples or more"
        raise BadInput(f"data file {path}", got=got, allowed=allowed)
    check_labels(path, y, len(names))
    if not set(names) <= {"normal", *FAULTS}:
        raise BadInput(f"data file {path}, classes", got=", ".join(names), allowed=f"normal, {', '.join(FAULTS)}")
    recordings = []
    for first, last, label, load in zip(offsets[:-1], offsets[1:], y, loads, strict=True):
        fault = "" if names[label] == "normal" else names[label]
        signal = arrays["signal"][first:last]
        recordings.append((signal if fault else at_12_khz(signal), fault, int(load)))
    needed = {""} | set(FAULTS)
    for there in ({fault for _, fault, load in recordings if not fault or (load == TEST_LOAD_HP) is tested} for tested in (True, False)):
        if missing := sorted(needed - there):
            got = f"no recording of {missing[0] or 'normal'} for one of the two parts"
            raise BadInput(f"data file {path}", got=got, allowed=f"normal, and every fault at {TEST_LOAD_HP} hp and above")
    return recordings


def at_12_khz(signal: Array) -> Array:
    """A recording of 48 kHz at a quarter of that rate, low-pass filtered; int16 (n,) to (ceil(n / 4),)."""
    from scipy.signal import resample_poly

    slower = resample_poly(signal.astype(np.float64), 1, NORMAL_RATE // RATE)
    return np.rint(slower).clip(-32768, 32767).astype(np.int16)


for _task in (
    Bearings("bearings", "vibration of ball bearings (CWRU), normal against faulty in unseen bearings", ("normal", "faulty"), FEATURES),
    Bearings("bearings_10", "vibration of ball bearings (CWRU), normal or which of nine faults", ("normal", *FAULTS), FEATURES),
    Bearings("bearings_raw", "the raw windows of bearings, for 1-D convolutions", ("normal", "faulty"), {}),
):
    registry.add(_task.name, _task)
