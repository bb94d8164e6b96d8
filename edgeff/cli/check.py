"""``edgeff check``: a rule, operator, board or task against the contract of its kind."""

from __future__ import annotations

from typing import Any

import click

from edgeff.cli.options import OneOf, common
from edgeff.cli.terminal import print_json, print_table
from edgeff.errors import CheckFailed

KINDS = ("rule", "operator", "board", "task")


@click.command("check", epilog="Example: edgeff check rule pepita")
@click.argument("kind", type=OneOf("kind of thing", KINDS))
@click.argument("name")
@click.option("--slow", is_flag=True, help="Also run the checks that take more than a few seconds.")
@common
def command(kind: str, name: str, slow: bool, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Run on a plug-in the checks that edgeff's own tests run on everything registered; exit status 1 if a check fails.

    NAME is a registered rule, operator or task (EDGEFF_PLUGIN_DIR names a folder of plug-ins), or a board's name or file.
    """
    from edgeff.contracts.check import outcomes

    item, checks = _find(kind, name)
    results = list(outcomes(item, checks, slow=slow))
    if as_json:
        print_json([{"check": check, "ok": not line, "failure": line} for check, line in results])
    else:
        print_table(("check", "result"), [[check, line or "ok"] for check, line in results])
    failed = [check for check, line in results if line]
    if failed:
        raise CheckFailed(f"{kind} {name}", got=f"{len(failed)} of {len(results)} checks that failed", allowed="none")


def _find(kind: str, name: str) -> tuple[Any, Any]:
    """The item, and the checks of its kind."""
    if kind == "rule":
        from edgeff.contracts.rules import CHECKS as RULE_CHECKS
        from edgeff.rules import find_rule

        return find_rule(name), RULE_CHECKS
    if kind == "operator":
        from edgeff.contracts.operators import CHECKS as OPERATOR_CHECKS
        from edgeff.registry import ops

        return ops[name], OPERATOR_CHECKS
    if kind == "board":
        from edgeff.contracts.boards import CHECKS as BOARD_CHECKS
        from edgeff.device.boards import load_board

        return load_board(name), BOARD_CHECKS
    from edgeff.contracts.tasks import CHECKS as TASK_CHECKS
    from edgeff.registry import tasks

    return tasks[name], TASK_CHECKS
