"""How to read an ONNX operator that becomes an elementwise function of one variable."""

from __future__ import annotations

from collections.abc import Callable

from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import Node
from edgeff.ops import Operator

Record = Callable[[Node], Operator]
"""The operator of a node, from its attributes."""


def reader(record: Record, attributes: frozenset[str] = frozenset()) -> Handler:
    """The reader of a float operator with one input."""

    def read(graph: Reading, node: Node, values: Values) -> Seen:
        return _applied(graph, node, record, real(node, values[0]))

    return Handler(read, (1, 1), attributes)


def quantised_reader(record: Record, attributes: frozenset[str] = frozenset()) -> Handler:
    """The reader of an operator of com.microsoft with its own scales: x, its scale and zero point, and those of the output."""

    def read(graph: Reading, node: Node, values: Values) -> Seen:
        x = dequantised(graph, node, values[0], (values[1], values[2]))
        return quantised(graph, node, _applied(graph, node, record, x), activation_quant(graph, node, (values[3], values[4])))

    return Handler(read, (4, 5), attributes, MICROSOFT)


def _applied(graph: Reading, node: Node, record: Record, x: View) -> View:
    return x.like(graph.assembly.elementwise(node, record(node), x.x))
