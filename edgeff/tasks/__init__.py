"""Tasks, one data set and its features a file. A task gives float32 inputs, integer labels and the split; the test part is touched once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.ir import Array
from edgeff.registry import tasks as registry


@dataclass(frozen=True)
class Data:
    """A split data set: x_* (n, *input shape) float32, y_* (n,) int64, the classes' names, and what the values mean."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    classes: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    def targets(self, labels: Array) -> Array:
        """One-hot rows (n, C) float32 of labels (n,)."""
        return np.eye(len(self.classes), dtype=np.float32)[labels]


class Task:
    """The contract of a task: ``load(seed)`` returns its data, split by the seed."""

    name: str = ""
    summary: str = ""
    input_shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()

    def load(self, seed: int = 0) -> Data:
        raise NotImplementedError


def register(task: type[Task]) -> type[Task]:
    """A class decorator: an instance of the task, registered under its name."""
    registry.add(task.name, task())
    return task
