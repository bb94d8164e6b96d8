"""Values, and not only classes, are learned on a device: the same bits in every execution, in the units of the caller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import samples, small

from edgeff.device.boards import load_board
from edgeff.device.simulate import mean_squared_error
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.networks import learned_target
from edgeff.networks.heads import with_output
from edgeff.ops.logistic import Logistic
from edgeff.program.codes import Code
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.learned import learned_network
from edgeff.rules import find_rule
from edgeff.verify import HOST, verify
from edgeff.verify.step import compare_step

SPREAD = 300.0


def network() -> Network:
    """Two values of a spread of 300, from twelve inputs."""
    plain = small("12-8-2", softmax=False, bias=True)
    return replace(with_output(plain, 20.0, SPREAD), metadata={"values": {"centre": 20.0, "spread": SPREAD}})


def made(numeric: Numeric, rule: str = "bp", **options: object) -> Deployment:
    return deploy(network(), samples(40), rule=rule, numeric=numeric, target="value", seed=3, **options)  # type: ignore[arg-type]


def values(count: int) -> Array:
    """What is learned: a plane over two inputs, within what integers span."""
    x = samples(count)
    return SPREAD * np.stack([x[:, 0] - x[:, 1], 0.5 - x[:, 2]], axis=1)


@pytest.mark.parametrize(("numeric", "replay"), [("float32", None), ("int8", 4)])
def test_every_execution_learns_the_same_values(numeric: Numeric, replay: int | None) -> None:
    """Twin, C, an emulated Cortex-M4, ONNX Runtime, LiteRT, and the rule's own step."""
    deployment = made(numeric)
    board = load_board("nucleo_l4r5zi")
    result = verify(deployment.network, samples(4), board=board, rule="bp", steps=6, replay=replay)
    result.check()
    learned = {row.b for row in result if "steps of bp" in row.what or "step" in row.b}
    assert {HOST, "ONNX Runtime, learning graph", "LiteRT, learning graph"} < learned
    assert not {skipped.name for skipped in result.skipped} & learned


@pytest.mark.parametrize(("numeric", "rule"), [("float32", "pepita"), ("int16", "bp"), ("int8", "bp")])
def test_the_c_learns_a_drift_in_the_units_of_the_caller(numeric: Numeric, rule: str) -> None:
    deployment = made(numeric, rule)
    host, x, y = HostTarget(deployment.program), deployment.inputs(samples(40)), values(40)

    def error() -> float:
        return mean_squared_error(deployment, host.predict_many(x)[1], y)

    before = error()
    for _ in range(30):
        assert (host.learn_many(x, deployment.targets(y)) == Code.OK).all()
    assert error() < 0.15 * before
    fresh = deploy(learned_network(deployment.network, deployment.program, {t.name: host.tensor(t.name) for t in deployment.program.saved}))
    assert (HostTarget(fresh.program).predict_many(x)[1] == host.predict_many(x)[1]).all()  # the file gives what the device gives


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_learning_changes_no_bit_of_what_is_predicted_before_it(numeric: Numeric) -> None:
    deployment, x = made(numeric), made(numeric).inputs(samples(8))
    alone = HostTarget(deploy(deployment.network).program)
    assert (alone.predict_many(x)[1] == HostTarget(deployment.program).predict_many(x)[1]).all()
    target, output = (deployment.program.tensors[str(name)] for name in (deployment.program.target, deployment.program.output))
    assert target.quant == output.quant == deployment.network.layers[-1].quant.get("output")


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_one_logistic_output_is_taught_zero_and_one(numeric: Numeric) -> None:
    plain = small("12-8-1", softmax=False, bias=True)
    ending = replace(plain, layers=(*plain.layers, Layer("yes", Logistic(), ("dense_2",), (1,))))
    x = samples(80)
    y = (x[:, :1] > x[:, 1:2]).astype(np.float64)
    deployment = deploy(ending, x, rule="bp", numeric=numeric, target=learned_target(ending), seed=3)
    host, inputs = HostTarget(deployment.program), deployment.inputs(x)
    for _ in range(60):
        host.learn_many(inputs, deployment.targets(y))
    scores = host.predict_many(inputs)[1].astype(np.float64)
    right = (scores > (0.5 if numeric == "float32" else 0)) == (y > 0.5)
    assert right.mean() > 0.8  # half of them without learning
    rows = compare_step(deployment, find_rule("bp"), inputs[:40], deployment.targets(y[:40]), strict=True, steps=40)
    assert rows
    assert [row.note for row in rows if not row.ok] == []


def test_values_that_are_no_numbers_or_do_not_fit_are_refused() -> None:
    deployment = made("float32")
    twin, host, x = Interpreter(deployment.program), HostTarget(deployment.program), samples(1)[0]
    for run in (twin, host):
        before = [run.tensor(t.name).tobytes() for t in deployment.program.saved]
        for bad in (np.nan, np.inf, 2.0**48):
            assert run.learn(x, np.array([0.0, bad], np.float32)) is Code.NOT_FINITE
        for other in (np.zeros(3, np.float32), np.zeros(2), 1):
            with pytest.raises(BadInput, match="values to learn"):
                run.learn(x, other)
        assert before == [run.tensor(t.name).tobytes() for t in deployment.program.saved]
        assert run.learn(x, np.zeros(2, np.float32)) is Code.OK
    for bad in (np.nan, 1e9):
        with pytest.raises(BadInput, match="values to learn"):
            made("int8").targets(np.array([[0.0, bad]]))
    with pytest.raises(Unsupported, match="learning values by ff: got a rule that needs classes; allowed: afa, bp"):
        made("float32", "ff")
