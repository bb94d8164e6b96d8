"""Heart beats of the MIT-BIH arrhythmia database in the five classes of the AAMI (Moody & Mark 2001; PhysioNet, ODC-BY 1.0).

Inputs are 128 samples at 180 Hz around a beat, the R peak at sample 48, in mV about the window's own mean, so an electrode's offset
does not matter. The split is de Chazal's (de Chazal, O'Dwyer & Reilly 2004), between patients: the records of DS1 train, those of DS2
test, those of paced hearts are left out. Record 202 (DS2) is of the subject of record 201 (DS1), so it is left out of the test. Read
from ``mitbih_beats.npz``; refused: a file without both sets, or whose parts do not describe the same beats.

The file holds about as many normal beats as others; in a day's recording nine of ten are normal. An accuracy here is not a deployment's.
"""

from __future__ import annotations

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, numbered, register
from edgeff.tasks._files import Wanted, check_labels, need_local, read_arrays

FILE = "mitbih_beats.npz"
SOURCE = "physionet.org/content/mitdb, at 180 Hz and cut into beats: the arrays of docs/data.md"
CLASSES = ("N", "S", "V", "F", "Q")
"""Normal, supraventricular, ventricular, fusion, unknown."""
SAMPLES = 128
STEPS_PER_MV = 200.0
TRAINS, TESTS, SAME_SUBJECT = "DS1", "DS2", "202"
ARRAYS: Wanted = {
    "x": ("int16", (None, SAMPLES)),
    "y": ("uint8", (None,)),
    "record": ("U", (None,)),
    "de_chazal": ("U", (None,)),
    "classes": ("U", (len(CLASSES),)),
}


def beats() -> tuple[Array, Array, Array, Array]:
    """``x`` (n, 128, 1) float32 in mV, labels, records and de Chazal's set of every beat, in the file's order (record, class, time).

    Raises BadInput for a file that is missing or is not as described.
    """
    path = need_local(FILE, "the heart beats", SOURCE)
    arrays = read_arrays(path, ARRAYS)
    labels, records, sets = arrays["y"], arrays["record"], arrays["de_chazal"]
    if not len(arrays["x"]) == len(labels) == len(records) == len(sets) or tuple(arrays["classes"].tolist()) != CLASSES:
        got = f"{len(arrays['x'])} beats, {len(labels)} labels, classes {', '.join(arrays['classes'].tolist())}"
        raise BadInput(f"data file {path}", got=got, allowed=f"a label, a record and a set a beat; classes {', '.join(CLASSES)}")
    check_labels(path, labels, len(CLASSES))
    raw = arrays["x"].astype(np.float64)
    x = ((raw - raw.mean(axis=1, keepdims=True)) / STEPS_PER_MV).astype(np.float32)[..., None]
    return x, labels.astype(np.int64), records, sets


def trains_and_tests(records: Array, sets: Array) -> tuple[Array, Array]:
    """The beats of the two sides of the split. Raises BadInput where one is empty or a record is in both."""
    train, test = np.flatnonzero(sets == TRAINS), np.flatnonzero((sets == TESTS) & (records != SAME_SUBJECT))
    shared = sorted(set(records[train].tolist()) & set(records[test].tolist()))
    if not len(train) or not len(test) or shared:
        got = f"{len(train)} beats to train, {len(test)} to test, records in both: {', '.join(shared) or 'none'}"
        raise BadInput(f"data file {FILE}", got=got, allowed=f"records of {TRAINS} and other records of {TESTS}")
    return train, test


@register
class HeartBeats(Task):
    """Beats (128, 1) float32 in mV; other patients test than train. The seed orders the training part and nothing else.

    A window that is in both parts (one of a line without a signal) does not test.
    """

    name = "mitbih"
    summary = "heart beats, 128 samples at 180 Hz, 5 AAMI classes, patients never seen to test"
    input_shape = (SAMPLES, 1)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        x, y, records, sets = beats()
        train, test = trains_and_tests(records, sets)
        train = np.random.default_rng([seed, 4]).permutation(train)
        known = {beat.tobytes() for beat in x[train]}
        test = np.array([index for index in test if x[index].tobytes() not in known], np.int64)
        metadata = {
            "inputs": "128 samples at 180 Hz in mV, less their mean",
            "split": "de Chazal's DS1 trains and DS2 tests, without record 202, whose subject is that of 201",
            "range": [float(x[train].min()), float(x[train].max())],
        }
        return Data(x[train], y[train], x[test], y[test], self.classes, metadata, groups_train=numbered(records[train]))
