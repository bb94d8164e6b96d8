"""What fits a budget: bytes as planned, accuracies as measured or unknown, and an answer where only the last layer fits, or nothing."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine

from edgeff.bench import kernel_cycles
from edgeff.bench.fit import STACK_BYTES, Budget, Choice, Fit, fit
from edgeff.bench.measured import Measured, expected_loss, find, table
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.errors import DoesNotFit
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import deploy
from edgeff.program.plan import guard_bytes, plan
from edgeff.program.select import select


def convolutional() -> Network:
    stack = Stack((8, 8, 1))
    stack.conv("conv", 4, (3, 3), (2, 2), norm=False)
    stack.depthwise("depthwise", (3, 3))
    stack.conv("pointwise", 6, (1, 1))
    stack.depthwise("depthwise_2", (3, 3))
    stack.conv("pointwise_2", 6, (1, 1))
    stack.average_pool("pool", (4, 4))
    stack.flatten()
    stack.dense("dense", 3)
    stack.add("softmax", Softmax())
    return initialised(stack.network("small"), 0)


@functools.cache
def found(ram_bytes: int) -> Fit:
    board = load_board("nucleo_l4r5zi")
    x = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    return fit(convolutional(), x, "digits", Budget(ram_bytes, board=board), rules=("bp", "frozen", "mono_forward"))


def of(choices: tuple[Choice, ...], rule: str, numeric: str, schedule: str = "") -> Choice:
    return next(choice for choice in choices if (choice.rule, choice.numeric, choice.schedule) == (rule, numeric, schedule))


def test_bytes_are_the_plans_and_what_was_not_measured_has_no_accuracy() -> None:
    x = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    program = select(deploy(convolutional(), x, rule="bp", numeric="int8").program, core_of(load_board("nucleo_l4r5zi")).features)
    choice = of(found(200_000).choices, "bp", "int8")
    assert (choice.ram_bytes, choice.layers) == (plan(program).arena_bytes + guard_bytes(program), "all")
    assert choice.accuracy is None
    assert choice.evidence.startswith("accuracy not measured")
    scores = [choice.score for choice in found(200_000).choices]
    assert scores == sorted(scores, reverse=True)


def test_one_block_at_a_time_takes_less_ram_than_all_together() -> None:
    choices = found(200_000).choices
    together, alone = of(choices, "mono_forward", "int8"), of(choices, "mono_forward", "int8", "blocks")
    assert alone.ram_bytes < together.ram_bytes < of(choices, "bp", "int8").ram_bytes
    assert alone.flash_bytes > together.flash_bytes


def test_a_smaller_budget_takes_fewer_layers_and_says_when_it_is_the_last_alone() -> None:
    enough = of(found(200_000).choices, "bp", "int8").ram_bytes
    fewer = of(found(enough + STACK_BYTES - 1).choices, "bp", "int8")
    assert fewer.ram_bytes < enough
    assert (fewer.settings.keys() & {"keep", "layers"}) != set()
    least = of(found(200_000).choices, "frozen", "int8").ram_bytes + STACK_BYTES
    assert found(least).only_last_layer
    assert all(choice.layers == ("dense",) for choice in found(least).choices)
    assert not found(200_000).only_last_layer
    with pytest.raises(DoesNotFit, match=r"^learning small: got 1,100 bytes of RAM; .*at least \d,\d{3} bytes of RAM learn something"):
        found(1100)


def test_cycles_of_a_line_are_the_work_of_its_calls_times_those_of_their_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).random((20, 64), np.float32)
    program = deploy(initialised(structure("64-10"), 0), x, rule="bp", numeric="float32").program
    known = {"eff_dense_f32": 2.0, "eff_softmax_f32": 30.0, "eff_error_f32": 5.0, "eff_dense_update_f32": 3.0, "eff_advance": 7.0}
    monkeypatch.setattr(kernel_cycles, "cores", lambda: {"cortex-m4": known})
    assert kernel_cycles.cycles_of(program, "learn", "cortex-m4") == 640 * 2 + 10 * 30 + 10 * 5 + 640 * 3 + 2 * 7
    assert kernel_cycles.cycles_of(program, "learn", "cortex-m7") is None
    del known["eff_advance"]
    assert kernel_cycles.cycles_of(program, "learn", "cortex-m4") is None


def test_a_measured_accuracy_is_the_tables() -> None:
    row = find("digits", "64-32-10", "bp", "int8")
    assert row is not None
    assert 0.9 < row.accuracy < 1.0
    assert row.evidence.startswith("measured: ")
    assert find("digits", "64-33-10", "bp", "int8") is None
    assert {row.kind for row in table()} == {"dense", "convolutional"}


def test_the_expected_loss_is_the_median_below_the_best_of_the_same_kind() -> None:
    row = Measured("a", "n", "dense", "bp", "int8", 0.9, None, 1, "", "")
    rows = [
        row,
        replace(row, rule="ff", accuracy=0.8),
        replace(row, rule="ff", task="b", accuracy=0.4),
        replace(row, task="b", accuracy=0.6),
    ]
    assert expected_loss("ff", "int8", "dense", rows=rows) == pytest.approx((0.1 + 0.2) / 2)
    assert expected_loss("ff", "float32", "convolutional", rows=rows) == pytest.approx((0.1 + 0.2) / 2)
    assert expected_loss("unheard", "int8", "dense", rows=rows) == 0.5


def test_a_rule_that_is_another_to_the_bit_is_expected_to_lose_as_much() -> None:
    for numeric in ("float32", "int8"):
        assert expected_loss("mempepita", numeric, "convolutional") == expected_loss("pepita", numeric, "convolutional") > 0


def test_most_choices_for_what_was_not_measured_are_within_two_points_of_the_best() -> None:
    """Each network and task of the table in turn as if it had not been measured, with all its rules in every numeric and in one."""
    lost = []
    for place in sorted({(row.task, row.network) for row in table()}):
        others = [row for row in table() if (row.task, row.network) != place]
        for numerics in (("float32", "int16", "int8"), ("float32",), ("int8",)):
            own = [row for row in table() if (row.task, row.network) == place and row.numeric in numerics]
            if len({row.rule for row in own}) < 3:
                continue
            chosen = min(own, key=lambda row: expected_loss(row.rule, row.numeric, row.kind, row.schedule, rows=others))
            lost.append(max(row.accuracy for row in own) - chosen.accuracy)
    assert len(lost) >= 20
    assert np.mean(np.array(lost) <= 0.02) > 0.65, lost
    assert np.mean(lost) < 0.025, lost


def test_the_command_answers_in_the_documented_form(capsys: pytest.CaptureFixture[str]) -> None:
    answer: dict[str, Any] = CommandLine(capsys).ok("fit", "64-10", "digits", "--ram", "3K", "--json").json
    assert answer["ram_limit_bytes"] == 3072
    assert {"rule", "settings", "numeric", "layers", "ram_bytes", "flash_bytes", "accuracy", "evidence"} <= answer["choices"][0].keys()
    assert all(choice["ram_bytes"] + STACK_BYTES <= 3072 for choice in answer["choices"])
