"""Keywords from clips that are open to all: ten commands, silence and unknown words, one second at 16 kHz, speakers never heard to test.

Training reads the 2,908 clips of ``speech_commands_train.npz`` and ``speech_commands_v2_test_rest.npz``; the test part is the 722 of
MLPerf Tiny's 1,000 clips (``speech_commands_v2_test1000_16k_int16.npz``) that share no speaker with them. Both are Speech Commands
(Warden 2018; CC BY 4.0). **No figure here compares with a published one**: those train on some 30 times as many clips and test on all
1,000. Inputs are those of ``kws``; no noise is mixed in. Refused: files with other classes, and a speaker on both sides.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.tasks import Data, Task, numbered, register
from edgeff.tasks._files import Wanted, check_labels, need_local, read_arrays
from edgeff.tasks.kws import CLASSES, CLIPS, FEATURES, RATE

TRAIN, REST = "speech_commands_train.npz", "speech_commands_v2_test_rest.npz"
SOURCE = "Speech Commands v2 (arXiv:1804.03209): the arrays of docs/data.md"
SOUNDS: Wanted = {"x": ("int16", (None, RATE))}
WANTED: Wanted = {"y": ("uint8", (None,)), "classes": ("U", (len(CLASSES),))}
SPEAKERS: Wanted = {"speaker": ("U", (None,))}
CLEAN: Wanted = {"test1000_speaker": ("U", (None,)), "test1000_clean": ("bool", (None,))}
"""Of MLPerf Tiny's clips who speaks, and whether no clip to train on is of the same speaker."""


def _other(path: Path) -> BadInput:
    return BadInput(f"data file {path}", got="other classes or counts", allowed=f"a label a clip, classes {', '.join(CLASSES)}")


@lru_cache(maxsize=3)
def _inputs(path: Path, _modified: int) -> Array:
    """The coefficients of a file's clips, (n, 49, 10, 1) float32: seconds of work, the same for every seed."""
    return np.ascontiguousarray(coefficients(read_arrays(path, SOUNDS)["x"], make(Mfcc, FEATURES)))


@register
class OpenKeywordSpotting(Task):
    """The coefficients of one-second clips, (49, 10, 1) float32. The seed orders the training part and nothing else."""

    name = "kws_open"
    summary = "keywords from 2,908 open clips, 722 of MLPerf Tiny's to test, 49 x 10 MFCC, 12 classes"
    input_shape = (49, 10, 1)
    classes = CLASSES
    features = FEATURES
    samples = RATE

    def load(self, seed: int = 0) -> Data:
        what = "the open keywords"
        paths = [need_local(name, what, SOURCE) for name in (TRAIN, REST, CLIPS)]
        train, rest = (read_arrays(path, {**WANTED, **SPEAKERS, **more}) for path, more in zip(paths[:2], ({}, CLEAN), strict=True))
        test = read_arrays(paths[2], WANTED)
        clean = rest["test1000_clean"]
        for path, arrays in zip(paths, (train, rest, test), strict=True):
            if tuple(arrays["classes"].tolist()) != CLASSES or len(arrays["y"]) != len(arrays.get("speaker", arrays["y"])):
                raise _other(path)
            check_labels(path, arrays["y"], len(CLASSES))
        if not len(clean) == len(rest["test1000_speaker"]) == len(test["y"]) or not clean.any():
            got = f"{int(clean.sum())} of {len(clean)} clips free of training speakers, {len(test['y'])} clips"
            raise BadInput(f"data file {paths[1]}", got=got, allowed=f"one entry for each clip of {CLIPS}")
        speakers = set(train["speaker"].tolist()) | set(rest["speaker"].tolist())
        shared = sorted(speakers & set(rest["test1000_speaker"][clean].tolist()) - {""})  # silence has no speaker
        if shared:
            raise BadInput(f"data file {paths[1]}", got=f"speakers of both parts: {', '.join(shared[:3])}", allowed="none")
        order = np.random.default_rng([seed, 4]).permutation(len(train["y"]) + len(rest["y"]))
        labels, named = (np.concatenate([train[name], rest[name]])[order] for name in ("y", "speaker"))
        named = np.where(named == "", [f"silence {number}" for number in range(len(named))], named)
        inputs = [_inputs(path, path.stat().st_mtime_ns) for path in paths]
        for path, arrays, x in zip(paths, (train, rest, test), inputs, strict=True):
            if len(x) != len(arrays["y"]):
                raise _other(path)
        first, second, all_test = inputs
        x_train, x_test = np.concatenate([first, second])[order], all_test[clean]
        metadata = {
            "inputs": "mel-frequency cepstral coefficients of one second",
            "features": dict(FEATURES),
            "samples": RATE,
            "training": f"{len(labels):,} clips of Speech Commands v2",
            "test": f"{len(x_test)} of MLPerf Tiny's {len(clean):,} clips, of other speakers; not comparable with figures on all",
            "range": [float(x_train.min()), float(x_train.max())],
        }
        y_train, y_test = labels.astype(np.int64), test["y"][clean].astype(np.int64)
        return Data(x_train, y_train, x_test, y_test, self.classes, metadata, groups_train=numbered(named))
