"""Random directions of a step: their names, and their entries for the host, as the device draws them."""

from __future__ import annotations

from math import prod
from typing import Any

from edgeff.ir import Array
from edgeff.kernels.arithmetic import feedback_signs, step_key, stream_key
from edgeff.ops import Params, kind
from edgeff.rules import Run


def direction(number: int) -> str:
    """The name of a step's direction and of its random stream."""
    return f"direction {number}"


def signs(run: Run, shape: tuple[int, ...], dtype: Any, *names: str) -> Array:
    """Entries +-1 of this step's stream ``names`` in a shape, drawn as rows along the first axis of two or more."""
    rows = shape[0] if len(shape) > 1 else 1
    return feedback_signs(rows, prod(shape) // rows, step_key(stream_key(run.seed, *names), run.steps)).reshape(shape).astype(dtype)


def direction_of_parameters(run: Run, number: int, draw: Any = signs) -> Params:
    """A direction for all parameters that an optimiser moves: not for moving averages."""
    return {
        layer.name: {
            name: draw(run, value.shape, value.dtype, direction(number), layer.name, name)
            for name, value in run.params[layer.name].items()
            if name not in kind(layer).moving
        }
        for layer in run.network.upstream.trainable
    }
