"""How to read and write an ONNX operator of two tensors, either broadcast, of which one may be a constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeff.errors import EdgeffError
from edgeff.formats.onnx.arithmetic import by_channel
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import MOST_INPUTS, Handler, Reading, Values, activation, real
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.values import Constant, Node
from edgeff.ir import Array, Layer
from edgeff.ops.pairwise import Pairwise


def pairwise(graph: Reading, node: Node, op: Pairwise, values: Values) -> View:
    """A layer of both inputs; a constant among them becomes a layer too."""
    first, second = values
    if isinstance(first, Constant) or isinstance(second, Constant):
        return _beside_constant(graph, node, op, values)
    a, c = real(node, activation(node, first)), real(node, activation(node, second))
    if a.shape is not None and a.shape == c.shape:
        a, c = graph.views.ordered(node, a), graph.views.ordered(node, c)
        x, y, like = graph.views.aligned(node, a, c)
        return like.like(graph.assembly.pairwise(node, op, x, y))
    a, c = graph.views.ordered(node, a), graph.views.ordered(node, c)
    if a.order == c.order:
        return View(graph.assembly.pairwise(node, op, a.x, c.x), a.order)
    return view(graph.assembly.pairwise(node, op, graph.views.plain(node, a), graph.views.plain(node, c)))


def _beside_constant(graph: Reading, node: Node, op: Pairwise, values: Values) -> View:
    place = 1 if isinstance(values[1], Constant) else 0
    x, value = real(node, values[1 - place]), values[place]
    if not isinstance(value, Constant) or x.shape is None:
        raise node.unsupported("two constants, or an input of unknown shape", "a layer's output and a constant")
    x = graph.views.ordered(node, x)
    rank = len(x.order)
    number = graph.assembly.numbers(node, replace(value, array=_turned(node, value.array, x)), rank)
    pair = (x.x, number) if place else (number, x.x)
    return View(graph.assembly.pairwise(node, op, *pair), x.order)


def _turned(node: Node, array: Array, x: View) -> Array:
    """A constant beside the tensor x, in the order of its activation's axes; without leading axes of length 1 if that order is another."""
    if x.straight:
        return array
    rank = len(x.order)
    if array.ndim == rank + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > rank:
        raise node.unsupported(f"a constant of shape {array.shape} beside {x.shape}", f"at most {rank} axes without the batch")
    turned = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(np.argsort(x.order))
    ones = next((axis for axis, size in enumerate(turned.shape) if size != 1), rank - 1)
    return turned.reshape(turned.shape[ones:])


def folded(graph: Reading, node: Node, op: type[Pairwise], x: View, value: Constant) -> Array | None:
    """A float constant as a vector for the layer before, None if it has to be a layer: it fits none, or edgeff wrote it as one."""
    if graph.described.get(node.name) == op.name or value.quant is not None or x.shape is None:
        return None
    try:
        vector = by_channel(node, x, value)
    except EdgeffError:
        return None
    return vector if graph.assembly.takes_affine(x.x, vector.size) else None


def of_any_number(op: Pairwise) -> Handler:
    """The reader of an operator of one or more tensors: of more than two, one layer after the other."""

    def read(graph: Reading, node: Node, values: Values) -> Seen:
        parts = [value for value in values if value is not None]
        y = parts[0]
        for number, other in enumerate(parts[1:], 1):
            place = node if number == len(parts) - 1 else replace(node, name=f"{node.name}_{number}")
            y = pairwise(graph, place, op, [y, other])
        return y

    return Handler(read, (1, MOST_INPUTS))


def writer(operator: str) -> Callable[[Graph, Layer], None]:
    """The writer of a layer as an ``operator``: in any layout if both sides are activations of one shape."""

    def write(graph: Graph, layer: Layer) -> None:
        alike = all(graph.shape(name) == layer.shape for name in layer.inputs) and not any(map(graph.is_constant, layer.inputs))
        layout = graph.elementwise(layer.inputs) if alike else "plain"
        graph.finish(layer, operator, [graph.read(name, layout) for name in layer.inputs], layout)

    return write
