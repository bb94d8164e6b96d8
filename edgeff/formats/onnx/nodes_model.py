"""Nodes under construction (``edgeff.kernels.graph``) -> an ONNX model with named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeff.ir import Array
from edgeff.kernels.graph.operand import OPSET, GraphNode, NodeList, Operand

IR_VERSION = 8
"""The oldest that may go with operator set 18."""
DTYPES: Mapping[str, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
}


def _attributes(node: GraphNode) -> dict[str, Any]:
    """A node's attributes as onnx takes them: dtypes by their numbers."""
    return {key: DTYPES[str(value)] if key == "to" else value for key, value in node.attributes}


def nodes_model(
    name: str,
    nodes: NodeList,
    inputs: Iterable[Operand],
    outputs: Mapping[str, tuple[Operand, str, Sequence[int]]],
    initial: Mapping[str, Array],
) -> onnx.ModelProto:
    """The model of the nodes that its outputs need.

    Args: ``inputs``, what is fed; ``outputs``, by name the operand, the dtype it is cast to and its shape; ``initial``, values of inputs by
    name that make them optional: initialisers that may be fed.
    """
    ends = []
    for output, (operand, dtype, shape) in outputs.items():
        nodes.place = output
        source = operand.reshape(*shape)
        own: dict[str, Any] = {} if source.dtype == dtype else {"to": DTYPES[dtype]}
        ends.append(helper.make_node("Cast" if own else "Identity", [source.name], [output], name=output, **own))
    needed = nodes.needed(node.input[0] for node in ends)
    used = {source for node in needed for source in node.inputs} | {node.input[0] for node in ends}
    protos = [
        helper.make_node(
            node.op,
            node.inputs,
            [node.output],
            name=node.output,
            **_attributes(node),
        )
        for node in needed
    ]
    initialisers = [numpy_helper.from_array(data, key) for key, data in initial.items()]
    initialisers += [numpy_helper.from_array(data, key) for key, data in nodes.constants.items() if key in used]
    fed = [helper.make_tensor_value_info(operand.name, DTYPES[operand.dtype], operand.shape) for operand in inputs]
    given = [helper.make_tensor_value_info(output, DTYPES[dtype], list(shape)) for output, (_, dtype, shape) in outputs.items()]
    graph = helper.make_graph([*protos, *ends], name, fed, given, initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edgeff")
