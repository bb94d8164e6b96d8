"""ONNX -> Network: edgeff's own files exactly, and dense and convolutional models made elsewhere.

In goes a path or the bytes of a model; out comes a Network, float32 or int8 (from QDQ form, or from operators with their own
scales). Read are the operators of ``nodes.handlers``. The input keeps the shape it has in the file, without its first axis, the batch: an
channels-first image is transposed by a layer of its own if something reads it as an image.

Refused: external data, functions, sparse tensors, operators outside the list, several inputs or outputs, nodes out of order (a cycle among
them), values that are not finite, a model quantised in part. The bytes are untrusted; see ``wire`` for the bound on memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from edgeff.errors import BadInput, Unsupported, one_line
from edgeff.formats import description
from edgeff.formats.assembly import Assembly
from edgeff.formats.conventions import short
from edgeff.formats.files import read_file
from edgeff.formats.onnx import old
from edgeff.formats.onnx.nodes import handlers
from edgeff.formats.onnx.reading import MOST_INPUTS, Handler, Reading
from edgeff.formats.onnx.tensors import DTYPES, read_tensor, text
from edgeff.formats.onnx.views import Seen, Turned, View, view
from edgeff.formats.onnx.wire import check_expansion
from edgeff.formats.values import Activation, Constant, Node, Value, check_known
from edgeff.ir import Network

OPSETS = range(1, onnx.defs.onnx_opset_version() + 1)
DOMAINS = ("", "ai.onnx")
MAX_NODES = 10_000


def from_onnx(source: Path | str | bytes) -> Network:
    """The network in an ONNX model, given as a path or as its bytes; float weights bit for bit. Errors as in the module's docstring."""
    model = _parse(source if isinstance(source, bytes) else read_file(Path(source)))
    graph = model.graph
    properties = {text(entry.key): text(entry.value) for entry in model.metadata_props}
    metadata = _metadata(model, properties)
    name, outputs = text(graph.name), [text(value.name) for value in graph.output]
    tensors, assembly = _tensors(graph)
    reads = Counter(text(name) for node in graph.node for name in node.input)
    reads.update(outputs)
    described: dict[str, Any] = {}
    if "edgeff.network" in properties:
        described = description.from_json(properties["edgeff.network"], "edgeff.network in the ONNX file")
    averaged = {text(name) for node in graph.node if node.op_type == "ReduceMean" for name in node.input[:1]}
    context = Reading(assembly, tensors, reads, _opset(model), handlers(), description.layer_kinds(described), averaged)
    assembly.described = context.described
    missing = Counter(text(node.op_type) for node in graph.node if _handler(context, text(node.op_type), text(node.domain)) is None)
    check_known("ONNX file", missing, {}, sorted(context.handlers))
    for index, node in enumerate(graph.node):
        _read_node(context, node, index)
    ends = [(output, context.tensors.get(output)) for output in outputs]
    results = [_result(context, output, end) for output, end in ends]
    network = assembly.finish(name, results, metadata)
    return description.refine(network, described) if "edgeff.network" in properties else network


def _result(context: Reading, name: str, end: Seen | None) -> Value | None:
    """An output as an activation; of one whose batch is not in front the sample, which has its elements in the same order where the axes
    before the batch are those after it.
    """
    place = Node(f"{name}_output", "output", {}, ())
    if isinstance(end, Turned):
        rest = [axis for axis in end.perm if axis]
        end = context.views.transposed(place, end.x, tuple(axis - 1 for axis in rest))
    return context.views.plain(place, end) if isinstance(end, View) else end


def _parse(data: bytes) -> onnx.ModelProto:
    what = "ONNX file"
    check_expansion(data, onnx.ModelProto.DESCRIPTOR, what)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(what, got=f"protobuf that does not parse ({error})", allowed="an ONNX model") from error
    graph = model.graph
    if not graph.node:
        raise BadInput(what, got="no graph with nodes", allowed="an ONNX model")
    if len(graph.node) > MAX_NODES:
        raise Unsupported(what, got=f"{len(graph.node)} nodes", allowed=f"at most {MAX_NODES}")
    if model.functions or graph.sparse_initializer:
        raise Unsupported(what, got="local functions or sparse tensors", allowed="plain operators and dense tensors")
    if any(entry.key == "edgeff.graph" for entry in model.metadata_props):
        got, step = "the graph of a learning step", "load the model that it was exported from, or run it (edgeff.graphs.Learner)"
        raise Unsupported(what, got=got, allowed="a model", next_step=step)
    if not 1 <= len(graph.output) <= MOST_INPUTS:
        raise Unsupported(what, got=f"{len(graph.output)} outputs", allowed=f"1 to {MOST_INPUTS}")
    return model


def _opset(model: onnx.ModelProto) -> int:
    versions = sorted({entry.version for entry in model.opset_import if entry.domain in DOMAINS})
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise Unsupported("ONNX opset", got=versions, allowed=f"one of {OPSETS.start} to {OPSETS.stop - 1}")
    return int(versions[0])


def _metadata(model: onnx.ModelProto, properties: Mapping[str, str]) -> dict[str, Any]:
    if "edgeff.metadata" in properties:
        return description.from_json(properties["edgeff.metadata"], "edgeff.metadata in the ONNX file")
    return {"source": {"format": "onnx", "producer": one_line(f"{text(model.producer_name)} {text(model.producer_version)}".strip(), 80)}}


def _tensors(graph: onnx.GraphProto) -> tuple[dict[str, Seen], Assembly]:
    """The tensors known before any node: initialisers and inputs."""
    tensors: dict[str, Seen] = {}
    for proto in graph.initializer:
        name = text(proto.name)
        if not name or name in tensors:
            raise BadInput(f"ONNX initialiser {short(name)}", got="a name used twice" if name else "no name", allowed="unique names")
        tensors[name] = Constant(read_tensor(proto), name=name)
    inputs = [value for value in graph.input if text(value.name) not in tensors]
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise Unsupported("ONNX graph", got=f"{len(inputs)} inputs", allowed=f"1 to {MOST_INPUTS}")
    timed = {text(node.input[0]) for node in graph.node if node.op_type in ("GRU", "LSTM") and node.input and not _batch_first(node)}
    first, *more = [_input(value, timed) for value in inputs]
    assembly = Assembly(first[1])
    tensors[first[0]] = view(Activation("input", first[1], integer=first[2]))
    if first[0] in timed and first[1] is not None:
        tensors[first[0]] = Turned(view(Activation("input", first[1])), (1, 0, 2))
    for name, shape, integer in more:
        if shape is None or name in tensors:
            raise Unsupported(f"ONNX input {short(name)}", got="no shape, or a name used twice", allowed="a shape and a name of its own")
        tensors[name] = view(assembly.further_input(name, shape, integer=integer))
    return tensors, assembly


def _batch_first(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "layout" and attribute.i for attribute in node.attribute)


def _input(value: onnx.ValueInfoProto, timed: Collection[str] = ()) -> tuple[str, tuple[int, ...] | None, bool]:
    """The name of an input, its shape without the batch axis if it is known, and whether it holds integers. Of the inputs in ``timed``,
    which recurrent operators read, the first axis is time and the second the batch.
    """
    where = f"ONNX input {short(text(value.name))}"
    kind = value.type.tensor_type
    if kind.elem_type not in DTYPES or DTYPES[kind.elem_type] not in ("float32", "int8", "uint8"):
        raise Unsupported(where, got=f"element type {kind.elem_type}", allowed="float32, int8, uint8")
    shape: tuple[int, ...] | None = None
    if kind.HasField("shape"):
        sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim]
        if text(value.name) in timed and len(sizes) == 3:
            sizes = [sizes[1], sizes[0], sizes[2]]
        features = sizes[1:]
        if not features or any(size is not None and size < 1 for size in sizes):
            step = "export the model with a batch axis in front and sizes of 1 or more"
            raise Unsupported(where, got=f"shape {sizes}", allowed="(batch, elements..)", next_step=step)
        known = [size for size in features if size is not None]
        shape = tuple(known) if len(known) == len(features) and prod(known) < 1 << 31 else None
    return text(value.name), shape, DTYPES[kind.elem_type] != "float32"


def _handler(context: Reading, operator: str, domain: str) -> Handler | None:
    """How to read an operator of a domain, None where nothing does."""
    handler = context.handlers.get(operator)
    return None if handler is None or handler.domain != ("" if domain in DOMAINS else domain) else handler


def _read_node(context: Reading, proto: onnx.NodeProto, index: int) -> None:
    """Puts the node's output into ``context.tensors``."""
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        key, plain = text(attribute.name), attribute.type in _PLAIN
        if key in attributes:
            raise BadInput(f"ONNX node {index}", got=f"attribute {short(key)} twice", allowed="each once")
        if attribute.ref_attr_name:
            got = f"attribute {short(key)} that refers to {short(text(attribute.ref_attr_name))}"
            raise Unsupported(f"ONNX node {index}", got=got, allowed="attributes with a value of their own")
        attributes[key] = onnx.helper.get_attribute_value(attribute) if plain else attribute
    outputs = [text(name) for name in proto.output]
    first = next((name for name in outputs if name), "")
    operator, domain = text(proto.op_type), text(proto.domain)
    called, supported = text(proto.name) or first or f"node_{index}", tuple(sorted(context.handlers))
    node = Node(called, operator, attributes, supported, averaged=first in context.averaged, number=index)
    handler = _handler(context, operator, domain)
    if handler is None:
        raise node.unknown() if domain in DOMAINS else node.unknown(f"domain {short(domain)}")
    given, node = node, old.modern(node, context.opset)
    unknown = sorted(set(node.attributes) - handler.attributes)
    if unknown:
        raise node.unsupported(f"attribute {short(unknown[0])}", f"attributes {', '.join(sorted(handler.attributes)) or 'none'}")
    names = _inputs(node, proto, handler)
    low, high = handler.inputs
    count = len(names) + old.missing(given, context.opset)
    if not low <= count <= high:
        raise node.bad(f"{count} inputs", f"{low} to {high}")
    if not first or first in context.tensors or not (outputs[0] or handler.several):
        raise node.bad(f"output {short(first)}", "a name that no earlier tensor has")
    if not handler.several:
        _check_one_read(context, node, outputs)
        del outputs[1:]
    values: list[Seen | None] = []
    for name in names:
        if name and name not in context.tensors:
            raise node.bad(f"input {short(name)} that no earlier node makes", "nodes in topological order, without a cycle")
        values.append(context.get(name) if name else None)
    values += [None] * (high - len(values))
    values = old.modern_values(given, values, context.opset)
    for place, output in enumerate(outputs):
        if output in context.tensors:
            raise node.bad(f"output {short(output)}", "a name that no earlier tensor has")
        if output and (output == first or context.reads[output]):
            own = node if len(outputs) == 1 else replace(node, name=output, place=place, places=len(outputs), called=called)
            value = handler.read(context, own, values)
            context.tensors[output] = replace(value, name=output) if isinstance(value, Constant) and not value.name else value


def _inputs(node: Node, proto: onnx.NodeProto, handler: Handler) -> list[str]:
    """The names of the node's inputs, without absent ones at the end. One that takes any number has no absent ones."""
    names = [text(name) for name in proto.input]
    if "" in names and handler.inputs[1] >= MOST_INPUTS:
        raise node.bad("an absent input among any number of them", "tensors")
    while names and not names[-1]:
        names.pop()
    return names


def _check_one_read(context: Reading, node: Node, outputs: list[str]) -> None:
    """Refuses a node of which another output than the first is read."""
    for extra in outputs[1:]:
        if extra and context.reads[extra]:
            raise node.unsupported(f"a second output {short(extra)} that is used", "one output")


_PLAIN = frozenset(
    {
        onnx.AttributeProto.FLOAT,
        onnx.AttributeProto.FLOATS,
        onnx.AttributeProto.INT,
        onnx.AttributeProto.INTS,
        onnx.AttributeProto.STRING,
        onnx.AttributeProto.STRINGS,
    }
)
