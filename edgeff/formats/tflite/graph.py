"""A TFLite subgraph under construction: tensors, operators and buffers, and the file they become."""

from __future__ import annotations

from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from edgeff.errors import Unsupported, short
from edgeff.formats.names import Names
from edgeff.formats.tflite import METADATA_NAME
from edgeff.formats.tflite.packing import pack
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.tensors import new_tensor
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import kind, raw_input


class Graph:
    """The tensors, operators and buffers made so far; ``indices`` maps a layer (or "input") to its output's tensor, ``shapes`` to its shape
    without the batch axis and ``quants`` to its scale; ``spread`` holds the zeros between pixels that the convolution after them writes.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.names = Names(network)
        self.buffers: list[bytes] = [b""]  # the schema requires buffer 0 to be empty
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[tuple[int, int, str], int] = {}
        self.int8 = network.input_quant is not None
        self.shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
        self.quants = {"input": network.input_quant} | {layer.name: layer.quant.get("output") for layer in network}
        self.inputs: list[int] = []
        self.spread: dict[str, Layer] = {}
        self.resources: list[tuple[Any, Any]] = []
        if raw_input(network) == "int16":
            self.indices = {"input": self._activation("input", network.input_shape, "int16", None)}
        else:
            self.indices = {"input": self.activation("input", network.input_shape, network.input_quant)}

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: str, buffer: int, quant: Quant | None) -> Any:
        tensor = new_tensor(name, dtype, shape, buffer, quant)
        self.tensors.append(tensor)
        return tensor

    def activation(self, name: str, shape: tuple[int, ...], quant: Quant | None) -> int:
        """The index of a new tensor (1, *shape), of float32, or of integers as its scale says."""
        if not self.int8 or (quant is not None and quant.dtype == "float32"):
            return self._activation(name, shape, "float32", None)
        return self._activation(name, shape, "int8" if quant is None else quant.dtype, quant)

    def real(self, wish: str, shape: tuple[int, ...]) -> int:
        """The index of a new float32 tensor (1, *shape), in an int8 network too."""
        return self._activation(self.names.claim(wish), shape, "float32", None)

    def _activation(self, name: str, shape: tuple[int, ...], dtype: str, quant: Quant | None) -> int:
        tensor = self._tensor(name, (1, *shape), dtype, 0, quant)
        tensor.shapeSignature = np.array((-1, *shape), np.int32)
        return len(self.tensors) - 1

    def source(self, layer: Layer) -> int:
        """The index of the tensor that ``layer`` reads."""
        return self.indices[layer.inputs[0]]

    def between(self, layer: Layer, what: str, shape: tuple[int, ...], quant: Quant | None) -> int:
        """The index of a new tensor that is called ``layer.what``: a step before or after the layer's operator."""
        return self.activation(self.names.claim(f"{layer.name}.{what}"), shape, quant)

    def constant(self, wish: str, array: Array, quant: Quant | None = None) -> int:
        """The index of a new tensor with data."""
        self.buffers.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self._tensor(self.names.claim(wish), array.shape, array.dtype.name, len(self.buffers) - 1, quant)
        return len(self.tensors) - 1

    def variable(self, wish: str, shape: tuple[int, ...], dtype: str, quant: Quant | None = None) -> int:
        """The index of a new tensor that an operator keeps from one inference to the next."""
        self._tensor(self.names.claim(wish), shape, dtype, 0, quant).isVariable = True
        return len(self.tensors) - 1

    def bare(self, wish: str, dtype: str, shape: tuple[int, ...]) -> int:
        """The index of a new tensor of any type, without a batch axis or a scale."""
        self._tensor(self.names.claim(wish), shape, dtype, 0, None)
        return len(self.tensors) - 1

    def resource(self, wish: str, shape: tuple[int, ...], quant: Quant | None = None) -> int:
        """The index of a new variable that lives on its own and starts at zero: of float32, or int8 with ``quant``."""
        name = self.names.claim(wish)
        tensor = self._tensor(name, (), "resource", 0, None)
        index = len(self.tensors) - 1
        self.operator("VAR_HANDLE", [], index, "VarHandleOptions", version=1, container="", sharedName=name)
        start = np.zeros(shape, np.float32) if quant is None else np.full(shape, quant.zero_point, np.int8)
        self.buffers.append(start.tobytes())
        self.resources.append((tensor, new_tensor(f"{name}.start", start.dtype.name, shape, len(self.buffers) - 1, quant)))
        return index

    def given(self, layer: Layer) -> None:
        """Makes the output of ``layer``, a constant: a tensor with data, with a batch axis where a reader has as many axes."""
        array, quant = layer.params["output"], layer.quant.get("output")
        batched = any(layer.name in other.inputs and len(other.shape) == array.ndim for other in self.network)
        self.buffers.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self._tensor(layer.name, (1,) * batched + array.shape, array.dtype.name, len(self.buffers) - 1, quant)
        self.indices[layer.name] = len(self.tensors) - 1

    def parameters(self, layer: Layer) -> list[int]:
        """The indices of the layer's weight and, where it has one, bias."""
        keys = [key for key in ("weight", "bias") if key in layer.params]
        return [self.constant(f"{layer.name}.{key}", layer.params[key], layer.quant.get(key)) for key in keys]

    def operator(
        self, name: str, inputs: list[int], output: int, options_name: str = "", *, version: int | None = None, **options: Any
    ) -> int:
        """The output of a new operator; ``options`` are the fields of its options table. Its version defaults to 1 for float and 2 for
        int8, as for most operators.
        """
        version = version or (2 if self.int8 else 1)
        self.operators.append(self._operator(name, inputs, [output], options_name, version=version, **options))
        return output

    def custom(self, name: str, inputs: list[int], outputs: list[int], **options: int) -> list[int]:
        """The outputs of a new custom operator, whose options are a map of integers."""
        operator = self._operator("CUSTOM", inputs, outputs, "", version=1, custom=name)
        builder = flexbuffers.Builder()
        with builder.Map():
            for key, value in sorted(options.items()):
                builder.Int(key, value)
        operator.customOptions = np.frombuffer(bytes(builder.Finish()), np.uint8)
        self.operators.append(operator)
        return outputs

    def assign(self, variable: int, value: int) -> None:
        """Makes the tensor ``value`` what a variable of ``resource`` holds from then on."""
        self.operators.append(self._operator("ASSIGN_VARIABLE", [variable, value], [], "AssignVariableOptions", version=1))

    def _operator(
        self, name: str, inputs: list[int], outputs: list[int], options_name: str, *, version: int, custom: str = "", **options: Any
    ) -> Any:
        code = self.codes.setdefault((getattr(schema.BuiltinOperator, name), version, custom), len(self.codes))
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options_name:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
            operator.builtinOptions = getattr(schema, options_name + "T")()
            for field, value in options.items():
                setattr(operator.builtinOptions, field, value)
        return operator

    def reshape(self, source: int, layer: Layer, what: str, shape: tuple[int, ...], quant: Quant | None) -> int:
        """The index of the tensor ``source`` in another shape, called ``layer.what``."""
        return self.reshaped(source, self.between(layer, what, shape, quant), f"{layer.name}.{what}.shape", shape)

    def reshaped(self, source: int, output: int, wish: str, shape: tuple[int, ...]) -> int:
        """``output``, made of ``source`` by a RESHAPE to (1, *shape)."""
        to = self.constant(wish, np.array((1, *shape), np.int32))
        return self.operator("RESHAPE", [source, to], output, "ReshapeOptions", version=1, newShape=[1, *shape])

    def output(self, layer: Layer, shape: tuple[int, ...] | None = None) -> int:
        """The index of the tensor that ``layer`` makes, of the layer's shape unless ``shape`` is given."""
        self.indices[layer.name] = self.activation(layer.name, layer.shape if shape is None else shape, layer.quant.get("output"))
        return self.indices[layer.name]

    def fused(self, layer: Layer) -> dict[str, Any]:
        """The options that fuse the layer's activation function into its operator, and that say that int16 activations are summed in 32
        bits.
        """
        narrow = layer.numeric == "int16" and "bias" in layer.params and layer.params["bias"].dtype == np.int32
        sums = {"quantizedBiasType": schema.TensorType.INT32} if narrow else {}
        return {"fusedActivationFunction": getattr(schema.ActivationFunctionType, kind(layer).function.tflite)} | sums

    def float_only(self, layer: Layer) -> None:
        """Returns nothing; raises Unsupported for an integer layer that TFLite supports only in float32."""
        if layer.quant:
            where = f"layer {short(layer.name)}, {layer.kind}"
            raise Unsupported(where, got=layer.numeric, allowed="float32 in TFLite files", next_step="write it as ONNX or C")

    def finish(self, metadata: bytes) -> bytes:
        """The file."""
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = self.network.name, self.tensors, self.operators
        subgraph.inputs = np.array([self.indices["input"], *self.inputs], np.int32)
        subgraph.outputs = np.array([self.indices[layer.name] for layer in self.network.ends], np.int32)
        model = schema.ModelT()
        model.version, model.description, model.subgraphs = 3, "edgeff", [subgraph]
        if self.resources:
            model.subgraphs.append(self._start())
            subgraph.operators.insert(0, self._operator("CALL_ONCE", [], [], "CallOnceOptions", version=1, initSubgraphIndex=1))
        model.operatorCodes = []
        for builtin, version, custom in self.codes:
            code = schema.OperatorCodeT()
            code.customCode = custom or None
            # Readers older than 2020 know only the one-byte field; 127 stands there for all later operators.
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, len(self.buffers)
        model.metadata = [entry]
        return pack(model, [*self.buffers, metadata])

    def _start(self) -> Any:
        """The subgraph that gives the variables what they start as."""
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = "start", [], []
        subgraph.inputs = subgraph.outputs = np.zeros(0, np.int32)
        for handle, start in self.resources:
            number = len(subgraph.tensors)
            name = handle.name
            subgraph.tensors += [new_tensor(name, "resource", (), 0, None), start]
            subgraph.operators += [
                self._operator("VAR_HANDLE", [], [number], "VarHandleOptions", version=1, container="", sharedName=name),
                self._operator("ASSIGN_VARIABLE", [number, number + 1], [], "AssignVariableOptions", version=1),
            ]
        return subgraph
