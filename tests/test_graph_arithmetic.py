"""The integer arithmetic and the generator of the ONNX forms against those of the twins, at ties, at the ends and at random."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isqrt
from typing import Any

import numpy as np
import pytest
from model_files import session

from edgeff.errors import EdgeffError
from edgeff.formats.onnx.nodes_model import nodes_model
from edgeff.formats.onnx.words import WORDS
from edgeff.ir import Array
from edgeff.kernels import arithmetic as twins
from edgeff.kernels.graph import arithmetic as forms
from edgeff.kernels.graph.operand import NodeList, Operand
from edgeff.kernels.records import Step
from edgeff.kernels.updates import rounding_of

RNG = np.random.default_rng(0)
ENDS = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 2, 2**31 - 1])
INT32 = np.concatenate([ENDS, np.arange(-300, 301), RNG.integers(-(2**31), 2**31, 2000)])
POSITIVE = np.concatenate([ENDS[3:], RNG.integers(0, 2**31, 2000)])
SQUARES = np.concatenate([[0, 1, 2, 3, 2**51], (root := RNG.integers(2, 2**25, 500)) ** 2, root**2 - 1, root**2 + 1])
MULTIPLIERS = (0, 1 << 30, (1 << 30) + 1, 1518500250, 2**31 - 1)
FUNCTIONS: dict[str, tuple[Callable[[Operand], Operand], Callable[[Any], Any], Array]] = {
    "saturate32": (forms.saturate32, twins.saturate32, INT32 * 3),
    "exp_q31": (forms.exp_q31, twins.exp_q31, -POSITIVE),
    "reciprocal_q31": (forms.reciprocal_q31, twins.reciprocal_q31, POSITIVE),
    "sigmoid_q15": (forms.sigmoid_q15, twins.sigmoid_q15, INT32),
    "isqrt": (Operand.isqrt, np.vectorize(isqrt), SQUARES),
    "towards zero": (lambda v: v.towards_zero(7), lambda v: np.trunc(v / 7).astype(np.int64), INT32),
    "a shift by what is computed": (lambda v: v >> ((v & 31) + 1), lambda v: v >> ((v & 31) + 1), INT32),
    "a rounding shift by what is computed": (
        lambda v: forms.shift_round(v, (v & 15) + 1),
        lambda v: twins.shift_round(v, (v & 15) + 1),
        INT32,
    ),
    "a power that is computed": (lambda v: v.times_power(v & 15), lambda v: v << (v & 15), INT32),
}


def run(values: Array, build: Callable[[Operand], Operand]) -> Array:
    """What ONNX Runtime makes of a form of one operand."""
    nodes = NodeList(WORDS)
    entry = nodes.named("x", values.dtype.name, values.shape)
    made = build(entry)
    outputs = {"y": (made, made.dtype, made.shape)}
    result: Array = session(nodes_model("arithmetic", nodes, [entry], outputs, {})).run(None, {"x": values})[0]
    return result


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_equals_the_twins(name: str) -> None:
    form, twin, values = FUNCTIONS[name]
    assert np.array_equal(run(values.astype(np.int64), form), twin(values.astype(np.int64)))


def test_high_mul_equals_the_twins() -> None:
    for multiplier in MULTIPLIERS:
        assert np.array_equal(run(INT32, partial(forms.high_mul, b=multiplier)), twins.high_mul(INT32, multiplier))


@pytest.mark.parametrize("shift", [*range(-31, 31, 4), -1, 0])
def test_requantise_equals_the_twins(shift: int) -> None:
    for multiplier in MULTIPLIERS:
        made = run(INT32, partial(forms.requantise, multiplier=multiplier, shift=shift))
        assert np.array_equal(made, twins.requantise(INT32, multiplier, shift))


def test_requantise_per_channel_equals_the_twins() -> None:
    shifts = np.arange(-31, 31)
    multipliers, values = RNG.integers(2**30, 2**31, shifts.size), INT32[: 40 * shifts.size].reshape(-1, shifts.size)
    assert np.array_equal(run(values, lambda v: forms.requantise(v, multipliers, shifts)), twins.requantise(values, multipliers, shifts))


@pytest.mark.parametrize("step", [0, 1, 1000, 2**32 - 1])
def test_the_generator_equals_the_twins(step: int) -> None:
    counter, key = np.array([step], np.uint32), 0xDEADBEEF
    assert run(counter, lambda v: forms.step_key(key, v)) == [twins.step_key(key, step)]
    made = run(counter, lambda v: forms.draws(forms.step_key(key, v), v.nodes.counter(100)))
    assert np.array_equal(made, twins.draws(twins.step_key(key, step), np.arange(100)))
    made = run(counter, lambda v: forms.signs(7, 45, forms.step_key(key, v)))
    assert np.array_equal(made, twins.feedback_signs(7, 45, twins.step_key(key, step)))
    how = Step(multiplier=1 << 30, shift=0, stochastic=1, key=key)
    made = run(counter, lambda v: forms.rounding_of(5, 13, v, 22, how))
    assert np.array_equal(made, rounding_of(5, 13, key, counter, 22, 1))


def test_operands_that_do_not_fit_are_refused() -> None:
    nodes = NodeList()
    x, step = nodes.named("x", "int64", (2, 3)), nodes.named("step", "uint32", (1,))
    with pytest.raises(EdgeffError, match="Add of 'x' and 'step': got int64 and uint32; allowed: one dtype"):
        x + step
    with pytest.raises(EdgeffError, match=r"operand 'x': got shape \(2, 3\); allowed: one that fits \(4,\)"):
        x.reshape(4)
    with pytest.raises(EdgeffError, match=r"MatMul of 'x' and 'x': got \(2, 3\) and \(2, 3\); allowed: shapes that fit"):
        x @ x
    with pytest.raises(EdgeffError, match="operand 'x': got a value that is computed; allowed: a constant"):
        _ = x.known


def test_the_same_node_is_made_once() -> None:
    nodes = NodeList()
    x = nodes.named("x", "int64", (3,))
    assert ((x + 1) >> 2).name == ((x + 1) >> 2).name
    assert len({node.output for node in nodes.nodes}) == len(nodes.nodes)
    assert x.reshape(-1) is x
    assert x.part(slice(None)) is x
