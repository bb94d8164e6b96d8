"""Long short-term memory in ONNX: LSTM, forward over a whole sequence, in float32.

Its state begins at 0 each time. Its first output is every hidden state, (steps, 1, batch, n_out), the second the last one. Refused: other
directions, peepholes, a limit, coupled gates, sequences of several lengths, an initial state other than 0, the last cell as an output.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from edgeff.errors import Unsupported
from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values
from edgeff.formats.onnx.recurrent import ATTRIBUTES, check_plain, gates_of, outputs_of, sequence_of
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node
from edgeff.ir import Array, Layer
from edgeff.ops.lstm import Lstm

ORDER = (0, 2, 3, 1)
"""Where ONNX, in the order input, output, forget, cell, has the gates input, forget, cell, output."""


def _lstm(graph: Reading, node: Node, values: Values) -> Seen:
    check_plain(node, values, ("Sigmoid", "Tanh", "Tanh"), states=(5, 6))
    if values[7] is not None:
        raise node.unsupported("peepholes", "none")
    x = sequence_of(graph, node, values[0])
    if node.number not in graph.of_several:
        steps, n_in = x.shape or (0, 0)
        w, r, b = gates_of(graph, node, values, n_in, ORDER)
        biases: Array = b[:4] + b[4:]
        check_finite(biases, f"node {short(node.name)}, the sum of its biases")
        params = {"input_weights": w, "recurrent_weights": r, "biases": biases}
        outputs_of(graph, node, Lstm(), x, (steps, w.shape[1]), params)
    return outputs_of(graph, node)


READERS = {
    "LSTM": Handler(_lstm, (3, 8), ATTRIBUTES | {"input_forget"}, several=True),
}


def write(graph: Graph, layer: Layer) -> None:
    op = cast("Lstm", layer.op)
    if "output" in layer.quant or op.stateful or op.clip:
        got, allowed = "int8, a state that goes on or a limit of the cell", "float32, a state that begins at 0, no limit in ONNX files"
        step = "keep the .tflite file, which every command takes, or export to C"
        raise Unsupported(f"layer {short(layer.name)}, lstm", got=got, allowed=allowed, next_step=step)
    back = np.argsort(ORDER)
    w, r = (layer.params[name][back].reshape(1, -1, layer.params[name].shape[-1]) for name in ("input_weights", "recurrent_weights"))
    b = layer.params["biases"][back].reshape(-1)
    # x + -0.0 is x to the bit
    biases = np.concatenate([b, np.full_like(b, -0.0)])[None]
    constants = [graph.constant(f"{layer.name}.{key}", array) for key, array in (("w", w), ("r", r), ("b", biases))]
    graph.sequence(layer, "LSTM", constants, hidden_size=layer.shape[-1])
