"""Products in TFLite: MUL.

Float numbers for each channel are folded into the layer before; a tensor times itself of which a mean is taken begins a normalise layer.
"""

from __future__ import annotations

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.arithmetic import channels
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, only_fused
from edgeff.formats.tflite.pairwise import folds, pairwise, writer
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Value
from edgeff.ir import Layer
from edgeff.ops.mul import Mul


def _mul(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    itself = isinstance(first, Activation) and first == second
    if itself and node.averaged and assembly.described.get(node.name) != Mul.name:
        only_fused(node, "NONE")
        return assembly.square(node, node.real(first), node.real(second))
    if isinstance(second, Constant) and folds(assembly, node, Mul, node.activation(first), second):
        return fused(assembly, node, assembly.affine(node, node.activation(first), channels(node, second), np.zeros(1)))
    return fused(assembly, node, pairwise(assembly, node, Mul(), values))


READERS = {
    "MUL": Handler(_mul, (2, 2), schema.BuiltinOptions.MulOptions, fused_option),
}
MOST_FACTOR = {"int8": 2.0**15, "int16": 1.0}
"""What runtimes shift a product of two numbers by in 32 bits, without a check."""
_write = writer("MUL", "MulOptions")


def write(graph: Graph, layer: Layer) -> None:
    quants = [graph.quants[name] for name in (*layer.inputs, layer.name)]
    a, c, y = (1.0 if quant is None else quant.scale[0] for quant in quants)
    most = 0.0 if quants[-1] is None else MOST_FACTOR[quants[-1].dtype]
    if most and a * c / y >= most:
        got, step = f"products in steps {a * c / y:,.0f} times the output's", "calibrate on samples that reach the output's range"
        raise Unsupported(f"layer {short(layer.name)}, mul", got=got, allowed=f"less than {most:,.0f} in TFLite files", next_step=step)
    _write(graph, layer)
