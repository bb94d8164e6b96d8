"""Operators over rows, axes and sizes in files of another tool: int8 as TFLM makes it, to the bit; float32 as near as its sums are."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from tflite_files import Graph

from edgeff.errors import Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops.mul import Mul
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify.engines import Process, Tflm

CLOSE = 2e-6
"""A few float32 roundings of sums of 14 numbers of size 1."""
SHAPE = (1, 4, 7, 3)
LOGITS: dict[str, Any] = {"scale": [0.31], "zero": -9}


def resized(graph: Graph, height: int, width: int, **options: bool) -> int:
    size = graph.tensor("size", (2,), "int32", data=np.array([height, width]))
    return graph.op("RESIZE_BILINEAR", [graph.x, size], (1, height, width, 3), "ResizeBilinearOptions", LOGITS, **options)


def mean(graph: Graph, *axes: int, keep: bool = True) -> int:
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(SHAPE) if keep or axis not in axes)
    return graph.op("MEAN", [graph.x, graph.axes(*axes)], shape, "ReducerOptions", {"scale": [0.033], "zero": 11}, keepDims=keep)


def softmax(graph: Graph, shape: tuple[int, ...]) -> int:
    return graph.op("SOFTMAX", [graph.x], shape, "SoftmaxOptions", {"scale": [1 / 256], "zero": -128}, beta=1.0)


CASES: dict[str, tuple[tuple[int, ...], Callable[[Graph], int]]] = {
    "resize to more": (SHAPE, lambda graph: resized(graph, 9, 11)),
    "resize to less": (SHAPE, lambda graph: resized(graph, 3, 2)),
    "resize, half pixels": (SHAPE, lambda graph: resized(graph, 9, 5, halfPixelCenters=True)),
    "resize, corners": (SHAPE, lambda graph: resized(graph, 7, 13, alignCorners=True)),
    "softmax of an image's pixels": (SHAPE, lambda graph: softmax(graph, SHAPE)),
    "softmax of rows": ((1, 6, 10), lambda graph: softmax(graph, (1, 6, 10))),
    "mean over rows": (SHAPE, lambda graph: mean(graph, 1)),
    "mean over columns": (SHAPE, lambda graph: mean(graph, 2, keep=False)),
    "mean over both": (SHAPE, lambda graph: mean(graph, 1, 2)),
    "mean over channels": (SHAPE, lambda graph: mean(graph, 3)),
}
FLOAT = {"log softmax of rows": ((1, 6, 10), lambda graph: graph.op("LOG_SOFTMAX", [graph.x], (1, 6, 10), "LogSoftmaxOptions"))}


@pytest.fixture(scope="module")
def tflm() -> Process:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    return Process("tflm")


def both(data: bytes, x: Array, tflm: Process) -> tuple[Array, Array]:
    """What edgeff and TFLM make of a file."""
    program = deploy(from_tflite(data), target="input").program
    twin, rows = Interpreter(program), []
    for sample in x.reshape(len(x), -1):
        twin.predict(sample)
        rows.append(twin.output().reshape(-1).copy())
    return np.array(rows), Tflm(data, tflm)(x, lambda: None).reshape(len(x), -1)


@pytest.mark.parametrize("name", CASES)
def test_int8_is_tflm_s_to_the_bit(name: str, tflm: Process) -> None:
    shape, build = CASES[name]
    graph = Graph("int8", shape, **LOGITS)
    data = graph.done(build(graph))
    x = np.random.default_rng(3).integers(-128, 128, (12, *shape[1:])).astype(np.int8)
    x[:2].reshape(2, -1)[:] = [[-128], [127]]
    actual, expected = both(data, x, tflm)
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", [*CASES, *FLOAT])
def test_float32_is_near_tflm_s(name: str, tflm: Process) -> None:
    shape, build = (CASES | FLOAT)[name]
    graph = Graph("float32", shape)
    data = graph.done(build(graph))
    x = np.random.default_rng(4).normal(size=(6, prod(shape))).astype(np.float32).reshape(6, *shape[1:])
    actual, expected = both(data, x, tflm)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=CLOSE)


def test_a_product_that_overflows_in_runtimes_has_no_tflite_file() -> None:
    wide, narrow = Quant((54.6,), 0), Quant((6 / 255,), -128)
    layer = Layer("square", Mul(), ("input", "input"), (4,), quant={"output": narrow})
    with pytest.raises(Unsupported, match=r"layer 'square', mul: got products in steps .* times the output's"):
        to_tflite(Network("n", (4,), (layer,), wide))
    assert to_tflite(Network("n", (4,), (layer,), Quant((0.5,), 0)))
