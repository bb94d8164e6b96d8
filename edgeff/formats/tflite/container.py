"""A TFLite file under construction: subgraphs with tensors and operators, the buffers of their constants, signatures and metadata.

Operators carry version 1 unless told otherwise: the runtimes look up an operator by its version and check the types of its tensors when
they prepare it, so an older number runs wherever the types are supported (established in ``edgeff.formats.tflite.writer``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeff.formats.tflite.packing import pack
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.tensors import DTYPES, new_tensor
from edgeff.ir import Array, Quant

_OTHER_OPTIONS: Mapping[str, str] = {
    "BATCH_MATMUL": "BatchMatMulOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "PADV2": "PadV2Options",
    "REDUCE_MAX": "ReducerOptions",
    "SELECT_V2": "SelectV2Options",
    "SUM": "ReducerOptions",
}


class Container:
    """The parts of the file made so far."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.subgraphs: list[Subgraph] = []
        self.signatures: list[Any] = []
        self._buffers: list[bytes] = [b""]  # the schema requires buffer 0 to be empty
        self._same_buffer: dict[bytes, int] = {b"": 0}
        self._codes: dict[tuple[int, int], int] = {}

    def subgraph(self, name: str) -> Subgraph:
        """A new subgraph, after those there are."""
        self.subgraphs.append(Subgraph(self, name))
        return self.subgraphs[-1]

    def buffer(self, data: bytes) -> int:
        """The number of the buffer that holds ``data``; equal ones are one."""
        if data not in self._same_buffer:
            self._same_buffer[data] = len(self._buffers)
            self._buffers.append(data)
        return self._same_buffer[data]

    def code(self, name: str, version: int) -> int:
        """The number of an operator's entry in the file."""
        return self._codes.setdefault((getattr(schema.BuiltinOperator, name), version), len(self._codes))

    def sign(self, key: str, subgraph: Subgraph) -> None:
        """Makes ``subgraph`` callable by the name ``key``, with the names of its inputs and outputs."""
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, self.subgraphs.index(subgraph)
        signature.inputs, signature.outputs = _named(subgraph.inputs), _named(subgraph.outputs)
        self.signatures.append(signature)

    def finish(self, metadata: Mapping[str, bytes]) -> bytes:
        """The file, with ``metadata`` by name."""
        model = schema.ModelT()
        model.version, model.description = 3, self.description
        model.subgraphs = [subgraph.finish() for subgraph in self.subgraphs]
        model.signatureDefs = self.signatures
        model.operatorCodes = []
        for builtin, version in self._codes:
            code = schema.OperatorCodeT()
            # Readers older than 2020 know only the one-byte field; 127 stands there for all later operators.
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        model.metadata = []
        buffers = list(self._buffers)
        for name, data in metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, len(buffers)
            buffers.append(data)
            model.metadata.append(entry)
        return pack(model, buffers)


def _named(tensors: Mapping[str, int]) -> list[Any]:
    entries = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    return entries


class Subgraph:
    """The tensors and operators made so far; ``inputs`` and ``outputs`` are tensors by their names in a signature."""

    def __init__(self, container: Container, name: str) -> None:
        self.container, self.name = container, name
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.operators: list[Any] = []
        self.tensors: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def tensor(self, name: str, dtype: str, shape: Sequence[int], buffer: int = 0, quant: Quant | None = None) -> int:
        """The index of a new tensor."""
        self.tensors.append(new_tensor(name, dtype, shape, buffer, quant))
        return len(self.tensors) - 1

    def input(self, name: str, dtype: str, shape: Sequence[int], quant: Quant | None = None) -> int:
        """The index of a new tensor that is fed."""
        self.inputs[name] = self.tensor(name, dtype, shape, quant=quant)
        return self.inputs[name]

    def output(self, name: str, source: int, dtype: str, shape: Sequence[int], quant: Quant | None = None) -> int:
        """The index of a new tensor that is given: a copy of ``source``."""
        self.outputs[name] = self.tensor(name, dtype, shape, quant=quant)
        sizes = self.constant(np.array(shape, np.int32))
        self.operator("RESHAPE", [source, sizes], [self.outputs[name]], newShape=list(shape))
        return self.outputs[name]

    def constant(self, values: Array) -> int:
        """The index of a tensor with data; equal ones are one."""
        array = np.ascontiguousarray(values).reshape(values.shape)
        key = array.dtype.name, array.shape, array.tobytes()
        if key not in self._constants:
            buffer = self.container.buffer(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            self._constants[key] = self.tensor(f"constant_{len(self._constants)}", array.dtype.name, array.shape, buffer)
        return self._constants[key]

    def operator(self, name: str, inputs: Iterable[int], outputs: Iterable[int], *, version: int = 1, **options: Any) -> None:
        """Adds an operator; ``options`` are the fields of its options table."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.container.code(name, version)
        operator.inputs, operator.outputs = np.array(list(inputs), np.int32), np.array(list(outputs), np.int32)
        table = _OTHER_OPTIONS.get(name, "".join(word.capitalize() for word in name.split("_")) + "Options")
        if hasattr(schema.BuiltinOptions, table):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = _filled(table, options)
        elif hasattr(schema.BuiltinOptions2, table):
            operator.builtinOptions2Type = getattr(schema.BuiltinOptions2, table)
            operator.builtinOptions2 = _filled(table, options)
        self.operators.append(operator)

    def finish(self) -> Any:
        """The schema's object."""
        self._copy_before_reshapes()
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = self.name, self.tensors, self.operators
        subgraph.inputs = np.array(list(self.inputs.values()), np.int32)
        subgraph.outputs = np.array(list(self.outputs.values()), np.int32)
        return subgraph

    def _copy_before_reshapes(self) -> None:
        """Gives a RESHAPE whose input others read, and whose output an operator reads, a copy of its own.

        LiteRT 2.3 lets a RESHAPE share the memory of its input, and then an operator after it work in place, though others still read that
        input: they see what was computed from it.
        """
        read = Counter(int(index) for operator in self.operators for index in operator.inputs)
        uses = read + Counter(self.outputs.values())
        reshape, operators = self.container.code("RESHAPE", 1), self.operators
        self.operators = []
        for operator in operators:
            source = int(operator.inputs[0]) if operator.opcodeIndex == reshape else -1
            if source >= 0 and uses[source] > 1 and read[int(operator.outputs[0])] and not self.tensors[source].buffer:
                operator.inputs = np.array([self._copy(source), *operator.inputs[1:]], np.int32)
            self.operators.append(operator)

    def _copy(self, source: int) -> int:
        tensor = self.tensors[source]
        dtype = next(name for name, number in DTYPES.items() if number == tensor.type)
        copy = self.tensor(f"{tensor.name}/copy_{len(self.tensors)}", dtype, tensor.shape)
        if len(tensor.shape):
            ends = [self.constant(np.array(values, np.int32)) for values in (np.zeros(len(tensor.shape)), tensor.shape)]
            self.operator("SLICE", [source, *ends], [copy])
        else:
            self.operator("MAXIMUM", [source, source], [copy])
        return copy


def _filled(table: str, options: Mapping[str, Any]) -> Any:
    made = getattr(schema, table + "T")()
    for field, value in options.items():
        setattr(made, field, value)
    return made
