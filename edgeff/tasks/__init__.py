"""Tasks, one data set and its features per file. A task gives float32 inputs, integer labels and the split; the test part is used once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.registry import tasks as registry


@dataclass(frozen=True)
class Data:
    """A split data set: x_* (n, *input shape) float32, y_* (n,) int64, the classes' names, and what the values mean.

    Where values are learned and not classes, y_* is (n, outputs) float32 and ``classes`` is empty.
    ``files_test`` (n,) gives the recording of each test sample, for tasks that score whole recordings. ``groups_train`` (n,) numbers the
    subjects, speakers or months of the training samples where the test part is of others: a validation part is then too. The first
    training samples are representative, so that they can calibrate. A part that is not on this machine is empty, and
    ``metadata["training"]`` or ``metadata["test"]`` says ``none: `` and how to get it.
    """

    x_train: NDArray[np.float32]
    y_train: Array
    x_test: NDArray[np.float32]
    y_test: Array
    classes: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files_test: NDArray[np.int64] | None = None
    groups_train: NDArray[np.int64] | None = None

    def validation(self, train: Array, held_out: Array) -> Data:
        """The training samples at ``train`` with those at ``held_out`` in the place of the test part, which is not there."""
        groups = None if self.groups_train is None else self.groups_train[train]
        x, y = self.x_train, self.y_train
        return replace(
            self, x_train=x[train], y_train=y[train], x_test=x[held_out], y_test=y[held_out], files_test=None, groups_train=groups
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    @property
    def outputs(self) -> int:
        """How many numbers a network that learns the labels has to give."""
        return self.y_train.shape[1] if self.y_train.ndim > 1 else len(self.classes)

    def need(self, part: Literal["train", "test"]) -> None:
        """Raises BadInput, saying how to get them, if the samples of a part are not on this machine."""
        if not len(self.x_train if part == "train" else self.x_test):
            name = "training" if part == "train" else "test"
            way = str(self.metadata.get(name, "")).removeprefix("none: ")
            raise BadInput(f"the {name} part of the data", got="no samples", allowed="at least one", next_step=way or "see docs/data.md")

    def targets(self, labels: Array) -> Array:
        """One-hot rows (n, C) float32 of labels (n,); values as they are."""
        if labels.ndim > 1:
            return np.asarray(labels, np.float32)
        return np.eye(len(self.classes), dtype=np.float32)[labels]


def numbered(names: Array) -> NDArray[np.int64]:
    """The groups of samples as numbers from 0, (n,): the place of each of ``names`` (n,) in their order."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def standardised(data: Data) -> Data:
    """``data`` with its inputs minus their mean, divided by their deviation, both of the training part, one pair per channel of images.

    Its metadata says so. Sparse inputs, such as images with most pixels 0, are no longer sparse.
    """
    axes = tuple(range(data.x_train.ndim - 1)) if data.x_train.ndim > 2 else None
    mean = np.asarray(data.x_train.mean(axis=axes, dtype=np.float64), np.float32)
    deviation = np.maximum(np.asarray(data.x_train.std(axis=axes, dtype=np.float64), np.float32), np.float32(1e-6))
    inputs = f"{data.metadata.get('inputs', 'as the task gives them')}, less {mean.tolist()}, over {deviation.tolist()}"
    metadata = dict(data.metadata) | {"inputs": inputs}
    metadata.pop("range", None)
    x_train, x_test = (((x - mean) / deviation).astype(np.float32, copy=False) for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test, metadata=metadata)


class Task:
    """The contract of a task: ``load(seed)`` returns its data, split by the seed where there is no official split.

    ``standardise``: a network wants the inputs less their mean, over their deviation, and the layer that does so goes into the model.
    ``metric`` is what ``edgeff evaluate`` measures: ``accuracy``; ``auc``, the area under the ROC curve for separating label 1 (anomalous,
    faulty) from 0; ``mse``. ``target`` is what a network learns to output: ``class``, ``value`` for numbers, or ``input`` for an
    autoencoder.
    """

    name: str = ""
    summary: str = ""
    input_shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    metric: Literal["accuracy", "auc", "mse"] = "accuracy"
    target: Literal["class", "value", "input"] = "class"
    standardise: bool = False

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        """The samples x (n, *input shape) of a mini-batch as training uses them, random only by ``rng``; by default unchanged."""
        return x

    def load(self, seed: int = 0) -> Data:
        raise NotImplementedError


def register(task: type[Task]) -> type[Task]:
    """A class decorator: an instance of the task, registered under its name."""
    registry.add(task.name, task())
    return task
