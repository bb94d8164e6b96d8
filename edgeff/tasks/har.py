"""Human activity from a phone's and a watch's motion sensors: 23 subjects, five activities (Matey-Sanz et al. 2023; CC BY 4.0).

Inputs are windows of 64 samples at 50 Hz (1.28 s) of six axes: acceleration in g and angular rate in rad/s, so a board needs its sensor's
own scale and nothing else. Read from ``har_sp_sw_23subjects.npz``; refused: a file whose parts do not describe the same windows, or of
fewer than ``TEST_SUBJECTS + 1`` subjects. Walking is half of all windows: an accuracy of 49 % is none.
"""

from __future__ import annotations

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, numbered, register
from edgeff.tasks._files import Wanted, check_labels, need_local, read_arrays

FILE = "har_sp_sw_23subjects.npz"
SOURCE = "doi.org/10.5281/zenodo.8398688, resampled to 50 Hz and cut into windows of 64 samples: the arrays of docs/data.md"
CLASSES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
WINDOW, AXES = 64, 6
STANDARD_GRAVITY = 9.80665
"""m/s^2 in a g."""
TEST_SUBJECTS = 5
ARRAYS: Wanted = {
    "x": ("int16", (None, WINDOW, AXES)),
    "scale": ("float32", (AXES,)),
    "y": ("uint8", (None,)),
    "subject": ("U", (None,)),
    "classes": ("U", (len(CLASSES),)),
}


@register
class HumanActivity(Task):
    """Windows (64, 6) float32; five subjects, drawn by the seed, test and are not seen in training. Windows of one recording overlap."""

    name = "har"
    summary = "activity from phone and watch, 64 samples x 6 axes, 5 classes, subjects never seen to test"
    input_shape = (WINDOW, AXES)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        x, y, subjects = windows()
        rng = np.random.default_rng([seed, 4])
        held_out = sorted(rng.choice(sorted(set(subjects.tolist())), TEST_SUBJECTS, replace=False).tolist())
        test = np.isin(subjects, held_out)
        train = rng.permutation(np.flatnonzero(~test))
        metadata = {
            "inputs": "1.28 s at 50 Hz: acceleration in g and angular rate in rad/s, three axes each",
            "split": f"subjects {', '.join(held_out)} test",
            "range": [float(x[train].min()), float(x[train].max())],
        }
        return Data(x[train], y[train], x[test], y[test], self.classes, metadata, groups_train=numbered(subjects[train]))


def windows() -> tuple[Array, Array, Array]:
    """All windows (n, 64, 6) float32, their activities (n,) int64 and the names of their subjects (n,), in the file's order."""
    path = need_local(FILE, "the activity recordings", SOURCE)
    arrays = read_arrays(path, ARRAYS)
    labels, subjects, scale = arrays["y"], arrays["subject"], arrays["scale"].astype(np.float64)
    names = set(subjects.tolist())
    if not len(arrays["x"]) == len(labels) == len(subjects) or len(names) <= TEST_SUBJECTS:
        got = f"{len(arrays['x'])} windows, {len(labels)} labels, {len(names)} subjects"
        raise BadInput(f"data file {path}", got=got, allowed=f"a label and a subject a window, at least {TEST_SUBJECTS + 1} subjects")
    if tuple(arrays["classes"].tolist()) != CLASSES or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise BadInput(f"data file {path}", got="other classes or scales", allowed=f"{', '.join(CLASSES)}, scales above 0")
    check_labels(path, labels, len(CLASSES))
    unit = scale / np.array([STANDARD_GRAVITY] * 3 + [1.0] * 3)
    return (arrays["x"] * unit).astype(np.float32), labels.astype(np.int64), subjects
