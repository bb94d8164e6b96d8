"""Bearing faults from vibration: the drive-end recordings of Case Western Reserve University at 12 kHz, normal against faulty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._files import check_labels, need_local, read_arrays

FILE = "cwru_de12k_int16.npz"
WINDOW, TRAIN_HOP = 1024, 512
TEST_LOAD_HP = 0
NORMAL_TRAIN_SHARE = 0.6
SOURCE = (
    "engineering.case.edu/bearingdatacenter, its .mat files as arrays signal (int16, one recording after the other), offsets, scale, y, "
    "load_hp and classes"
)


@register
class Bearings(Task):
    """Windows of 1,024 samples (85 ms), (1024, 1), label 1 for any of nine faults (ball, inner and outer race, three sizes each).

    Faults are trained at motor loads of 1, 2 and 3 hp and tested at 0 hp, in recordings never seen. The file has one normal recording, at 0
    hp: its first 60 % train, the rest tests, with no window on both sides. So the load is no cue: who takes 0 hp for normal fails the test.
    Windows overlap by half in training and not at all in the test. All are divided by the deviation of the normal training part, one number:
    how loud a fault is stays in the data.
    """

    name = "bearings"
    summary = "vibration of ball bearings, normal against faulty, 1,024 samples"
    input_shape = (WINDOW, 1)
    classes = ("normal", "faulty")
    metric = "auc"

    def load(self, seed: int = 0) -> Data:
        path = need_local(FILE, "the bearing recordings", SOURCE)
        recordings, faulty, loads = read_recordings(path)
        train: list[tuple[Array, int]] = []
        test: list[tuple[Array, int]] = []
        for recording, is_faulty, load in zip(recordings, faulty, loads, strict=True):
            if is_faulty:
                (test if load == TEST_LOAD_HP else train).append((recording, 1))
            else:
                border = round(NORMAL_TRAIN_SHARE * len(recording))
                train.append((recording[:border], 0))
                test.append((recording[border:], 0))
        if any({label for _, label in side} != {0, 1} for side in (train, test)):
            raise BadInput(
                f"data file {path}",
                got="a side without normal or without faulty recordings",
                allowed="normal, and faults at 0 hp and above",
            )
        unit = np.float32(np.concatenate([recording for recording, label in train if label == 0]).std())
        parts = []
        for side, hop in ((train, TRAIN_HOP), (test, WINDOW)):
            windows = [windowed(recording, hop) / unit for recording, _ in side]
            labels = [np.full(len(made), label, np.int64) for made, (_, label) in zip(windows, side, strict=True)]
            parts += [np.concatenate(windows).astype(np.float32), np.concatenate(labels)]
        metadata = {
            "inputs": f"acceleration / {unit:.6g}",
            "test": f"faults at {TEST_LOAD_HP} hp, the last {1 - NORMAL_TRAIN_SHARE:.0%} of the normal recording",
            "rate": 12_000,
        }
        return Data(parts[0], parts[1], parts[2], parts[3], self.classes, metadata)


def windowed(signal: Array, hop: int) -> Array:
    """The windows of a recording (n,) that begin every ``hop`` samples: (count, 1024, 1)."""
    return np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::hop, :, None]


def read_recordings(path: Path) -> tuple[list[Array], Array, Array]:
    """The recordings (float32, in the file's unit), whether each is faulty, and its motor load in hp."""
    arrays = read_arrays(
        path,
        {
            "signal": ("int16", (None,)),
            "offsets": ("int64", (None,)),
            "scale": ("float32", (None,)),
            "y": ("uint8", (None,)),
            "load_hp": ("uint8", (None,)),
            "classes": ("U", (None,)),
        },
    )
    offsets, scale, y = arrays["offsets"], arrays["scale"], arrays["y"]
    count = len(scale)
    lengths = np.diff(offsets)
    sound = len(offsets) == count + 1 and len(y) == len(arrays["load_hp"]) == count and np.isfinite(scale).all()
    if not sound or offsets[0] != 0 or offsets[-1] != len(arrays["signal"]) or int(lengths.min(initial=4 * WINDOW)) < 4 * WINDOW:
        raise BadInput(
            f"data file {path}", got=f"{count} recordings that do not fit their offsets", allowed=f"{4 * WINDOW} samples or more each"
        )
    classes = arrays["classes"].tolist()
    check_labels(path, y, len(classes))
    if "normal" not in classes:
        raise BadInput(f"data file {path}, classes", got=", ".join(classes), allowed="'normal' and faults")
    recordings = [
        arrays["signal"][first:last].astype(np.float32) * factor
        for first, last, factor in zip(offsets[:-1], offsets[1:], scale, strict=True)
    ]
    return recordings, y != classes.index("normal"), arrays["load_hp"]
