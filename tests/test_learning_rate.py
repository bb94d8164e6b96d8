"""The learning rate of a device: it stays unless a schedule is asked for, and ``eff_set_rate`` changes it while it runs."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import EVERY_PROGRAM, deployed, samples, small

from edgeff import registry
from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.codes import Code
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.tasks import Data

LEARNING = [(rule, numeric) for rule, numeric in EVERY_PROGRAM if rule]
REFUSED = (float("nan"), float("inf"), float("-inf"), -1.0, -1e-30, 1.001, 3e38, 1e300)


def accuracy(target: HostTarget, x: Array, labels: Array) -> float:
    return float((target.predict_many(x)[0] == labels).mean())


def learn_epochs(target: HostTarget, x: Array, labels: Array, samples_seen: int) -> None:
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-samples_seen // len(x)))])[:samples_seen]
    assert not target.learn_many(x, labels, order).any()


def test_a_device_learns_a_drift_after_150_000_samples() -> None:
    """The control: before it learns, what it knows does not help with the drift."""
    data: Data = registry.tasks["digits"].load(0)
    deployment = deploy(initialised(structure("64-16-10"), 0), data.x_train, rule="bp", numeric="int8")
    x, unseen = deployment.inputs(data.x_train), deployment.inputs(data.x_test)
    target = HostTarget(deployment.program)
    learn_epochs(target, x, data.y_train, 150_000)
    assert accuracy(target, unseen, data.y_test) > 0.8
    moved = np.random.default_rng(1).permutation(x.shape[1])  # the sensor's wires are swapped
    assert accuracy(target, unseen[:, moved], data.y_test) < 0.3
    learn_epochs(target, x[:, moved], data.y_train, 6_000)
    assert accuracy(target, unseen[:, moved], data.y_test) > 0.8


@pytest.mark.parametrize(("rule", "numeric"), LEARNING)
def test_no_rule_has_a_schedule_on_a_device(rule: str, numeric: Numeric) -> None:
    (advance,) = [call for call in deployed(rule, numeric).program.learn if call.kernel == "eff_advance"]
    assert advance.attrs["period"] == 0
    assert registry.rules[rule].device_settings(numeric).decay_steps == 0


def test_a_schedule_that_was_asked_for_runs_and_is_stated(tmp_path: Path) -> None:
    deployment = deployed("bp", "int8", changes={"decay_steps": 3, "decay": 0.5})
    twin, x = Interpreter(deployment.program), deployment.inputs(samples(7))
    words = []
    for sample in x:
        twin.learn(sample, 1)
        words.append(int(twin.tensor("rate")[0]))
    assert words == [65536, 65536, 32768, 32768, 32768, 16384, 16384]
    write_c(deployment.program, tmp_path / "falls")
    assert "It is multiplied by 0.5 after every 3 steps." in (tmp_path / "falls" / "model.h").read_text()
    write_c(deployed("bp", "int8").program, tmp_path / "stays")
    assert "It stays: there is no schedule." in (tmp_path / "stays" / "model.h").read_text()


def without_rate(target: Interpreter) -> dict[str, bytes]:
    """Every variable but the rate."""
    names = [tensor.name for tensor in target.program.by_role("variable") if tensor.name != "rate"]
    return {name: target.tensor(name).tobytes() for name in names}


@pytest.mark.parametrize(("rule", "numeric"), LEARNING)
def test_at_rate_0_nothing_is_learned(rule: str, numeric: Numeric) -> None:
    deployment = deployed(rule, numeric)
    twin, x = Interpreter(deployment.program), deployment.inputs(samples(5))
    start = without_rate(twin)
    assert twin.set_rate(0.0) is Code.OK
    for sample in x:
        twin.learn(sample, 1)
    if rule == "zeroth_order":  # moves its weights and moves them back, to the last bit of the larger number
        for name, value in without_rate(twin).items():
            assert np.allclose(np.frombuffer(value, np.float32), np.frombuffer(start[name], np.float32), rtol=0.0, atol=1e-6)
    else:
        assert without_rate(twin) == start
    assert twin.set_rate(1.0) is Code.OK
    for sample in x:
        twin.learn(sample, 1)
    assert without_rate(twin) != start


def test_half_the_rate_is_half_the_step() -> None:
    deployment = deployed("bp", "float32")
    x = deployment.inputs(samples(1))[0]
    steps = []
    for rate in (1.0, 0.5):
        twin = Interpreter(deployment.program)
        before = twin.tensor("dense_1.weight")
        twin.set_rate(rate)
        twin.learn(x, 1)
        steps.append(twin.tensor("dense_1.weight") - before)
    assert np.abs(steps[0]).max() > 0
    np.testing.assert_allclose(steps[1], steps[0] / 2, atol=1e-7)  # weights near 1 in float32


@pytest.fixture(scope="module")
def learner() -> tuple[Deployment, HostTarget]:
    deployment = deployed("bp", "int8")
    return deployment, HostTarget(deployment.program)


@given(st.floats(width=32, allow_nan=True))
def test_c_and_twin_take_the_same_rates(learner: tuple[Deployment, HostTarget], rate: float) -> None:
    deployment, host = learner
    twin = Interpreter(deployment.program)
    host.init()
    assert host.set_rate(rate) is twin.set_rate(rate)
    assert host.tensor("rate")[0] == twin.tensor("rate")[0]


@given(st.floats(0.0, 1.0, width=32))
def test_a_rate_is_rounded_to_16_bits(learner: tuple[Deployment, HostTarget], rate: float) -> None:
    _, host = learner
    assert host.set_rate(rate) is Code.OK
    assert abs(int(host.tensor("rate")[0]) - rate * 2**16) <= 0.5


@pytest.mark.parametrize("rate", REFUSED)
def test_a_rate_that_is_no_rate_is_refused_and_nothing_is_changed(learner: tuple[Deployment, HostTarget], rate: float) -> None:
    deployment, host = learner
    twin = Interpreter(deployment.program)
    host.init()
    for target in (host, twin):
        assert target.set_rate(0.25) is Code.OK
        state = host.arena()
        assert target.set_rate(rate) is Code.BAD_RATE
        assert target.tensor("rate")[0] == 16384
        assert (host.arena() == state).all()
    assert host._c.eff_set_rate(ctypes.c_float(rate)) == -3


def test_the_rate_is_saved_and_a_reset_sets_it_back(learner: tuple[Deployment, HostTarget]) -> None:
    _, host = learner
    host.set_rate(0.125)
    saved = host.save()
    host.init()
    assert host.tensor("rate")[0] == 65536
    host.restore(saved)
    assert host.tensor("rate")[0] == 8192


def test_the_emulated_core_has_the_same_rate(learner: tuple[Deployment, HostTarget], tmp_path: Path) -> None:
    deployment, host = learner
    board, x = load_board("rpi_pico"), deployment.inputs(samples(3))
    firmware, _ = build_project(deployment, board, tmp_path)
    core = UnicornTarget(firmware, board)
    host.init()
    for rate in (1.0, 0.3, *REFUSED):
        assert core.set_rate(rate) is host.set_rate(rate)
        for sample in x:
            core.write_input(sample)
            assert core.learn(2) is Code.OK
            host.learn(sample, 2)
        persistent = host.memory.persistent_bytes
        assert core.read_arena()[:persistent] == host.arena()[:persistent].tobytes()


def test_inference_alone_has_no_rate(tmp_path: Path) -> None:
    program = deployed(None, "int8").program
    for target in (HostTarget(program), Interpreter(program)):
        with pytest.raises(BadInput, match=r"^learning with '12-8-4': got a program for inference only"):
            target.set_rate(0.5)
    firmware, _ = build_project(replace(deployed(None, "int8"), network=small()), load_board("rpi_pico"), tmp_path)
    with pytest.raises(Unsupported, match="inference only"):
        UnicornTarget(firmware, load_board("rpi_pico")).set_rate(0.5)
