"""The contracts of every rule, operator, board and task, as functions that the author of a plug-in can run too (and ``edgeff check``).

A failed check is CheckFailed, one line with the expected and the actual result. edgeff's own tests run the same checks on everything that
is registered.
"""

from __future__ import annotations

from pathlib import Path

from edgeff.contracts import boards, operators, rules, tasks
from edgeff.contracts.check import Check, hold
from edgeff.device.boards import load_board
from edgeff.ir import Board
from edgeff.ops import Operator
from edgeff.registry import ops as registered_operators
from edgeff.registry import tasks as registered_tasks
from edgeff.rules import Rule, find_rule
from edgeff.tasks import Task

__all__ = ["Check", "check_board", "check_operator", "check_rule", "check_task"]


def check_rule(rule: Rule | str, *, slow: bool = False) -> None:
    """Raises CheckFailed unless a registered rule, or the one of that name, fulfils the contract of rules.

    ``slow``: also the comparison with frozen hidden layers, a minute. Needs a C compiler on the host. About ten seconds per rule.
    """
    item = find_rule(rule) if isinstance(rule, str) else rule
    hold(f"rule {item.name}", item, rules.CHECKS, slow=slow)


def check_operator(operator: type[Operator] | str) -> None:
    """Raises CheckFailed unless an operator, by its class or its registered name, fulfils the contract of operators.

    Needs a C compiler on the host. A few seconds per operator.

    >>> check_operator("relu")
    """
    item: type[Operator] = registered_operators[operator] if isinstance(operator, str) else operator
    hold(f"operator {item.name}", item, operators.CHECKS, slow=True)


def check_board(board: Board | str | Path) -> None:
    """Raises CheckFailed unless a board, by its name or its file, can be built for and emulated; BadInput for a file that is not a board.

    >>> check_board("rpi_pico")
    """
    item = board if isinstance(board, Board) else load_board(board)
    hold(f"board {item.name}", item, boards.CHECKS, slow=True)


def check_task(task: Task | str) -> None:
    """Raises CheckFailed unless a task, or the registered one of that name, gives the data that it states, with separate parts.

    >>> check_task("digits")
    """
    item: Task = registered_tasks[task] if isinstance(task, str) else task
    hold(f"task {item.name}", item, tasks.CHECKS, slow=True)
