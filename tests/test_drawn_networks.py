"""A few of the random networks of ``benchmarks/drawn_networks.py``, whose sample of 2,200 takes half an hour."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgeff.verify.engines import Process

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import drawn_networks

FEW = (0, 3, 10, 14, 15, 16, 22, 28, 33, 39)
"""Among them int16, several formats, an audio front end, several inputs and outputs, state, windows outside of the image."""


@pytest.fixture(scope="module")
def few() -> list[drawn_networks.Drawn]:
    return [drawn_networks.accepted(seed, Counter()) for seed in FEW]


def test_drawn_networks_are_equal_in_twins_and_c(few: list[drawn_networks.Drawn]) -> None:
    assert {each.network.numerics for each in few} == {("float32",), ("int8",), ("int16",), ("int8", "float32", "int16")}
    made = drawn_networks.on_the_host(few)
    assert drawn_networks.differences(few, made) == []
    other = bytearray(made)
    other[-1] ^= 1
    assert drawn_networks.differences(few, bytes(other)) == [(len(FEW) - 1, 1)]


def test_drawn_networks_are_those_of_tflm(few: list[drawn_networks.Drawn]) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    process = Process("tflm")
    found = [drawn_networks.in_tflm(each, process) for each in few]
    assert [failure for _, failure in found if failure] == []
    assert {"TFLM int8", "TFLM float32"} <= {outcome for outcome, _ in found}
    each = next(each for each, (outcome, _) in zip(few, found, strict=True) if outcome == "TFLM int8")
    other = drawn_networks.Drawn(each.network, each.operators, each.program, each.samples, each.given, np.bitwise_xor(each.outputs, 1))
    assert drawn_networks.in_tflm(other, process)[1]


@pytest.mark.slow
def test_drawn_networks_are_equal_on_an_emulated_core(few: list[drawn_networks.Drawn]) -> None:
    assert drawn_networks.differences(few, drawn_networks.on_a_board(few, drawn_networks.BOARD)) == []
