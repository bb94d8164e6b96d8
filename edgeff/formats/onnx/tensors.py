"""TensorProto -> NumPy array, with every size checked before anything is allocated.

In goes an initialiser or the value of a Constant node; out comes an array of float32, int8, uint8, int32 or int64. Refused: data in
external files, other element types, shapes that the data do not fill, numbers that do not fit the element type.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx

from edgeff.errors import BadInput, Unsupported
from edgeff.formats.conventions import check_finite, short
from edgeff.ir import Array

DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
}
MAX_RANK = 8


def text(value: str | bytes) -> str:
    """A protobuf string; ONNX is proto2, so one that is not UTF-8 arrives as bytes and is returned with backslash escapes."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def read_tensor(proto: onnx.TensorProto) -> Array:
    """The array of ``proto``, read-only; raises BadInput or Unsupported with the tensor's name."""
    where = f"ONNX tensor {short(text(proto.name))}"
    if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
        raise Unsupported(
            where, got="data in an external file", allowed="data inside the model", next_step="save it with save_as_external_data=False"
        )
    if proto.HasField("segment"):
        raise Unsupported(where, got="a segmented tensor", allowed="a tensor in one piece")
    if proto.data_type not in DTYPES:
        raise Unsupported(where, got=f"element type {_type_name(proto.data_type)}", allowed=", ".join(DTYPES.values()))
    dtype = np.dtype(DTYPES[proto.data_type])
    shape = tuple(int(size) for size in proto.dims)
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise BadInput(where, got=f"shape {shape}", allowed=f"at most {MAX_RANK} axes of 0 or more elements")
    elements = prod(shape)
    if proto.HasField("raw_data"):
        raw = proto.raw_data
        if len(raw) != elements * dtype.itemsize:
            raise BadInput(where, got=f"{len(raw)} bytes", allowed=f"{elements * dtype.itemsize} for {dtype} {shape}")
        array = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False)
    else:
        field: Any = {"float32": proto.float_data, "int64": proto.int64_data}.get(dtype.name, proto.int32_data)
        if len(field) != elements:
            raise BadInput(where, got=f"{len(field)} values", allowed=f"{elements} for {dtype} {shape}")
        wide = np.fromiter(field, np.float32 if dtype.kind == "f" else np.int64, count=elements)
        array = wide.astype(dtype)
        if dtype.kind != "f" and not np.array_equal(array, wide):
            raise BadInput(where, got=f"values from {wide.min()} to {wide.max()}", allowed=f"those of {dtype}")
    check_finite(array, where)
    return array.reshape(shape)


def _type_name(number: int) -> str:
    known = onnx.TensorProto.DataType.values()
    return onnx.TensorProto.DataType.Name(number) if number in known else str(number)
