"""What every rule is held to, as functions that the author of a plug-in runs too (and ``edgeff check``).

A failed check is CheckFailed, one line that says what was expected and what was found. edgeff's own tests ask the same of everything that
is registered.
"""

from __future__ import annotations

from edgeff.contracts import rules
from edgeff.contracts.check import Check, hold
from edgeff.rules import Rule, find_rule

__all__ = ["Check", "check_rule"]


def check_rule(rule: Rule | str, *, slow: bool = False) -> None:
    """Raises CheckFailed unless a registered rule, or the one of that name, does what is asked of every rule.

    ``slow``: the comparison with frozen hidden layers too, a minute. It needs a C compiler of the host. About ten seconds a rule.
    """
    item = find_rule(rule) if isinstance(rule, str) else rule
    hold(f"rule {item.name}", item, rules.CHECKS, slow=slow)
