"""Adding an operator is one folder: an exponential linear unit from outside is read, trained through, written, compiled and verified."""

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

Command = Callable[..., str]

BOARD = "--board nucleo_l4r5zi"

RECORD = '''
"""The exponential linear unit: x above zero, exp(x) - 1 below; int8 as TFLite's ELU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ops import operator
from edgeff.ops.elementwise import INPUTS, Elementwise


@operator
@dataclass(frozen=True, kw_only=True)
class Elu(Elementwise):
    """``y = x`` for x >= 0, else ``exp(x) - 1``."""

    name: ClassVar[str] = "elu"
    summary: ClassVar[str] = "an operator from outside"
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def value(self, x):
        return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)

    def slope(self, x):
        return np.where(x < 0, np.exp(np.minimum(x, 0)), 1).astype(x.dtype)

    def table(self, scales):
        x = np.float32(scales.x) * (INPUTS - scales.x_zero).astype(np.float32)
        y = np.where(x < 0, np.exp(x) - np.float32(1), x) * (np.float32(1) / np.float32(scales.y))
        return np.clip(np.trunc(y + np.copysign(np.float32(0.5), y)) + scales.y_zero, -128, 127)
'''

TWIN = '''
"""The exponential linear unit in float32, and its derivative, by edgeff's own exponential."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import exp_f32
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32

ZERO, ONE = np.float32(0), np.float32(1)


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_elu_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = x above zero, exp(x) - 1 below."""
    y[:] = np.where(x < ZERO, exp_f32(np.minimum(x, ZERO)) - ONE, x)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_elu_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta times the derivative at x."""
    d[:] = np.where(x < ZERO, delta * exp_f32(np.minimum(x, ZERO)), delta)
'''

KERNEL = """
#include "edgeff.h"

void eff_elu_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x[i] < 0.0f ? eff_exp_f32(x[i]) - 1.0f : x[i];
    }
}

void eff_elu_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        d[i] = x[i] < 0.0f ? delta[i] * eff_exp_f32(x[i]) : delta[i];
    }
}
"""

ONNX = '''
"""The exponential linear unit in ONNX: Elu."""

from edgeff.formats.onnx.elementwise import reader

from . import Elu

READERS = {"Elu": reader(lambda node: Elu())}


def write(graph, layer):
    graph.unary(layer, "Elu")
'''

TFLITE = '''
"""The exponential linear unit in TFLite: ELU."""

from edgeff.formats.tflite.elementwise import reader

from . import Elu

READERS = {"ELU": reader(lambda node: Elu())}


def write(graph, layer):
    graph.operator("ELU", [graph.source(layer)], graph.output(layer))
'''

NETWORK = '''
"""A network that has the operator: dense, exponential linear unit, dense, softmax."""

from edgeff.ir import Layer, Network
from edgeff.ops import make
from edgeff.registry import networks


def bent(input_shape=(64,), classes=10):
    return Network("bent", tuple(input_shape), (
        Layer("wide", make("dense", {}), ("input",), (24,)),
        Layer("bent", make("elu", {}), ("wide",), (24,)),
        Layer("scores", make("dense", {}), ("bent",), (classes,)),
        Layer("softmax", make("softmax", {}), ("scores",), (classes,)),
    ))


networks.add("bent", bent)
'''

FOLDER = {"__init__.py": RECORD, "kernel.py": TWIN, "kernel.c": KERNEL, "onnx.py": ONNX, "tflite.py": TFLITE}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "elu").mkdir()
    for name, text in FOLDER.items():
        (folder / "elu" / name).write_text(text, encoding="utf-8")
    (folder / "bent.py").write_text(NETWORK, encoding="utf-8")
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
    """A model of another tool's making, now in ``path``: Elu between two Gemms."""
    rng = np.random.default_rng(0)
    sizes = {"a": (24, 64), "b": (24,), "c": (10, 24), "d": (10,)}
    weights = [onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name) for name, shape in sizes.items()]
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"], transB=1),
        helper.make_node("Elu", ["h"], ["s"]),
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
    assert all(has_operator(tmp_path / name, "Elu") for name in ("float.onnx", "int8.onnx", "back.onnx"))
    edgeff("export float.onnx --to c -o float")
    assert (tmp_path / "float" / "eff_elu.c").is_file()
    edgeff("export int8.onnx --to c -o c")
    assert compiled(tmp_path / "c", *STRICT).splitlines()[-1] == LAST_LINE
    rows = json.loads(edgeff(f"verify int8.onnx --rule frozen {BOARD} --json"))["comparisons"]
    assert [row["differing"] for row in rows if row["b"] == "TFLM"] == [0]


@pytest.mark.slow
def test_it_is_trained_through_on_the_host_and_on_the_device(edgeff: Command, tmp_path: Path) -> None:
    train = "train digits --network bent --epochs 3 --json"
    accuracy = {rule: json.loads(edgeff(f"{train} --rule {rule} -o {rule}.onnx"))["accuracy"]["test"] for rule in ("bp", "frozen")}
    assert accuracy["bp"] > max(0.93, accuracy["frozen"] + 0.01)  # the layer before it learns too
    edgeff(f"verify bp.onnx {BOARD}")
    for rule in ("bp", "forward_gradient"):  # the gradient, and the forward derivative
        edgeff(f"export bp.onnx --to c --with-training --rule {rule} -o {rule}")
        assert compiled(tmp_path / rule, *STRICT).splitlines()[-1] == LAST_LINE


def test_it_keeps_the_contract_of_operators(edgeff: Command) -> None:
    checks = json.loads(edgeff("check operator elu --json"))
    assert {entry["failure"] for entry in checks} == {""}


def test_without_the_folder_it_is_refused_by_name(edgeff: Command, tmp_path: Path) -> None:
    foreign(tmp_path / "foreign.onnx")
    (tmp_path / "none").mkdir()
    refused = edgeff("import foreign.onnx -o float.onnx", status=2, plugins=tmp_path / "none")
    assert "Elu" in refused
    assert len(refused.strip().splitlines()) == 1
