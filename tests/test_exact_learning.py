"""Learning in every execution, to the bit: the whole state after each of 200 steps, for every registered rule and every numeric."""

from __future__ import annotations

import numpy as np
import pytest
from exact_cases import digits, learner

from edgeff import registry
from edgeff.boards import load_board
from edgeff.deploy import Deployment
from edgeff.interpreter import Interpreter
from edgeff.ir import NUMERICS, Array, Numeric
from edgeff.plan import plan
from edgeff.verify import BOARDS
from edgeff.verify.executions import Emulated, Host, Learned, twin_learning

RULES = sorted(registry.rules)
STEPS = 200
TESTED_AFTER = 20


def no_news() -> None:
    """A progress callback."""


def samples(deployment: Deployment, count: int) -> tuple[Array, Array]:
    return deployment.inputs(digits().x_train[:count]), digits().y_train[:count]


def assert_same(deployment: Deployment, twin: Learned, other: Learned) -> None:
    """Every byte of the state after each step, and the scores after the last one."""
    for step, (expected, actual) in enumerate(zip(twin.states, other.states, strict=True), 1):
        assert expected.tobytes() == actual.tobytes(), f"step {step}"
    assert twin.after.scores.tobytes() == other.after.scores.tobytes()
    assert twin.after.classes.tobytes() == other.after.classes.tobytes()
    assert not np.array_equal(twin.states[0], twin.states[-1])


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize("rule", RULES)
def test_200_steps_are_the_same_on_twin_host_and_cores(rule: str, numeric: Numeric) -> None:
    deployment = learner(rule, numeric)
    program = deployment.program
    x, labels = samples(deployment, STEPS)
    twin = twin_learning(program, plan(program), x, labels, no_news)
    # The scores after the last step cost a Cortex-M0+ more than the steps where a rule probes every class.
    twin = Learned(twin.states, twin.after)
    assert_same(deployment, twin, Host(program).learning(x, labels, no_news))
    for board in BOARDS:
        assert_same(deployment, twin, Emulated(program, load_board(board)).learning(x, labels, no_news))
