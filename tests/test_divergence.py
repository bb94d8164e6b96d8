"""A step after which the weights mean nothing is told by a code of its own, in twin and C alike, and does not stay."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import deployed, samples, small

from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array, Numeric
from edgeff.program.codes import WINDOW, Code, watched
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter


@pytest.mark.parametrize(("rate", "diverges"), [(0.1, False), (30.0, True)])
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_too_large_a_rate_diverges_in_twin_and_c_at_the_same_step(numeric: Numeric, rate: float, diverges: bool) -> None:
    """In float32 a linear map to values, since a softmax bounds the error of classes and ReLUs die."""
    if numeric == "float32":
        deployment = deploy(small("12-2", softmax=False), rule="bp", target="value", changes={"lr": rate})
        truths: Array = np.ones((60, 2), np.float32)
    else:
        deployment = deployed("bp", numeric, small("12-32-4"), changes={"lr": rate})
        truths = np.arange(60) % 4
    x, twin, host = deployment.inputs(samples(60)), Interpreter(deployment.program), HostTarget(deployment.program)
    fresh = twin.save()
    codes = []
    for sample, truth in zip(x, truths, strict=True):
        codes.append(twin.learn(sample, truth))
        assert host.learn(sample, truth) is codes[-1]
        assert host.save() == twin.save()
        assert codes[-1] is Code.OK or host.save() == fresh, "what was learned is lost, and the model is as it was exported"
    assert set(codes) == ({Code.OK, Code.DIVERGED} if diverges else {Code.OK})


@pytest.mark.parametrize("numeric", ["float32", "int16", "int8"])
def test_every_weight_that_goes_wrong_is_seen_within_a_round(numeric: Numeric) -> None:
    """One float that is no number; seven eighths of a window of integers at their ends."""
    deployment = deployed("frozen", numeric, small("12-32-4"))
    program, x = deployment.program, deployment.inputs(samples(1))[0]
    host, (weight,) = HostTarget(program), watched(program)
    windows = -(-weight.elements // WINDOW)
    assert windows == 2
    for first in range(0, weight.elements, WINDOW):
        host.init()
        assert {host.learn(x, 0) for _ in range(windows)} == {Code.OK}
        view = host._view(weight.name)
        host.set_rate(0.0)  # so that the step itself moves none of them
        wrong = 1 if numeric == "float32" else WINDOW * 7 // 8
        view[first : first + wrong] = np.nan if numeric == "float32" else np.iinfo(view.dtype).max
        assert Code.DIVERGED in {host.learn(x, 0) for _ in range(windows)}
