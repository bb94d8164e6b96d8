"""The records: what a network refuses, and what the records say of themselves."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Board, Layer, Line, Memory, Network, Program, Quant, Region, Tensor
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax

DENSE = Layer("dense", Dense(), ("input",), (2,), {"weight": np.ones((2, 3), np.float32)})
SOFTMAX = Layer("softmax", Softmax(), ("dense",), (2,))
NETWORK = Network("n", (3,), (DENSE, SOFTMAX))


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        ((), "network 'n': got no layers; allowed: at least one"),
        ((SOFTMAX,), "network 'n', layer 'softmax': got inputs ['dense'] that no earlier layer makes; "),
        ((DENSE, DENSE), "network 'n', layer 'dense': got a name used twice; "),
        ((replace(DENSE, name="input"),), "network 'n', layer 'input': got a name used twice; "),
        ((SOFTMAX, DENSE), "network 'n', layer 'softmax': got inputs ['dense'] that no earlier layer makes; "),
    ],
)
def test_a_network_refuses_what_is_no_graph(layers: tuple[Layer, ...], line: str) -> None:
    with pytest.raises(BadInput, match=re.escape(line)):
        Network("n", (3,), layers)


def test_a_hostile_name_stays_on_one_line() -> None:
    with pytest.raises(BadInput) as caught:
        Network("a\nb\x1b[31m", (3,), ())
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_layers_are_found_by_name() -> None:
    assert NETWORK["softmax"] is SOFTMAX
    assert tuple(NETWORK) == (DENSE, SOFTMAX)
    assert NETWORK.trainable == (DENSE,)
    assert NETWORK.parameters == 6
    with pytest.raises(KeyError):
        NETWORK["other"]


def test_replacing_changes_only_what_it_names() -> None:
    wider = replace(DENSE, op=Dense(activation="relu"))
    changed = NETWORK.replacing({"dense": wider}, name="m")
    assert changed.layers == (wider, SOFTMAX)
    assert (changed.name, NETWORK.name) == ("m", "n")


@pytest.mark.parametrize("numeric", ["int8", "int16"])
def test_the_number_format_is_that_of_the_outputs(numeric: str) -> None:
    quant = {"output": Quant((0.1,), dtype=numeric)}
    quantised = NETWORK.replacing({layer.name: replace(layer, quant=quant) for layer in NETWORK}, input_quant=quant["output"])
    assert (NETWORK.numeric, NETWORK.numerics, NETWORK.layers[0].suffix) == ("float32", ("float32",), "f32")
    assert (quantised.numeric, quantised.layers[0].numeric) == (numeric, numeric)


def test_a_network_of_several_number_formats_has_no_single_one() -> None:
    mixed = NETWORK.replacing({"dense": replace(DENSE, quant={"output": Quant((0.1,))})}, input_quant=Quant((0.1,)))
    assert mixed.numerics == ("int8", "float32")
    with pytest.raises(Unsupported, match="network 'n': got layers in int8 and float32; allowed: one number format"):
        _ = mixed.numeric


def test_records_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        NETWORK.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(("dtype", "size"), [("float32", 24), ("int32", 24), ("uint32", 24), ("int16", 12), ("int8", 6)])
def test_a_tensor_knows_its_bytes(dtype: str, size: int) -> None:
    assert Tensor("t", (2, 3), dtype, "activation").size_bytes == size


def test_scales_are_a_vector() -> None:
    assert Quant((0.5,)).scales().tolist() == [0.5]
    assert not Quant((0.5,)).per_channel
    assert Quant((0.5, 0.25), axis=0).per_channel


def test_a_program_has_classes_where_it_has_a_prediction() -> None:
    tensors = {
        "x": Tensor("x", (3,), "int8", "input"),
        "y": Tensor("y", (2,), "int8", "activation"),
        "best": Tensor("best", (1,), "int32", "activation"),
    }
    program = Program("p", "", "int8", tensors, {"infer": Line("infer", (), ("x",), ("y",))})
    assert program.classes == 0
    assert replace(program, lines={"infer": Line("infer", (), ("x",), ("y", "best"))}).classes == 2
    assert [t.name for t in program.by_role("input", "activation")] == ["x", "y", "best"]


def test_unknown_memory_is_never_zero() -> None:
    assert Memory(static_ram_bytes=100).total_ram_bytes is None
    assert Memory(stack_bytes=100).total_ram_bytes is None
    assert Memory(static_ram_bytes=100, stack_bytes=28).total_ram_bytes == 128


def test_a_board_sums_flash_and_uses_its_first_ram() -> None:
    regions = (Region("ram", "ram", 0, 10), Region("a", "flash", 0, 20), Region("b", "flash", 20, 30), Region("more", "ram", 10, 40))
    board = Board("b", "", "cortex-m4", True, 1, regions, 0, {}, (), {})
    assert (board.flash_bytes, board.ram_bytes) == (50, 10)
