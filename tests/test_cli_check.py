"""``edgeff check``: what holds is a line with ok, what does not is a line that says so, and exit status 1."""

from __future__ import annotations

import pytest
from command_line import CommandLine

from edgeff import registry
from edgeff.contracts import check_task
from edgeff.errors import CheckFailed
from edgeff.tasks import Data


def test_a_board_that_holds(cli: CommandLine) -> None:
    assert {entry["ok"] for entry in cli.ok("check", "board", "rpi_pico", "--json").json} == {True}
    assert cli.ok("check", "board", "rpi_pico").out.count("ok") == 3


def test_an_operator_that_holds(cli: CommandLine) -> None:
    checks = cli.ok("check", "operator", "leaky_relu", "--json").json
    assert {entry["ok"] for entry in checks} == {True}
    assert {"its derivatives are exact", "its traits hold"} <= {entry["check"] for entry in checks}


def test_an_operator_that_nobody_registered_is_refused(cli: CommandLine) -> None:
    assert "unknown operator: got 'convolution'; allowed: abs, add, " in cli("check", "operator", "convolution").err


def test_test_rows_in_the_training_part_are_seen(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = registry.tasks["digits"].load
    check_task("digits")

    def leaking(seed: int = 0) -> Data:
        data = honest(seed)
        data.x_train[:20] = data.x_test[:20]
        return data

    monkeypatch.setattr(registry.tasks["digits"], "load", leaking)
    failed = cli("check", "task", "digits", "--json")
    assert failed.status == 1
    with pytest.raises(CheckFailed, match=r"^task digits: 1 of 3 checks failed; task digits, test samples that are training .*: got 20; "):
        check_task("digits")
