"""Gases from an array of 16 sensors that drift over 30 months (Vergara et al. 2012; UCI 270, CC BY 4.0): six gases, 128 features.

Batches 1 to 6 (months 1 to 20) train, batches 8 and 9 (months 22 to 30) test: what is learned meets sensors that have aged. Batches
7 and 10 are not in the file. A feature v becomes ``sign(v) ln(1 + |v|)``, for they span five orders of magnitude, less its mean and
over its deviation in the training part; both are in the metadata. Read from ``gas_drift.npz``; refused: a file without both parts, or
with a feature that is no finite number or does not vary in training.
"""

from __future__ import annotations

import numpy as np

from edgeff.errors import BadInput
from edgeff.tasks import Data, Task, numbered, register
from edgeff.tasks._files import Wanted, check_labels, need_local, read_arrays

FILE = "gas_drift.npz"
SOURCE = "archive.ics.uci.edu/dataset/270: the arrays of docs/data.md"
CLASSES = ("Ethanol", "Ethylene", "Ammonia", "Acetaldehyde", "Acetone", "Toluene")
FEATURES = 128
EARLY, LATE = (1, 2, 3, 4, 5, 6), (8, 9)
"""The batches that train, and those that test."""
ARRAYS: Wanted = {
    "x": ("float32", (None, FEATURES)),
    "y": ("uint8", (None,)),
    "batch": ("uint8", (None,)),
    "classes": ("U", (len(CLASSES),)),
}


@register
class GasDrift(Task):
    """Features (128,) float32; later months test than train. The seed orders the training part and nothing else."""

    name = "gas_drift"
    summary = "16 gas sensors that drift, 128 features, 6 gases, months never seen to test"
    input_shape = (FEATURES,)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        path = need_local(FILE, "the gas recordings", SOURCE)
        arrays = read_arrays(path, ARRAYS)
        labels, batches = arrays["y"], arrays["batch"]
        if not len(arrays["x"]) == len(labels) == len(batches) or tuple(arrays["classes"].tolist()) != CLASSES:
            got = f"{len(arrays['x'])} samples, {len(labels)} labels, classes {', '.join(arrays['classes'].tolist())}"
            raise BadInput(f"data file {path}", got=got, allowed=f"a label and a batch a sample; classes {', '.join(CLASSES)}")
        check_labels(path, labels, len(CLASSES))
        train, test = np.flatnonzero(np.isin(batches, EARLY)), np.flatnonzero(np.isin(batches, LATE))
        if not len(train) or not len(test):
            got = f"batches {', '.join(map(str, sorted(set(batches.tolist()))))}"
            raise BadInput(f"data file {path}", got=got, allowed="one of batches 1 to 6 and one of 8 and 9")
        train = np.random.default_rng([seed, 4]).permutation(train)
        features = arrays["x"].astype(np.float64)
        features = np.sign(features) * np.log1p(np.abs(features))
        mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
        if not np.isfinite(features).all() or not (deviation > 0).all():
            raise BadInput(f"data file {path}, array 'x'", got="a feature that is not finite or is the same in all training samples")
        x = ((features - mean) / deviation).astype(np.float32)
        y = labels.astype(np.int64)
        metadata = {
            "inputs": "sign(v) ln(1 + |v|) of 128 features, less mean, over deviation",
            "mean": [float(value) for value in mean],
            "deviation": [float(value) for value in deviation],
            "split": "batches 1 to 6 train, 8 and 9 test",
            "batches": [int(number) for number in batches[test]],
            "range": [float(x[train].min()), float(x[train].max())],
        }
        return Data(x[train], y[train], x[test], y[test], self.classes, metadata, groups_train=numbered(batches[train]))
