"""Network -> TFLite: a file for LiteRT and for TFLM, the interpreter that boards run.

In goes a float32 or int8 network; out come the bytes of a flatbuffer with batch 1 (shape signature -1). A dense layer is FULLY_CONNECTED
with RELU fused in, softmax is SOFTMAX, normalise (float only) is MUL, MEAN, SQRT, ADD and DIV, label (neutral, float only) is PADV2. Input
and output of an int8 network are int8 tensors. Tensors are called as their layers. What TFLite has no word for is JSON in the metadata
buffer ``edgeff``: {"network": importers.description, "metadata": ..}.

Refused: int8 normalise and label, int16, layer kinds outside conventions.OPS.

Operator versions are those of TensorFlow's op_version.cc: FULLY_CONNECTED 1 for float and 4 for int8, SOFTMAX 1 and 2. Established by
running every version of FULLY_CONNECTED from 1 to 16 (tflite-micro 0.dev20261023, ai-edge-litert 2.3.0; float, int8 per tensor and int8
per channel, with a bias and without one): TFLM looks at no operator version and runs all of them, per-channel int8 weights included;
LiteRT's resolvers, BUILTIN_REF among them, take 1 to 14 and refuse 15 up ("Didn't find op .. version"), and the version changes no result:
per-channel int8 runs at every version that is taken. A missing bias is input -1 (or two inputs) for both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.exporters.flatbuffer import pack
from edgeff.exporters.names import Names
from edgeff.importers import conventions, description
from edgeff.importers.files import write_file
from edgeff.importers.tflite import METADATA_NAME
from edgeff.importers.tflite_schema import schema
from edgeff.ir import Array, Layer, Network, Quant

_DTYPES = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}
_FUSED = {"none": schema.ActivationFunctionType.NONE, "relu": schema.ActivationFunctionType.RELU}


def to_tflite(network: Network) -> bytes:
    """The TFLite file of ``network``; the same network gives the same bytes. Raises BadInput or Unsupported as the module's docstring
    says.
    """
    conventions.check(network)
    graph = _Graph(network)
    for layer in network:
        _FORMS[layer.op](graph, layer)
    record = {"network": description.describe(network), "metadata": dict(network.metadata)}
    return graph.finish(description.to_json(record, f"metadata of network {conventions.short(network.name)}").encode("ascii"))


def write_tflite(network: Network, path: Path | str) -> Path:
    """``path``, now holding the TFLite file of ``network``. Raises BadInput when it cannot be written."""
    return write_file(Path(path), to_tflite(network))


class _Graph:
    """The tensors, operators and buffers made so far; ``indices`` maps a layer (or "input") to its output's tensor."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.names = Names(network)
        self.buffers: list[bytes] = [b""]  # buffer 0 is empty by the schema's rule
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[tuple[int, int], int] = {}
        self.numeric = "float32" if network.input_quant is None else "int8"
        self.indices = {"input": self.activation("input", network.input_shape, network.input_quant)}

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: str, buffer: int, quant: Quant | None) -> Any:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.array(shape, np.int32), _DTYPES[dtype], buffer
        if quant is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(quant.scale, np.float32)
            tensor.quantization.zeroPoint = np.full(len(quant.scale), quant.zero_point, np.int64)
            tensor.quantization.quantizedDimension = quant.axis or 0
        self.tensors.append(tensor)
        return tensor

    def activation(self, name: str, shape: tuple[int, ...], quant: Quant | None) -> int:
        """The index of a new tensor (1, *shape), of float32 or int8 as the network is."""
        tensor = self._tensor(name, (1, *shape), self.numeric, 0, quant)
        tensor.shapeSignature = np.array((-1, *shape), np.int32)
        return len(self.tensors) - 1

    def constant(self, wish: str, array: Array, quant: Quant | None = None) -> int:
        """The index of a new tensor with data."""
        self.buffers.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self._tensor(self.names.claim(wish), array.shape, array.dtype.name, len(self.buffers) - 1, quant)
        return len(self.tensors) - 1

    def operator(self, name: str, version: int, inputs: list[int], output: int, options_name: str = "", **options: Any) -> int:
        """The output of a new operator; ``options`` are the fields of its options table."""
        code = self.codes.setdefault((getattr(schema.BuiltinOperator, name), version), len(self.codes))
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, np.array(inputs, np.int32), np.array([output], np.int32)
        if options_name:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
            operator.builtinOptions = getattr(schema, options_name + "T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)
        return output

    def output(self, layer: Layer) -> int:
        """The index of the tensor that ``layer`` makes."""
        self.indices[layer.name] = self.activation(layer.name, layer.shape, layer.quant.get("output"))
        return self.indices[layer.name]

    def finish(self, metadata: bytes) -> bytes:
        """The file."""
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = self.network.name, self.tensors, self.operators
        subgraph.inputs = np.array([self.indices["input"]], np.int32)
        subgraph.outputs = np.array([self.indices[self.network.layers[-1].name]], np.int32)
        model = schema.ModelT()
        model.version, model.description, model.subgraphs = 3, "edgeff", [subgraph]
        model.operatorCodes = []
        for builtin, version in self.codes:
            code = schema.OperatorCodeT()
            # Readers older than 2020 know the one-byte field alone; 127 stands there for all later operators.
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, len(self.buffers)
        model.metadata = [entry]
        return pack(model, [*self.buffers, metadata])


def _dense(graph: _Graph, layer: Layer) -> None:
    inputs = [graph.indices[layer.inputs[0]]]
    for key in ("weight", "bias"):
        present = key in layer.params
        inputs.append(graph.constant(f"{layer.name}.{key}", layer.params[key], layer.quant.get(key)) if present else -1)
    version = 4 if layer.quant else 1
    fused = _FUSED[str(layer.attrs["activation"])]
    graph.operator("FULLY_CONNECTED", version, inputs, graph.output(layer), "FullyConnectedOptions", fusedActivationFunction=fused)


def _softmax(graph: _Graph, layer: Layer) -> None:
    version = 2 if layer.quant else 1
    graph.operator("SOFTMAX", version, [graph.indices[layer.inputs[0]]], graph.output(layer), "SoftmaxOptions", beta=1.0)


def _normalise(graph: _Graph, layer: Layer) -> None:
    _float_only(layer)
    x = graph.indices[layer.inputs[0]]

    def part(name: str, shape: tuple[int, ...]) -> int:
        return graph.activation(graph.names.claim(f"{layer.name}.{name}"), shape, None)

    square = graph.operator("MUL", 1, [x, x], part("square", layer.shape), "MulOptions")
    axis = graph.constant(f"{layer.name}.axis", np.array([1], np.int32))
    mean = graph.operator("MEAN", 1, [square, axis], part("mean", (1,)), "ReducerOptions", keepDims=True)
    root = graph.operator("SQRT", 1, [mean], part("root", (1,)))
    eps = graph.constant(f"{layer.name}.eps", np.array([layer.attrs["eps"]], np.float32))
    divisor = graph.operator("ADD", 1, [root, eps], part("divisor", (1,)), "AddOptions")
    graph.operator("DIV", 1, [x, divisor], graph.output(layer), "DivOptions")


def _label(graph: _Graph, layer: Layer) -> None:
    _float_only(layer)
    pads = graph.constant(f"{layer.name}.pads", np.array([[0, 0], [layer.attrs["classes"], 0]], np.int32))
    value = graph.constant(f"{layer.name}.neutral", np.array([layer.attrs["neutral"]], np.float32))
    graph.operator("PADV2", 1, [graph.indices[layer.inputs[0]], pads, value], graph.output(layer), "PadV2Options")


def _float_only(layer: Layer) -> None:
    if layer.quant:
        where = f"layer {conventions.short(layer.name)}, {layer.op}"
        raise Unsupported(where, got="int8", allowed="float32 in TFLite files", next_step="write it as ONNX or C")


_FORMS: dict[str, Callable[[_Graph, Layer], None]] = {"dense": _dense, "softmax": _softmax, "normalise": _normalise, "label": _label}
