"""Constants in TFLite arithmetic: numbers for each channel."""

from __future__ import annotations

import numpy as np

from edgeff.formats.values import Constant, Node
from edgeff.ir import Array


def channels(node: Node, constant: Constant) -> Array:
    """A float32 constant with one number, or one for each channel, as a vector."""
    array = constant.array
    if array.dtype != np.float32 or (array.size != 1 and array.shape[-1:] != (array.size,)):
        raise node.unsupported(f"a constant of {array.dtype} {array.shape}", "float32, one number or one for each channel")
    return array.reshape(-1)
