"""The setting ``anchor``: parameters that learn are drawn back to their exported values, by twin and C alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_networks import deployed, samples, small

from edgeff.codegen.folder import write_c
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput
from edgeff.ir import Numeric
from edgeff.program.codes import watched
from edgeff.program.interpreter import Interpreter
from edgeff.rules import Settings

ROUND = 1 << 10


@pytest.mark.parametrize("numeric", ["float32", "int16", "int8"])
def test_an_anchor_draws_every_parameter_back_in_twin_and_c_alike(numeric: Numeric) -> None:
    """Without errors to learn from nothing else moves: the share that is left after so many steps is known."""
    rounds, anchor = 3, 2.0**-12
    deployment = deployed("frozen", numeric, small("12-32-4"), changes={"anchor": anchor, "lr": 1e-12})
    program, x = deployment.program, deployment.inputs(samples(1))[0]
    twin, host = Interpreter(program), HostTarget(program)
    (weight,) = watched(program)
    exported, distance = host.tensor(weight.name).astype(np.float64), 1.0 if numeric == "float32" else 100.0
    apart = np.sign(-exported + 0.5) * distance  # towards zero, so that no integer leaves its range
    moved = (exported + apart).astype(weight.dtype)
    for view in (host._view(weight.name), twin._arrays[weight.name]):
        view[...] = moved.reshape(view.shape)
    host.learn_many(np.repeat(x[None], 8, axis=0), np.ones(8, np.int32))
    for _ in range(8):
        twin.learn(x, 1)
    assert host.save() == twin.save()
    host.learn_many(np.repeat(x[None], rounds * ROUND - 8, axis=0), np.ones(rounds * ROUND - 8, np.int32))
    share = (host.tensor(weight.name).astype(np.float64) - exported) / apart
    left = (1.0 - anchor * ROUND) ** rounds
    # rounding at random to whole steps: 100 steps of 64 weights deviate by less than .02
    assert share.mean() == pytest.approx(left, abs=1e-5 if numeric == "float32" else 0.02)


def test_the_exported_values_take_no_flash_of_their_own(tmp_path: Path) -> None:
    plain, anchored = (
        write_c(deployed("bp", "int8", changes=changes).program, tmp_path / name)
        for name, changes in (("plain", {}), ("anchored", {"anchor": 2.0**-16}))
    )
    assert anchored.memory.flash_bytes == plain.memory.flash_bytes
    assert anchored.memory.arena_bytes == plain.memory.arena_bytes


@pytest.mark.parametrize("anchor", [2.0**-26, 2.0**-10, -1.0])
def test_an_anchor_that_integers_cannot_say_is_refused(anchor: float) -> None:
    with pytest.raises(BadInput, match="setting anchor"):
        Settings(anchor=anchor)
