"""The results of TFLM, LiteRT and ONNX Runtime for a network, compared with those of the NumPy twins.

A party is set up once for a program and then compared on block after block of samples; setting it up may raise MissingTool or Unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import by_input, further_inputs, kind, sample_shape
from edgeff.ops.requantise import Requantise
from edgeff.program.deploy import Deployment
from edgeff.program.quantize import dequantise_array, quantise_array
from edgeff.verify.comparison import Comparison, compare
from edgeff.verify.engines import Advance, Litert, OnnxRuntime, Process, Tflm
from edgeff.verify.executions import Results
from edgeff.verify.explain import float_tolerance, litert_reference

TWIN = "NumPy twin"
LITERT_TWIN = "NumPy twin with LiteRT's rounding"
Given = Array | list[Array]
Rows = Callable[[Array, Results, Advance], list[Comparison]]
"""The comparisons of one block: samples (n, inputs) in the program's dtype, the twins' results, the function to call after each sample."""


@dataclass(frozen=True, slots=True)
class Party:
    """An execution to compare the twins with: ``make`` returns its comparisons; ``samples`` is how many it takes (0: all)."""

    name: str
    make: Callable[[], Rows]
    samples: int = 0


def integer_parties(deployment: Deployment) -> list[Party]:
    """The other executions of an integer network: the name of each, and the function that makes its comparisons."""
    network, program = deployment.network, deployment.program
    classes = program.classes
    model = cache(lambda: to_tflite(network))

    def exact_in_tflm() -> Rows:
        run = Tflm(model(), outputs=len(network.ends), fresh=_begins_anew(network))
        return lambda x, twin, advance: [compare(TWIN, "TFLM", "scores", twin.scores, _flat(run(_given(network, x), advance)))]

    def explained_in_litert() -> Rows:
        run, name = Litert(model(), "BUILTIN_REF", fresh=_begins_anew(network)), "LiteRT reference"
        note = "explained by the row above: its FULLY_CONNECTED rounds once"

        def rows(x: Array, twin: Results, advance: Advance) -> list[Comparison]:
            outputs = _flat(run(_given(network, x), advance))
            explained = compare(LITERT_TWIN, name, "scores", litert_reference(program, x), outputs)
            return [explained, *_counted(name, twin, outputs, classes, note)]

        return rows

    def counted_in_litert() -> Rows:
        run, note = Litert(model(), "BUILTIN", fresh=_begins_anew(network)), "rescaled in float32"
        return lambda x, twin, advance: _counted("LiteRT default", twin, _flat(run(_given(network, x), advance)), classes, note)

    return [
        Party("TFLM", exact_in_tflm),
        Party("LiteRT reference", explained_in_litert),
        Party("LiteRT default", counted_in_litert),
        Party("ONNX Runtime", partial(_within_a_step_in_onnxruntime, deployment)),
    ]


def float_parties(deployment: Deployment, x: Array) -> list[Party]:
    """The other executions of a float network, within the tolerance that the samples x (n, inputs) give."""
    network, classes = deployment.network, deployment.program.classes
    tolerance = cache(lambda: float_tolerance(network, _shaped(x, sample_shape(network))))
    model = cache(lambda: to_tflite(network))

    def onnxruntime() -> Callable[[Given, Advance], Array]:
        session, names = OnnxRuntime(to_onnx(network).SerializeToString()), ["input", *(layer.name for layer in further_inputs(network))]
        return lambda samples, _: session(dict(zip(names, samples if isinstance(samples, list) else [samples], strict=True)))

    def party(name: str, make: Callable[[], Callable[[Given, Advance], Array]]) -> Party:
        def maker() -> Rows:
            run, allowed, note = make(), tolerance(), "float sums in another order"
            return lambda x, twin, advance: _counted(name, twin, _flat(run(_given(network, x), advance)), classes, note, allowed)

        return Party(name, maker)

    return [
        party("TFLM", lambda: Tflm(model(), outputs=len(network.ends), fresh=_begins_anew(network))),
        party("LiteRT reference", lambda: Litert(model(), "BUILTIN_REF", fresh=_begins_anew(network))),
        party("LiteRT default", lambda: Litert(model(), "BUILTIN", fresh=_begins_anew(network))),
        party("ONNX Runtime", onnxruntime),
    ]


def _begins_anew(network: Network) -> bool:
    """Whether a sample knows nothing of the one before it, so that a library's variables are to be at zero for each."""
    return not any(kind(layer).remembers for layer in network)


def _shaped(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(len(x), *shape)


def _given(network: Network, x: Array) -> Given:
    """The samples x (n, numbers) as a library takes them: in the input's shape, or a list of those of each input."""
    parts = list(by_input(network, x).values())
    return parts if len(parts) > 1 else _shaped(x, network.input_shape)


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _counted(name: str, twin: Results, made: Array, classes: int, note: str, allowed: float | None = None) -> list[Comparison]:
    """The scores, and if there are classes how many samples have their largest score elsewhere (1 - top-1 agreement)."""
    rows = [compare(TWIN, name, "scores", twin.scores, made, allowed, note)]
    if classes:
        rows.append(compare(TWIN, name, "best class", twin.scores.argmax(1), made.argmax(1), None))
    return rows


def _within_a_step_in_onnxruntime(deployment: Deployment) -> Rows:
    network, classes = deployment.network, deployment.program.classes
    process = Process("onnxruntime")
    whole = OnnxRuntime(to_onnx(network).SerializeToString(), process)
    shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    fixed = {layer.name for layer in network if not layer.inputs}
    apart = [layer for layer in network if layer.inputs and not fixed & {*layer.inputs} and len({shapes[n] for n in layer.inputs}) == 1]
    alone = {layer.name: _Alone(network, layer, process) for layer in apart}
    source, targets = network.input_quant, [layer.quant["output"] for layer in network.ends]
    quants = {"input": source} | {layer.name: layer.quant["output"] for layer in further_inputs(network)}
    if source is None:
        raise BadInput("network", got="float32", allowed="a quantised network")

    def rows(x: Array, twin: Results, _advance: Advance) -> list[Comparison]:
        given = by_input(network, _shaped(x, sample_shape(network)))
        feeds = {name: dequantise_array(part, quant) for name, part in given.items() if (quant := quants[name]) is not None}
        scores = _flat(whole(feeds))
        ends = np.cumsum([prod(layer.shape) for layer in network.ends])[:-1]
        parts = [quantise_array(part, target) for part, target in zip(np.split(scores, ends, axis=1), targets, strict=True)]
        comparisons = [alone[name].row(x, twin) for name in twin.layers if name in alone]
        note = "rescaled in float32"
        return [*comparisons, *_counted("ONNX Runtime", twin, np.concatenate(parts, axis=1), classes, note)]

    return rows


class _Alone:
    """One layer in ONNX Runtime, fed with the twin's inputs, which are activations of one shape.

    One step is allowed; for a layer without an int8 form in TFLite differences are only counted, since no standard defines its integers.
    """

    def __init__(self, network: Network, layer: Layer, process: Process) -> None:
        self._network, self._layer = network, layer
        self._shapes = {"input": network.input_shape} | {item.name: item.shape for item in network}
        quants = {"input": network.input_quant} | {item.name: item.quant.get("output") for item in network}
        self._quants: list[Quant] = [quant for name in layer.inputs if (quant := quants[name]) is not None]
        single = _single(network, layer, self._shapes[layer.inputs[0]], self._quants)
        self._session = OnnxRuntime(_cut(to_onnx(single), _feeds(layer), [self._shapes[name] for name in layer.inputs]), process)
        self._allowed: float | None = 1
        self._note = "from the same inputs"
        try:
            to_tflite(single)
        except Unsupported:
            self._allowed, self._note = None, "from the same inputs; edgeff's own integer form"

    def row(self, x: Array, twin: Results) -> Comparison:
        layer = self._layer
        inputs = [_shaped(_value(self._network, name, x, twin), self._shapes[name]) for name in layer.inputs]
        feeds: Mapping[str, Array] = {"input": dequantise_array(inputs[0], self._quants[0])}
        if len(inputs) > 1:
            feeds = dict(zip(_feeds(layer), inputs, strict=True))
        outputs = quantise_array(_flat(self._session(feeds)), layer.quant["output"])
        return compare(TWIN, "ONNX Runtime", f"outputs of layer {layer.name}", twin.layers[layer.name], outputs, self._allowed, self._note)


def _value(network: Network, name: str, x: Array, twin: Results) -> Array:
    """The twin's output of layer ``name``; a layer without its own call, such as a reshape, passes on its input."""
    given = by_input(network, _shaped(x, sample_shape(network)))
    while name not in given and name not in twin.layers:
        name = network[name].inputs[0]
    return given[name] if name in given else twin.layers[name]


def _feeds(layer: Layer) -> list[str]:
    """The int8 tensors through which a layer with several inputs is fed."""
    return [f"side_{number}.quantized" for number in range(len(layer.inputs))] if len(layer.inputs) > 1 else []


def _single(network: Network, layer: Layer, shape: tuple[int, ...], quants: list[Quant]) -> Network:
    """A network of ``layer`` alone; one with several inputs gets a change of scale before each, of which ``_cut`` keeps the tensor."""
    if len(layer.inputs) == 1:
        return replace(network, input_shape=shape, input_quant=quants[0], layers=(replace(layer, inputs=("input",)),), outputs=())
    names = tuple(f"side_{number}" for number in range(len(layer.inputs)))
    sides = [Layer(name, Requantise(), ("input",), shape, quant={"output": quant}) for name, quant in zip(names, quants, strict=True)]
    return replace(
        network, input_shape=shape, input_quant=quants[0], layers=(*sides, replace(layer, name="layer", inputs=names)), outputs=()
    )


def _cut(model: onnx.ModelProto, feeds: list[str], shapes: list[tuple[int, ...]]) -> bytes:
    """``model`` reading the int8 tensors ``feeds`` (N, *shape) instead of its input, if there are any."""
    if not feeds:
        return model.SerializeToString()
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    waiting, needed = [value.name for value in graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name in makers and name not in feeds and name not in needed:
            needed.add(name)
            waiting.extend(makers[name].input)
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.INT8, ["N", *shape]) for name, shape in zip(feeds, shapes, strict=True)
    )
    return model.SerializeToString()
