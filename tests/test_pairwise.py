"""Two tensors at every place, parts, padding and concatenation: int8 to the bit as TFLM runs it, float as the libraries do."""

from __future__ import annotations

import numpy as np
import pytest
from model_files import run_litert, run_onnx, run_tflm

from edgeff.errors import Unsupported
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Layer, Network, Numeric
from edgeff.networks import initialised
from edgeff.ops import forward, kind, make, parameters, sample_shape
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.verify import verify

SHAPE = (4, 3, 6)


def numbers(name: str, *shape: int) -> Layer:
    return Layer(name, make("constant", {}), (), shape)


def every_one() -> Network:
    """Each operator on activations and constants, broadcast along every axis, after one another."""
    rows: list[tuple[str, str, tuple[str, ...], dict[str, object]]] = [
        ("wide", "tanh", ("input",), {}),
        ("gate", "slice", ("input",), {"begin": "1,0,0", "size": "1,1,6", "step": "1,1,1"}),
        ("gated", "mul", ("wide", "gate"), {"activation": "relu6"}),
        ("scaled", "mul", ("channels", "input"), {}),
        ("shifted", "add", ("scaled", "rows"), {}),
        ("bent", "prelu", ("shifted", "channels"), {}),
        ("apart", "sub", ("one", "bent"), {}),
        ("sum", "add", ("gated", "apart"), {"activation": "relu"}),
        ("low", "minimum", ("sum", "one"), {}),
        ("high", "maximum", ("low", "gated"), {}),
        ("every_other", "slice", ("high",), {"begin": "0,0,1", "size": "2,3,3", "step": "2,1,2"}),
        ("around", "pad", ("every_other",), {"before": "1,0,2", "after": "1,0,1", "value": 0.5}),
        ("joined", "concat", ("around", "high", "wide"), {"axis": 2}),
        ("turned", "transpose", ("joined",), {"perm": "2,0,1"}),
        ("both", "concat", ("turned", "turned"), {"axis": 0}),
    ]
    layers = [numbers("channels", 6), numbers("rows", 4, 1, 1), numbers("one", 1)]
    shapes = {"input": SHAPE} | {layer.name: layer.shape for layer in layers}
    for name, op, inputs, attributes in rows:
        record = make(op, attributes)
        shapes[name] = record.output_shape(Layer(name, record, inputs, ()), tuple(shapes[source] for source in inputs))
        layers.append(Layer(name, record, inputs, shapes[name]))
    return initialised(Network("every one", SHAPE, tuple(layers)), 3)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32)


def test_int8_is_tflm_s_to_the_bit(samples: np.ndarray) -> None:
    deployment = deploy(every_one(), samples, numeric="int8", target="input")
    twin, x = Interpreter(deployment.program), deployment.inputs(samples)
    rows = []
    for sample in x:
        twin.predict(sample)
        rows.append(twin.output().reshape(-1))
    found = run_tflm(to_tflite(deployment.network), x.reshape(samples.shape))
    assert np.array_equal(np.array(rows), found.reshape(len(x), -1))
    assert len(np.unique(found)) > 100  # scales are used, nothing is stuck at an end


def test_float_is_what_the_libraries_compute(samples: np.ndarray) -> None:
    network = every_one()
    expected = forward(network, parameters(network), samples)["both"]
    for found in (run_litert(to_tflite(network), samples), run_tflm(to_tflite(network), samples), run_onnx(to_onnx(network), samples)):
        assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-6  # tanh alone rounds differently


def cell() -> Network:
    """A gated cell whose state is an input and an output: two inputs, two outputs."""
    rows: list[tuple[str, str, tuple[str, ...], dict[str, object], tuple[int, ...]]] = [
        ("state", "input", (), {}, (6,)),
        ("from_input", "dense", ("input",), {"bias": True}, (6,)),
        ("from_state", "dense", ("state",), {}, (6,)),
        ("gate", "add", ("from_input", "from_state"), {}, (6,)),
        ("open", "logistic", ("gate",), {}, (6,)),
        ("next", "mul", ("open", "state"), {}, (6,)),
        ("score", "dense", ("next",), {}, (3,)),
    ]
    layers = tuple(Layer(name, make(op, attributes), inputs, shape) for name, op, inputs, attributes, shape in rows)
    return initialised(Network("cell", (4,), layers, outputs=("score", "next")), 1)


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_several_inputs_and_outputs_are_the_same_everywhere(numeric: Numeric) -> None:
    """Twin = C, its own example, TFLM and ONNX Runtime; files give back their names."""
    network = cell()
    x = np.random.default_rng(0).normal(size=(30, *sample_shape(network))).astype(np.float32)
    made = deploy(network, x, numeric=numeric).network
    found = verify(made, x, board="nucleo_l4r5zi", emulated=2)
    found.check()
    assert not found.skipped
    assert {row.b for row in found.comparisons if row.what == "scores"} >= {"C on the host", "TFLM"}
    for again in (from_tflite(to_tflite(made)), from_onnx(to_onnx(made).SerializeToString())):
        assert (again.outputs, [layer.name for layer in again]) == (made.outputs, [layer.name for layer in made])
    with pytest.raises(Unsupported, match=r"^learning with 'cell': got 2 inputs and 2 outputs; allowed: one of each"):
        lower(network, "bp")


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    layer = Layer("y", make("mul", {}), ("input", "c"), (4, 3, 6))
    with pytest.raises(Exception, match=r"^layer 'y': got inputs of shape \(4, 3, 6\), \(4,\); allowed: shapes that broadcast"):
        kind(layer).check(layer, ((4, 3, 6), (4,)), quantised=False)
