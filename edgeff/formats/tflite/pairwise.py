"""How to read and write a TFLite operator of two tensors, either broadcast, of which one may be a constant."""

from __future__ import annotations

from collections.abc import Callable

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, alike
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Value
from edgeff.ir import Layer
from edgeff.ops import kind
from edgeff.ops.pairwise import Pairwise


def pairwise(assembly: Assembly, node: TfliteNode, op: Pairwise, values: Values) -> Activation:
    """A layer of both inputs; a constant among them becomes a layer too."""
    a, c = alike(assembly, node, values)
    return assembly.pairwise(node, op, a, c)


def reader(op: Pairwise, options: str) -> Handler:
    """The reader of an operator that is always a layer, with an options table without attributes."""

    def read(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
        return pairwise(assembly, node, op, values)

    return Handler(read, (2, 2), getattr(schema.BuiltinOptions, options))


def folds(assembly: Assembly, node: TfliteNode, op: type[Pairwise], x: Activation, constant: Constant) -> bool:
    """Whether a constant goes into the layer before: one float number, or one for each channel, unless edgeff's own description says that
    it was a layer of the kind ``op``.
    """
    array = constant.array
    vector = array.size == 1 or array.shape[-1:] == (array.size,)
    own = assembly.described.get(node.name) == op.name
    return not own and constant.quant is None and vector and array.dtype == "float32" and assembly.takes_affine(x, array.size)


def writer(operator: str, options: str) -> Callable[[Graph, Layer], None]:
    """The writer of a layer as an ``operator`` with ``options``, its activation function fused."""

    def write(graph: Graph, layer: Layer) -> None:
        fused = graph.fused(layer) if "activation" in kind(layer).attributes else {}
        graph.operator(operator, [graph.indices[name] for name in layer.inputs], graph.output(layer), options, **fused)

    return write
