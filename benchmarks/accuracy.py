"""Host training in float32 on digits: every rule on four networks, five seeds, with settings chosen by the protocol, beside the control.

``python benchmarks/accuracy.py [NETWORK ..]`` -> ``benchmarks/results/accuracy.json``; a row is a seed. Each seed has a split of its own
and its settings are chosen on that split's training part (``protocol.py``); the test part is read once a run. Rows of the key ``protocol,
one part`` tried candidates on one validation part in place of three; those of ``before ADR 0027`` are of the rules' settings of that time,
which were chosen by a few trials on these same splits.
"""

from __future__ import annotations

import sys
from typing import Any

from protocol import protocol_row
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Search

NETWORKS = ("64-32-10", "64-256-10", "64-128-128-10", "64-256-256-10")
SEEDS, SEARCH = 5, Search(epochs=60)
PROTOCOL, BEFORE = "protocol", "before ADR 0027"


def measure(network: str, rule: str, predict: str, _settings: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent of one rule on one network with one seed."""
    return protocol_row("digits", network, rule, seed, SEARCH, {"predict": predict} if predict else {})


def rules_on(network: str) -> list[tuple[str, str]]:
    """The rules that a network is trained with, each with its way of predicting where it has several."""
    plain = [(rule, "") for rule in registry.rules if rule not in ("ff", "mempepita")]
    return [*plain, ("ff", "probe"), *([("ff", "head")] if network == "64-256-256-10" else [])]


if __name__ == "__main__":
    wanted = [network for network in NETWORKS if network in sys.argv[1:]] or [*NETWORKS]
    keys = [(network, *rule, PROTOCOL, seed) for network in wanted for seed in range(SEEDS) for rule in rules_on(network)]
    collect("accuracy", keys, measure, SEEDS)
