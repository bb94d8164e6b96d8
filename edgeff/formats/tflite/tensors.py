"""A tensor of a TFLite file under construction, with its number format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeff.formats.tflite.schema import schema
from edgeff.ir import Quant

DTYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "uint8": schema.TensorType.UINT8,
    "uint32": schema.TensorType.UINT32,
    "uint64": schema.TensorType.UINT64,
    "bool": schema.TensorType.BOOL,
    "resource": schema.TensorType.RESOURCE,
}


def new_tensor(name: str, dtype: str, shape: Sequence[int], buffer: int, quant: Quant | None) -> Any:
    """A tensor object of the schema; ``buffer`` is the number of the one with its data, 0 for none."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.array(shape, np.int32), DTYPES[dtype], buffer
    if quant is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array(quant.scale, np.float32)
        tensor.quantization.zeroPoint = np.full(len(quant.scale), quant.zero_point, np.int64)
        tensor.quantization.quantizedDimension = quant.axis or 0
    return tensor
