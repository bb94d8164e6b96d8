"""What every registered operator keeps, by the checks of ``edgeff.contracts``; and that each check sees an operator that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.contracts import check_operator, operators
from edgeff.contracts.check import Check
from edgeff.errors import CheckFailed
from edgeff.ir import Array
from edgeff.ops import Example, Operator
from edgeff.ops.leaky_relu import LeakyRelu, tflite
from edgeff.ops.softmax import Softmax
from edgeff.ops.transpose import Transpose

Sabotage = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("check", operators.CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("op", registry.ops)
def test_an_operator_keeps_its_contract(op: str, check: Check[type[Operator]]) -> None:
    assert check.failure(registry.ops[op]) == ""


def other_twin(patch: pytest.MonkeyPatch) -> None:
    kernel = registry.kernels["eff_softmax_f32"]

    def run(y: Array, *_: Array, **__: int) -> None:
        y[:] = np.float32(0.5)

    patch.setitem(registry.kernels._items, kernel.name, replace(kernel, run=run))


def other_file(patch: pytest.MonkeyPatch) -> None:
    write = tflite.write
    patch.setattr(tflite, "write", lambda graph, layer: write(graph, replace(layer, op=LeakyRelu(alpha=0.5))))


def other(operator: type[Operator], name: str, value: Any) -> Sabotage:
    return lambda patch: patch.setattr(operator, name, value)


BROKEN: dict[str, tuple[type[Operator], Sabotage, str]] = {
    "no summary": (Softmax, other(Softmax, "summary", ""), "it says what it is"),
    "shape": (LeakyRelu, other(LeakyRelu, "forward", lambda *_: np.zeros((5, 2))), "its output has the shape it says"),
    "jvp": (Softmax, other(Softmax, "jvp", lambda *arguments: arguments[4][0]), "its derivatives are exact"),
    "gradient": (Softmax, other(Softmax, "input_gradients", lambda *arguments: (arguments[3],)), "its derivatives are exact"),
    "trait": (Softmax, other(Softmax, "elementwise", value=True), "its traits hold"),
    "forward": (LeakyRelu, other(LeakyRelu, "forward", lambda *arguments: arguments[3]), "its calls compute what forward does"),
    "twin": (Softmax, other_twin, "its C is its twin to the bit in float32"),
    "file": (LeakyRelu, other_file, "TFLite files give it back"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_check_sees_an_operator_that_breaks_it(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, sabotage, name = BROKEN[broken]
    check = next(check for check in operators.CHECKS if check.name.startswith(name))
    assert check.failure(operator) == ""
    sabotage(monkeypatch)
    assert check.failure(operator) != ""


@pytest.mark.parametrize(
    ("op", "alone", "after"), [("softmax", ("input",), ("before",)), ("add", ("input", "before"), ("input", "before"))]
)
def test_an_example_stands_alone_or_after_another_layer(op: str, alone: tuple[str, ...], after: tuple[str, ...]) -> None:
    assert operators.example(registry.ops[op])["layer"].inputs == alone
    assert operators.example(registry.ops[op], after_another=True)["layer"].inputs == after


def test_an_example_has_a_bias_where_the_operator_can_have_one() -> None:
    assert operators.example(registry.ops["dense"])["layer"].params["bias"].all()


def test_an_operator_whose_example_does_not_fit_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transpose, "example", Example())
    expected = r"^operator transpose: \d of 10 checks failed; a layer of operator transpose: .*; give the class an example that fits$"
    with pytest.raises(CheckFailed, match=expected):
        check_operator("transpose")
