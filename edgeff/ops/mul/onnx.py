"""Products in ONNX: Mul, and QLinearMul of com.microsoft.

Float numbers for each channel are folded into the layer before; a tensor times itself of which a mean is taken begins a normalise layer.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.arithmetic import affine
from edgeff.formats.onnx.pairwise import folded, pairwise, writer
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, pair_of, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import Constant, Node
from edgeff.ops.mul import Mul


def _multiply(graph: Reading, node: Node, values: Values) -> Seen:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, View) and isinstance(second, Constant):
        x = real(node, first)
        vector = folded(graph, node, Mul, x, second)
        if vector is not None:
            return affine(graph, node, x, vector, np.zeros(1))
    itself = isinstance(first, View) and isinstance(second, View) and first == second
    if itself and node.averaged and graph.described.get(node.name) != Mul.name:
        return graph.assembly.square(node, graph.vector(node, first), graph.vector(node, second))
    return pairwise(graph, node, Mul(), values)


def _qlinear_mul(graph: Reading, node: Node, values: Values) -> Seen:
    y = pairwise(graph, node, Mul(), pair_of(graph, node, values))
    return quantised(graph, node, y, activation_quant(graph, node, (values[6], values[7])))


READERS = {
    "Mul": Handler(_multiply, (2, 2)),
    "QLinearMul": Handler(_qlinear_mul, (7, 8), frozenset(), MICROSOFT),
}
write = writer("Mul")
