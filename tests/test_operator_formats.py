"""The readers and writers of the operators for each model format: where they are found, that operators do without them, and that every
operator comes back from every format bit for bit, or is refused with a reason.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from model_files import assert_same_network
from random_networks import one_layer
from test_operators import example

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats import from_onnx, from_tflite, operators
from edgeff.formats.onnx import nodes as onnx_nodes
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite import nodes as tflite_nodes
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Layer, Network
from edgeff.ops import sample_shape
from edgeff.ops.physical import Physical
from edgeff.program.quantize import quantize


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
    with pytest.raises(Unsupported, match=rf"^layer 'lens': got kind 'physical'; allowed: in {title} files abs, .*; it is a black box"):
        write(Network("n", (3,), (medium,)))


def test_two_readers_of_one_foreign_operator_are_refused() -> None:
    with pytest.raises(BadInput, match="onnx operator Conv: got conv2d beside edgeff"):
        operators.readers("onnx", {"Conv": onnx_nodes.handlers()["Conv"]})


TITLES = {"onnx": "ONNX", "tflite": "TFLite"}
NOT_ALL: dict[tuple[str, str, str], str] = {
    ("average_pool2d", "tflite", "float32"): "got padding",
    ("average_pool2d", "tflite", "int8"): "got padding",
    ("label", "tflite", "int8"): "got int8; allowed: float32 in TFLite files",
    ("lstm", "onnx", "float32"): "got int8, a state that goes on or a limit of the cell",
    ("log_softmax", "tflite", "int8"): "got int8; allowed: float32 in TFLite files",
    ("normalise", "tflite", "int8"): "got int8; allowed: float32 in TFLite files",
    ("upsample2d", "tflite", "float32"): "got zeros between pixels",
    ("upsample2d", "tflite", "int8"): "got zeros between pixels",
}
"""Operator, format and numeric of which a format does not hold every layer, and what the refusal says of the others."""
NOT_QUANTISED = {"gru", "lstm", "svdf"}
"""What edgeff does not quantise: tests/test_memory_layers.py has int8 layers of these."""
LEFT_OUT = {("requantise", "tflite", "float32")}
"""What does nothing in a numeric and is no operator of the format: the file holds the network without it."""


def there_and_back(form: str, network: Network) -> Network:
    """``network`` as it is read from its own file."""
    return from_onnx(to_onnx(network).SerializeToString()) if form == "onnx" else from_tflite(to_tflite(network))


def drawn(op: str, numeric: str, seed: int) -> Network:
    """A layer of the kind with random attributes; int8 with one weight scale a layer and an output by turns."""
    network = one_layer(op, seed)
    x = np.random.default_rng(seed).normal(size=(20, *sample_shape(network)))
    return network if numeric == "float32" else quantize(network, x, per_channel=bool(seed % 2))


@pytest.mark.parametrize("form", TITLES)
@pytest.mark.parametrize("op", registry.ops)
def test_every_operator_has_a_writer_or_says_why_not(op: str, form: str) -> None:
    writes, reasons = dict(operators.parts(form, "write")), dict(operators.parts(form, "REFUSED"))
    assert (op in writes) != (op in reasons)
    if op in reasons:
        layer = Layer("one", example(op), ("input",), (1,))
        with pytest.raises(Unsupported) as refused:
            operators.writers(Network("n", (1,), (layer,)), form, TITLES[form])
        assert f"kind '{op}'" in str(refused.value)
        assert str(refused.value).endswith(reasons[op])
        assert len(reasons[op].split()) > 3


@pytest.mark.parametrize("numeric", ["float32", "int8"])
@pytest.mark.parametrize("form", TITLES)
@pytest.mark.parametrize("op", registry.ops)
def test_every_operator_comes_back_bit_for_bit(op: str, form: str, numeric: str) -> None:
    if op in dict(operators.parts(form, "REFUSED")) or (numeric == "int8" and op in NOT_QUANTISED):
        return  # as the test above has found
    case = (op, form, numeric)
    reason, refused = NOT_ALL.get(case), []
    for seed in range(8):
        network = drawn(op, numeric, seed)
        try:
            back = there_and_back(form, network)
        except Unsupported as error:
            refused.append(str(error))
        else:
            assert_same_network(replace(network, layers=network.layers[:-1]) if case in LEFT_OUT else network, back)
    assert bool(refused) == (reason is not None), refused  # a reason that nothing needs any more goes
    assert all(f", {op}: {reason}" in message for message in refused), refused
