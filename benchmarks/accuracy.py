"""What a wide hidden layer shows: rules on digits with 256 hidden units, five seeds, by the protocol, beside the control.

``python benchmarks/accuracy.py`` -> ``benchmarks/results/accuracy.json``; a row is a rule and a seed. Each seed has a split of its own and
its settings are chosen on that split's training part (``protocol.py``); the test part is read once a run. Narrow and deep networks are in
``rules.py`` and ``depth.py``.
"""

from __future__ import annotations

from typing import Any

from protocol import protocol_row
from results import collect

from edgeff.bench.tuning import Search

NETWORK, RULES = "64-256-10", ("frozen", "bp", "dfa", "pepita", "cwc", "ff")
SEEDS, SEARCH = 5, Search(epochs=60, candidates=9)


def measure(network: str, rule: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent of one rule with one seed; Forward-Forward predicts by probing."""
    return protocol_row("digits", network, rule, seed, SEARCH, {"predict": "probe"} if rule == "ff" else {})


if __name__ == "__main__":
    collect("accuracy", [(NETWORK, rule, seed) for seed in range(SEEDS) for rule in RULES], measure, SEEDS)
