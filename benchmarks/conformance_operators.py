"""Every operator in every format and number format: does the C infer and learn with it as the twins do, and do model files hold it?

A network of the operator's own example infers: the C equals the twins to the bit; a TFLite and an ONNX file give it back to the bit, and
TFLM and ONNX Runtime make the same of them (int8 in TFLM to the bit, in ONNX Runtime within one step a layer; float32 within the tolerance
of the sums); a Keras file, where a layer of Keras becomes it, is within 1e-4. Between a layer with weights and a dense head it learns by
back-propagation: the state after each step is the twins', to the bit in the C and in the integers of the graph files.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.contracts.operators import example, samples
from edgeff.device.targets.host import HostTarget
from edgeff.errors import EdgeffError, MissingTool
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.keras.config import check_configuration, parsed
from edgeff.formats.keras.conversion import convert
from edgeff.formats.keras.reader import network_of
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.networks import initialised
from edgeff.ops import Operator, by_input, forward, further_inputs, kind, make, parameters, sample_shape
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import dequantise_array, quantise_array, quantize
from edgeff.verify.engines import LitertStep, OnnxRuntime, Process, Tflm, TflmStep
from edgeff.verify.executions import Host
from edgeff.verify.explain import float_tolerance
from edgeff.verify.learning import drawn_truths, learning
from edgeff.verify.native import load_onnxruntime_step
from edgeff.verify.training_graph import (
    GRAPHS,
    Function,
    RunningGraph,
    compare_training_graph,
    in_litert,
    in_onnx_runtime,
    in_tflm,
)

FORMATS: tuple[Numeric, ...] = ("float32", "int8", "int16")
WIDE = "16x8"
"""int16 activations and int8 weights, which infer."""
NUMERICS = (*FORMATS, WIDE)
STEPS, CLASSES = 3, 3
CLOSE = 1e-4
EXACT, NEAR = "to the bit", "within its tolerance"
BLOCKS = {1: ("dense", {}), 2: ("conv1d", {"kernel": 1}), 3: ("conv2d", {"kernel_h": 1, "kernel_w": 1})}
"""What has weights before an operator, by the axes of its input."""
POSITIVE = ("rsqrt",)
"""Operators that other runtimes compute of positive inputs alone: an absolute value is before them."""


def says(run: Callable[[], str]) -> str:
    """What ``run`` says, or why it is refused."""
    try:
        return run()
    except MissingTool:
        raise
    except EdgeffError as error:
        return f"refused: {error}"


def inferring(operator: type[Operator], numeric: Numeric) -> Network:
    """The operator's example, after another layer where it can be: a dense one in int16, which has few others, and where it is folded."""
    network = _inferring(operator, numeric)
    if operator.name not in POSITIVE:
        return network
    *rest, last = network.layers
    size = Layer("size", make("abs", {}), last.inputs, last.shape)
    return replace(network, layers=(*rest, size, replace(last, inputs=(size.name,))))


def _inferring(operator: type[Operator], numeric: Numeric) -> Network:
    network = example(operator, after_another=not operator.reads)
    layer, shape = network.layers[-1], network.input_shape
    if not operator.arity:
        return replace(network, layers=(layer, Layer("sum", make("add", {}), ("input", layer.name), layer.shape)))
    dense = (numeric == "int16" and not operator.reads) or bool(operator.moving)
    return initialised(replace(network, layers=(*_dense(shape, "before"), layer)), 0) if dense else network


def _dense(shape: tuple[int, ...], name: str) -> tuple[Layer, ...]:
    """A dense layer whose output has the shape of its input."""
    size = prod(shape)
    if len(shape) == 1:
        return (Layer(name, make("dense", {}), ("input",), shape),)
    return Layer(f"{name}_flat", make("dense", {}), ("input",), (size,)), Layer(name, make("reshape", {}), (f"{name}_flat",), shape)


def learner(operator: type[Operator], numeric: Numeric) -> Network:
    """The operator between a layer with weights and a dense head."""
    network = inferring(operator, numeric)
    *rest, last = network.layers
    if operator.reads or numeric == "int16" or operator.moving:
        before: tuple[Layer, ...] = ()
    else:
        op, attrs = BLOCKS[len(network.input_shape)]
        before = (Layer("block", make(op, attrs), ("input",), network.input_shape),)
        rest = [replace(layer, inputs=tuple("block" if name == "input" else name for name in layer.inputs)) for layer in rest]
        last = replace(last, inputs=tuple("block" if name == "input" else name for name in last.inputs))
    head = Layer("head", make("dense", {"activation": "none"}), (last.name,), (CLASSES,))
    layers = (*before, *rest, last, head)
    return initialised(replace(network, layers=tuple(replace(layer, params={}) if layer.trainable else layer for layer in layers)), 0)


def scores(deployment: Deployment, x: Array) -> Array:
    """What the twins make of samples x."""
    twin, rows = Interpreter(deployment.program), []
    for sample in deployment.inputs(x):
        twin.predict(sample)
        rows.append(twin.output().reshape(-1).copy())
    return np.array(rows)


def in_c(deployment: Deployment, x: Array) -> str:
    """The C on this machine."""
    made = HostTarget(deployment.program).predict_many(deployment.inputs(x))[1]
    return EXACT if made.tobytes() == scores(deployment, x).tobytes() else "wrong: the C makes something else"


def again(read: Callable[[Any], Network], data: Any, deployment: Deployment, x: Array) -> bool:
    """Whether the network of a file computes the same."""
    return scores(deploy(read(data), target="input"), x).tobytes() == scores(deployment, x).tobytes()


def parts(deployment: Deployment, x: Array) -> list[Array]:
    """The samples of each input in the program's dtype."""
    network = deployment.network
    return list(by_input(network, deployment.inputs(x).reshape(len(x), *sample_shape(network))).values())


def in_tflite(deployment: Deployment, x: Array) -> str:
    """The TFLite file, read again and in TFLM."""
    network = deployment.network
    data = to_tflite(network)
    if not again(from_tflite, data, deployment, x):
        return "wrong: the file gives back something else"
    given, ours = parts(deployment, x), scores(deployment, x)
    run = Tflm(data, _process("tflm"), fresh=not any(kind(layer).remembers for layer in network))
    theirs = run(given if len(given) > 1 else given[0], lambda: None).reshape(ours.shape)
    return _compared(theirs, ours, "TFLM", 0 if ours.dtype != np.float32 else float_tolerance(network, x))


def in_onnx(deployment: Deployment, x: Array) -> str:
    """The ONNX file, read again and in ONNX Runtime."""
    network = deployment.network
    model = to_onnx(network).SerializeToString()
    if not again(from_onnx, model, deployment, x):
        return "wrong: the file gives back something else"
    ours, whole = scores(deployment, x), network.input_quant is not None
    quants = [network.input_quant, *(layer.quant.get("output") for layer in further_inputs(network))]
    given = [dequantise_array(part, quant) if quant else part for part, quant in zip(parts(deployment, x), quants, strict=True)]
    names = ["input", *(layer.name for layer in further_inputs(network))]
    theirs = OnnxRuntime(model, _process("onnxruntime"))(dict(zip(names, given, strict=True))).reshape(ours.shape)
    if not whole or ours.dtype == np.float32:
        return _compared(theirs, ours, "ONNX Runtime", float_tolerance(network, x))
    steps = len(network.layers)
    return _compared(quantise_array(theirs, network.ends[0].quant["output"]), ours, "ONNX Runtime", steps)


def _compared(theirs: Array, ours: Array, runtime: str, allowed: float) -> str:
    away = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max())
    if not away <= allowed:
        return f"wrong: {away:.3g} from {runtime}, {allowed:.3g} allowed"
    return EXACT if away == 0 else NEAR


@cache
def _process(engine: str) -> Process:
    """One process for all models of an engine."""
    return Process(engine)


def _step_of_onnx(model: bytes) -> Function:
    run = load_onnxruntime_step(model)
    return lambda inputs: run(dict(inputs), lambda: None)


_RUNTIMES: Mapping[str, Callable[[Deployment], RunningGraph]] = {
    "ONNX Runtime, learning graph": lambda deployment: in_onnx_runtime(deployment, _step_of_onnx),
    "LiteRT, learning graph": lambda deployment: in_litert(deployment, lambda model: LitertStep(model, _process("litert_step"))),
    "TFLM, learning graph": lambda deployment: in_tflm(
        deployment, lambda model, inputs, outputs: TflmStep(model, inputs, outputs, _process("tflm_step"))
    ),
}
"""In processes that all operators share."""


def _learns_in_c(deployment: Deployment, x: Array) -> str:
    for _, rows in learning(deployment, "bp", x, STEPS, 0, {"C": Host}, lambda *_: lambda: None):
        found = rows()
        if bad := [row for row in found if not row.ok]:
            return f"wrong: {bad[0].what}"
    return EXACT


def _learns_as_a_graph(deployment: Deployment, x: Array, name: str) -> str:
    labels = drawn_truths(deployment.program, 0, STEPS)
    rows = compare_training_graph(deployment, name, x[:STEPS], labels, load=_RUNTIMES[name])
    if bad := [row for row in rows if not row.ok]:
        return f"wrong: {bad[0].what}"
    return EXACT if all(row.differing == 0 for row in rows) else NEAR


def measure(name: str, form_of_numbers: str) -> dict[str, Any]:
    """What becomes of an operator in a number format: ``{"infer": {"C", "TFLite", "ONNX"}, "learn": ..}``."""
    operator = registry.ops[name]
    numeric: Numeric = "int8" if form_of_numbers == WIDE else next(each for each in FORMATS if each == form_of_numbers)

    def deployed(network: Network, x: Array, **how: Any) -> Deployment:
        if form_of_numbers == WIDE:
            return deploy(quantize(network, x, "int16", weights="int8"), **how)
        return deploy(network, x, numeric=numeric, **how)

    cells: dict[str, dict[str, str]] = {"infer": {}, "learn": {}}

    def infers(run: Callable[[Deployment, Array], str]) -> str:
        network = inferring(operator, numeric)
        x = samples(network)
        return run(deployed(network, x, target="input"), x)

    def learns(run: Callable[[Deployment, Array], str]) -> str:
        network = learner(operator, numeric)
        x = samples(replace(network, layers=network.layers[:-1]) if operator.reads else network)
        deployment = deployed(network, x, rule="bp")
        return run(deployment, deployment.inputs(x))

    for form, run in {"C": in_c, "TFLite": in_tflite, "ONNX": in_onnx}.items():
        cells["infer"][form] = says(partial(infers, run))
    cells["learn"]["C"] = says(partial(learns, _learns_in_c))
    for form, graph in dict(zip(("ONNX", "TFLite", "TFLM"), GRAPHS, strict=True)).items():
        cells["learn"][form] = says(partial(learns, partial(_learns_as_a_graph, name=graph)))
    if numeric == "float32":
        cells["infer"]["Keras"] = says(partial(in_keras, name))
    return cells


def in_keras(name: str) -> str:
    """A Keras layer that becomes the operator, from a .keras file."""
    if name not in KERAS:
        return "refused: no layer of Keras becomes it"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    shape, add = KERAS[name]
    inputs = [keras.Input(shape), *([keras.Input(shape)] if name == "input" else [])]
    model = keras.Model(inputs, add(keras.layers, *inputs))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.PReLU):
            layer.set_weights([rng.uniform(0.25, 2.0, weight.shape) for weight in layer.get_weights()])
    x = [rng.normal(size=(4, *shape)).astype(np.float32) for _ in inputs]
    with tempfile.TemporaryDirectory() as folder:
        network = _through_keras(model, Path(folder))
    if name not in ("batch_norm", "constant") and not any(layer.kind == name for layer in network):
        return f"refused: it becomes {', '.join(sorted({layer.kind for layer in network}))}"
    flat = np.concatenate([each.reshape(4, -1) for each in x], axis=1).reshape(4, *sample_shape(network))
    made = forward(network, parameters(network), flat)[network.ends[0].name].reshape(4, -1)
    expected = np.asarray(model(x)).reshape(4, -1)
    return _compared(made, expected, "Keras", CLOSE * max(1.0, float(np.abs(expected).max())))


def _through_keras(model: Any, folder: Path) -> Network:
    """A Keras model saved and read again; in this process, for TensorFlow takes ten seconds to start."""
    model.save(folder / "a.keras")
    with zipfile.ZipFile(folder / "a.keras") as archive:
        check_configuration(parsed(archive.read("config.json"), "a.keras"))
    before = Path.cwd()
    try:
        os.chdir(folder)
        answer = convert(folder / "a.keras")
    finally:
        os.chdir(before)
    return network_of(answer, (folder / "model.tflite").read_bytes())


def _both(layer: Callable[..., Any]) -> Callable[..., Any]:
    """A layer over the input and its tanh."""
    return lambda layers, x: layer(layers)([x, layers.Activation("tanh")(x)])


_IMAGE, _ROWS, _VECTOR = (8, 7, 4), (9, 4), (6,)
KERAS: Mapping[str, tuple[tuple[int, ...], Callable[..., Any]]] = {
    "add": (_IMAGE, _both(lambda layers: layers.Add())),
    "average_pool2d": (_IMAGE, lambda layers, x: layers.AveragePooling2D(2)(x)),
    "batch_norm": (_IMAGE, lambda layers, x: layers.BatchNormalization()(layers.Conv2D(3, 2)(x))),
    "concat": (_IMAGE, _both(lambda layers: layers.Concatenate())),
    "constant": (_VECTOR, lambda layers, x: layers.PReLU()(x)),
    "conv1d": (_ROWS, lambda layers, x: layers.Conv1D(3, 2)(x)),
    "conv2d": (_IMAGE, lambda layers, x: layers.Conv2D(3, 2, padding="same")(x)),
    "dense": (_VECTOR, lambda layers, x: layers.Dense(3)(x)),
    "depthwise_conv2d": (_IMAGE, lambda layers, x: layers.DepthwiseConv2D(3)(x)),
    "global_average_pool": (_IMAGE, lambda layers, x: layers.GlobalAveragePooling2D()(x)),
    "gru": (_ROWS, lambda layers, x: layers.GRU(3, return_sequences=True)(x)),
    "hard_swish": (_IMAGE, lambda layers, x: layers.Activation("hard_swish")(x)),
    "input": (_VECTOR, lambda layers, x, y: layers.Add()([x, y])),
    "leaky_relu": (_IMAGE, lambda layers, x: layers.LeakyReLU()(x)),
    "log_softmax": (_VECTOR, lambda layers, x: layers.Activation("log_softmax")(x)),
    "logistic": (_IMAGE, lambda layers, x: layers.Activation("sigmoid")(x)),
    "lstm": (_ROWS, lambda layers, x: layers.LSTM(3, return_sequences=True)(x)),
    "max_pool2d": (_IMAGE, lambda layers, x: layers.MaxPooling2D(2)(x)),
    "maximum": (_IMAGE, _both(lambda layers: layers.Maximum())),
    "minimum": (_IMAGE, _both(lambda layers: layers.Minimum())),
    "mul": (_IMAGE, _both(lambda layers: layers.Multiply())),
    "pad": (_IMAGE, lambda layers, x: layers.Activation("tanh")(layers.ZeroPadding2D(1)(x))),
    "prelu": (_IMAGE, lambda layers, x: layers.PReLU(shared_axes=(1, 2))(x)),
    "relu": (_IMAGE, lambda layers, x: layers.ReLU()(x)),
    "reshape": (_IMAGE, lambda layers, x: layers.Softmax()(layers.Reshape((8, 28))(x))),
    "resize_bilinear": (_IMAGE, lambda layers, x: layers.UpSampling2D(2, interpolation="bilinear")(x)),
    "scale_input": (_IMAGE, lambda layers, x: layers.MaxPooling2D(2)(layers.Rescaling(1 / 255, -0.5)(x))),
    "slice": (_IMAGE, lambda layers, x: layers.Cropping2D(1)(x)),
    "softmax": (_VECTOR, lambda layers, x: layers.Softmax()(x)),
    "sub": (_IMAGE, _both(lambda layers: layers.Subtract())),
    "tanh": (_IMAGE, lambda layers, x: layers.Activation("tanh")(x)),
    "transpose": (_IMAGE, lambda layers, x: layers.Permute((2, 1, 3))(x)),
    "upsample2d": (_IMAGE, lambda layers, x: layers.UpSampling2D(2)(x)),
}
"""The input's shape, and a network of Keras that has the operator."""
