"""TFLite files as other tools might write them, packed with the schema's own object classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from edgeff.formats.tflite.schema import schema
from edgeff.ir import Array

TYPES = schema.TensorType
CODES = {
    "float32": TYPES.FLOAT32,
    "int8": TYPES.INT8,
    "uint8": TYPES.UINT8,
    "int16": TYPES.INT16,
    "int32": TYPES.INT32,
    "int64": TYPES.INT64,
    "float16": TYPES.FLOAT16,
}
VALID = schema.Padding.VALID
IMAGE = (1, 6, 6, 2)
Q: dict[str, Any] = {"scale": [0.05], "zero": 4}
"""The scale of most activations of a ``Graph``."""


@dataclass
class File:
    """A model under construction; ``tensor`` and ``operator`` add to it, ``pack`` gives its bytes."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        data: Array | None = None,
        scale: Sequence[float] | None = None,
        zero: int = 0,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.array(shape, np.int32), CODES[dtype], 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.astype(dtype).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(scale, np.float32)
            tensor.quantization.zeroPoint = np.full(len(scale), zero, np.int64)
            tensor.quantization.quantizedDimension = axis
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options_name: str = "", **options: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = (
            len(self.codes) - 1,
            np.array(inputs, np.int32),
            np.array(outputs, np.int32),
        )
        if options_name:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
            operator.builtinOptions = getattr(schema, options_name + "T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)

    def dense(self, inputs: Sequence[int], output: int, fused: str = "NONE", **options: Any) -> None:
        code = getattr(schema.ActivationFunctionType, fused)
        self.operator("FULLY_CONNECTED", inputs, [output], "FullyConnectedOptions", fusedActivationFunction=code, **options)

    def pack(self, inputs: Sequence[int], outputs: Sequence[int], *, subgraphs: int = 1) -> bytes:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "main", self.tensors, self.operators
        graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version, model.description, model.buffers = 3, "elsewhere", self.buffers
        model.subgraphs, model.operatorCodes = [graph] * subgraphs, self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


EXTREMES = (0, 1, -1, 2, 3, 7, 127, -128, 255, 1 << 15, 1 << 24, 2**31 - 1, -(2**31))
INT32 = ("strideH", "strideW", "filterHeight", "filterWidth", "dilationHFactor", "dilationWFactor", "depthMultiplier", "quantizedDimension")
UINT8 = ("builtinOptionsType", "builtinOptions2Type", "detailsType")
UINT32 = ("buffer", "opcodeIndex", "externalBuffer", "largeCustomOptionsOffset", "largeCustomOptionsSize", "debugMetadataIndex")
RANGES = dict.fromkeys(INT32, (-(2**31), 2**31 - 1)) | dict.fromkeys(UINT8, (0, 255)) | dict.fromkeys(UINT32, (0, 2**31 - 1))
"""The least and largest number of a field; of the others int8's."""


def numbers(record: Any) -> list[tuple[Any, str, int | None]]:
    """Where the numbers of one of the schema's objects are: the object, the field, the index in a vector (the first eight)."""
    places: list[tuple[Any, str, int | None]] = []
    for key, value in vars(record).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            places.append((record, key, None))
        elif isinstance(value, np.ndarray):
            places += [(record, key, index) for index in range(min(value.size, 8))]
        else:
            inner = value if isinstance(value, list) else [value]
            places += [place for item in inner if hasattr(item, "__dict__") for place in numbers(item)]
    return places


def with_changed_numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """A well-formed flatbuffer with up to three numbers of its subgraph changed, sometimes with two operators exchanged."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    for _ in range(int(rng.integers(1, 4))):
        places = numbers(graph)
        record, key, index = places[int(rng.integers(len(places)))]
        old, extreme = getattr(record, key), EXTREMES[int(rng.integers(len(EXTREMES)))]
        if index is not None:
            old = old.copy()
            old[index] = np.int64(extreme).astype(old.dtype) if rng.random() < 0.6 else old[index] + old.dtype.type(1)
            setattr(record, key, old)
        elif isinstance(old, int):
            low, high = RANGES.get(key, (-128, 127))
            setattr(record, key, min(max(extreme, low), high))
        else:
            setattr(record, key, float(extreme))
    if rng.random() < 0.2:
        first, second = rng.integers(len(graph.operators), size=2)
        graph.operators[first], graph.operators[second] = graph.operators[second], graph.operators[first]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class Graph(File):
    """A file over one image, float or int8; each method adds an operator and gives its output."""

    def __init__(self, dtype: str = "int8", shape: tuple[int, ...] = IMAGE, **quant: Any) -> None:
        super().__init__()
        self.dtype, self.rng = dtype, np.random.default_rng(29)
        self.x = self.image("x", shape, **quant)

    def image(self, name: str, shape: tuple[int, ...], **quant: Any) -> int:
        return self.tensor(name, shape, self.dtype, **((Q | quant) if self.dtype == "int8" else {}))

    def op(
        self, name: str, inputs: list[int], shape: tuple[int, ...], options: str = "", quant: dict[str, Any] | None = None, **fields: Any
    ) -> int:
        y = self.image(f"{name.lower()}_{len(self.tensors)}", shape, **(quant or {}))
        self.operator(name, inputs, [y], options, **fields)
        return y

    def conv(
        self,
        x: int,
        shape: tuple[int, ...],
        weight: tuple[int, ...] = (3, 3, 3, 2),
        *,
        bias: bool = True,
        weights: dict[str, Any] | None = None,
        biases: dict[str, Any] | None = None,
        quant: dict[str, Any] | None = None,
        name: str = "CONV_2D",
        **fields: Any,
    ) -> int:
        options = {"padding": VALID, "strideH": 1, "strideW": 1} | fields
        channels = weight[0] if name == "CONV_2D" else weight[3]
        if self.dtype == "int8":
            w: dict[str, Any] = {"data": self.rng.integers(-127, 128, weight), "scale": [0.02]} | (weights or {})
            b: dict[str, Any] = {"data": self.rng.integers(-500, 500, channels), "scale": [0.05 * 0.02]} | (biases or {})
            inputs = [x, self.tensor("w", weight, "int8", **w)] + ([self.tensor("b", (channels,), "int32", **b)] if bias else [])
        else:
            w = {"data": self.rng.normal(size=weight)} | (weights or {})
            inputs = [x, self.tensor("w", weight, **w)] + (
                [self.tensor("b", (channels,), data=self.rng.normal(size=channels))] if bias else []
            )
        return self.op(
            name,
            inputs,
            shape,
            "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions",
            {"scale": [0.4]} | (quant or {}),
            **options,
        )

    def pad(self, x: int, shape: tuple[int, ...], rows: list[list[int]], quant: dict[str, Any] | None = None) -> int:
        pads = self.tensor("pads", (len(rows), 2), "int32", data=np.array(rows))
        return self.op("PAD", [x, pads], shape, "PadOptions", quant)

    def axes(self, *values: int) -> int:
        return self.tensor("axes", (len(values),), "int32", data=np.array(values))

    def done(self, y: int) -> bytes:
        return self.pack([self.x], [y])


def pool(
    graph: Graph, x: int, shape: tuple[int, ...], name: str = "MAX_POOL_2D", quant: dict[str, Any] | None = None, **fields: Any
) -> int:
    options = {"padding": VALID, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2} | fields
    return graph.op(name, [x], shape, "Pool2DOptions", quant, **options)
