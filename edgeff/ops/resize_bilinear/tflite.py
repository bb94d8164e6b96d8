"""An image in another size in TFLite: RESIZE_BILINEAR."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.resize_bilinear import ResizeBilinear


def _resize(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, size = assembly.exact(node, node.activation(values[0])), node.output.shape[1:]
    to, flags = node.constant(values[1], "size").array, {name: bool(node.attributes.get(name)) for name in ("align_corners", "half_pixel")}
    if len(x.shape or ()) != 3 or len(size) != 3 or to.dtype != np.int32 or to.tolist() != list(size[:2]) or all(flags.values()):
        got = f"a resize of {x.shape} to {size}, without the batch axis, by {flags}"
        raise node.unsupported(got, "(H, W, C), with align_corners or half_pixel_centers or neither")
    op = node.record(ResizeBilinear, height=size[0], width=size[1], **flags)
    return assembly.keeping_quant(assembly.made(node, op, (x,), (*size[:2], (x.shape or ())[2])), x)


def _options(table: Table) -> dict[str, Any]:
    return {"align_corners": bool(table.number(2, "bool")), "half_pixel": bool(table.number(3, "bool"))}


READERS = {"RESIZE_BILINEAR": Handler(_resize, (2, 2), schema.BuiltinOptions.ResizeBilinearOptions, _options)}


def write(graph: Graph, layer: Layer) -> None:
    op = record(layer, ResizeBilinear)
    size = graph.constant(f"{layer.name}.size", np.array(layer.shape[:2], np.int32))
    options = {"alignCorners": op.align_corners, "halfPixelCenters": op.half_pixel}
    graph.operator("RESIZE_BILINEAR", [graph.source(layer), size], graph.output(layer), "ResizeBilinearOptions", **options)
