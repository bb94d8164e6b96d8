"""TFLite files as other tools might write them, packed with the schema's own object classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from edgeff.importers.tflite_schema import schema
from edgeff.ir import Array

TYPES = schema.TensorType
CODES = {
    "float32": TYPES.FLOAT32,
    "int8": TYPES.INT8,
    "uint8": TYPES.UINT8,
    "int32": TYPES.INT32,
    "int64": TYPES.INT64,
    "float16": TYPES.FLOAT16,
}


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
