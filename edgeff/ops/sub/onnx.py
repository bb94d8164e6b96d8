"""Differences in ONNX: Sub. Float numbers for each channel are folded into the layer before."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.arithmetic import affine
from edgeff.formats.onnx.pairwise import folded, pairwise, writer
from edgeff.formats.onnx.reading import Handler, Reading, Values, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import Constant, Node
from edgeff.ops.sub import Sub


def _subtract(graph: Reading, node: Node, values: Values) -> Seen:
    if isinstance(values[0], View) and isinstance(values[1], Constant):
        x = real(node, values[0])
        vector = folded(graph, node, Sub, x, values[1])
        if vector is not None:
            return affine(graph, node, x, np.ones(1), -vector)
    return pairwise(graph, node, Sub(), values)


READERS = {
    "Sub": Handler(_subtract, (2, 2)),
}
write = writer("Sub")
