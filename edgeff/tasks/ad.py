"""Anomalous machine sounds (ToyADMOS/ToyCar, as in DCASE 2020 task 2 and MLPerf Tiny): training on normal ones, test on normal and broken
ones.

The user supplies the data: ``ToyCar/train`` and ``ToyCar/test`` in EDGEFF_DATA_DIR, 16 kHz wav files named ``normal_*`` or ``anomaly_*``.
Of each file's log-mel spectrogram (1024-point frames, hop 512, 128 bands, 10 log10 of the power) frames 50 to 249 are used; an input is
five neighbouring frames, 640 numbers, so a file gives 196. An autoencoder's score of a file is its mean squared error over these windows,
and the metric is the area under the ROC curve over files. The whole development set is 4,000 + 2,459 files: 3.2 GB of inputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._audio import log_mel, read_wav, stacked
from edgeff.tasks._files import need_local

RATE, FFT, HOP, BANDS, FRAMES = 16_000, 1024, 512, 128, 5
FIRST, LAST = 50, 250
FOLDER = "ToyCar"
SOURCE = "zenodo.org/records/3678171 (dev_data_ToyCar.zip of DCASE 2020 task 2, unpacked)"
CLASSES = ("normal", "anomaly")


@register
class Ad(Task):
    """Windows of log-mel spectrograms; labels 0 (normal) and 1 (anomaly) of the files they come from."""

    name = "ad"
    summary = "anomalous machine sounds (ToyCar), 640 log-mel inputs, normal or anomaly; you supply the files"
    input_shape = (FRAMES * BANDS,)
    classes = CLASSES
    metric = "auc"
    target = "input"

    def load(self, seed: int = 0) -> Data:
        folder = need_local(FOLDER, "ToyADMOS's ToyCar", SOURCE)
        x_train, y_train, files_train = windows_of(folder / "train", np.random.default_rng([seed, 4]))
        if y_train.any():
            raise BadInput(f"folder {folder / 'train'}", got="anomalies", allowed="normal sounds only")
        x_test, y_test, files_test = windows_of(folder / "test")
        counts = {"train": int(files_train.max()) + 1, "test": int(files_test.max()) + 1}
        metadata = {"inputs": f"{FRAMES} frames of {BANDS} log-mel bands in dB", "files": counts}
        return Data(x_train, y_train, x_test, y_test, self.classes, metadata, files_test)


def windows_of(folder: Path, rng: np.random.Generator | None = None) -> tuple[Array, Array, Array]:
    """The inputs (n, 640) float32 of a folder's files, labels (n,) int64, and the index of each input's file in the order of their names.

    Args: ``rng`` draws the order of the windows; without it they are in file order.
    Raises: BadInput for a folder without wav files, for a name that does not state its class, and for a file too short for one window.
    """
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise BadInput(
            f"folder {folder}", got="no wav files", allowed="normal_*.wav and anomaly_*.wav", next_step=f"get them from {SOURCE}"
        )
    parts: list[Array] = []
    for path in paths:
        if not path.name.startswith(("normal_", "anomaly_")):
            raise BadInput(f"file {path}", got=repr(path.name), allowed="normal_*.wav, anomaly_*.wav")
        frames = log_mel(read_wav(path, RATE), RATE, FFT, HOP, BANDS)[FIRST:LAST]
        if len(frames) < FRAMES:
            raise BadInput(f"file {path}", got="too short for a window", allowed=f"at least {(FIRST + FRAMES - 1) * HOP / RATE:.2f} s")
        parts.append(frames)
    counts = np.array([len(frames) - FRAMES + 1 for frames in parts])
    places = np.arange(counts.sum()) if rng is None else rng.permutation(counts.sum())
    x = np.empty((len(places), FRAMES * BANDS), np.float32)
    labels, files = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
    for number, (path, frames, here) in enumerate(zip(paths, parts, np.split(places, np.cumsum(counts)[:-1]), strict=True)):
        x[here] = stacked(frames, FRAMES)
        labels[here], files[here] = path.name.startswith("anomaly_"), number
    return x, labels, files
