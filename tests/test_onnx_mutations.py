"""ONNX files damaged part by part, as protobuf: each is refused in one line, quickly, or read as ONNX Runtime reads it."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
import onnx
import pytest
from image_networks import as_int8
from random_networks import random_network
from test_onnx import build
from test_onnx_foreign import CASES
from test_onnx_quantised import LENET, LENET_WEIGHTS, OPERATORS, whole

from edgeff.errors import EdgeffError
from edgeff.formats import from_onnx
from edgeff.formats.onnx.nodes import handlers
from edgeff.formats.onnx.writer import to_onnx
from edgeff.ir import Array, Network
from edgeff.ops import forward, parameters

SECONDS, BYTES = 5.0, 1 << 30
EXTREMES = (0, 1, -1, 2, 3, 7, 127, 128, 255, -2, 2**15, 2**24, 2**31 - 1, -(2**31), 2**31, 2**32, 2**63 - 1, -(2**63))
FLOATS = (0.0, -1.0, 1e38, 1e-45, 6.0, float("inf"), float("nan"))
HUGE = 1e35
"""Beyond it a sum of float32 in one order is infinite and in another one is not."""
NAMES = ("axis", "axes", "perm", "group", "pads", "strides", "kernel_shape", "ceil_mode", "keepdims", "auto_pad", "epsilon", "dilations")
VALUES = (1, -1, [0], [1, 2], [2, 3], [1, 1, 1, 1], 2.5, "VALID", "SAME_LOWER", 2**40)
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A graph and one of its nodes."""

    graph: Any
    node: Any

    def constants(self) -> list[str]:
        return [tensor.name for tensor in self.graph.initializer]


class Damage:
    """Changes a model in one to three places, each in one of several ways."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, data: bytes) -> bytes:
        model = onnx.load_from_string(data)
        ways: tuple[Callable[[Place], None], ...] = (
            self.attribute, self.attribute_size, self.new_attribute, self.input, self.input_count, self.operator, self.order, self.size,
            self.value, self.shape,
        )  # fmt: skip
        for _ in range(int(self.rng.integers(1, 4))):
            self.pick(ways)(Place(model.graph, self.pick(model.graph.node)))
        return bytes(model.SerializeToString())

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self.rng.integers(len(values)))]

    def attribute(self, at: Place) -> None:
        if at.node.attribute:
            found = self.pick(at.node.attribute)
            if found.type == onnx.AttributeProto.INTS and found.ints:
                found.ints[int(self.rng.integers(len(found.ints)))] = self.pick(EXTREMES)
            elif found.type == onnx.AttributeProto.INT:
                found.i = self.pick(EXTREMES)
            elif found.type == onnx.AttributeProto.FLOAT:
                found.f = self.pick(FLOATS)
            elif found.type == onnx.AttributeProto.STRING:
                found.s = self.pick((b"", b"\xff", b"VALID", b"SAME_LOWER", b"x" * 1000))

    def attribute_size(self, at: Place) -> None:
        if at.node.attribute:
            found = self.pick(at.node.attribute)
            if found.type == onnx.AttributeProto.INTS:
                kept = list(found.ints)
                found.ints[:] = [*kept, self.pick(EXTREMES)] if self.rng.integers(2) else kept[:-1]
            else:
                at.node.attribute.remove(found)

    def new_attribute(self, at: Place) -> None:
        at.node.attribute.append(onnx.helper.make_attribute(self.pick(NAMES), self.pick(VALUES)))

    def input(self, at: Place) -> None:
        if at.node.input:
            names = ["", "x", "input", *(name for other in at.graph.node for name in other.output), *at.constants()]
            at.node.input[int(self.rng.integers(len(at.node.input)))] = self.pick(names)

    def input_count(self, at: Place) -> None:
        if at.node.input and self.rng.integers(2):
            at.node.input.pop()
        else:
            at.node.input.append(self.pick(["", "x", *at.constants()]))

    def operator(self, at: Place) -> None:
        at.node.op_type = self.pick(sorted(handlers()))
        at.node.domain = handlers()[at.node.op_type].domain

    def order(self, at: Place) -> None:
        if self.rng.integers(2):
            at.graph.node.insert(int(self.rng.integers(len(at.graph.node) + 1)), at.node)
        elif len(at.graph.node) > 1:
            at.graph.node.remove(at.node)

    def size(self, at: Place) -> None:
        tensors = [tensor for tensor in at.graph.initializer if tensor.dims]
        if tensors:
            tensor = self.pick(tensors)
            tensor.dims[int(self.rng.integers(len(tensor.dims)))] = self.pick(EXTREMES)

    def value(self, at: Place) -> None:
        tensors = [t for t in at.graph.initializer if 0 < prod(t.dims) == len(t.raw_data) / _width(t)]
        if tensors:
            tensor = self.pick(tensors)
            array: Array = onnx.numpy_helper.to_array(tensor).copy()
            new = self.pick(FLOATS) if array.dtype.kind == "f" else self.pick(EXTREMES)
            array.flat[int(self.rng.integers(array.size))] = np.array(new).astype(array.dtype)
            shape = self.pick((array.shape, (-1,), (1, *array.shape), (*array.shape, 1)))
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.reshape(shape), tensor.name))

    def shape(self, at: Place) -> None:
        sizes = at.graph.input[0].type.tensor_type.shape.dim
        way = int(self.rng.integers(4))
        if way == 0:
            sizes.add().dim_value = self.pick(EXTREMES)
        elif sizes and way == 1:
            del sizes[int(self.rng.integers(len(sizes)))]
        elif sizes:
            self.pick(sizes).dim_value = self.pick(EXTREMES)


def _width(tensor: Any) -> int:
    return {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.INT32: 4, onnx.TensorProto.INT64: 8}.get(tensor.data_type, 1)


def files() -> Iterator[bytes]:
    """Float and int8 files of ours and of others."""
    for seed in range(20):
        network = random_network(seed)
        yield to_onnx(as_int8(network, seed) if seed % 2 else network).SerializeToString()
    yield from (case.data() for case in CASES.values())
    yield from (whole(op, np.uint8) for op in OPERATORS)
    yield build(LENET, LENET_WEIGHTS, shape=["N", 3, 8, 8], output_shape=["N", 5])


def runtime(data: bytes, x: Array) -> Array | None:
    """ONNX Runtime's output without its optimisations, None for a file that it refuses or whose output is not finite."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        made = np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])
    except Exception:  # noqa: BLE001 - it has many kinds of refusal
        return None
    return made if np.isfinite(made).all() else None


def read_alike(data: bytes, network: Network, rng: np.random.Generator) -> bool:
    """Whether ONNX Runtime read the float file too; fails where it read something else."""
    x = rng.normal(size=(2, *network.input_shape)).astype(np.float32)
    expected = runtime(data, x)
    if expected is None or np.abs(expected).max(initial=0) > HUGE:
        return False
    with np.errstate(all="ignore"):
        actual = forward(network, parameters(network), x)[network.layers[-1].name]
    assert actual.shape == expected.shape
    # Float32 sums in another order, and factors folded into weights.
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(expected).max(initial=0))))
    return True


def outcome(data: bytes) -> tuple[Network | None, str]:
    """The network in ``data``, or None and the refusal; any other error fails the test."""
    try:
        return from_onnx(data), ""
    except EdgeffError as error:
        return None, str(error)


def survive(copies: int, seed: int) -> None:
    damage, rng, counts = Damage(seed), np.random.default_rng(seed), Counter[str]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in files():
        for _ in range(copies):
            copy = damage(data)
            start = time.process_time()
            network, refusal = outcome(copy)
            assert time.process_time() - start < SECONDS
            if network is None:
                counts["refused"] += 1
                assert refusal.isprintable()
                assert len(refusal) <= 600
                continue
            counts["read"] += 1
            largest = max(prod(shape) for shape in (network.input_shape, *(layer.shape for layer in network)))
            if network.input_quant is None and copy != data and largest < 1 << 14:  # a padding of millions is legal, and slow to compute
                counts["read alike"] += read_alike(copy, network, rng)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    assert counts["refused"] > counts.total() / 4
    assert counts["read alike"] > copies


def test_damaged_models_are_refused_or_read_as_onnx_runtime_reads_them() -> None:
    survive(copies=20, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_thousands_of_damaged_models_are_refused_or_read_as_onnx_runtime_reads_them(seed: int) -> None:
    survive(copies=20, seed=seed)
