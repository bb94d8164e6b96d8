"""Network -> ONNX: the format in which models lie on disk.

In goes a float32 or int8 network; out comes a model that the checker finds clean and ONNX Runtime runs as it stands, with the batch axis
"N". Input and output have the network's shapes, images channels last; where an operator needs channels first the tensors are transposed
once (see ``graph``), and ``ops/<op>/onnx.py`` says what each operator becomes. Batch normalisation is folded into the layers before it. An
int8 network is written in QDQ form: float input and output, int8 weights and int32 biases each followed by a DequantizeLinear, a
QuantizeLinear and DequantizeLinear around each activation; operators that only move data move the integers. What ONNX cannot express is
JSON in ``metadata_props``: ``edgeff.network`` (see formats.description) and ``edgeff.metadata``.

Weights keep every bit and layers their names: ``formats.load`` gives the same network back. Refused: operators without a writer, int16.

Established with ONNX Runtime 1.32 on 64,000 outputs of a 64-32 layer: on an x86 core without VNNI its int8 kernels add pairs of products
in 16 bits that saturate, and a per-channel layer came out wrong in 1,308 outputs, by up to 29 steps (per tensor: 0). With the session
entry SESSION_ENTRIES none differed from exact arithmetic, per tensor and per channel. It rescales in float, so a difference of one step per
operator from the integer contract stays possible. Counted on random layers that read the same integers, each difference one step:
max_pool2d, add, relu, requantise, reshape, transpose 0; softmax 0.03 %, normalise, standardise 0.1 %, conv2d 0.2 %, dense 0.3 %, conv1d 0.4
%, depthwise_conv2d 0.6 %, average_pool2d 2.8 % (ties to even, TFLite's away from zero), global_average_pool 13 % (TFLite's factor is
rounded down). In whole networks they add up: the best class matches that of the integers in 993 of 1,000 samples of MLPerf Tiny's KWS, in
197 of 200 of its IC (``tests/test_onnx_convolutions.py``).
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgeff.errors import Unsupported
from edgeff.formats import conventions, description, operators
from edgeff.formats.files import write_file
from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Network
from edgeff.ops.canonical import canonical

SESSION_ENTRIES = {"session.x64quantprecision": "1"}
"""For ``onnxruntime.SessionOptions.add_session_config_entry``, wherever the numbers of an int8 model matter."""
OPSET = 17
IR_VERSION = 8
"""Versions of ONNX 1.12 (2022): old enough for every runtime, new enough for per-axis QDQ."""


def to_onnx(network: Network) -> onnx.ModelProto:
    """The ONNX model of ``network``. Raises BadInput or Unsupported for a network that breaks the conventions."""
    network = canonical(network)
    write = operators.writers(network, "onnx", "ONNX")
    if "int16" in (*network.numerics, network.input_quant and network.input_quant.dtype):
        where, step = f"network {conventions.short(network.name)}", "give commands the .tflite file itself, or write it as TFLite or C"
        raise Unsupported(where, got="int16 activations", allowed="float32 and int8 in ONNX files", next_step=step)
    conventions.check(network)
    graph = Graph(network)
    for layer in network:
        write[layer.kind](graph, layer)
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *network.input_shape])]
    ends = zip(graph.outputs(), network.ends, strict=True)
    outputs = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["N", *layer.shape]) for tensor, layer in ends]
    name = network.name or "network"
    proto = helper.make_graph(graph.nodes, name, [*inputs, *graph.inputs], outputs, graph.initialisers, value_info=graph.infos)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edgeff")
    properties = {
        "edgeff.network": description.to_json(description.describe(network), f"network {conventions.short(name)}"),
        "edgeff.metadata": description.to_json(dict(network.metadata), f"metadata of network {conventions.short(name)}"),
    }
    helper.set_model_props(model, properties)
    return model


def write_onnx(network: Network, path: Path | str) -> Path:
    """Writes the ONNX model of ``network`` and returns ``path``; the same network gives the same bytes. Raises BadInput if it cannot be
    written.
    """
    return write_file(Path(path), to_onnx(network).SerializeToString(deterministic=True))
