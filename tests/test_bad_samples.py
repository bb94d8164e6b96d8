"""A sample that is no sample (NaN, infinity, numbers out of all bounds) changes nothing, and what was asked to learn from it says so."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from image_networks import Builder
from small_networks import AUTOENCODING, LOWERED, deployed, samples, small

from edgeff import registry
from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.ops.mfcc import with_features
from edgeff.program.codes import Code
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter

NOT_FINITE = (np.nan, -np.nan, np.inf, -np.inf)
TOO_LARGE = (2.0**48, -(2.0**60), 3e19, -3.4e38)
FLOATS = [rule for rule in LOWERED if "float32" in registry.rules[rule].numerics]


def images() -> Deployment:
    """A convolutional network that learns by back-propagation in float32."""
    stack = Builder((6, 6, 1))
    stack.window("conv", "conv2d", (3, 3), outputs=3, activation="relu")
    stack.add("flat", "reshape", shape=(48,))
    weight = np.random.default_rng(0).normal(0, 0.1, (4, 48)).astype(np.float32)
    stack.add("dense", "dense", shape=(4,), params={"weight": weight}, activation="none")
    stack.add("softmax", "softmax")
    return deploy(stack.network("images"), rule="bp")


def cases() -> dict[str, Deployment]:
    return {
        **{rule: deployed(rule, "float32") for rule in FLOATS},
        "autoencoder": deployed(AUTOENCODING[0], "float32", small("12-5-12", softmax=False), target="input"),
        "images": images(),
    }


CASES = cases()


@cache
def host_of(name: str) -> HostTarget:
    """The C of a case, built once."""
    return HostTarget(CASES[name].program)


def fresh(name: str) -> HostTarget:
    """The C of a case after a reset."""
    host_of(name).init()
    return host_of(name)


def spoiled(x: Array, value: float, place: int) -> Array:
    bad = x.copy()
    bad[..., place] = value
    return bad


def state(target: Interpreter) -> bytes:
    return b"".join(target.tensor(tensor.name).tobytes() for tensor in target.program.by_role("variable", "state"))


@pytest.mark.parametrize("name", CASES)
def test_a_bad_sample_changes_nothing_and_is_refused_by_its_code(name: str) -> None:
    deployment = CASES[name]
    twin, host = Interpreter(deployment.program), fresh(name)
    x = deployment.inputs(np.random.default_rng(0).random((3, deployment.program.tensors[deployment.program.input].elements), np.float32))
    for target in (twin, host):
        target.learn(x[0], 1)
    persistent = host.memory.persistent_bytes
    for place in (0, x.shape[1] - 1):
        for value in NOT_FINITE + TOO_LARGE:
            bad = spoiled(x[1], value, place)
            before, arena = state(twin), host.arena()[:persistent]
            assert twin.learn(bad, 2) is host.learn(bad, 2) is Code.NOT_FINITE
            assert state(twin) == before
            assert (host.arena()[:persistent] == arena).all()
    for target in (twin, host):
        assert target.learn(x[2], 1) is Code.OK
    assert state(twin) != before


@pytest.mark.parametrize("name", CASES)
def test_the_largest_sample_that_is_taken_leaves_finite_weights(name: str) -> None:
    deployment = CASES[name]
    inputs = deployment.program.tensors[deployment.program.input].elements
    host = fresh(name)
    for sign in (1.0, -1.0):
        host.init()
        code = host.learn(np.full(inputs, np.nextafter(np.float32(sign * 2.0**48), np.float32(0))), 1)
        assert code in (Code.OK, Code.DIVERGED)  # weights of 2**48 and more are told and not kept
        for tensor in deployment.program.by_role("variable"):
            assert np.isfinite(host.tensor(tensor.name)).all(), tensor.name


@pytest.mark.parametrize("name", ["bp", "autoencoder", "images"])
def test_a_prediction_from_a_bad_sample_is_refused_by_its_code(name: str) -> None:
    deployment = CASES[name]
    twin, host = Interpreter(deployment.program), fresh(name)
    inputs = deployment.program.tensors[deployment.program.input].elements
    x = np.random.default_rng(0).random((3, inputs), np.float32)
    clean_best, clean_scores = host.predict_many(x)
    for value in NOT_FINITE:
        bad = x.copy()
        bad[1, inputs - 1] = value
        best, scores = host.predict_many(bad)
        assert best.tolist() == [clean_best[0], Code.NOT_FINITE, clean_best[2]]
        assert scores[[0, 2]].tobytes() == clean_scores[[0, 2]].tobytes()
        assert np.isnan(scores[1]).all()
        assert twin.predict(bad[1]) == Code.NOT_FINITE
    assert host.predict_many(spoiled(x, 3e38, 0))[0].min() > Code.NOT_FINITE  # large, but a number


def test_samples_around_a_bad_one_are_learned() -> None:
    deployment = CASES["bp"]
    x, labels = deployment.inputs(samples(5)), np.arange(5) % 4
    bad = x.copy()
    bad[2, 3] = np.nan
    host = fresh("bp")
    persistent = host.memory.persistent_bytes
    assert host.learn_many(bad, labels).tolist() == [0, 0, Code.NOT_FINITE, 0, 0]
    with_bad = host.arena()[:persistent]
    host.init()
    assert host.learn_many(x, labels, np.array([0, 1, 3, 4])).tolist() == [0] * 4
    assert (host.arena()[:persistent] == with_bad).all()


def test_a_bad_label_has_a_code_of_its_own() -> None:
    for name in ("bp", "images"):
        host = fresh(name)
        arena = host.arena()
        assert [host._c.eff_learn(label) for label in (-1, 4, 2**31 - 1, -(2**31))] == [Code.BAD_LABEL] * 4
        assert (host.arena() == arena).all()
    assert len(set(Code)) == len(Code.__members__)


def test_the_emulated_core_refuses_the_same(tmp_path: Path) -> None:
    deployment, board = CASES["bp"], load_board("rpi_pico")
    firmware, source = build_project(deployment, board, tmp_path)
    core, x = UnicornTarget(firmware, board), deployment.inputs(samples(1))[0]
    persistent = core.read_arena()[: source.memory.persistent_bytes]
    for value in NOT_FINITE:
        core.write_input(spoiled(x, value, 5))
        assert core.learn(1) is Code.NOT_FINITE
        core.write_input(spoiled(x, value, 5))
        assert core.predict() == Code.NOT_FINITE
    core.write_input(x)
    assert core.learn(4) is Code.BAD_LABEL
    assert core.read_arena()[: source.memory.persistent_bytes] == persistent


@pytest.mark.parametrize(("rule", "numeric"), [("bp", "int8"), ("bp", "int16"), (None, "int8")])
def test_integers_need_no_such_check(rule: str | None, numeric: str, tmp_path: Path) -> None:
    write_c(deployed(rule, numeric).program, tmp_path)  # type: ignore[arg-type]
    for name in ("model.h", "model.c"):
        assert "NOT_FINITE" not in (tmp_path / name).read_text()


def test_int16_audio_needs_no_such_check(tmp_path: Path) -> None:
    recipe = {"rate": 8000, "frame": 120, "hop": 100, "fft": 128, "bands": 12, "coefficients": 5, "high_hz": 4000.0}
    stack = Builder((5, 5, 1))
    stack.add("flat", "reshape", shape=(25,))
    weight = np.random.default_rng(0).normal(0, 0.1, (4, 25)).astype(np.float32)
    stack.add("dense", "dense", shape=(4,), params={"weight": weight}, activation="none")
    stack.add("softmax", "softmax")
    deployment = deploy(with_features(stack.network("audio"), recipe, 520), rule="bp")
    write_c(deployment.program, tmp_path)
    assert "NOT_FINITE" not in (tmp_path / "model.c").read_text()


@pytest.mark.parametrize("numeric", ["float32", "int8", "int16"])
@pytest.mark.parametrize("value", NOT_FINITE)
def test_no_integer_is_made_of_a_number_that_is_none(numeric: str, value: float) -> None:
    deployment = deployed("bp", numeric)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"^samples: got 2 values that are NaN or infinite; allowed: finite numbers$"):
        deployment.inputs(spoiled(samples(2), value, 0))
