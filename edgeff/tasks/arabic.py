"""Spoken Arabic: six words of 30 speakers in three rounds (Ghandoura, Hjabo & Al Dakkak 2021; CC BY 4.0), one second at 16 kHz.

Inputs are 49 frames x 10 mel-frequency cepstral coefficients (``edgeff.ops.mfcc`` with its defaults), as those of ``kws``: new words
in a new language for a network that knows keywords. The split is the authors', no speaker on two sides; their 6 speakers for
validation train with the 18 for training, and 6 test. Read from ``arabic_speech_commands_6w30s.npz``; refused: a file whose parts do not
describe the same clips, or with a speaker on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Attr
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.tasks import Data, Task, numbered, register
from edgeff.tasks._files import Wanted, check_labels, need_local, read_arrays

FILE = "arabic_speech_commands_6w30s.npz"
SOURCE = "github.com/abdulkaderghandoura/arabic-speech-commands-dataset: the arrays of docs/data.md"
RATE = 16_000
WORDS = ("yes", "no", "up", "down", "stop", "start")
FEATURES: Mapping[str, Attr] = Mfcc().attributes
ARRAYS: Wanted = {
    "x": ("int16", (None, RATE)),
    "y": ("uint8", (None,)),
    "speaker": ("U", (None,)),
    "split": ("U", (None,)),
    "classes": ("U", (len(WORDS),)),
}


@register
class Arabic(Task):
    """The coefficients of one-second clips, (49, 10, 1) float32. The seed orders the training part and nothing else."""

    name = "arabic"
    summary = "six spoken Arabic words, 49 x 10 MFCC, speakers never heard to test"
    input_shape = (49, 10, 1)
    classes = WORDS
    features = FEATURES
    samples = RATE

    def load(self, seed: int = 0) -> Data:
        path = need_local(FILE, "the Arabic words", SOURCE)
        arrays = read_arrays(path, ARRAYS)
        labels, speakers, split = arrays["y"], arrays["speaker"], arrays["split"]
        if not len(arrays["x"]) == len(labels) == len(speakers) == len(split) or tuple(arrays["classes"].tolist()) != WORDS:
            got = f"{len(arrays['x'])} clips, {len(labels)} labels, classes {', '.join(arrays['classes'].tolist())}"
            raise BadInput(f"data file {path}", got=got, allowed=f"a label, a speaker and a side a clip; classes {', '.join(WORDS)}")
        check_labels(path, labels, len(WORDS))
        test, train = np.flatnonzero(split == "test"), np.flatnonzero(np.isin(split, ("train", "val")))
        both = sorted(set(speakers[test].tolist()) & set(speakers[train].tolist()))
        if not len(train) or not len(test) or both:
            got = f"{len(train)} clips to train, {len(test)} to test, speakers in both: {', '.join(both) or 'none'}"
            raise BadInput(f"data file {path}", got=got, allowed="clips on both sides, of other speakers")
        train = np.random.default_rng([seed, 4]).permutation(train)
        x = np.ascontiguousarray(coefficients(arrays["x"], make(Mfcc, FEATURES)))
        y = labels.astype(np.int64)
        metadata = {
            "inputs": "mel-frequency cepstral coefficients of one second",
            "features": dict(FEATURES),
            "samples": RATE,
            "split": "the authors', by speaker; their validation speakers train",
            "range": [float(x[train].min()), float(x[train].max())],
        }
        return Data(x[train], y[train], x[test], y[test], self.classes, metadata, groups_train=numbered(speakers[train]))
