"""The readers and writers of the operators for each model format: where they are found, and that operators do without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from edgeff.errors import BadInput, Unsupported
from edgeff.formats import operators
from edgeff.formats.onnx import nodes as onnx_nodes
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite import nodes as tflite_nodes
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Layer, Network
from edgeff.ops.physical import Physical


def test_operators_import_neither_onnx_nor_the_tflite_schema() -> None:
    code = "import sys; from edgeff.registry import ops; list(ops); print(*[n for n in sys.modules if 'onnx' in n or 'tflite' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()


@pytest.mark.parametrize(
    ("table", "foreign", "folder"),
    [
        (onnx_nodes.handlers, "Conv", "conv2d"),
        (onnx_nodes.handlers, "QGemm", "dense"),
        (tflite_nodes.handlers, "DEPTHWISE_CONV_2D", "depthwise_conv2d"),
    ],
)
def test_a_foreign_operator_is_read_beside_the_operator_it_becomes(table: Callable[[], dict[str, Any]], foreign: str, folder: str) -> None:
    assert table()[foreign].read.__module__.split(".")[:3] == ["edgeff", "ops", folder]


@pytest.mark.parametrize(("write", "title"), [(to_onnx, "ONNX"), (to_tflite, "TFLite")])
def test_an_operator_without_a_writer_is_refused_with_its_own_reason(write: Callable[[Network], object], title: str) -> None:
    medium = Layer("lens", Physical(map="speckle", seed=1), ("input",), (4,))
    with pytest.raises(Unsupported, match=rf"^layer 'lens': got kind 'physical'; allowed: in {title} files add, .*; it is a black box"):
        write(Network("n", (3,), (medium,)))


def test_two_readers_of_one_foreign_operator_are_refused() -> None:
    with pytest.raises(BadInput, match="onnx operator Conv: got conv2d beside edgeff"):
        operators.readers("onnx", {"Conv": onnx_nodes.handlers()["Conv"]})
