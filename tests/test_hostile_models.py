"""Files made to hurt: each is loaded or refused in one line, in bounded time and memory, and nothing else ever comes out."""

from __future__ import annotations

import contextlib
import json
import resource
import struct
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from image_networks import Builder, as_int8, inputs_for
from model_files import assert_same_network, float_network, quantised
from onnx import TensorProto, numpy_helper
from test_onnx import N, build
from tflite_files import File, with_changed_numbers

from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_onnx, from_tflite, load
from edgeff.formats.onnx.wire import check_expansion
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Layer, Network
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower

RNG = np.random.default_rng(3)
FLOAT = float_network((8, 6, 3), normalise=True)
INT8 = quantised(float_network((8, 6, 3)), RNG.normal(size=(50, 8)), per_channel=True)
SECONDS = 1.0
"""For one file of a few kilobytes; they take a millisecond or two."""

Reader = Callable[[bytes], Network]


def image_network() -> Network:
    """One of each: padding with and without a name, a depthwise layer, a skip connection, a maximum, a mean."""
    builder = Builder((4, 4, 1))
    builder.window("c", "conv2d", (3, 3), (1, 1), (1, 1, 1, 1), outputs=2, activation="relu")
    builder.window("d", "depthwise_conv2d", (2, 2), (1, 1), (1, 1, 0, 0), activation="relu6")
    builder.add("sum", "add", ["c", "d"], activation="none")
    builder.window("p", "max_pool2d", (3, 3), (2, 2), (1, 1, 1, 1))
    builder.add("t", "transpose", perm="2,0,1")
    builder.add("r", "reshape", (), (2, 2, 2))
    builder.add("m", "global_average_pool")
    return builder.network()


FILES: dict[str, tuple[bytes, Reader]] = {
    "float tflite": (to_tflite(FLOAT), from_tflite),
    "int8 tflite": (to_tflite(INT8), from_tflite),
    "float tflite of images": (to_tflite(image_network()), from_tflite),
    "int8 tflite of images": (to_tflite(as_int8(image_network())), from_tflite),
    "float onnx": (to_onnx(FLOAT).SerializeToString(), from_onnx),
    "int8 onnx": (to_onnx(INT8).SerializeToString(), from_onnx),
}


def outcome(read: Reader, data: bytes) -> str:
    """What reading ``data`` comes to: "loaded" or the error's name; anything but an EdgeffError of one line fails the test."""
    start = time.process_time()
    refusal: EdgeffError | None = None
    layers: tuple[Layer, ...] = ()
    try:
        layers = read(data).layers
    except EdgeffError as error:
        refusal = error
    assert time.process_time() - start < SECONDS
    for array in (array for layer in layers for array in layer.params.values()):
        assert array.dtype.kind != "f" or np.isfinite(array).all()
    if refusal is None:
        return "loaded"
    assert str(refusal).isprintable()
    assert len(str(refusal)) <= 600
    return type(refusal).__name__


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` damaged copies: flipped bits, extreme words, cuts, repeats, deletions."""
    rng = np.random.default_rng(seed)
    words = [
        struct.pack("<I", word) for word in (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), len(data) - 4)
    ]
    for number in range(count):
        copy = bytearray(data)
        at = int(rng.integers(len(data)))
        kind = number % 6
        if kind == 0:
            for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
                copy[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            copy[at : at + 4] = words[int(rng.integers(len(words)))]
        elif kind == 2:
            del copy[at:]
        elif kind == 3:
            end = at + int(rng.integers(1, 64))
            copy[at:at] = copy[at:end]
        elif kind == 4:
            del copy[at : at + int(rng.integers(1, 16))]
        else:
            copy[at : at + 16] = rng.bytes(16)
        yield bytes(copy)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_loaded_or_refused(name: str) -> None:
    data, read = FILES[name]
    counts = Counter(outcome(read, copy) for copy in mutations(data, 600, seed=len(name)))
    assert counts["BadInput"] > 50
    assert sum(counts.values()) == 600


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if "tflite" in name])
def test_well_formed_files_with_other_numbers_are_refused_or_run(name: str) -> None:
    """What is loaded is written again and runs."""
    rng, counts = np.random.default_rng(len(name)), Counter[str]()
    for _ in range(250):
        data = with_changed_numbers(FILES[name][0], rng)
        counts[outcome(from_tflite, data)] += 1
        with contextlib.suppress(BadInput, Unsupported):
            network = from_tflite(data)
            assert_same_network(network, from_tflite(to_tflite(network)))
            if sum(prod(layer.shape) for layer in network) < 10_000:
                Interpreter(lower(network)).predict(inputs_for(network, 2)[0])
    assert min(counts.values()) >= 25
    assert set(counts) == {"loaded", "BadInput", "Unsupported"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_word_of_the_structure_may_be_extreme(name: str) -> None:
    """Each 4 bytes in turn become the largest offset; one cut at each 7th byte."""
    data, read = FILES[name]
    for at in range(0, len(data), 4):
        outcome(read, data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    for at in range(0, len(data), 7):
        assert outcome(read, data[:at]) != "loaded" or read is from_onnx


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("one byte", b"\x08"),
        ("zeros", bytes(4096)),
        ("ones", b"\xff" * 4096),
        ("text", b"hello, world\n" * 50),
        ("only an identifier", b"\x1c\0\0\0TFL3"),
        ("identifier and zeros", b"\x10\0\0\0TFL3" + bytes(64)),
        ("root past the end", b"\xff\xff\xff\xffTFL3" + bytes(64)),
        ("json", json.dumps({"layers": []}).encode()),
        ("keras h5", b"\x89HDF\r\n\x1a\n" + bytes(64)),
        ("zip", b"PK\x03\x04" + bytes(64)),
        ("pickle", b"\x80\x02}q\0."),
    ],
)
def test_files_that_are_no_model(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(data)
    assert outcome(lambda _: load(path), data) in {"BadInput", "Unsupported"}


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.onnx", Path("/dev/zero"), tmp_path / ("x" * 5000), "nul\0byte"):
        with pytest.raises(BadInput):
            load(path)


def test_a_file_past_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as stream:
        stream.truncate(1 << 32)
    with pytest.raises(BadInput, match="4294967296 bytes"):
        load(path)


def test_random_bytes() -> None:
    for _ in range(300):
        body = RNG.bytes(int(RNG.integers(1, 400)))
        outcome(from_onnx, body)
        assert outcome(from_tflite, body[:4] + b"TFL3" + body[4:]) != "loaded"


def test_small_protobufs_that_unfold_to_gigabytes_are_refused() -> None:
    """Two bytes make an empty node, and ten million of them would take gigabytes."""
    nodes = b"\x0a\x00" * 10_000_000
    graph = b"\x3a" + varint(len(nodes)) + nodes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(BadInput, match="once unpacked"):
        from_onnx(graph)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_deeply_nested_protobuf_is_refused() -> None:
    """Attributes that hold graphs that hold attributes; a Python recursion or the parser's own limit must not be met."""
    body = b""
    for _ in range(5000):
        body = b"\x32" + varint(len(body)) + body  # AttributeProto.g
        body = b"\x2a" + varint(len(body)) + body  # NodeProto.attribute
        body = b"\x0a" + varint(len(body)) + body  # GraphProto.node
    with pytest.raises(BadInput, match="nested"):
        from_onnx(b"\x3a" + varint(len(body)) + body)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_the_estimate_lets_ordinary_models_pass() -> None:
    for name, (data, _) in FILES.items():
        if "onnx" in name:
            check_expansion(data, onnx.ModelProto.DESCRIPTOR, name)


def test_one_constant_in_thousands_of_layers_is_not_copied_for_each() -> None:
    """9,000 layers on one 1000 x 1000 weight: 4 MB in the file, 36 GB as parameters."""
    weight = np.zeros((1000, 1000), np.float32)
    names = ["x", *(f"t{k}" for k in range(8999)), "y"]
    nodes = [N("MatMul", [names[k], "w"], [names[k + 1]]) for k in range(9000)]
    data = build(nodes, {"w": weight}, shape=["batch", 1000])
    tracemalloc.start()
    with pytest.raises(BadInput, match="parameters of all layers"):
        from_onnx(data)
    file = File()
    x = previous = file.tensor("x", (1, 1000))
    w = file.tensor("w", (1000, 1000), data=weight)
    for number in range(1000):
        y = file.tensor(f"t{number}", (1, 1000))
        file.dense([previous, w, -1], y)
        previous = y
    data = file.pack([x], [previous])
    with pytest.raises(BadInput, match="parameters of all layers"):
        from_tflite(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 30


def test_shapes_that_promise_more_than_the_file_holds() -> None:
    for dims in ([1 << 31, 1 << 31], [1 << 62, 4], [-1, 4], [0, 4], [4] * 9):
        model = onnx.load_from_string(build([N("MatMul", ["x", "w"], ["y"])], {"w": np.ones((4, 3), np.float32)}))
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        with pytest.raises(BadInput):
            from_onnx(model.SerializeToString())
    for shape in ([2**31 - 1, 2**31 - 1], [-1, 4], [0, 4], [1] * 9):
        file = File()
        x, w, y = file.tensor("x", (1, 4)), file.tensor("w", shape, data=np.ones((3, 4))), file.tensor("y", (1, 3))
        file.dense([x, w, -1], y)
        with pytest.raises(BadInput):
            from_tflite(file.pack([x], [y]))
    with pytest.raises(EdgeffError):
        from_onnx(build([N("Softmax", ["x"], ["y"])], {}, shape=["batch", 1 << 40]))


def test_tflite_indices_outside_their_tables() -> None:
    for change in ("operator input", "operator output", "graph input", "graph output", "buffer", "opcode"):
        for bad in (-2, 99, 2**31 - 1, -(2**31)):
            file = File()
            x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 3))
            w = file.tensor("w", (3, 4), data=np.ones((3, 4)))
            file.dense([x, bad if change == "operator input" else w, -1], bad if change == "operator output" else y)
            if change == "buffer":
                file.tensors[w].buffer = bad % 2**32
            if change == "opcode":
                file.operators[0].opcodeIndex = bad % 2**32
            data = file.pack([bad if change == "graph input" else x], [bad if change == "graph output" else y])
            assert outcome(from_tflite, data) == "BadInput", (change, bad)


@pytest.mark.parametrize(
    ("inputs", "outputs", "subgraphs"), [([], [1], 1), ([0, 0], [1], 1), ([0], [], 1), ([0], [1, 1], 1), ([0], [1], 0), ([0], [1], 2)]
)
def test_tflite_graphs_with_another_count_of_ends(inputs: list[int], outputs: list[int], subgraphs: int) -> None:
    file = File()
    file.tensor("x", (1, 4))
    file.operator("SOFTMAX", [0], [file.tensor("y", (1, 4))], "SoftmaxOptions", beta=1.0)
    with pytest.raises(Unsupported):
        from_tflite(file.pack(inputs, outputs, subgraphs=subgraphs))


def test_names_that_are_empty_twice_or_no_unicode() -> None:
    file = File()
    x = previous = file.tensor("x", (1, 3))
    w = file.tensor("w", (3, 3), data=np.eye(3))
    for name in ("", "", "input", "same", "same", "bad_\x01"):
        y = file.tensor(name, (1, 3))
        file.dense([previous, w, -1], y)
        previous = y
    data = file.pack([x], [previous]).replace(b"bad_\x01", b"bad_\xff")
    network = from_tflite(data)
    assert [layer.name for layer in network] == ["operator_0", "operator_1", "input_1", "same", "same_1", "bad_\\xff"]
    assert_same_network(network, from_tflite(to_tflite(network)))
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))


def test_onnx_strings_that_are_no_unicode() -> None:
    """ONNX is proto2, whose parser lets such strings through as bytes."""
    nodes = [N("MatMul", ["x", "w"], ["bad_1"], name="bad_2"), N("Relu", ["bad_1"], ["y"])]
    data = build(nodes, {"w": np.ones((4, 3), np.float32)}).replace(b"bad_", b"bad\xff")
    network = from_onnx(data.replace(b"foreign", b"foreig\xfe"))
    assert (network.name, network.layers[0].name) == ("foreig\\xfe", "bad\\xff2")
    for found in (b"MatMul", b"elsewhere", b"batch"):
        outcome(from_onnx, data.replace(found, found[:-1] + b"\xff"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "null",
        '{"layers": 3}',
        '{"schema": 1}',
        "[" * 100_000,
        '{"a": NaN}',
        '{"a": ' + "9" * 5000 + "}",
        '{"layers": [{"name": 1}]}',
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("key", ["edgeff.network", "edgeff.metadata"])
def test_damaged_json_in_our_own_metadata(key: str, text: str) -> None:
    model = to_onnx(FLOAT)
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = text
    result = outcome(from_onnx, model.SerializeToString())
    assert result == "BadInput" or (key == "edgeff.metadata" and text.startswith("{"))


@pytest.mark.parametrize(
    "change",
    [
        {"attrs": {"eps": 5.0}},
        {"attrs": {"eps": "x"}},
        {"attrs": {"eps": 1e-4, "more": [1]}},
        {"attrs": {}},
        {"quant": {"output": {"scale": [1e999], "zero_point": 0, "axis": None}}},
        {"attrs": {"eps": 10**400}},
        {"name": "other"},
    ],
    ids=str,
)
def test_a_description_that_contradicts_the_graph_changes_nothing(change: dict[str, object]) -> None:
    plain, model = to_onnx(FLOAT), to_onnx(FLOAT)
    del plain.metadata_props[0]
    entry = next(entry for entry in model.metadata_props if entry.key == "edgeff.network")
    described = json.loads(entry.value)
    described["layers"][1].update(change)
    entry.value = json.dumps(described).replace("Infinity", "1e999")
    assert_same_network(from_onnx(plain.SerializeToString()), from_onnx(model.SerializeToString()))


@pytest.mark.parametrize("field", ["scale", "zero point", "bias scale", "weight zero point"])
def test_quantisation_outside_the_specification(field: str) -> None:
    file = File()
    x = file.tensor("x", (1, 4), "int8", scale=[float("nan") if field == "scale" else 0.5], zero=200 if field == "zero point" else 0)
    w = file.tensor("w", (3, 4), "int8", data=np.full((3, 4), 5), scale=[0.5], zero=1 if field == "weight zero point" else 0)
    b = file.tensor("b", (3,), "int32", data=np.ones(3), scale=[0.3 if field == "bias scale" else 0.25])
    y = file.tensor("y", (1, 3), "int8", scale=[1.0])
    file.dense([x, w, b], y)
    with pytest.raises(BadInput):
        from_tflite(file.pack([x], [y]))


def test_onnx_tensors_whose_data_do_not_fit_their_type() -> None:
    wide = onnx.TensorProto(name="w", data_type=TensorProto.INT8, dims=[4, 3], int32_data=[300] * 12)
    model = onnx.load_from_string(build([N("MatMul", ["x", "w"], ["y"])], {"v": np.ones(1, np.float32)}))
    model.graph.initializer.append(wide)
    with pytest.raises(BadInput, match="values from 300 to 300"):
        from_onnx(model.SerializeToString())
    twice = onnx.load_from_string(build([N("MatMul", ["x", "w"], ["y"])], {"w": np.ones((4, 3), np.float32)}))
    twice.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
    with pytest.raises(BadInput, match="used twice"):
        from_onnx(twice.SerializeToString())
