"""Networks that remember: LSTMs, filters and rows over time against TFLM, their state in twins and C, and what is refused of them."""

from dataclasses import replace

import numpy as np
import pytest

from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.tflite.packing import pack
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.networks import initialised
from edgeff.ops import forward, parameters
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.dense import Dense
from edgeff.ops.lstm import Lstm
from edgeff.ops.recent import Recent
from edgeff.ops.reshape import Reshape
from edgeff.ops.svdf import Svdf
from edgeff.program.codes import Code
from edgeff.program.cost import cost
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import quantize
from edgeff.verify import verify
from edgeff.verify.engines import Process, Tflm
from edgeff.verify.executions import twin_results
from edgeff.verify.libraries import integer_parties

RNG = np.random.default_rng(47)
INPUT = Quant((0.0625,), -3)


def whole(shape: tuple[int, ...], most: int, dtype: str = "int8") -> Array:
    return RNG.integers(-most, most + 1, shape).astype(dtype)


def lstm(name: str, below: str, x: Quant, shape: tuple[int, int, int], power: int, *, clip: float = 0.0, loud: bool = False) -> Layer:
    """An int8 LSTM of ``shape`` (steps, n_in, n_out); ``loud``: its gates saturate."""
    steps, n_in, n_out = shape
    scales = {key: tuple(float(np.float32(v)) for v in RNG.uniform(0.01, 0.03, 4) * (8 if loud else 1)) for key in ("input", "recurrent")}
    products = tuple(float(np.float32(x.scale[0] * scale)) for scale in scales["input"])
    quant = {f"{key}_weights": Quant(each, 0, 0) for key, each in scales.items()} | {"biases": Quant(products, 0, 0, "int32")}
    params = {"input_weights": whole((4, n_out, n_in), 127), "recurrent_weights": whole((4, n_out, n_out), 127)}
    params["biases"] = whole((4, n_out), 900, "int32")
    op = Lstm(stateful=steps == 1, cell_power=power, clip=clip)
    return Layer(name, op, (below,), (steps, n_out), params, quant | {"output": Quant((0.0078125,), -2)})


def svdf(name: str, below: str, x: Quant, sizes: tuple[int, int, int, int], kind: str) -> Layer:
    """An int8 layer of filters, sizes (n_in, units, rank, memory), whose products are of ``kind``."""
    n_in, units, rank, memory = sizes
    narrow = kind == "int8"
    state, time = float(np.float32(x.scale[0] * 0.02 * (60 if narrow else 0.4))), 0.01 if narrow else 0.0002
    quant = {"features": Quant((0.02,), 0), "time": Quant((time,), 0, None, kind), "biases": Quant((state * time,), 0, None, "int32")}
    params = {"features": whole((units * rank, n_in), 127), "time": whole((units * rank, memory), 127 if narrow else 9000, kind)}
    params["biases"] = whole((units,), 500, "int32")
    op = Svdf(rank=rank, state_scale=state, state_zero=-50 if narrow else 0, activation="relu")
    return Layer(name, op, (below,), (units,), params, quant | {"output": Quant((0.125,), -128)})


def streaming() -> Network:
    """One step of an LSTM, then filters over int8 and over int16 products."""
    below = lstm("gates", "input", INPUT, (1, 5, 4), -12)
    flat = Layer("flat", Reshape(), ("gates",), (4,), quant={"output": below.quant["output"]})
    narrow = svdf("narrow", "flat", below.quant["output"], (4, 6, 2, 3), "int8")
    wide = svdf("wide", "narrow", narrow.quant["output"], (6, 5, 1, 4), "int16")
    return Network("streaming", (1, 5), (below, flat, narrow, wide), INPUT)


def scores(twin: Interpreter, x: Array) -> Array:
    rows = []
    for sample in x:
        twin.predict(sample)
        rows.append(twin.output().reshape(-1))
    return np.array(rows)


@pytest.fixture(scope="module")
def tflm() -> Process:
    return Process("tflm")


def extremes(count: int, width: int) -> Array:
    x = RNG.integers(-128, 128, (count, width)).astype(np.int8)
    x[:2] = [[-128], [127]]
    return x


def test_a_stream_is_that_of_tflm_and_c_and_is_forgotten_on_demand(tflm: Process) -> None:
    network, x = streaming(), extremes(16, 5)
    data = to_tflite(network)
    program = deploy(from_tflite(data), target="input").program
    twin, c = Interpreter(program), HostTarget(program)
    expected = Tflm(data, tflm)(x.reshape(-1, 1, 5), lambda: None)
    first = scores(twin, x)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(c.predict_many(x)[1], expected)
    assert (scores(twin, x[:1]) != expected[:1]).any(), "the first sample after sixteen others is the first of all"
    twin.reset_state()
    c.reset_state()
    np.testing.assert_array_equal(scores(twin, x[:3]), expected[:3])
    np.testing.assert_array_equal(c.predict_many(x[:3])[1], expected[:3])
    kept = sum(tensor.size_bytes for tensor in program.by_role("memory"))
    assert kept == 4 + 8 + 36 + 40
    assert kept <= cost(program).memory.persistent_bytes < kept + 16


@pytest.mark.parametrize(("power", "clip", "loud"), [(-11, 0.0, False), (-15, 0.5, False), (-9, 10.0, True)])
def test_a_sequence_begins_anew_and_is_that_of_tflm(tflm: Process, power: int, clip: float, loud: bool) -> None:
    network = Network("sequence", (6, 7), (lstm("gates", "input", INPUT, (6, 7, 9), power, clip=clip, loud=loud),), INPUT)
    data, x = to_tflite(network), extremes(12, 42)
    again = from_tflite(data)
    assert again.layers[0].op == network.layers[0].op
    program = deploy(again, target="input").program
    assert not program.by_role("memory")
    expected = Tflm(data, tflm, fresh=True)(x.reshape(-1, 6, 7), lambda: None)
    np.testing.assert_array_equal(scores(Interpreter(program), x), expected.reshape(12, -1))


def test_one_that_begins_anew_beside_one_that_remembers_has_no_tflite_file() -> None:
    layers = (Layer("rows", Recent(kept=2), ("input",), (6, 5)), Layer("gates", Lstm(), ("rows",), (6, 3)))
    network = initialised(Network("both", (4, 5), layers), 0)
    with pytest.raises(
        Unsupported, match="layer 'gates', an LSTM that begins anew with each input: got layer 'rows' beside it, which remem"
    ):
        to_tflite(network)
    assert to_tflite(replace(network, layers=(network.layers[0], replace(network["gates"], op=Lstm(stateful=True)))))


def test_float_layers_are_near_tflm(tflm: Process) -> None:
    layers = (
        Layer("gates", Lstm(stateful=True, clip=0.75), ("input",), (1, 6)),
        Layer("flat", Reshape(), ("gates",), (6,)),
        Layer("filters", Svdf(rank=2, activation="relu"), ("flat",), (4,)),
    )
    network = initialised(Network("real", (1, 5), layers), 0)
    x = (3 * RNG.normal(size=(12, 1, 5))).astype(np.float32)
    expected = Tflm(to_tflite(network), tflm)(x, lambda: None)
    made = forward(network, parameters(network), x)["filters"]
    np.testing.assert_allclose(made, expected, atol=1e-5)  # float32 sums in other orders
    np.testing.assert_allclose(scores(Interpreter(deploy(network, target="input").program), x.reshape(12, 5)), expected, atol=1e-5)


def pieces(rows: int, kept: int) -> Network:
    """int8: a convolution over the last rows of a stream that comes ``rows`` at a time, of which ``kept`` are kept, then two of its own."""
    shapes = [(kept + rows, 3), (rows, 2), (1 + rows, 2)]
    layers = (
        Layer("last", Recent(kept=kept), ("input",), shapes[0]),
        Layer("conv", Conv1d(kernel=kept + 1), ("last",), shapes[1]),
        Layer("before", Recent(kept=1), ("conv",), shapes[2]),
    )
    network = initialised(Network("pieces", (rows, 3), layers), 1)
    return quantize(network, RNG.normal(size=(40, rows, 3)))


def before_the_join(data: bytes) -> bytes:
    """A file of ``pieces(1, 2)`` in which the first variable has a row more, whose first one is dropped before the others are joined to
    the input.
    """
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    main, start = model.subgraphs
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    once, handle, read, join, cut, assign, *rest = main.operators
    kinds = [names[model.operatorCodes[operator.opcodeIndex].builtinCode] for operator in (once, handle, read, join, cut, assign)]
    assert kinds == ["CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "CONCATENATION", "STRIDED_SLICE", "ASSIGN_VARIABLE"]
    whole = main.tensors[read.outputs[0]].shape = np.array((1, 3, 3), np.int32)
    start.tensors[1].shape = whole
    model.buffers[start.tensors[1].buffer].data = np.full(9, model.buffers[start.tensors[1].buffer].data[0], np.uint8)
    for operator, place, source in ((cut, 0, read), (join, 0, cut), (assign, 1, join)):
        operator.inputs = np.where(np.arange(len(operator.inputs)) == place, source.outputs[0], operator.inputs).astype(np.int32)
    main.tensors[read.outputs[0]].shapeSignature = None
    model.metadata = []
    main.operators = [once, handle, read, cut, join, assign, *rest]
    return pack(model, [bytes(buffer.data) if buffer.data is not None else b"" for buffer in model.buffers])


def test_rows_of_a_stream_are_those_of_tflm_in_either_order(tflm: Process) -> None:
    for rows, kept in ((3, 2), (1, 2)):
        network, x = pieces(rows, kept), extremes(12, 3 * rows)
        data = to_tflite(network)
        files = [data, before_the_join(data)] if rows == 1 else [data]
        expected = Tflm(data, tflm)(x.reshape(-1, rows, 3), lambda: None).reshape(12, -1)
        assert len(np.unique(expected)) > 8
        for file in files:
            program = deploy(from_tflite(file), target="input").program
            np.testing.assert_array_equal(scores(Interpreter(program), x), expected)
            np.testing.assert_array_equal(Tflm(file, tflm)(x.reshape(-1, rows, 3), lambda: None).reshape(12, -1), expected)
        assert sum(tensor.elements for tensor in program.by_role("memory")) == 3 * kept + 2
    np.testing.assert_array_equal(HostTarget(program).predict_many(x)[1], expected)


def test_variables_that_hold_anything_but_the_last_rows_are_refused() -> None:
    def changed(what: str) -> bytes:
        model = schema.ModelT.InitFromPackedBuf(to_tflite(pieces(1, 2)), 0)
        main, start = model.subgraphs
        _, _, _, _, cut, assign, *_ = main.operators
        if what == "start":
            model.buffers[start.tensors[1].buffer].data = model.buffers[start.tensors[1].buffer].data ^ 1
        elif what == "first rows":
            for place, value in ((1, 0), (2, 2)):
                buffer = model.buffers[main.tensors[cut.inputs[place]].buffer]
                buffer.data = np.frombuffer(np.array([0 if place == 1 else 1, value, 0 if place == 1 else 3], np.int32).tobytes(), np.uint8)
        elif what == "stale":
            main.operators.remove(assign)
        elif what == "again":
            main.operators.append(assign)
        elif what == "another":
            model.subgraphs.append(start)
        elif what == "main":
            main.operators[0].builtinOptions.initSubgraphIndex = 0
        model.metadata = []
        return pack(model, [bytes(buffer.data) if buffer.data is not None else b"" for buffer in model.buffers])

    reasons = {
        "start": "starts at",
        "first rows": "anything but the last rows",
        "stale": "no operator that assigns it",
        "again": "anything but the last rows",
        "another": "3 subgraphs, and 1 operators CALL_ONCE",
        "main": "the subgraph of a CALL_ONCE: got operator 'CALL_ONCE'",
    }
    for what, reason in reasons.items():
        with pytest.raises(Unsupported, match=reason):
            from_tflite(changed(what))


def test_what_networks_that_remember_refuse() -> None:
    network = streaming()
    head = Layer(
        "head", Dense(), ("wide",), (3,), {"weight": whole((3, 5), 127)}, {"weight": Quant((0.01,), 0), "output": Quant((0.1,), 0)}
    )
    with pytest.raises(Unsupported, match="remembers earlier inputs"):
        deploy(replace(network, layers=(*network.layers, head)), rule="bp")
    real = initialised(Network("real", (2, 3), (Layer("gates", Lstm(), ("input",), (2, 4)),)), 0)
    with pytest.raises(Unsupported, match=r"TensorFlow's converter"):
        quantize(real, np.ones((2, 2, 3), np.float32))
    loud = Interpreter(deploy(replace(real, layers=(replace(real.layers[0], op=Lstm(stateful=True)),)), target="input").program)
    assert loud.predict(np.full(6, 2.0**48, np.float32)) == Code.NOT_FINITE
    layer = lstm("gates", "input", INPUT, (2, 3, 4), -11)
    layer = replace(layer, quant={**layer.quant, "input_weights": Quant((0.1,) * 4, 0, 2)})
    with pytest.raises(BadInput, match="a scale for each of the four gates"):
        to_tflite(Network("n", (2, 3), (layer,), INPUT))


def test_weights_of_minus_128_are_read_and_do_not_learn() -> None:
    params = {"weight": np.array([[-128, 127, 5]], np.int8)}
    layer = Layer("dense", Dense(), ("input",), (1,), params, {"weight": Quant((0.5,), 0), "output": Quant((100.0,), 0)})
    again = from_tflite(to_tflite(Network("n", (3,), (layer,), Quant((1.0,), 0))))
    twin = Interpreter(deploy(again, target="input").program)
    assert scores(twin, np.array([[-128, 0, 0]], np.int8)) == 82  # 128 * 128 / 200
    with pytest.raises(Unsupported, match="weights of -128"):
        deploy(again, rule="bp", target="value")


def test_verify_takes_the_samples_for_a_stream() -> None:
    report = verify(streaming(), RNG.normal(size=(8, 1, 5)).astype(np.float32), board="rpi_pico", emulated=1)
    assert {"C on the host", "TFLM"} <= {row.b for row in report}
    assert report.ok, [row for row in report if not row.ok]


def test_verify_begins_every_sequence_anew() -> None:
    network = Network("sequence", (3, 4), (lstm("gates", "input", INPUT, (3, 4, 5), -11),), INPUT)
    deployment, x = deploy(network, target="input"), extremes(8, 12)
    party = next(party for party in integer_parties(deployment) if party.name == "TFLM")
    rows = party.make()(x, twin_results(deployment.program, x, lambda: None), lambda: None)
    assert [row.differing for row in rows] == [0]
