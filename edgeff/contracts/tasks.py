"""What every task is held to: shapes, labels and numbers as it says, a training and a test part that share no sample, and its seed obeyed.

The data must be on this machine or be made by the task; a part that is not says how to get it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeff.contracts.check import Check, require
from edgeff.ir import Array
from edgeff.tasks import Data, Task


def _parts(task: Task, seed: int = 0) -> tuple[Data, list[tuple[str, Array, Array]]]:
    data = task.load(seed)
    parts = [("training", data.x_train, data.y_train), ("test", data.x_test, data.y_test)]
    return data, [part for part in parts if len(part[1])]


def has_the_shapes_it_says(task: Task) -> None:
    """Inputs are finite float32 of its input shape, labels are int64 and name its classes; a part without samples says how to get it."""
    data, parts = _parts(task)
    what = f"task {task.name}"
    for name in {"training", "test"} - {part for part, *_ in parts}:
        reason = str(data.metadata.get(name, ""))
        require(reason.startswith("none: "), f"{what}, {name} part", got="no samples and no reason", allowed="how to get them, in metadata")
    for name, x, y in parts:
        where = f"{what}, {name} part"
        require(x.dtype == np.float32, f"{where}, inputs", got=x.dtype, allowed="float32")
        require(x.shape[1:] == tuple(task.input_shape), f"{where}, shape of an input", got=x.shape[1:], allowed=tuple(task.input_shape))
        require(bool(np.isfinite(x).all()), f"{where}, inputs", got="values that are NaN or infinite")
        require(y.dtype == np.int64 and y.shape == (len(x),), f"{where}, labels", got=f"{y.dtype} {y.shape}", allowed=f"int64 ({len(x)},)")
        within = 0 <= y.min() <= y.max() < max(len(data.classes), 1)
        require(bool(within), f"{where}, labels", got=f"{y.min()} to {y.max()}", allowed=f"0 to {len(data.classes) - 1}")


def keeps_its_test_part_apart(task: Task) -> None:
    """No test sample is a training sample, beyond those that the data themselves hold twice within one part."""
    _, parts = _parts(task)
    if len(parts) < 2:
        return
    train, test = ([sample.tobytes() for sample in x] for _, x, _ in parts)
    shared, repeated = len(set(test) & set(train)), len(train) - len(set(train)) + len(test) - len(set(test))
    require(shared <= repeated, f"task {task.name}, test samples that are training samples", got=shared, allowed=f"at most {repeated}")


def obeys_its_seed(task: Task) -> None:
    """A seed gives the same split each time."""
    (_, first), (_, again) = _parts(task, 1), _parts(task, 1)
    for (name, x, y), (_, other, labels) in zip(first, again, strict=True):
        same = x.tobytes() == other.tobytes() and y.tobytes() == labels.tobytes()
        require(same, f"task {task.name}, {name} part", got="other samples for the same seed")


CHECKS: Sequence[Check[Task]] = (
    Check("its data have the shapes it says", has_the_shapes_it_says),
    Check("its test part is apart from its training part", keeps_its_test_part_apart),
    Check("a seed gives the same split each time", obeys_its_seed),
)
"""Every check of a task."""
