"""A gated recurrent unit in ONNX: GRU, forward over a whole sequence, in float32.

Its state begins at 0 each time. Its first output is every hidden state, (steps, 1, batch, n_out), the second the last one. Refused: other
directions, a limit, sequences of several lengths, an initial state other than 0.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, flag
from edgeff.formats.onnx.recurrent import ATTRIBUTES, check_plain, gates_of, outputs_of, sequence_of
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops.gru import Gru

ORDER = (0, 1, 2)


def _gru(graph: Reading, node: Node, values: Values) -> Seen:
    check_plain(node, values, ("Sigmoid", "Tanh"), states=(5,))
    x = sequence_of(graph, node, values[0])
    if node.number not in graph.of_several:
        steps, n_in = x.shape or (0, 0)
        w, r, b = gates_of(graph, node, values, n_in, ORDER)
        biases = np.stack([b[0] + b[3], b[1] + b[4], b[2], b[5]])
        check_finite(biases, f"node {short(node.name)}, the sum of its biases")
        op = Gru(reset_after=flag(node, "linear_before_reset"))
        params = {"input_weights": w, "recurrent_weights": r, "biases": biases}
        outputs_of(graph, node, op, x, (steps, w.shape[1]), params)
    return outputs_of(graph, node)


READERS = {
    "GRU": Handler(_gru, (3, 6), ATTRIBUTES | {"linear_before_reset"}, several=True),
}


def write(graph: Graph, layer: Layer) -> None:
    op, b = cast("Gru", layer.op), layer.params["biases"]
    w, r = (layer.params[name].reshape(1, -1, layer.params[name].shape[-1]) for name in ("input_weights", "recurrent_weights"))
    # x + -0.0 is x to the bit
    nothing = np.full(2 * b.shape[1], -0.0, np.float32)
    biases = np.concatenate([b[:3].reshape(-1), nothing, b[3]])[None]
    constants = [graph.constant(f"{layer.name}.{key}", array) for key, array in (("w", w), ("r", r), ("b", biases))]
    graph.sequence(layer, "GRU", constants, hidden_size=layer.shape[-1], linear_before_reset=int(op.reset_after))
