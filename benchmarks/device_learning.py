"""Learning on the device from fresh weights, one sample at a time, by the generated C: every rule and numeric on 64-32-10, five seeds.
The rate falls by ``SCHEDULE``.

``python benchmarks/device_learning.py [RULE ..]`` -> ``benchmarks/results/device_learning.json``; a row is a seed. Settings are chosen on a
part of that seed's training samples, with one budget for every rule, numeric and rounding (``protocol.py``); the test part is read once a
row. The control keeps the hidden layer at its random start (rule ``frozen``); int8 PEPITA, back-propagation and the control stand beside
their round-to-nearest forms, with rates of their own.
"""

from __future__ import annotations

import sys
from typing import Any

from protocol import device_row
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Search

NETWORK, SEEDS, SEARCH = "64-32-10", 5, Search(epochs=60, splits=1)
PROTOCOL = "protocol"
ALSO_NEAREST = ("frozen", "bp", "pepita")


def measure(rule: str, numeric: Any, rounding: str, _settings: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent after the last epoch."""
    return device_row(NETWORK, rule, numeric, seed, SEARCH, stochastic=rounding == "stochastic")


if __name__ == "__main__":
    forms = [
        (rule, numeric, "none" if numeric == "float32" else "stochastic")
        for rule in registry.rules
        for numeric in registry.rules[rule].numerics
    ]
    forms = [*((rule, "int8", rounding) for rule in ALSO_NEAREST for rounding in ("nearest", "stochastic")), *forms]
    wanted = {*sys.argv[1:]} & {*registry.rules}
    collect(
        "device_learning",
        [(*form, PROTOCOL, seed) for form in forms if not wanted or form[0] in wanted for seed in range(SEEDS)],
        measure,
        SEEDS,
    )
