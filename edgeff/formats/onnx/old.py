"""ONNX before operator set 7 as readers of later sets take it: attributes say how sums and products broadcast, and what a Reshape makes.

In goes a node with its attributes, out come those that later sets know, and constants in the shape in which they broadcast.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.formats.onnx.reading import Values, number, whole
from edgeff.formats.onnx.views import View
from edgeff.formats.values import Constant, Node

FIRST_MODERN = 7
PAIRS = frozenset({"Add", "Div", "Mul", "Sub"})


def modern(node: Node, opset: int) -> Node:
    """``node`` without the attributes that only old sets have; the values they stand for come from ``modern_values``."""
    if opset >= FIRST_MODERN:
        return node
    gone = {"consumed_inputs"} | ({"axis", "broadcast"} if node.operator in PAIRS else {"shape"} if node.operator == "Reshape" else set())
    return replace(node, attributes={key: value for key, value in node.attributes.items() if key not in gone})


def missing(node: Node, opset: int) -> int:
    """How many inputs of later sets are attributes of this node."""
    return int(opset < FIRST_MODERN and node.operator == "Reshape" and "shape" in node.attributes)


def modern_values(node: Node, values: Values, opset: int) -> Values:
    """The inputs as later sets have them. Raises Unsupported where an activation is broadcast along other axes than its last ones."""
    if missing(node, opset):
        sizes = node.attributes["shape"]
        if not isinstance(sizes, list) or not all(isinstance(size, int) and -(2**31) <= size < 2**31 for size in sizes):
            raise node.bad(f"a shape of {str(sizes)[:60]}", "whole numbers")
        return [values[0], Constant(np.array(sizes, np.int64)), *values[2:]]
    if opset >= FIRST_MODERN or node.operator not in PAIRS or not number(node, "broadcast", 0) or "axis" not in node.attributes:
        return values
    x, other = values[0], values[1]
    if not isinstance(x, View) or not isinstance(other, Constant) or x.shape is None:
        raise node.unsupported("a broadcast along an axis of anything but a constant", "a constant second input")
    if not other.array.ndim:
        return values
    rank, axis = len(x.shape) + 1, whole(node, "axis", 0)
    after = rank - (axis + rank if axis < 0 else axis) - other.array.ndim
    if not 0 <= after < rank:
        raise node.bad(f"axis {axis} for a constant of shape {other.array.shape} and an input of {rank} axes", "axes of the input")
    return [x, replace(other, array=other.array.reshape(*other.array.shape, *(1,) * after)), *values[2:]]
