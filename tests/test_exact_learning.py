"""Learning in every execution, to the bit: the whole state after each of 200 steps, for every registered rule and every numeric."""

from __future__ import annotations

import numpy as np
import pytest
from exact_cases import digits, learner

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.ir import NUMERICS, Array, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.verify import BOARDS
from edgeff.verify.executions import Emulated, Host, Learned, twin_learning

LEARNERS = [(rule, numeric) for rule in sorted(registry.rules) for numeric in NUMERICS if numeric in registry.rules[rule].numerics]
STEPS = 200
STEPS_OF_SOFT_FLOAT = 30  # a core without an FPU takes fifty times as long for a step in float32
SCORED = 20


def no_news() -> None:
    """A progress callback."""


def samples(deployment: Deployment, count: int) -> tuple[Array, Array]:
    return deployment.inputs(digits().x_train[:count]), digits().y_train[:count]


def assert_same(twin: Learned, other: Learned) -> None:
    """Every byte of the state after each step, and the scores after the last one."""
    for step, (expected, actual) in enumerate(zip(twin.states, other.states, strict=True), 1):
        assert expected.tobytes() == actual.tobytes(), f"step {step}"
    assert twin.after.scores.tobytes() == other.after.scores.tobytes()
    assert twin.after.classes.tobytes() == other.after.classes.tobytes()
    assert not np.array_equal(twin.states[0], twin.states[-1])


@pytest.mark.parametrize(("rule", "numeric"), LEARNERS)
def test_200_steps_are_the_same_on_twin_host_and_core(rule: str, numeric: Numeric) -> None:
    deployment = learner(rule, numeric)
    program = deployment.program
    x, labels = samples(deployment, STEPS)
    twin = twin_learning(program, plan(program), x, labels, x[:SCORED], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:SCORED], no_news))
    assert_same(twin, Emulated(program, load_board(BOARDS[0])).learning(x, labels, x[:SCORED], no_news))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "numeric"), LEARNERS)
def test_steps_are_the_same_on_a_core_without_fpu(rule: str, numeric: Numeric) -> None:
    deployment = learner(rule, numeric)
    program = deployment.program
    x, labels = samples(deployment, STEPS_OF_SOFT_FLOAT if numeric == "float32" else STEPS)
    twin = twin_learning(program, plan(program), x, labels, x[:SCORED], no_news)
    assert_same(twin, Emulated(program, load_board(BOARDS[1])).learning(x, labels, x[:SCORED], no_news))


@pytest.mark.slow
@pytest.mark.skipif(not TOOLCHAINS["gcc"].available(), reason=f"gcc is not installed: {TOOLCHAINS['gcc'].how_to_get}")
@pytest.mark.parametrize(
    ("rule", "numeric", "board"),
    [("ff", "float32", BOARDS[0]), ("pepita", "float32", BOARDS[1]), ("mempepita", "int8", BOARDS[0]), ("bp", "int16", BOARDS[1])],
)
def test_gcc_gives_the_same_bits(rule: str, numeric: Numeric, board: str) -> None:
    deployment = learner(rule, numeric)
    program = deployment.program
    x, labels = samples(deployment, 30)
    twin = twin_learning(program, plan(program), x, labels, x[:5], no_news)
    assert_same(twin, Emulated(program, load_board(board), "gcc").learning(x, labels, x[:5], no_news))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "numeric"), [(rule, numeric) for rule, numeric in LEARNERS if numeric != "int16"])
def test_biases_and_two_hidden_layers_are_the_same_on_twin_and_host(rule: str, numeric: Numeric) -> None:
    deployment = learner(rule, numeric, "64-13-7-10", bias=True)
    program = deployment.program
    x, labels = samples(deployment, 60)
    twin = twin_learning(program, plan(program), x, labels, x[:SCORED], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:SCORED], no_news))


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize(
    ("rule", "feedback", "stochastic"),
    [("pepita", "stored", True), ("pepita", "generated", False), ("dfa", "stored", False), ("fa", "stored", True)],
)
def test_both_feedbacks_and_both_roundings_are_the_same_on_twin_and_host(
    rule: str, feedback: str, stochastic: bool, numeric: Numeric
) -> None:
    network = initialised(structure("64-12-10"), 0)
    changes = {"feedback": feedback}
    deployment = deploy(network, digits().x_train, rule=rule, numeric=numeric, changes=changes, stochastic=stochastic, seed=2**32 - 1)
    program = deployment.program
    x, labels = samples(deployment, 40)
    twin = twin_learning(program, plan(program), x, labels, x[:SCORED], no_news)
    assert_same(twin, Host(program).learning(x, labels, x[:SCORED], no_news))


@pytest.mark.parametrize("numeric", ["int8", "int16"])
def test_a_saturated_network_is_the_same_on_twin_host_and_core(numeric: Numeric) -> None:
    """Inputs at the ends of the range, weights calibrated on nothing like them, and the largest rate."""
    network = initialised(structure("6-5-3", bias=True), 0)
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    deployment = deploy(network, x * np.float32(0.01), rule="bp", numeric=numeric, changes={"lr": 1.0})
    rng = np.random.default_rng(1)
    low = -128 if numeric == "int8" else -32767
    samples = rng.choice([low, -low - (numeric == "int8")], (100, 6)).astype(numeric)
    labels = rng.integers(0, 3, 100)
    twin = twin_learning(deployment.program, plan(deployment.program), samples, labels, samples[:SCORED], no_news)
    for other in (Host(deployment.program), Emulated(deployment.program, load_board("rpi_pico"))):
        assert_same(twin, other.learning(samples, labels, samples[:SCORED], no_news))


@pytest.mark.parametrize(
    ("rule", "numeric"), [("bp", "int8"), ("pepita", "float32"), ("mempepita", "int16"), ("dfa", "int8"), ("forward_gradient", "float32")]
)
def test_an_autoencoder_learns_the_same_on_twin_and_host(rule: str, numeric: Numeric) -> None:
    network = initialised(structure("8-5-8", softmax=False), 0)
    x = np.random.default_rng(0).uniform(size=(50, 8)).astype(np.float32)
    deployment = deploy(network, x, rule=rule, numeric=numeric, target="input")
    program, inputs, labels = deployment.program, deployment.inputs(x), np.zeros(50, np.int64)
    twin = twin_learning(program, plan(program), inputs, labels, inputs, no_news)
    assert_same(twin, Host(program).learning(inputs, labels, inputs, no_news))


@pytest.mark.parametrize("numeric", NUMERICS)
def test_mempepita_is_pepita_to_the_bit(numeric: Numeric) -> None:
    found = []
    for rule in ("pepita", "mempepita"):
        deployment = learner(rule, numeric, "64-20-12-10", bias=True)
        twin = Interpreter(deployment.program)
        x, labels = samples(deployment, STEPS)
        states = []
        for sample, label in zip(x, labels, strict=True):
            twin.learn(sample, int(label))
            states.append(b"".join(twin.tensor(t.name).tobytes() for t in deployment.program.by_role("variable", "state")))
        found.append(states)
    assert found[0] == found[1]
    assert len(set(found[0])) == STEPS
