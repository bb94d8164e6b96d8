"""How to read an ONNX operator over a sequence (LSTM, GRU): its input, the parameters of its gates, and its outputs.

The input is (steps, batch, n_in), or with ``layout`` 1 (batch, steps, n_in); the first output (steps, 1, batch, n_out) or (batch, steps, 1,
n_out), the second (1, batch, n_out) or (batch, 1, n_out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeff.formats.onnx.reading import Reading, Values, activation, constant, flag, real, whole, word
from edgeff.formats.onnx.views import Seen, Turned, View, view
from edgeff.formats.parts import in_float
from edgeff.formats.values import Activation, Node
from edgeff.ir import Array
from edgeff.ops import Operator

ATTRIBUTES = frozenset({"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout"})


def check_plain(node: Node, values: Values, functions: Sequence[str], states: Sequence[int]) -> None:
    """Returns nothing; raises Unsupported for what no layer does. ``states`` are the places of the states to begin with."""
    direction = word(node, "direction", "forward")
    if direction != "forward":
        raise node.unsupported(f"the direction {direction}", "forward")
    given = node.attributes.get("activations", [])
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in given] if isinstance(given, list) else []
    if names not in ([], [*functions]) or node.attributes.get("clip") or node.attributes.get("input_forget"):
        raise node.unsupported(f"activations {names}, a clip or an input_forget", f"{', '.join(functions)}, neither of the others")
    if values[4] is not None:
        raise node.unsupported("a length for each sequence", "sequences of one length")
    for place in states:
        if values[place] is not None and np.any(constant(node, values[place], "initial state").array):
            raise node.unsupported("an initial state other than 0", "one of zeros, or none")


def sequence_of(graph: Reading, node: Node, value: Seen | None) -> Activation:
    """The input as an activation (steps, n_in)."""
    if isinstance(value, Turned) and not flag(node, "layout"):
        perm = value.perm
        if perm[:2] != (1, 0) and perm[:2] != (2, 0):
            raise node.unsupported(f"an input with the batch as axis {perm.index(0)}", "(steps, batch, n_in)")
        value = graph.views.transposed(graph.views.beside(node, "time"), value.x, tuple(axis - 1 for axis in perm if axis))
    elif not flag(node, "layout"):
        shape = activation(node, value).shape
        raise node.unsupported(f"an input of {shape}, the batch in front", "(steps, batch, n_in), or layout 1")
    x = graph.views.plain(node, real(node, value))
    if x.shape is None or len(x.shape) != 2:
        raise node.unsupported(f"an input of {x.shape}, without the batch axis", "(steps, n_in)")
    return graph.assembly.exact(node, x)


def gates_of(graph: Reading, node: Node, values: Values, n_in: int, order: Sequence[int]) -> tuple[Array, Array, Array]:
    """The weights over the input (gates, n_out, n_in), those over the state (gates, n_out, n_out), and the two biases of each gate (2 *
    gates, n_out), their gates in the order ``order`` of the file's.
    """
    gates, n_out = len(order), whole(node, "hidden_size", 0)
    if not 1 <= n_out < 1 << 24:
        raise node.bad(f"hidden_size {n_out}", "1 or more")
    shapes = {"W": (1, gates * n_out, n_in), "R": (1, gates * n_out, n_out), "B": (1, 2 * gates * n_out)}
    found = []
    for place, (name, shape) in enumerate(shapes.items(), 1):
        if name == "B" and values[place] is None:
            found.append(np.zeros((2 * gates, n_out), np.float32))
            continue
        given = constant(node, values[place], f"parameter {name}")
        array = given.array if given.quant is None else in_float(given.array, given.quant)
        if array.shape != shape or array.dtype != np.float32:
            raise node.bad(f"{name} of {array.dtype} {array.shape}", f"float32 {shape}")
        graph.assembly.charge(array.nbytes)
        found.append(array.reshape(-1, n_out, *shape[2:]))
    w, r, b = found
    both = b.reshape(2, gates, n_out)[:, list(order)].reshape(-1, n_out)
    return w[list(order)], r[list(order)], both


def outputs_of(
    graph: Reading,
    node: Node,
    op: Operator | None = None,
    x: Activation | None = None,
    shape: tuple[int, int] = (0, 0),
    params: Mapping[str, Array] | None = None,
) -> View | Turned:
    """The output that the node is read for: with an operator, its input, shape and parameters of a new layer, else of the layer that the
    node has become.
    """
    if op is not None and x is not None:
        place = Node(node.called or node.name, node.operator, node.attributes, node.supported)
        draft = graph.assembly.draft(place.name, op, (x,), shape)
        draft.params.update({name: np.array(array, order="C") for name, array in (params or {}).items()})
        graph.of_several[node.number] = Activation(draft.name, draft.shape)
    y = graph.of_several[node.number]
    steps, n_out = y.shape or (0, 0)
    y = y if node.places == 1 else Activation(y.layer, y.shape, shared=True)
    if node.place == 0:
        every = graph.views.reshaped(graph.views.beside(node, "every"), view(y), (steps, 1, n_out))
        return every if flag(node, "layout") else Turned(every, (1, 2, 0, 3))
    if node.place > 1:
        raise node.unsupported("the last cell as an output", "the hidden states")
    last = graph.assembly.part(graph.views.beside(node, "last"), y, [(steps - 1, 1, 1), (0, n_out, 1)])
    return view(last) if flag(node, "layout") else Turned(view(last), (1, 0, 2))
