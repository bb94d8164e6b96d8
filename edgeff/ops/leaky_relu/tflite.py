"""The leaky ReLU in TFLite: LEAKY_RELU."""

from __future__ import annotations

from typing import Any

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.leaky_relu import LeakyRelu


def _options(table: Table) -> dict[str, Any]:
    return {"alpha": float(table.number(0, "float32"))}


READERS = {"LEAKY_RELU": reader(lambda node: node.record(LeakyRelu, alpha=node.attributes.get("alpha", 0.0)), "LeakyReluOptions", _options)}


def write(graph: Graph, layer: Layer) -> None:
    alpha = record(layer, LeakyRelu).alpha
    graph.operator("LEAKY_RELU", [graph.source(layer)], graph.output(layer), "LeakyReluOptions", version=1, alpha=alpha)
