"""TFLite -> Network: edgeff's own files exactly, and dense and convolutional models made elsewhere.

In go the bytes of a model; out comes a Network: float32, int8, or int16 activations with int8 weights. Read are the operators of
``nodes.handlers``: dense layers, convolutions and pools (dilation 1; fused NONE, RELU or RELU6; with or without a bias; int8 weights per
tensor or per channel), sums of two activations, means over an image, ReLUs, SOFTMAX, operators that move data, QUANTIZE and DEQUANTIZE, and
the five operators of a normalise layer. Layers are named after their output tensors, since TFLite operators have no names. uint8 inputs of
a QUANTIZE with zero point z become int8 with z - 128, the same numbers. int8 weights in float models ("hybrid", dynamic range) become
float32, and ``metadata["source"]`` counts them.

Refused: everything else by name, including sparse or block-wise tensors, subgraphs that no CALL_ONCE names, tensors whose shape is not
the one their operator gives, buffers outside the flatbuffer. The bytes are untrusted: ``flatbuffer`` checks each offset, this module each
index, shape and length before it takes a view. Source: tensorflow/lite/schema.fbs, version 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput, Unsupported, one_line
from edgeff.formats import description
from edgeff.formats.assembly import Assembly
from edgeff.formats.conventions import check_finite, short
from edgeff.formats.files import read_file
from edgeff.formats.tflite import IDENTIFIER, METADATA_NAME, TRAINING_NAME
from edgeff.formats.tflite.audio import CHAIN, FrontEnd, Step, front_end
from edgeff.formats.tflite.flatbuffer import Table, damaged, root
from edgeff.formats.tflite.nodes import handlers
from edgeff.formats.tflite.operators import Tensor, TfliteNode
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.tflite.variables import name_of
from edgeff.formats.values import SCALE_BYTES, Activation, Constant, Node, Remembered, Value, Variable, check_known, listed
from edgeff.ir import Array, Network, Quant

MAX_OPERATORS = 10_000
MAX_TENSORS = 64
"""Inputs or outputs of an operator."""

MOVES = frozenset(
    {"QUANTIZE", "CONCATENATION", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"}
)
"""Operators that compute nothing of their numbers, for which those of uint8 are those of int8 less 128."""

RESOURCE = "resource"
"""What a VAR_HANDLE makes: a variable, not numbers."""
NOTHING = Tensor("", "", (), None, 0)
"""The output of an operator that has none."""
_OPERATORS = names_of(schema.BuiltinOperator)
_TYPES = names_of(schema.TensorType)
_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.RESOURCE: RESOURCE,
}


def from_tflite(source: Path | str | bytes) -> Network:
    """The network in a TFLite model, given as a path or as its bytes; weights bit for bit. Errors as in the module's docstring."""
    data = source if isinstance(source, bytes) else read_file(Path(source))
    if data[4:8] != IDENTIFIER:
        raise BadInput("TFLite file", got=f"identifier {data[4:8]!r}", allowed=str(IDENTIFIER), next_step="is it another kind of file?")
    model = root(data, "the model")
    if model.number(0, "uint32") != 3:
        raise Unsupported("TFLite file", got=f"schema version {model.number(0, 'uint32')}", allowed="3")
    reader = _Reader(model)
    described = reader.description()
    metadata: Any = described.get("metadata") if described is not None else None
    if not isinstance(metadata, dict):
        metadata = {"source": {"format": "tflite", "producer": one_line(model.string(3), 80)}}
    layers = described.get("network") if described is not None else None
    if not isinstance(layers, dict):
        return reader.network(metadata)
    reader.assembly.described = description.layer_kinds(layers)
    return description.refine(reader.network(metadata), layers)


class _Reader:
    """One subgraph with its tensors, read on demand; of a further one only what it assigns to variables (``initial``)."""

    def __init__(self, model: Table, number: int = 0) -> None:
        self.model = model
        self.buffers = model.tables(4)
        self.codes = model.tables(1)
        subgraphs = model.tables(2)
        if self._metadata(TRAINING_NAME) is not None:
            step = "load the model that it was exported from, or run it (edgeff.graphs.Learner)"
            raise Unsupported("TFLite file", got="the file of a learning step", allowed="a model", next_step=step)
        if not subgraphs:
            raise Unsupported("TFLite file", got="no subgraph", allowed="one, and one more that a CALL_ONCE names")
        if not 0 <= number < len(subgraphs):
            raise damaged("a subgraph's number", f"{number} of {len(subgraphs)}")
        self.subgraphs = len(subgraphs)
        self.graph = model.at(subgraphs[number], f"subgraph {number}")
        self.places = self.graph.tables(0)
        self.operators = self.graph.tables(3)
        if len(self.operators) > MAX_OPERATORS:
            raise Unsupported("TFLite file", got=f"{len(self.operators)} operators", allowed=f"at most {MAX_OPERATORS}")
        self.known: dict[int, Tensor] = {}
        self.values: dict[int, Value] = {}
        self.averaged: set[int] = set()
        self.handlers = handlers()
        self.assembly = Assembly(None, bias_scale_unused=True)

    def description(self) -> dict[str, Any] | None:
        """The JSON that edgeff wrote, None in a file made elsewhere."""
        data = self._metadata(METADATA_NAME)
        return None if data is None else description.from_json(data.tobytes(), "edgeff's metadata in the TFLite file")

    def _metadata(self, name: str) -> NDArray[np.uint8] | None:
        """A metadata buffer by its name."""
        for number, place in enumerate(self.model.tables(6)):
            entry = self.model.at(place, f"metadata {number}")
            if entry.string(0) == name:
                return self._buffer(int(entry.number(1, "uint32")), "metadata")
        return None

    def network(self, metadata: dict[str, Any]) -> Network:
        sources, targets = self._ends(1, "inputs"), self._ends(2, "outputs")
        operators = dict(enumerate(self._operator(number) for number in range(len(self.operators))))
        audio = self._audio([*operators.values()], targets)
        self._check_known(audio.operators if audio else frozenset())
        self._call_once()
        for number, source in enumerate(sources):
            if audio is None or source != audio.source:
                self.values[source] = self._input(source, first=number == 0, several=len(sources) > 1)
        if audio is not None:
            self._read_audio(audio, sources)
            operators = {number: operator for number, operator in operators.items() if number not in audio.operators}
        rows = [(number, operator, operator.array(1, "int32"), operator.array(2, "int32")) for number, operator in operators.items()]
        reads: Counter[int] = Counter(targets)
        for _, operator, inputs, _ in rows:
            code, _ = self._code(int(operator.number(0, "uint32")))
            if code != schema.BuiltinOperator.SHAPE:
                reads.update(inputs.tolist())
            if code == schema.BuiltinOperator.MEAN:
                self.averaged.update(inputs[:1].tolist())
        for number, operator, inputs, outputs in rows:
            self._read_operator(operator, number, inputs.tolist(), outputs.tolist(), reads)
        if self.assembly.dequantised and isinstance(origin := metadata.get("source"), dict):
            origin["dequantised_weights"] = self.assembly.dequantised
        self.assembly.check_variables()
        return self.assembly.finish(self.graph.string(4), [self.values.get(target) for target in targets], metadata)

    def _audio(self, operators: list[Table], targets: list[int]) -> FrontEnd | None:
        """The chain of operators that is an audio front end."""
        if not any(self._name(operator) == CHAIN[0].called for operator in operators):
            return None

        def kind(index: int) -> str:
            number = int(self.graph.at(self._place(index), f"tensor {index}").number(1, "int8"))
            return _TYPES.get(number, str(number))

        def constant(index: int) -> Array | None:
            if kind(index) not in ("INT8", "INT16", "INT32", "FLOAT32") or not self._has_data(self.tensor(index)):
                return None
            return self._constant(self.tensor(index)).array

        def step(operator: Table) -> Step:
            name, inputs, outputs = self._name(operator), operator.array(1, "int32").tolist(), operator.array(2, "int32").tolist()
            options = operator.table(4, f"options of {name}") if name in ("MUL", "ADD", "DIV") else None
            fused = 0 if options is None else int(options.number(0, "int8"))
            return Step(name, inputs, outputs, [kind(index) for index in outputs], operator.array(5, "uint8").tobytes(), fused)

        return front_end([step(operator) for operator in operators], constant, targets)

    def _read_audio(self, audio: FrontEnd, sources: list[int]) -> None:
        """Puts the front end's layer, which reads the one input, into ``values``."""
        source, made = self.tensor(audio.source), self.tensor(audio.target)
        frame = audio.op.frame
        if sources != [audio.source] or source.dtype != "int16" or prod(source.shape) != frame or prod(made.shape) != audio.op.bands:
            got = f"{len(sources)} inputs, {source.dtype} {source.shape}, features {made.shape}"
            allowed = f"one, int16 of {frame} samples, and {audio.op.bands} features"
            raise Unsupported("audio front end of the TFLite file", got=got, allowed=allowed)
        self.assembly.input_shape = (frame,)
        shape = made.shape[1:] if made.shape[0] == 1 and len(made.shape) > 1 else made.shape
        node = Node(made.name or "features", "audio_frontend", {}, ())
        value = self.assembly.made(node, audio.op, (Activation("input", (frame,)),), shape)
        self.values[audio.target] = value if audio.quant is None else self.assembly.quantise(node, value, audio.quant)

    def _check_known(self, read: frozenset[int]) -> None:
        """Refuses a file with operators that edgeff has no layer for, all of them in one go, with the element types that it cannot hold;
        operators ``read`` and the tensors they make are known.
        """
        rest = [self.graph.at(place, "an operator") for number, place in enumerate(self.operators) if number not in read]
        made = {index for number in read for index in self._operator(number).array(2, "int32").tolist()}
        names = Counter(self._name(operator) for operator in rest)
        places = [place for index, place in enumerate(self.places) if index not in made]
        kinds = Counter(int(self.graph.at(place, "a tensor").number(1, "int8")) for place in places)
        others = {f"{_TYPES.get(kind, kind)} tensors": count for kind, count in kinds.items() if kind not in _DTYPES}
        missing = {name: count for name, count in names.items() if name not in self.handlers}
        check_known("TFLite file", missing, others, sorted(self.handlers))

    def _in_type(self, dtype: str) -> str:
        """The operators whose first input is of a type, with their counts."""
        names: Counter[str] = Counter()
        for place in self.operators:
            operator = self.graph.at(place, "an operator")
            first = operator.array(1, "int32")[:1].tolist()
            if first and first[0] != -1 and self.tensor(first[0]).dtype == dtype and self._name(operator) not in MOVES:
                names[self._name(operator)] += 1
        return listed(names)

    def _call_once(self) -> None:
        """Gives the variables what the subgraph of a CALL_ONCE assigns, which is the only further one that a file may have."""
        operators = [self.graph.at(place, "an operator") for place in self.operators]
        calls = [operator for operator in operators if self._name(operator) == "CALL_ONCE"]
        if self.subgraphs > 1 + len(calls) or len(calls) > 1:
            got = f"{self.subgraphs} subgraphs, and {len(calls)} operators CALL_ONCE"
            raise Unsupported("TFLite file", got=got, allowed="one subgraph, and one more that a CALL_ONCE names")
        for call in calls:
            options = call.table(4, "options of CALL_ONCE")
            other = _Reader(self.model, 0 if options is None else int(options.number(0, "int32")))
            self.assembly.variables |= {name: Variable(name, value) for name, value in other.initial().items()}

    def initial(self) -> dict[str, Constant]:
        """What this subgraph assigns to variables, by name; it must do nothing else."""
        names: dict[int, str] = {}
        assigned: dict[str, Constant] = {}
        for number in range(len(self.operators)):
            operator = self._operator(number)
            kind, inputs, outputs = self._name(operator), operator.array(1, "int32").tolist(), operator.array(2, "int32").tolist()
            if kind == "VAR_HANDLE" and len(outputs) == 1:
                names[outputs[0]] = name_of(operator.table(4, "options of VAR_HANDLE"))
            elif kind == "ASSIGN_VARIABLE" and len(inputs) == 2 and inputs[0] in names and self._has_data(self.tensor(inputs[1])):
                assigned[names[inputs[0]]] = self._constant(self.tensor(inputs[1]))
            else:
                got, allowed = f"operator {short(kind)}", "VAR_HANDLE, and ASSIGN_VARIABLE of a constant"
                raise Unsupported("the subgraph of a CALL_ONCE", got=got, allowed=allowed)
        return assigned

    def _name(self, operator: Table) -> str:
        """An operator's name, with that of a custom one."""
        code, custom = self._code(int(operator.number(0, "uint32")))
        return _OPERATORS.get(code, f"number {code}") + (f" {custom}" if custom else "")

    def _input(self, index: int, *, first: bool, several: bool) -> Activation:
        """The activation that an input of the subgraph is."""
        entry = self.tensor(index)
        batch = not several or entry.shape[:1] == (1,)
        wide = entry.dtype == "int16" and entry.quant is not None
        if not (wide or entry.dtype in ("float32", "int8", "uint8")) or len(entry.shape) < 2 or not batch or self._has_data(entry):
            got, allowed = (
                f"{entry.dtype} {entry.shape}",
                "float32, int8, uint8 or scaled int16, (batch, elements..); batch 1 where there are several",
            )
            step = "convert the model with a float32 or int8 input that has a batch axis of 1"
            raise Unsupported(f"TFLite input {short(entry.name)}", got=got, allowed=allowed, next_step=step)
        integer, shape = entry.dtype != "float32", entry.shape[1:]
        if first:
            self.assembly.input_shape = shape
            start = Activation("input", shape, integer=integer)
        else:
            start = self.assembly.further_input(entry.name or f"input_{index}", shape, integer=integer)
        if entry.quant is not None and integer:
            return self.assembly.quantise(Node("input", "input", {}, ()), start, entry.quant)
        return start

    def _operator(self, number: int) -> Table:
        operator = self.graph.at(self.operators[number], f"operator {number}")
        for slot, what in ((1, "inputs"), (2, "outputs")):
            if len(operator.array(slot, "int32")) > MAX_TENSORS:
                raise Unsupported(f"TFLite operator {number}", got=f"more than {MAX_TENSORS} {what}", allowed=f"at most {MAX_TENSORS}")
        return operator

    def _read_operator(self, operator: Table, number: int, inputs: list[int], outputs: list[int], reads: Counter[int]) -> None:
        """Puts the value of the operator's output tensor into ``values``."""
        name = self._name(operator)
        handler = self.handlers.get(name)
        silent = handler is not None and handler.silent
        if bool(outputs) == silent or (handler is not None and not handler.several and len(outputs) > 1):
            raise Unsupported(f"TFLite operator {number}, {short(name)}", got=f"{len(outputs)} outputs", allowed="0" if silent else "1")
        output = NOTHING if silent else self.tensor(outputs[0])
        options = operator.table(4, f"options of operator {number}")
        attributes = {}
        if handler is not None and options is not None:
            if operator.number(3, "uint8") != handler.options_type:
                raise damaged(f"operator {number}, {name}", f"options of type {operator.number(3, 'uint8')}")
            attributes = handler.options(options)
        called = output.name or f"operator_{number}"
        averaged = not self.averaged.isdisjoint(outputs[:1])
        node = TfliteNode(called, name, attributes, tuple(sorted(self.handlers)), output, averaged=averaged)
        if handler is None:
            raise node.unknown()
        low, high = handler.inputs
        if not low <= len(inputs) <= high:
            raise node.bad(f"{len(inputs)} inputs", f"{low} to {high}")
        self._check_inputs(node, inputs)
        values = [None if index == -1 else self._value(node, index, reads) for index in inputs] + [None] * (high - len(inputs))
        if silent:
            handler.read(self.assembly, node, values)
        for place, index in enumerate(outputs):
            output = self.tensor(index)
            if index in self.values or output.variable or self._has_data(output):
                raise node.bad("an output tensor that already has a value", "a tensor of its own for each operator")
            if handler.several and not reads[index]:
                continue
            own = replace(node, name=output.name or node.name, output=output, place=place, places=len(outputs))
            value = handler.read(self.assembly, own, values)
            if isinstance(value, Activation) and name not in ("QUANTIZE", "DEQUANTIZE"):
                _check_output(own, values, output)
            if value is not None:
                self.values[index] = self._typed(own, _shaped(own, value, output), output) if isinstance(value, Activation) else value

    def _check_inputs(self, node: Node, inputs: list[int]) -> None:
        """Raises Unsupported for an activation of a type that the operator does not take here, with all operators that read such."""
        name = node.operator
        if any(index in self.known and self.known[index].dtype == "uint8" for index in inputs) and name not in MOVES | {"DEQUANTIZE"}:
            got = f"a uint8 tensor; the file has {self._in_type('uint8')}"
            allowed = "float32 and int8; uint8 at the ends, through QUANTIZE, and where numbers only move"
            raise node.unsupported(got, allowed, "convert the float model again: TensorFlow's converter has made int8 since 2019")
        for index in inputs:
            kind, read = (self.known[index].dtype if index in self.known else ""), self.values.get(index)
            if isinstance(read, Activation) and (kind in ("int32", "int64") or (kind == "int16" and not read.integer)):
                got, allowed = f"an {kind} activation; the file has {self._in_type(kind)}", "float32, int8 and int16 with zero point 0"
                raise node.unsupported(got, f"{allowed}; int32 at the end, through QUANTIZE", "quantise the float model again")

    def _typed(self, node: Node, value: Activation, output: Tensor) -> Activation:
        """The operator's output as the type of its tensor says: int8 tensors carry the layer's scale."""
        wide = output.dtype == "int32" and node.operator == "QUANTIZE"
        if output.quant is not None and (wide or (output.dtype == "int16" and output.quant.zero_point and node.operator == "SOFTMAX")):
            return replace(value, integer=False)
        if output.dtype == "float32":
            if value.integer:
                raise node.bad("an integer result in a float tensor", "DEQUANTIZE between them")
            return value
        if output.quant is None or output.dtype not in ("int8", "int16", *(["uint8"] if node.operator in MOVES else [])):
            raise node.unsupported(f"an output of type {output.dtype}", "float32, or int8 or int16 with a scale")
        return self.assembly.quantise(node, value, output.quant)

    def _value(self, node: Node, index: int, reads: Counter[int]) -> Value:
        value = self.values.get(index)
        if value is None:
            tensor = self.tensor(index)
            if tensor.variable and reads[index] == 1 and not self._has_data(tensor):
                return Remembered(tensor.name, tensor.dtype, tensor.shape, tensor.quant)
            if tensor.variable:
                got = f"variable {short(tensor.name)} that has data, or that {reads[index]} operators read"
                raise node.unsupported(got, "a variable of one operator, which starts at zero")
            if not self._has_data(tensor):
                raise node.bad(
                    f"input {short(tensor.name)} that no earlier operator computes", "operators in topological order, without a cycle"
                )
            value = self.values[index] = self._constant(tensor)
        if isinstance(value, Activation) and reads[index] > 1:
            return replace(value, shared=True)
        return value

    def tensor(self, index: int) -> Tensor:
        """Tensor number ``index`` of the subgraph: name, type, shape, scales; no data yet."""
        if index in self.known:
            return self.known[index]
        table = self.graph.at(self._place(index), f"tensor {index}")
        name = table.string(3)
        self.assembly.charge(len(name))
        where = f"TFLite tensor {short(name)}"
        kind = int(table.number(1, "int8"))
        if kind not in _DTYPES:
            raise Unsupported(where, got=f"element type {_TYPES.get(kind, kind)}", allowed=", ".join(_DTYPES.values()))
        if table.has(6) or table.number(10, "uint32"):
            raise Unsupported(where, got="a sparse or external tensor", allowed="a dense tensor in the file")
        sizes = table.array(0, "int32")
        if len(sizes) > 8 or any(size < 1 for size in sizes) or prod(sizes.tolist()) >= 1 << 31:
            raise BadInput(where, got=f"shape {sizes[:8].tolist()}", allowed="at most 8 axes of 1 element or more")
        shape = tuple(sizes.tolist())
        quant, variable = self._quant(table, where, shape, _DTYPES[kind]), bool(table.number(5, "bool"))
        tensor = Tensor(name, _DTYPES[kind], shape, quant, int(table.number(2, "uint32")), variable)
        self.known[index] = tensor
        return tensor

    def _place(self, index: int) -> int:
        """Where the entry of tensor ``index`` begins."""
        if not 0 <= index < len(self.places):
            raise damaged("a tensor's number", f"{index} of {len(self.places)}")
        return self.places[index]

    def _quant(self, table: Table, where: str, shape: tuple[int, ...], dtype: str) -> Quant | None:
        quantisation = table.table(4, f"scales of {where}")
        scales = quantisation.array(2, "float32") if quantisation is not None else np.zeros(0, np.float32)
        if quantisation is None or not len(scales):
            return None
        self.assembly.charge(SCALE_BYTES * len(scales))
        if quantisation.number(4, "uint8"):
            raise Unsupported(where, got="custom or block-wise quantisation", allowed="one scale, or one for each channel")
        zeros = quantisation.array(3, "int64")
        if len(zeros) not in (0, 1, len(scales)) or np.any(zeros != zeros[:1]):
            raise Unsupported(
                where, got=f"{len(scales)} scales and {len(zeros)} zero points", allowed="the same number of both; one zero point value"
            )
        check_finite(scales, f"{where}, scales")
        zero_point = int(zeros[0]) if len(zeros) else 0
        axis = int(quantisation.number(6, "int32")) if len(scales) > 1 else None
        if axis is not None and len(shape) == 1:
            axis = 0  # the runtimes ignore the axis of a bias, and converters left that of the weights there
        unsigned = dtype == "uint8"  # read as int8
        return Quant(tuple(scales.tolist()), zero_point - (128 if unsigned else 0), axis, "int8" if unsigned else dtype)

    def _constant(self, tensor: Tensor) -> Constant:
        where = f"TFLite tensor {short(tensor.name)}"
        data = self._buffer(tensor.buffer, where)
        if tensor.dtype == RESOURCE:
            raise BadInput(where, got="a variable with data", allowed="data for numbers alone")
        dtype = np.dtype(tensor.dtype)
        if len(data) != prod(tensor.shape) * dtype.itemsize:
            raise BadInput(
                where, got=f"{len(data)} bytes of data", allowed=f"{prod(tensor.shape) * dtype.itemsize} for {dtype} {tensor.shape}"
            )
        self.assembly.charge(len(data))
        array = np.frombuffer(data.data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tensor.shape)
        check_finite(array, where)
        return Constant(array, tensor.quant if tensor.dtype in ("int8", "int16", "int32", "int64") else None, tensor.name)

    def _has_data(self, tensor: Tensor) -> bool:
        return tensor.buffer != 0 and len(self._buffer(tensor.buffer, f"tensor {short(tensor.name)}")) > 0

    def _buffer(self, index: int, where: str) -> NDArray[Any]:
        if index >= len(self.buffers):
            raise damaged(where, f"buffer {index} of {len(self.buffers)}")
        buffer = self.model.at(self.buffers[index], f"buffer {index}")
        if int(buffer.number(1, "uint64")) > 1:
            raise Unsupported(where, got="data outside the flatbuffer", allowed="data inside it")
        return buffer.array(0, "uint8")

    def _code(self, index: int) -> tuple[int, str]:
        if index >= len(self.codes):
            raise damaged("an operator's code", f"{index} of {len(self.codes)}")
        code = self.model.at(self.codes[index], f"operator code {index}")
        return max(int(code.number(0, "int8")), int(code.number(3, "int32"))), code.string(1)

    def _ends(self, slot: int, what: str) -> list[int]:
        """The numbers of the subgraph's inputs or outputs, of which there may be several."""
        indices: list[int] = self.graph.array(slot, "int32").tolist()
        if not 1 <= len(indices) <= MAX_TENSORS or len({*indices}) < len(indices):
            raise Unsupported("TFLite file", got=f"{len(indices)} {what}", allowed=f"1 to {MAX_TENSORS}, each once")
        return indices


def _check_output(node: Node, values: list[Value | None], output: Tensor) -> None:
    """Raises BadInput for an output in another number format than the operator's inputs."""
    xs = [each for each in values if isinstance(each, Activation)]
    if {each.integer for each in xs} == {output.dtype == "float32"}:
        raise node.bad(f"an output of {output.dtype}", "that of its inputs")
    kinds = {each.quant.dtype for each in xs if each.quant is not None and each.integer}
    if output.dtype == "int16" and kinds == {"int8"} and node.operator != "SOFTMAX":
        raise node.bad("an output of int16", "int8, that of its inputs")
    if output.dtype in ("int8", "uint8") and "int16" in kinds:
        raise node.bad(f"an output of {output.dtype}", "int16, that of its inputs")


def _shaped(node: Node, value: Activation, output: Tensor) -> Activation:
    """The operator's output in the shape its tensor has, which may differ only in axes of size 1."""
    shape = output.shape[1:]
    if value.shape == shape:
        return value
    if value.pads or [size for size in value.shape or () if size != 1] != [size for size in shape if size != 1]:
        raise node.bad(f"an output of shape {output.shape}", f"(batch, {', '.join(map(str, value.shape or ()))})")
    return replace(value, shape=shape, view=f"{node.name}_view")
