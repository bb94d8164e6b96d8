"""Small networks made by hand, their arithmetic in NumPy, and the interpreters they are run in."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edgeff.formats.onnx.writer import SESSION_ENTRIES
from edgeff.ir import Array, Attr, Layer, Network, Quant
from edgeff.ops import kind, make
from edgeff.ops.normalise import Normalise
from edgeff.ops.softmax import Softmax

METADATA: dict[str, Any] = {
    "task": "digits",
    "rule": {"name": "pepita", "lr": 0.1, "seeds": [1, 2, 3]},
    "accuracy": 0.951234567890123,
    "classes": ["zero", "één", "二"],
    "note": None,
}
ENDS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
"""The least and largest real output of an activation function."""


def dense(name: str, source: str, weight: Array, bias: Array | None, activation: str = "none") -> Layer:
    params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    attrs: dict[str, Attr] = {"activation": activation}
    return Layer(name, make("dense", attrs), (source,), (len(weight),), params)


def float_network(
    sizes: tuple[int, ...] = (64, 32, 10), *, bias: bool = True, softmax: bool = True, normalise: bool = False, seed: int = 0
) -> Network:
    """A classifier like 64-32-10 with seeded weights: dense_1 (relu), [normalise_1], .., dense_n, [softmax]."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    source = "input"
    for number, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        last = number == len(sizes) - 1
        weight = (rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)).astype(np.float32)
        b = rng.normal(size=n_out).astype(np.float32) / np.float32(10) if bias else None
        layers.append(dense(f"dense_{number}", source, weight, b, "none" if last else "relu"))
        source = layers[-1].name
        if normalise and not last:
            layers.append(Layer(f"normalise_{number}", Normalise(eps=1e-4), (source,), (n_out,)))
            source = layers[-1].name
    if softmax:
        layers.append(Layer("softmax", Softmax(), (source,), (sizes[-1],)))
    return Network("classifier", (sizes[0],), tuple(layers), metadata=METADATA)


def forward(network: Network, x: Array) -> dict[str, Array]:
    """Every layer's float64 output for x (B, n_in)."""
    values: dict[str, Array] = {"input": np.asarray(x, np.float64)}
    for layer in network:
        u = values[layer.inputs[0]]
        if layer.kind == "dense":
            u = u @ layer.params["weight"].astype(np.float64).T + layer.params.get("bias", np.zeros(1))
            low, high = ENDS[str(kind(layer).attributes["activation"])]
            u = np.clip(u, low, high)
        elif layer.kind == "softmax":
            e = np.exp(u - u.max(axis=1, keepdims=True))
            u = e / e.sum(axis=1, keepdims=True)
        else:
            u = u / (np.sqrt(np.mean(u * u, axis=1, keepdims=True)) + float(kind(layer).attributes["eps"]))
        values[layer.name] = u
    return values


def quantised(network: Network, x: Array, *, per_channel: bool) -> Network:
    """``network`` in int8, calibrated by min-max on x; scales are float32 numbers, those of biases float64 products."""

    def activation_quant(values: Array) -> Quant:
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = float(np.float32((high - low) / 255))
        return Quant((scale,), int(np.clip(round(-128 - low / scale), -128, 127)))

    values = forward(network, x)
    quants = {name: activation_quant(value) for name, value in values.items()}
    layers: dict[str, Layer] = {}
    for layer in network:
        quant = {"output": quants[layer.name]}
        params: dict[str, Array] = {}
        if layer.kind == "softmax":
            quant["output"] = quants[layer.name] = Quant((1 / 256,), -128)
        if layer.kind == "dense":
            weight = layer.params["weight"]
            largest = np.abs(weight).max(axis=1) if per_channel else np.abs(weight).max(keepdims=True).reshape(1)
            scale = (largest / np.float32(127)).astype(np.float32)
            params["weight"] = np.clip(np.round(weight / scale[:, None]), -127, 127).astype(np.int8)
            axis = 0 if per_channel else None
            quant["weight"] = Quant(tuple(scale.tolist()), 0, axis)
            if "bias" in layer.params:
                bias_scale = np.float64(quants[layer.inputs[0]].scale[0]) * scale.astype(np.float64)
                params["bias"] = np.round(layer.params["bias"] / bias_scale).astype(np.int32)
                quant["bias"] = Quant(tuple(bias_scale.tolist()), 0, axis, "int32")
        layers[layer.name] = Layer(layer.name, layer.op, layer.inputs, layer.shape, params, quant)
    return network.replacing(layers, input_quant=quants["input"])


def quantise(x: Array, quant: Quant) -> Array:
    return np.clip(np.round(np.asarray(x, np.float64) / quant.scale[0]) + quant.zero_point, -128, 127).astype(np.int8)


def dense_int8(layer: Layer, x: Array, x_quant: Quant) -> Array:
    """The int8 output of a dense layer for x (B, n_in) int8 by TFLM's rule: a Q31 multiplier, rounded twice (gemmlowp)."""
    weight, y_quant = layer.params["weight"].astype(np.int64), layer.quant["output"]
    acc = (x.astype(np.int64) - x_quant.zero_point) @ weight.T + layer.params.get("bias", np.zeros(1, np.int64)).astype(np.int64)
    real = x_quant.scale[0] * layer.quant["weight"].scales() / y_quant.scale[0]
    fraction, exponent = np.frexp(real)
    multiplier = np.round(fraction * (1 << 31)).astype(np.int64)
    exponent = np.where(multiplier == 1 << 31, exponent + 1, exponent)
    multiplier = np.where(multiplier == 1 << 31, 1 << 30, multiplier)
    left, right = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    product = (acc << left) * multiplier
    high = np.where(product >= 0, (product + (1 << 30)) >> 31, -((-product + (1 << 30)) >> 31))
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    y = (high >> right) + (remainder > (mask >> 1) + (high < 0)) + y_quant.zero_point
    low, high = (y_quant.zero_point + np.round(end / y_quant.scale[0]) for end in ENDS[str(kind(layer).attributes["activation"])])
    return np.clip(y, max(low, -128), min(high, 127)).astype(np.int8)


def assert_same_network(expected: Network, actual: Network) -> None:
    """Every field equal, arrays in type and bits."""
    assert (expected.name, expected.input_shape, expected.input_quant) == (actual.name, actual.input_shape, actual.input_quant)
    assert dict(expected.metadata) == dict(actual.metadata)
    assert [layer.name for layer in expected] == [layer.name for layer in actual]
    for a, b in zip(expected, actual, strict=True):
        assert (a.kind, a.inputs, a.shape, kind(a).attributes, dict(a.quant)) == (
            b.kind,
            b.inputs,
            b.shape,
            kind(b).attributes,
            dict(b.quant),
        )
        assert_same_arrays(a.params, b.params)


def assert_same_arrays(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> None:
    assert set(expected) == set(actual)
    for key, array in expected.items():
        assert (array.dtype, array.shape, array.tobytes()) == (actual[key].dtype, actual[key].shape, actual[key].tobytes()), key


def run_onnx(model: Any, x: Array, *, optimised: bool = True, exact: bool = True) -> Array:
    """The outputs for x; not ``optimised``: node by node as the file says, without ONNX Runtime's fused kernels; not ``exact``: as its
    sessions are by default, in which sums of int8 products may saturate.
    """
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in SESSION_ENTRIES.items() if exact else ():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def run_litert(data: bytes, x: Array, resolver: str = "BUILTIN_REF") -> Array:
    """The outputs for x (B, n_in), one sample at a time."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=data, experimental_op_resolver_type=litert.OpResolverType[resolver])
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for row in x:
        interpreter.set_tensor(source, row[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target)[0].copy())
    return np.array(rows)


def run_tflm(data: bytes, x: Array) -> Array:
    """The outputs for x (B, n_in), one sample at a time, from the interpreter that boards run."""
    runtime = pytest.importorskip("tflite_micro").runtime
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 21)
    rows = []
    for row in x:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        rows.append(np.array(interpreter.get_output(0)[0]))
    return np.array(rows)


def session(model: Any) -> Any:
    """ONNX Runtime's session of a model, on one core, as it comes from the package."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
