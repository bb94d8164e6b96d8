"""Adding an operator is one folder: an absolute value from outside is read, trained through, written, compiled and verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import ROOT
from onnx import helper
from test_c_export import LAST_LINE, STRICT, compiled

from edgeff.verify.libraries import LITERT_TWIN

Command = Callable[..., str]

BOARD = "--board nucleo_l4r5zi"

RECORD = '''
"""The absolute value of each element."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ops import Operator, operator
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Absolute(Operator):
    """``y = |x|``; the derivative at zero is zero."""

    name: ClassVar[str] = "absolute"
    summary: ClassVar[str] = "an operator from outside"
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def output_shape(self, layer, inputs):
        return inputs[0]

    def forward(self, layer, params, *xs):
        return np.abs(xs[0])

    def input_gradients(self, layer, params, delta, *xs):
        return (delta * np.sign(xs[0]),)

    def jvp(self, layer, params, tangents, dxs, xs, y, saved=None):
        return dxs[0] * np.sign(xs[0])

    def lower(self, build, layer, *xs):
        check_numeric(layer)
        (x,), n = xs, prod(layer.shape)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            build.call("eff_absolute_f32", [y], [x], {"n": n}, layer)
            return y
        multiplier, shift = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
        how = {"x_zero": x.zero_point, "y_zero": y.zero_point, "multiplier": multiplier, "shift": shift}
        build.call("eff_absolute_i8", [y], [x], {"n": n} | how, layer)
        return y

    def lower_input_gradients(self, build, layer, delta, *xs):
        return (self._lower_slope(build, layer, "gradient", delta, xs[0], "backward"),)

    def lower_jvp(self, build, layer, dxs, xs):
        return self._lower_slope(build, layer, "tangent", dxs[0], xs[0], "tangent")

    def _lower_slope(self, build, layer, name, delta, x, stage):
        if layer.numeric != "float32":
            raise Unsupported(f"the {name} through layer {layer.name!r}, {self.name}", got=layer.numeric, allowed="float32")
        d = build.activation(name, x.shape, layer=layer.name)
        build.call("eff_absolute_slope_f32", [d], [delta, x], {"n": prod(layer.shape)}, layer, stage)
        return d
'''

TWIN = '''
"""The absolute value in float32 and int8, and its derivative."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Rescale, Size
from edgeff.kernels.tensors import OutF32, OutI8, VectorF32, VectorI8


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_absolute_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = |x|."""
    y[:] = np.where(x < 0, -x, x)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_absolute_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta with the sign of x; 0 where x is 0."""
    d[:] = np.where(x > 0, delta, np.where(x < 0, -delta, np.float32(0)))


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_absolute_i8(y: OutI8, x: VectorI8, n: Size, how: Rescale) -> None:
    """y = |x| in another scale, within the ends."""
    size = requantise(np.abs(x.astype(np.int64) - how.x_zero), how.multiplier, how.shift)
    y[:] = np.clip(np.clip(size, -1024, 1024) + how.y_zero, how.y_min, how.y_max)
'''

KERNEL = """
#include "edgeff.h"

void eff_absolute_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x[i] < 0.0f ? -x[i] : x[i];
    }
}

void eff_absolute_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        d[i] = x[i] > 0.0f ? delta[i] : x[i] < 0.0f ? -delta[i] : 0.0f;
    }
}

void eff_absolute_i8(int8_t *y, const int8_t *x, int32_t n, const eff_rescale *how)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t v = x[i] - how->x_zero;
        y[i] = eff_to_i8(eff_requantise(v < 0 ? -v : v, how->multiplier, how->shift), how->y_zero, how->y_min, how->y_max);
    }
}
"""

ONNX = '''
"""The absolute value in ONNX: Abs."""

from edgeff.formats.onnx.elementwise import reader

from . import Absolute

READERS = {"Abs": reader(lambda node: Absolute())}


def write(graph, layer):
    graph.unary(layer, "Abs")
'''

TFLITE = '''
"""The absolute value in TFLite: ABS."""

from edgeff.formats.tflite.elementwise import reader

from . import Absolute

READERS = {"ABS": reader(lambda node: Absolute(), "AbsOptions")}


def write(graph, layer):
    graph.operator("ABS", [graph.source(layer)], graph.output(layer), "AbsOptions", version=1)
'''

NETWORK = '''
"""A network that has the operator: dense, absolute value, dense, softmax."""

from edgeff.ir import Layer, Network
from edgeff.ops import make
from edgeff.registry import networks


def folded(input_shape=(64,), classes=10):
    return Network("folded", tuple(input_shape), (
        Layer("wide", make("dense", {}), ("input",), (24,)),
        Layer("size", make("absolute", {}), ("wide",), (24,)),
        Layer("scores", make("dense", {}), ("size",), (classes,)),
        Layer("softmax", make("softmax", {}), ("scores",), (classes,)),
    ))


networks.add("folded", folded)
'''

FOLDER = {"__init__.py": RECORD, "kernel.py": TWIN, "kernel.c": KERNEL, "onnx.py": ONNX, "tflite.py": TFLITE}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "absolute").mkdir()
    for name, text in FOLDER.items():
        (folder / "absolute" / name).write_text(text, encoding="utf-8")
    (folder / "folded.py").write_text(NETWORK, encoding="utf-8")
    return folder


@pytest.fixture
def edgeff(plugins: Path, tmp_path: Path) -> Command:
    """Runs a command in a process of its own, in ``tmp_path``; it must end with ``status``. Returns what it printed."""

    def run(line: str, status: int = 0, plugins: Path = plugins) -> str:
        env = os.environ | {"PYTHONPATH": str(ROOT), "EDGEFF_PLUGIN_DIR": str(plugins)}
        command = [sys.executable, "-m", "edgeff", *line.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env=env)
        assert done.returncode == status, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


def foreign(path: Path) -> Path:
    """A model of another tool's making, now in ``path``: Abs between two Gemms."""
    rng = np.random.default_rng(0)
    sizes = {"a": (24, 64), "b": (24,), "c": (10, 24), "d": (10,)}
    weights = [onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name) for name, shape in sizes.items()]
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"], transB=1),
        helper.make_node("Abs", ["h"], ["s"]),
        helper.make_node("Gemm", ["s", "c", "d"], ["y"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size]) for name, size in (("x", 64), ("y", 10))]
    graph = helper.make_graph(nodes, "foreign", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def has_operator(path: Path, op: str) -> bool:
    return op in {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.slow
def test_a_foreign_model_with_it_is_imported_quantised_written_and_compiled(edgeff: Command, tmp_path: Path) -> None:
    foreign(tmp_path / "foreign.onnx")
    edgeff("import foreign.onnx -o float.onnx")
    edgeff("quantize float.onnx --calibrate digits -o int8.onnx")
    edgeff("export int8.onnx --to onnx -o again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "int8.onnx").read_bytes()
    edgeff("export int8.onnx --to tflite -o int8.tflite")
    edgeff("import int8.tflite -o back.onnx")
    assert all(has_operator(tmp_path / name, "Abs") for name in ("float.onnx", "int8.onnx", "back.onnx"))
    edgeff("export int8.onnx --to c -o c")
    assert (tmp_path / "c" / "eff_absolute.c").is_file()
    assert compiled(tmp_path / "c", *STRICT).splitlines()[-1] == LAST_LINE
    rows = json.loads(edgeff(f"verify int8.onnx --rule frozen {BOARD} --json"))["comparisons"]
    (explained,) = [row for row in rows if row["a"] == LITERT_TWIN]  # the operator's kernel too is one of that twin's
    assert (explained["b"], explained["differing"]) == ("LiteRT reference", 0)


@pytest.mark.slow
def test_it_is_trained_through_on_the_host_and_on_the_device(edgeff: Command, tmp_path: Path) -> None:
    train = "train digits --network folded --epochs 3 --json"
    accuracy = {rule: json.loads(edgeff(f"{train} --rule {rule} -o {rule}.onnx"))["accuracy"]["test"] for rule in ("bp", "frozen")}
    assert accuracy["bp"] > max(0.93, accuracy["frozen"] + 0.01)  # the layer before it learns too
    edgeff(f"verify bp.onnx {BOARD}")
    for rule in ("bp", "forward_gradient"):  # the gradient, and the forward derivative
        edgeff(f"export bp.onnx --to c --with-training --rule {rule} -o {rule}")
        assert compiled(tmp_path / rule, *STRICT).splitlines()[-1] == LAST_LINE


def test_it_keeps_the_contract_of_operators(edgeff: Command) -> None:
    checks = json.loads(edgeff("check operator absolute --json"))
    assert {entry["failure"] for entry in checks} == {""}


def test_without_the_folder_it_is_refused_by_name(edgeff: Command, tmp_path: Path) -> None:
    foreign(tmp_path / "foreign.onnx")
    (tmp_path / "none").mkdir()
    refused = edgeff("import foreign.onnx -o float.onnx", status=2, plugins=tmp_path / "none")
    assert "Abs" in refused
    assert len(refused.strip().splitlines()) == 1
