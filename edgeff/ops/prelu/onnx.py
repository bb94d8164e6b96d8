"""The parametric ReLU in ONNX: PRelu."""

from __future__ import annotations

from edgeff.formats.onnx.pairwise import pairwise, writer
from edgeff.formats.onnx.reading import Handler
from edgeff.ops.prelu import Prelu

READERS = {"PRelu": Handler(lambda graph, node, values: pairwise(graph, node, Prelu(), values), (2, 2))}
write = writer("PRelu")
