"""Files that no command may trust: damaged, hostile or of another kind. Each is small and made anew for the tests."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from model_files import dense, float_network
from onnx import TensorProto, helper, numpy_helper

from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network
from edgeff.ops.softmax import Softmax
from edgeff.resources import boards_folder

HOSTILE_NAMES = ('a*/ system("rm -rf"); /*', "b\nint main(void) { }", "c\x1b[2J\x1b]0;title\x07", "??/\n#include <d>", '"; exit(1); //')


def make_bad_files(folder: Path) -> None:
    """Writes all of them into ``folder``."""
    _models(folder)
    _graphs(folder)
    _arrays(folder)
    _boards(folder)
    _reports(folder)


def _models(folder: Path) -> None:
    network = float_network()
    whole = to_onnx(network).SerializeToString()
    rng = np.random.default_rng(0)
    contents = {
        "empty.onnx": b"",
        "truncated.onnx": whole[: len(whole) // 2],
        "truncated.tflite": to_tflite(network)[:900],
        "garbage.onnx": rng.bytes(4096),
        "json.onnx": b'{"model": "mine"}',
        "text.txt": b"not a model\n",
        "zip.keras": b"PK\x03\x04" + bytes(64),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sizes = {"plain": (64, 16, 10), "narrow": (32, 16, 10), "three": (64, 16, 3), "wide_output": (64, 4, 600), "large": (64, 500, 10)}
    for name, shape in sizes.items():
        _write(folder / f"{name}.onnx", replace(float_network(shape, bias=False), metadata={}))
    _write(folder / "hostile.onnx", hostile_network())
    (folder / "folder").mkdir()


def hostile_network() -> Network:
    """A classifier whose names want to be C, a comment's end and a terminal's commands."""
    rng = np.random.default_rng(0)
    layers: list[Layer] = []
    source, n_in = "input", 64
    for name in HOSTILE_NAMES[:-1]:
        layers.append(dense(name, source, (rng.normal(size=(10, n_in)) / 8).astype(np.float32), None, "relu"))
        source, n_in = name, 10
    layers.append(Layer(HOSTILE_NAMES[-1], Softmax(), (source,), (10,)))
    return Network(
        'net */ #error "\x1b[31m"', (64,), tuple(layers), metadata={"task": "digits\x1b[2J", "rule": "*/", "seed": -1, "settings": [1]}
    )


def _write(path: Path, network: Network) -> None:
    path.write_bytes(to_onnx(network).SerializeToString())


def _gemm(weight: onnx.TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    nodes = nodes or [helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "graph", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _weight(change: tuple[int, float] | None = None, shape: tuple[int, int] = (10, 64)) -> onnx.TensorProto:
    values: Array = np.full(shape, 0.1, np.float32)
    if change:
        values.flat[change[0]] = change[1]
    return numpy_helper.from_array(values, "w")


def _graphs(folder: Path) -> None:
    external = _weight()
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value="../../../etc/passwd")
    circle = [helper.make_node("Gemm", ["b", "w"], ["a"], name="first", transB=1), helper.make_node("Relu", ["a"], ["b"], name="second")]
    end = [helper.make_node("Relu", ["a"], ["y"], name="end")]
    sine = [helper.make_node("Sin", ["x"], ["s"], name="wave"), helper.make_node("Gemm", ["s", "w"], ["y"], transB=1)]
    graphs = {
        "nan": _gemm(_weight((3, np.nan))),
        "inf": _gemm(_weight((3, np.inf))),
        "shape": _gemm(_weight(shape=(10, 63))),
        "external": _gemm(external),
        "cycle": _gemm(_weight(), circle + end),
        "sine": _gemm(_weight(), sine),
    }
    for name, model in graphs.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((4, 64), np.float32)
    broken = x.copy()
    broken[1, 2] = np.nan
    np.savez(folder / "key.npz", images=x)
    np.savez(folder / "shape.npz", x=x[:, :63])
    np.savez(folder / "none.npz", x=x[:0])
    np.savez(folder / "words.npz", x=np.array(["a", "b"]))
    np.savez(folder / "nan.npz", x=broken)
    np.savez(folder / "pickle.npz", x=np.array([{"a": 1}], dtype=object))
    np.save(folder / "array.npy", x)
    whole = (folder / "shape.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])


def _boards(folder: Path) -> None:
    (folder / "no_toml.toml").write_text("name = [\n", encoding="utf-8")
    (folder / "no_core.toml").write_text('name = "no_core"\nsummary = "x"\n', encoding="utf-8")
    pico = (boards_folder() / "rpi_pico.toml").read_text(encoding="utf-8")
    (folder / "other_name.toml").write_text(pico, encoding="utf-8")
    tiny = re.sub(r"length_bytes *= *[\d_]+", "length_bytes = 8192", pico).replace('"rpi_pico"', '"tiny"')
    (folder / "tiny.toml").write_text(tiny, encoding="utf-8")


def _reports(folder: Path) -> None:
    for name, content in {"corrupt": "{", "other": json.dumps({"schema": 99}), "no_runs": json.dumps({"schema": 1, "runs": 5})}.items():
        (folder / name).mkdir()
        (folder / name / "report.json").write_text(content, encoding="utf-8")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "mine.c").write_text("int mine;\n", encoding="utf-8")
