"""The settings that rules had before docs/adr/0027: one rate for all networks, for rows that are measured with them.

They are the rules' own for 64-32-10 with digits, and for Forward-Forward a threshold of 20 with the rate that went with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeff.rules import find_rule
from edgeff.rules._rates import rate_of

CHANGED: dict[str, dict[str, Any]] = {
    "ff": {"lr": 0.0025, "theta": 20.0},
    "block_ff": {"lr": 0.0025, "theta": 20.0},
    "dfa": {"lr": 0.02},
    "cwc": {"lr": 0.01},
    **{rule: {"hidden_inputs": 0} for rule in ("pepita", "mempepita")},
    "afa": {"feedback_inputs": 0},
}


def settings_before(name: str) -> Any:
    """The settings of a rule for training on the host."""
    rule = find_rule(name)
    settings = rule.settings
    epochs = tuple(round(share * settings.epochs) for share in settings.decay_shares)
    changes: dict[str, Any] = {"lr": rate_of(rule, settings), "decay_epochs": epochs}
    return replace(settings, **changes | CHANGED.get(name, {}))
