"""ONNX Runtime's ``quantize_static`` in the 16 settings of format, scales and types: what it makes, and what is imported.

A setting is QDQ or QOperator, a scale for each tensor or each channel, and the types of activations and weights. ONNX Runtime does not make
int8 activations with uint8 weights; there the weights of its int8 file are written as uint8 with zero point 128, the same numbers. Each is
made with ``reduce_range`` too, which keeps weights in seven bits. An imported network runs as NumPy twins and as C on the host (differing
outputs), in TFLM on edgeff's own file of it (differing), and is held against ONNX Runtime on the original in steps of the output: in a
session without saturating sums (SESSION_ENTRIES), and in one as it comes; None where it has no kernel for the file. Networks:
``digits``, 64-32-10 of MatMul and Add trained on scikit-learn's digits; MLPerf Tiny's DS-CNN and ResNet-8 with their performance inputs,
left out without the files of EDGEFF_MODELS_DIR and EDGEFF_DATA_DIR. ``python benchmarks/onnx_settings.py --fresh`` ->
``benchmarks/results/onnx_settings.json``; status 1 where outputs differ that must not.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions, quantization
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented  # noqa: A004 - ONNX Runtime's name
from reference_models import DATA, MODELS, inputs
from results import collect

from edgeff.device.targets.host import HostTarget
from edgeff.errors import EdgeffError
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.onnx.writer import SESSION_ENTRIES, to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import dequantise_array
from edgeff.verify.engines import Tflm

FORMS, SCALES = ("QDQ", "QOperator"), ("tensor", "channel")
TYPES = (("QInt8", "QInt8"), ("QUInt8", "QInt8"), ("QUInt8", "QUInt8"), ("QInt8", "QUInt8"))
SAMPLES = {"digits": 400, "kws_dscnn": 100, "ic_resnet8": 40}
CALIBRATION = 100


class Samples(quantization.CalibrationDataReader):
    """The rows of an array, one at a time, as the input ``name``."""

    def __init__(self, name: str, rows: Array) -> None:
        self.feeds: Iterator[dict[str, Array]] = iter([{name: row[None]} for row in rows])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.feeds, None)


@cache
def digits() -> tuple[onnx.ModelProto, Array, Array]:
    """64-32-10 of MatMul, Add and Relu, trained on scikit-learn's digits, and other images with their classes."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    x, labels = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    trained = MLPClassifier((32,), max_iter=200, random_state=0).fit(x[:1200], labels[:1200])
    arrays = {f"{key}{i}": each[i] for key, each in (("w", trained.coefs_), ("b", trained.intercepts_)) for i in range(2)}
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["m0"]),
        helper.make_node("Add", ["m0", "b0"], ["a0"]),
        helper.make_node("Relu", ["a0"], ["r0"]),
        helper.make_node("MatMul", ["r0", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("x", 64), ("y", 10))]
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "digits", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), x[1200:], labels[1200:]


@cache
def network_of(name: str) -> tuple[onnx.ModelProto, Array, Array]:
    """The float model, inputs for it in the shape of its input without the batch, and their classes."""
    if name == "digits":
        return digits()
    network = from_tflite(MODELS / f"{name}_f32.tflite")
    model = to_onnx(network)
    del model.metadata_props[:]
    x, labels = inputs(name, network)
    order = np.random.default_rng(0).permutation(len(x))
    return model, x[order].reshape(-1, *network.input_shape), np.array(labels)[order]


def quantised(name: str, form: str, scales: str, types: tuple[str, str], *, reduce_range: bool) -> onnx.ModelProto:
    """What ``quantize_static`` makes of a network. Raises ValueError for a setting that it does not have."""
    model, x, _ = network_of(name)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, before)
        quantization.quantize_static(
            str(before),
            str(after),
            Samples(model.graph.input[0].name, x[:CALIBRATION]),
            quant_format=quantization.QuantFormat[form],
            per_channel=scales == "channel",
            reduce_range=reduce_range,
            activation_type=quantization.QuantType[types[0]],
            weight_type=quantization.QuantType[types[1]],
        )
        return onnx.load(after)


def with_uint8_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its int8 weights of two axes or more as uint8 of zero point 128, the same numbers."""
    again = onnx.ModelProto()
    again.CopyFrom(model)
    weights = {tensor.name for tensor in again.graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1}
    zeros = {name.removesuffix("_quantized") + "_zero_point" for name in weights}
    for tensor in again.graph.initializer:
        if tensor.name in weights | zeros:
            whole = numpy_helper.to_array(tensor).astype(np.int16) + 128
            tensor.CopyFrom(numpy_helper.from_array(whole.astype(np.uint8), tensor.name))
    return again


def measure(name: str, form: str, scales: str, activation: str, weight: str, reduce_range: bool) -> dict[str, Any]:
    """What becomes of one network in one setting."""
    types = (activation, weight)
    row: dict[str, Any] = {"made": True}
    try:
        model = quantised(name, form, scales, types, reduce_range=reduce_range)
    except ValueError as error:
        row = {"made": False, "reason": str(error)[:160]}
        model = with_uint8_weights(quantised(name, form, scales, ("QInt8", "QInt8"), reduce_range=reduce_range))
    try:
        network = from_onnx(model.SerializeToString())
    except EdgeffError as error:
        return row | {"outcome": "refused", "refusal": str(error)[:300]}
    samples, labels = (each[-SAMPLES[name] :] for each in network_of(name)[1:])
    deployment = deploy(network, target="input")
    x = deployment.inputs(samples.reshape(len(samples), -1))
    twin, ours = Interpreter(deployment.program), list[Array]()
    for sample in x:
        twin.predict(sample)
        ours.append(twin.output().reshape(-1))
    made = np.array(ours)
    on_host = HostTarget(deployment.program).predict_many(x)[1].reshape(made.shape)
    in_tflm = Tflm(to_tflite(network))(x.reshape(-1, *network.input_shape), lambda: None).reshape(made.shape)
    row |= {"numerics": [*network.numerics], "layers": len(network.layers), "outputs": int(made.size)}
    row |= {"split": len(network.metadata["source"].get("split_weights", ())), "differing_c": int((on_host != made).sum())}
    row |= {"differing_tflm": int((in_tflm != made).sum())}
    row["accuracy"] = float((made.argmax(1) == labels).mean())
    quant = network.layers[-1].quant["output"]
    for session, entries in (("exact", SESSION_ENTRIES), ("default", {})):
        theirs = in_onnx_runtime(model, samples, entries)
        if theirs is None:
            row[session] = None
            continue
        theirs = theirs.reshape(made.shape)
        steps = np.abs(np.rint((theirs - dequantise_array(made, quant)) / quant.scale[0]))
        row[session] = {"largest": int(steps.max()), "differing": int(np.count_nonzero(steps))}
        row[session] |= {"accuracy": float((theirs.argmax(1) == labels).mean())}
    equal = not row["differing_c"] and not row["differing_tflm"]
    return row | {"outcome": "imported" if equal else "wrong"}


def in_onnx_runtime(model: onnx.ModelProto, x: Array, entries: Mapping[str, str]) -> Array | None:
    """The outputs for x, None where ONNX Runtime has no kernel for the file."""
    options = SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    try:
        session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except NotImplemented:
        return None
    return np.concatenate([session.run(None, {model.graph.input[0].name: sample[None]})[0] for sample in x])


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    here = [name for name in SAMPLES if name == "digits" or ((MODELS / f"{name}_f32.tflite").exists() and DATA.exists())]
    keys = [(name, form, scales, *types, less) for name, form, scales, types, less in product(here, FORMS, SCALES, TYPES, (False, True))]
    rows = collect("onnx_settings", keys, measure)
    sys.exit(any(row["outcome"] == "wrong" for row in rows))
