"""Network -> ONNX: the format in which models lie on disk.

In goes a float32 or int8 network; out comes a model that the checker finds clean and ONNX Runtime runs as it stands, with the batch axis
"N". A dense layer is Gemm (transB 1) and Relu, softmax is Softmax, normalise is Mul, ReduceMean, Sqrt, Add and Div, label (neutral)
is Pad. An int8 network is
written in QDQ form: float input and output, int8 weights and int32 biases each behind a DequantizeLinear, a QuantizeLinear and
DequantizeLinear around each activation. What ONNX has no word for is JSON in ``metadata_props``: ``edgeff.network`` (see
importers.description) and ``edgeff.metadata``.

Weights keep every bit and layers their names: ``importers.load`` gives the same network back. Refused: layer kinds outside
conventions.OPS, int16.

Established with ONNX Runtime 1.32 on 64,000 outputs of a 64-32 layer: on an x86 core without VNNI its int8 kernels add pairs of products
in 16 bits that saturate, and a per-channel layer came out wrong in 1,308 outputs, by up to 29 steps (per tensor: 0). With the session
entry SESSION_ENTRIES none differed from exact arithmetic, per tensor and per channel. It rescales in float, so a difference of one step an
operator from the integer contract stays possible.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeff.exporters.names import Names
from edgeff.importers import conventions, description
from edgeff.importers.files import write_file
from edgeff.ir import Array, Layer, Network, Quant

SESSION_ENTRIES = {"session.x64quantprecision": "1"}
"""For ``onnxruntime.SessionOptions.add_session_config_entry``, wherever an int8 model is run for its numbers."""
OPSET = 17
IR_VERSION = 8
"""Those of ONNX 1.12 (2022): old enough for every runtime, new enough for per-axis QDQ."""


def to_onnx(network: Network) -> onnx.ModelProto:
    """The ONNX model of ``network``. Raises BadInput or Unsupported for a network that breaks the conventions."""
    conventions.check(network)
    graph = _Graph(network)
    graph.add_input()
    for layer in network:
        _FORMS[layer.op](graph, layer)
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *network.input_shape])]
    infos = [helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, ["N", *layer.shape]) for layer in network]
    name = network.name or "network"
    proto = helper.make_graph(graph.nodes, name, inputs, infos[-1:], graph.initialisers, value_info=infos[:-1])
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edgeff")
    properties = {
        "edgeff.network": description.to_json(description.describe(network), f"network {conventions.short(name)}"),
        "edgeff.metadata": description.to_json(dict(network.metadata), f"metadata of network {conventions.short(name)}"),
    }
    helper.set_model_props(model, properties)
    return model


def write_onnx(network: Network, path: Path | str) -> Path:
    """``path``, now holding the ONNX model of ``network``; the same network gives the same bytes. Raises BadInput when it cannot be
    written.
    """
    return write_file(Path(path), to_onnx(network).SerializeToString(deterministic=True))


class _Graph:
    """The nodes and initialisers made so far; ``tensors`` maps a layer (or "input") to the float tensor that holds its output."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.names = Names(network)
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.tensors = {"input": "input"} | {layer.name: layer.name for layer in network}

    def node(self, operator: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        """The name of the output of a new node."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def constant(self, wish: str, array: Array) -> str:
        """The name of a new initialiser; its bytes are the array's."""
        name = self.names.claim(wish)
        self.initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def add_input(self) -> None:
        """Puts the quantiser of an int8 network behind the float input."""
        if self.network.input_quant is not None:
            self.tensors["input"] = self.requantised("input", self.names.claim("input.dequantized"), "input", self.network.input_quant)

    def scales(self, wish: str, quant: Quant, zero_point: bool) -> list[str]:
        """The names of a scale and, on demand, an int8 zero point: scalars, or vectors for a per-channel weight."""
        shape = () if quant.axis is None else (len(quant.scale),)
        names = [self.constant(f"{wish}.scale", np.array(quant.scale, np.float32).reshape(shape))]
        if zero_point:
            names.append(self.constant(f"{wish}.zero_point", np.full(shape, quant.zero_point, np.int8)))
        return names

    def requantised(self, source: str, target: str, wish: str, quant: Quant) -> str:
        """``target``, which is the float tensor ``source`` sent through int8."""
        scales = self.scales(wish, quant, zero_point=True)
        integers = self.names.claim(f"{wish}.quantized")
        self.node("QuantizeLinear", [source, *scales], integers, self.names.claim(f"{wish}.quantize"))
        return self.node("DequantizeLinear", [integers, *scales], target, self.names.claim(f"{wish}.dequantize"))

    def parameter(self, layer: Layer, key: str) -> str:
        """The name of the float tensor of a parameter."""
        wish = f"{layer.name}.{key}"
        stored = self.constant(wish, layer.params[key])
        quant = layer.quant.get(key)
        if quant is None:
            return stored
        scales = self.scales(wish, quant, zero_point=key == "weight")
        axis = {} if quant.axis is None else {"axis": quant.axis}
        return self.node(
            "DequantizeLinear", [stored, *scales], self.names.claim(f"{wish}.float"), self.names.claim(f"{wish}.dequantize"), **axis
        )

    def before_output(self, layer: Layer) -> str:
        """The name for the tensor a layer's last operator makes: the layer's own, or one that still goes through int8."""
        return self.names.claim(f"{layer.name}.real") if "output" in layer.quant else layer.name

    def finish(self, layer: Layer, tensor: str) -> None:
        """Sends the output of an int8 layer through int8."""
        if "output" in layer.quant:
            self.requantised(tensor, layer.name, layer.name, layer.quant["output"])


def _dense(graph: _Graph, layer: Layer) -> None:
    inputs = [graph.tensors[layer.inputs[0]], *(graph.parameter(layer, key) for key in ("weight", "bias") if key in layer.params)]
    output = graph.before_output(layer)
    if layer.attrs["activation"] == "relu":
        linear = graph.node("Gemm", inputs, graph.names.claim(f"{layer.name}.linear"), layer.name, transB=1)
        graph.node("Relu", [linear], output, graph.names.claim(f"{layer.name}.relu"))
    else:
        graph.node("Gemm", inputs, output, layer.name, transB=1)
    graph.finish(layer, output)


def _softmax(graph: _Graph, layer: Layer) -> None:
    graph.finish(layer, graph.node("Softmax", [graph.tensors[layer.inputs[0]]], graph.before_output(layer), layer.name, axis=-1))


def _normalise(graph: _Graph, layer: Layer) -> None:
    x = graph.tensors[layer.inputs[0]]

    def step(operator: str, inputs: list[str], part: str, **attributes: Any) -> str:
        return graph.node(
            operator, inputs, graph.names.claim(f"{layer.name}.{part}"), graph.names.claim(f"{layer.name}.{part}_node"), **attributes
        )

    square = step("Mul", [x, x], "square")
    mean = step("ReduceMean", [square], "mean", axes=[-1], keepdims=1)
    root = step("Sqrt", [mean], "root")
    divisor = step("Add", [root, graph.constant(f"{layer.name}.eps", np.array(layer.attrs["eps"], np.float32))], "divisor")
    graph.finish(layer, graph.node("Div", [x, divisor], graph.before_output(layer), layer.name))


def _label(graph: _Graph, layer: Layer) -> None:
    value = graph.constant(f"{layer.name}.neutral", np.array(layer.attrs["neutral"], np.float32))
    pads = graph.constant(f"{layer.name}.pads", np.array([0, layer.attrs["classes"], 0, 0], np.int64))
    graph.finish(
        layer, graph.node("Pad", [graph.tensors[layer.inputs[0]], pads, value], graph.before_output(layer), layer.name, mode="constant")
    )


_FORMS: dict[str, Callable[[_Graph, Layer], None]] = {"dense": _dense, "softmax": _softmax, "normalise": _normalise, "label": _label}
