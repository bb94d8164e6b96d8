"""The smaller of two tensors in ONNX: Min; of more than two, one layer after the other."""

from __future__ import annotations

from dataclasses import replace

from edgeff.formats.onnx.pairwise import pairwise, writer
from edgeff.formats.onnx.reading import MOST_INPUTS, Handler, Reading, Values
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node
from edgeff.ops.minimum import Minimum


def _read(graph: Reading, node: Node, values: Values) -> Seen:
    parts = [value for value in values if value is not None]
    y = parts[0]
    for number, other in enumerate(parts[1:], 1):
        place = node if number == len(parts) - 1 else replace(node, name=f"{node.name}_{number}")
        y = pairwise(graph, place, Minimum(), [y, other])
    return y


READERS = {
    "Min": Handler(_read, (1, MOST_INPUTS)),
}
write = writer("Min")
