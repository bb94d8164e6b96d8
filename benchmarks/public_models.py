"""Model files of public repositories: which of them are imported, and whether what they compute is what other runtimes make of the file.

Each imported file is run as NumPy twins and as C on the host, which must be equal to the bit, and held against TFLM (else LiteRT) or ONNX
Runtime on the original file: int8 in TFLite equal to the bit, float within 1e-4 of the largest output, int8 in ONNX counted in steps (of
1/255 of the outputs' range, where the last layers are float). In a file of dynamic range LiteRT rounds each layer's activations, which
edgeff does not: the difference is only measured.
Files: the folder ``public`` of EDGEFF_MODELS_DIR (../shared/models), with ``FILES.tsv`` (file, repository, path, licence); they are not
part of the project. Keras files are compared with what Keras makes of them where it still reads them. A file of at most two operators is
a single layer, not a network. ``python benchmarks/public_models.py --fresh`` -> ``benchmarks/results/public_models.json``; status 1 where a
result is wrong. Without the folder nothing is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from results import collect

from edgeff.device.targets.host import HostTarget
from edgeff.errors import EdgeffError, Unsupported
from edgeff.formats import load
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network, Quant
from edgeff.networks import random_inputs
from edgeff.ops import by_input, kind, raw_input, sample_shape
from edgeff.program.cost import call_costs
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import dequantise_array, quantise_array
from edgeff.verify.engines import Litert, OnnxRuntime, Tflm

FOLDER = Path(os.environ.get("EDGEFF_MODELS_DIR") or Path(__file__).resolve().parents[2] / "shared" / "models") / "public"
SAMPLES, FEW_SAMPLES, LARGE_MACS, CLOSE, FEW_STEPS = 16, 2, 20_000_000, 1e-4, 3
"""A network of more multiply-accumulates gets the few samples: NumPy takes seconds for each."""


def files() -> dict[str, tuple[str, str]]:
    """The repository and the path of each file, by its name here; empty without the folder."""
    listed = FOLDER / "FILES.tsv"
    rows = [line.split("\t") for line in listed.read_text(encoding="utf-8").splitlines() if listed.exists() and not line.startswith("#")]
    return {row[0]: (row[1], row[2]) for row in rows if row[0].endswith((".tflite", ".onnx", ".h5"))}


def operators(path: Path) -> int:
    """The operators of the file, quantise and dequantise nodes and constants left out; the layers of a Keras file."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        return sum(layer["class_name"] != "InputLayer" for layer in layers)
    if path.suffix == ".onnx":
        return sum(node.op_type not in ("Constant", "QuantizeLinear", "DequantizeLinear") for node in onnx.load(path).graph.node)
    return int(subgraphs(path)[0].OperatorsLength())


def subgraphs(path: Path) -> list[Any]:
    """The subgraphs of a TFLite file."""
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    return [model.Subgraphs(number) for number in range(model.SubgraphsLength())]


def measure(name: str) -> dict[str, Any]:
    """What becomes of one file."""
    path, (repository, source) = FOLDER / name, files()[name]
    row: dict[str, Any] = {"repository": repository, "path": source, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    row["operators"] = operators(path)
    try:
        network = load(path)
        deployment = deploy(network, target="input")
    except EdgeffError as error:
        return row | {"outcome": "refused", "reason": str(error)[:400]}
    row |= {
        "layers": len(network.layers),
        "numeric": "+".join(network.numerics),
        "inputs": len(deployment.program.inputs),
        "outputs": len(network.ends),
    }
    large = sum(call.macs for call in call_costs(deployment.program)) > LARGE_MACS
    samples = random_inputs(network, 0, FEW_SAMPLES if large else SAMPLES)
    if raw_input(network) == "int16":
        samples = loud(samples.shape)
    if path.suffix == ".onnx" and network.input_quant is None and "dequantised_outputs" in dict(network.metadata.get("source", {})):
        samples = np.clip(np.rint(samples), -128, 127).astype(np.float32)  # the file takes int8 and casts it
    x = deployment.inputs(samples)
    twin = Interpreter(deployment.program)
    ours = []
    for sample in x:
        twin.predict(sample)
        ours.append(twin.output().reshape(-1))
    made = np.array(ours)
    if made.tobytes() != HostTarget(deployment.program).predict_many(x)[1].tobytes():
        return row | {"outcome": "wrong", "reason": "the C on the host differs from the twins"}
    row["elements"] = int(made.size)
    if path.suffix == ".h5":
        return row | in_keras(path, samples, made)
    if path.suffix == ".onnx":
        return row | in_onnx_runtime(path, network, samples, made)
    return row | in_tflite_runtime(path, network, deployment, samples, made)


def loud(shape: tuple[int, ...]) -> Array:
    """Noise of int16, each sample louder than the one before it, and the last ones at the ends of the range."""
    noise = np.random.default_rng(0).standard_normal(shape) * np.geomspace(1, 100_000, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return np.clip(np.rint(noise), -32768, 32767).astype(np.float32)


def in_keras(path: Path, samples: Array, made: Array) -> dict[str, Any]:
    """The comparison with Keras on the file."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from tensorflow import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (TypeError, ValueError) as error:
        return {"outcome": "no other runtime", "reason": f"Keras {keras.__version__}: {str(error).splitlines()[0][:100]}"}
    return compared("Keras", made, np.asarray(model(samples)).reshape(made.shape))


def in_tflite_runtime(path: Path, network: Network, deployment: Deployment, samples: Array, made: Array) -> dict[str, Any]:
    """The comparison with TFLM on the file, with LiteRT where TFLM does not run it."""
    graph = subgraphs(path)[0]
    kinds = [graph.Tensors(index).Type() for index in graph.InputsAsNumpy()]
    shape = graph.Tensors(graph.InputsAsNumpy()[0]).ShapeAsNumpy()
    parts = by_input(network, deployment.inputs(samples).reshape(len(samples), *sample_shape(network))).values()
    reals = by_input(network, samples).values()
    given = [as_typed(part, real, kind) for part, real, kind in zip(parts, reals, kinds, strict=True)]
    end = graph.Tensors(graph.OutputsAsNumpy()[0])
    if kinds[0] == schema.TensorType.INT16 and network.input_quant is not None and given[0].dtype != np.int16:
        given = [in_steps(parts_as_real(given[0], network.input_quant), graph.Tensors(graph.InputsAsNumpy()[0]))]
    whole = made
    if made.dtype == np.int8 and end.Type() == schema.TensorType.FLOAT32:
        places = np.cumsum([prod(layer.shape) for layer in network.ends])[:-1]
        ends = zip(np.split(made, places, axis=1), network.ends, strict=True)
        made = np.concatenate([parts_as_real(part, layer.quant["output"]) for part, layer in ends], axis=1)
    if shape[0] > 1:  # the file has a batch of its own: whole batches of samples
        taken = given[0][: len(samples) // shape[0] * shape[0]]
        return batches(path, taken.reshape(-1, *shape), made[: len(taken)])
    x: Any = given if len(given) > 1 else given[0]
    refusals = []
    fresh = not any(kind(layer).remembers for layer in network)  # else a sample follows on from the one before it
    tflm = partial(Tflm, path.read_bytes(), outputs=len(network.ends), fresh=fresh)
    for runtime, run in (("TFLM", tflm), ("LiteRT", partial(Litert, path.read_bytes(), "BUILTIN_REF", fresh=fresh))):
        try:
            theirs = run()(x, lambda: None)
        except Unsupported as error:
            refusals.append(str(error.got)[:120])
            continue
        if end.Type() == schema.TensorType.INT32:  # finer than the network's outputs
            theirs = quantise_array(real_of(theirs, end), network.ends[0].quant["output"])
        found = compared(runtime + (", its finer outputs rounded to int8" if end.Type() == schema.TensorType.INT32 else ""), made, theirs)
        if found["outcome"] == "wrong" and runtime == "LiteRT" and network.numerics == ("int8",):
            ours = Tflm(to_tflite(network), outputs=len(network.ends), fresh=fresh)(
                deployment.inputs(samples).reshape(-1, *network.input_shape), lambda: None
            )
            same = np.array_equal(ours.reshape(len(whole), -1), whole)
            return found | {"outcome": "exact in TFLM on edgeff's own file" if same else "wrong"}
        dynamic = found["outcome"] == "wrong" and "dequantised_weights" in dict(network.metadata.get("source", {}))
        return found | ({"outcome": "dynamic range", "range": float(np.ptp(theirs))} if dynamic else {})
    return {"outcome": "no other runtime", "reason": "; ".join(refusals)}


def as_typed(part: Array, real: Array, kind: int) -> Array:
    """The samples of an input in the type that the file has for it."""
    if part.dtype == np.int8 and kind == schema.TensorType.FLOAT32:
        return real.astype(np.float32)
    return (part ^ np.int8(-128)).view(np.uint8) if kind == schema.TensorType.UINT8 else part


def parts_as_real(part: Array, quant: Quant) -> Array:
    """Integers as the numbers that they stand for, float32."""
    return np.asarray(np.float32(quant.scale[0]) * (part.astype(np.float32) - quant.zero_point))


def in_steps(real: Array, tensor: Any) -> Array:
    """Numbers as int16 in the steps of a tensor of the file: finer than the int8 that its QUANTIZE makes of them."""
    quant = tensor.Quantization()
    return np.clip(np.rint(real / quant.Scale(0)) + quant.ZeroPoint(0), -32768, 32767).astype(np.int16)


def real_of(whole: Array, tensor: Any) -> Array:
    """Integers of a tensor of the file as the numbers that they stand for, float64."""
    return np.asarray((whole.astype(np.float64) - tensor.Quantization().ZeroPoint(0)) * tensor.Quantization().Scale(0))


def batches(path: Path, x: Array, made: Array) -> dict[str, Any]:
    """The comparison with LiteRT, batch by batch."""
    from ai_edge_litert import interpreter as library

    interpreter = library.Interpreter(str(path), experimental_op_resolver_type=library.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    rows = []
    for batch in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return compared("LiteRT", made, np.concatenate(rows))


def compared(runtime: str, made: Array, theirs: Array) -> dict[str, Any]:
    """The outcome for outputs in the file's own number format."""
    theirs = theirs.reshape(len(made), -1)
    if theirs.dtype == np.uint8:
        theirs = (theirs ^ np.uint8(128)).view(np.int8)
    difference = np.abs(theirs.astype(np.float64) - made.astype(np.float64))
    found = {"runtime": runtime, "differing": int(np.count_nonzero(difference)), "largest": float(difference.max())}
    if not found["differing"]:
        return found | {"outcome": "exact"}
    close = made.dtype == np.float32 and difference.max() <= CLOSE * max(1.0, float(np.abs(theirs).max()))
    return found | {"outcome": "within 1e-4" if close else "wrong"}


def in_onnx_runtime(path: Path, network: Network, samples: Array, made: Array) -> dict[str, Any]:
    """The comparison with ONNX Runtime on the file; int8 in steps of the output."""
    model = onnx.load(path)
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initial]
    parts = by_input(network, samples)
    shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim][1:] for value in inputs]
    feeds = [
        {value.name: part[row].reshape(1, *shape) for value, part, shape in zip(inputs, parts.values(), shapes, strict=True)}
        for row in range(len(samples))
    ]
    runtime = "ONNX Runtime"
    try:
        run = OnnxRuntime(path.read_bytes())
    except Unsupported:  # it has no kernel for some operators of integers
        runtime, run = "ONNX Runtime, in float between its scales", OnnxRuntime(in_float(model).SerializeToString())
    if inputs[0].type.tensor_type.elem_type == onnx.TensorProto.INT8:
        feeds = [{name: part.astype(np.int8) for name, part in feed.items()} for feed in feeds]
    theirs = np.concatenate([run(feed).reshape(1, -1) for feed in feeds])
    if theirs.dtype == np.int8 and made.dtype == np.float32:
        return rounded(model, theirs, made)
    quants = [layer.quant.get("output") for layer in network.ends]
    quant = quants[0]
    if quant is None and any(layer.numeric == "int8" for layer in network):  # int8 in parts, whose last one is float
        steps = float(np.abs(theirs.astype(np.float64) - made).max() / (np.ptp(theirs) / 255))
        found = {"runtime": runtime, "largest": round(steps, 2), "best_class_equal": float((theirs.argmax(1) == made.argmax(1)).mean())}
        return found | {"outcome": "within steps" if steps <= FEW_STEPS else "wrong"}
    if quant is None:
        return compared(runtime, made, theirs)
    steps = float(np.abs(theirs - dequantise_array(made, quant)).max() / quant.scale[0])
    found = {"runtime": runtime, "largest": round(steps, 2), "best_class_equal": float((theirs.argmax(1) == made.argmax(1)).mean())}
    return found | {"outcome": "within steps" if steps <= FEW_STEPS else "wrong"}


def rounded(model: onnx.ModelProto, theirs: Array, made: Array) -> dict[str, Any]:
    """The comparison of float outputs with those that the file rounds to int8 in its last node."""
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale, zero = (known[name] for name in model.graph.node[-1].input[1:3])
    steps = np.abs(np.clip(made.astype(np.float64) / float(scale) + float(zero), -128, 127) - theirs)
    largest, same = round(float(steps.max()), 4), float((theirs.argmax(1) == made.argmax(1)).mean())
    found = {"runtime": "ONNX Runtime, which rounds to int8", "largest": largest, "best_class_equal": same}
    return found | {"outcome": "within steps" if largest <= 0.5 + CLOSE else "wrong"}


SIDES = {"QLinearAdd": ((0, 3), 6), "QLinearAveragePool": ((0,), 3), "QLinearSoftmax": ((0,), 3)}
SIDES |= {"QLinearConv": ((0, 3), 6), "QLinearMatMul": ((0, 3), 6)}
"""Where an operator's tensors stand among its inputs, each followed by its scale and zero point, and where the output's stand."""


def in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each operator of integers as the same one in float, between DequantizeLinear and QuantizeLinear, and without the
    attributes of sets before 7.
    """
    nodes = []
    again = onnx.ModelProto()
    again.CopyFrom(model)
    for number, node in enumerate(model.graph.node):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if "broadcast" in attributes or (node.op_type == "Reshape" and "shape" in attributes):  # before operator set 7
            source = list(node.input)
            if node.op_type == "Reshape":
                source.append(f"{number}_shape")
                again.graph.initializer.append(onnx.numpy_helper.from_array(np.array(attributes["shape"], np.int64), source[1]))
            elif attributes.get("axis") == 1:  # the channels of an image
                again.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 2], np.int64), f"{number}_axes"))
                nodes.append(onnx.helper.make_node("Unsqueeze", [source[1], f"{number}_axes"], [f"{number}_side"]))
                source[1] = f"{number}_side"
            nodes.append(onnx.helper.make_node(node.op_type, source, list(node.output)))
            again.opset_import[0].version = max(again.opset_import[0].version, 13)
            again.ir_version = max(again.ir_version, 8)
            continue
        if node.op_type not in SIDES:
            nodes.append(node)
            continue
        places, end = SIDES[node.op_type]
        names = [f"{number}_{place}" for place in places]
        for place, name in zip(places, names, strict=True):
            nodes.append(onnx.helper.make_node("DequantizeLinear", list(node.input[place : place + 3]), [name]))
        if len(node.input) > end + 2:  # a bias in steps of the products
            nodes.append(onnx.helper.make_node("Mul", [node.input[1], node.input[4]], [f"{number}_step"]))
            nodes.append(onnx.helper.make_node("Cast", [node.input[8]], [f"{number}_whole"], to=onnx.TensorProto.FLOAT))
            nodes.append(onnx.helper.make_node("Mul", [f"{number}_whole", f"{number}_step"], [f"{number}_bias"]))
            names.append(f"{number}_bias")
        attributes = {name: value for name, value in attributes.items() if name not in ("opset", "channels_last")}
        nodes.append(onnx.helper.make_node(node.op_type.removeprefix("QLinear"), names, [f"{number}_y"], **attributes))
        nodes.append(onnx.helper.make_node("QuantizeLinear", [f"{number}_y", *node.input[end : end + 2]], [node.output[0]]))
    del again.graph.node[:]
    again.graph.node.extend(nodes)
    return again


if __name__ == "__main__":
    if not (FOLDER / "FILES.tsv").exists():
        print(f"no files: {FOLDER} does not exist; EDGEFF_MODELS_DIR names the folder it lies in")
        sys.exit(0)
    rows = collect("public_models", [(name,) for name in files()], measure)
    sys.exit(any(row["outcome"] == "wrong" for row in rows))
