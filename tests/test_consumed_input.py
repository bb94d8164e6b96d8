"""A device predicts a sample and then learns it: from an input that a prediction has used up it refuses to, or the input is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_networks import samples, small

from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.errors import BadInput
from edgeff.ir import Numeric
from edgeff.program.codes import Code
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import consumes, plan

BOARD = load_board("rpi_pico")


def made(rule: str, numeric: Numeric, *, keep: bool) -> Deployment:
    return deploy(small("12-6-4"), samples(8), rule=rule, numeric=numeric, keep_input=keep)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("rule", "numeric"), [("bp", "float32"), ("pepita", "int8")])
def test_twin_and_c_learn_what_they_predicted_or_both_refuse(rule: str, numeric: Numeric, keep: bool) -> None:
    deployment = made(rule, numeric, keep=keep)
    program, x = deployment.program, deployment.inputs(samples(4))
    survives = not consumes(program, plan(program), program.lines["infer"])
    assert survives or not keep
    twin, host = Interpreter(program), HostTarget(program)
    codes: list[list[Code]] = []
    for run in (twin, host):
        codes.append([run.learn(None, 1)])
        run.predict(x[0])
        codes[-1].append(run.learn(None, 2))
        codes[-1].append(run.learn(None, 2))
        codes[-1].append(run.learn(x[1], 3))
        run.predict(x[2])
        with pytest.raises(BadInput, match="labels"):
            run.learn(None, 4)
        codes[-1].append(run.learn(None, 0))
    after = Code.OK if survives else Code.CONSUMED
    lasts = survives and not consumes(program, plan(program), program.lines["learn"])
    twice = Code.OK if lasts else Code.CONSUMED
    assert codes[0] == codes[1] == [Code.CONSUMED, after, twice, Code.OK, after]
    fresh = Interpreter(program)
    for sample, label in (*([(0, 2)] * (survives + lasts)), (1, 3), *([(2, 0)] * survives)):
        fresh.learn(x[sample], label)
    for tensor in program.saved:  # what was refused has changed nothing, what was kept is the sample itself
        assert fresh.tensor(tensor.name).tobytes() == twin.tensor(tensor.name).tobytes() == host.tensor(tensor.name).tobytes()


def test_without_being_kept_the_input_of_back_propagation_is_used_up() -> None:
    """The case that the others turn on."""
    assert [consumes(p, plan(p), p.lines["infer"]) for keep in (False, True) for p in [made("bp", "float32", keep=keep).program]] == [
        True,
        False,
    ]


@pytest.mark.parametrize("keep", [False, True])
def test_the_firmware_says_so_through_its_mailbox(keep: bool, tmp_path: Path) -> None:
    deployment = made("bp", "float32", keep=keep)
    firmware, source = build_project(deployment, BOARD, tmp_path)  # which compares the static RAM with the plan
    assert firmware.static_ram_bytes == source.memory.arena_bytes + source.guard_bytes + firmware.template.ram_bytes
    core, x = UnicornTarget(firmware, BOARD), deployment.inputs(samples(2))
    assert core.learn(1) is Code.CONSUMED
    core.write_input(x[0])
    core.predict()
    before = core.read_arena()[: source.memory.persistent_bytes]
    assert core.learn(2) is (Code.OK if keep else Code.CONSUMED)
    expected = Interpreter(deployment.program)
    if keep:
        expected.learn(x[0], 2)
    else:
        assert core.read_arena()[: source.memory.persistent_bytes] == before
    core.write_input(x[1])
    assert core.learn(3) is Code.OK
    expected.learn(x[1], 3)
    assert core.save() == expected.save()


def test_a_program_for_inference_needs_no_guard_and_can_keep_its_input() -> None:
    program = deploy(small("12-6-4"), samples(8), keep_input=True).program
    text = HostTarget(program).source
    assert text.guard_bytes == 0
    assert not consumes(program, text.memory, program.lines["infer"])
    assert plan(program).arena_bytes >= plan(deploy(small("12-6-4"), samples(8)).program).arena_bytes
