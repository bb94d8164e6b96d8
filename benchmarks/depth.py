"""Two to five layers with weights on digits: back-propagation, DFA, PEPITA with its variants and Forward-Forward beside frozen layers.

``python benchmarks/depth.py`` -> ``benchmarks/results/depth.json``, its choices in ``depth_chosen.json``; a row is a seed, and all rows of
a seed come before the next seed. Srinivasan et al. (ICLR 2024) train networks of up to five layers with PEPITA. Here every hidden layer has
32 units, every way has mini-batches of 32, 30 epochs, and settings from one search of the same budget on that seed's training part
(``protocol.py``); the test part is read once. A row without an accuracy is of a way all of whose best candidates diverge.
"""

from __future__ import annotations

from typing import Any

from protocol import protocol_row
from results import collect

from edgeff.bench.tuning import Search
from edgeff.errors import Diverged

NETWORKS = ("64-32-10", "64-32-32-10", "64-32-32-32-10", "64-32-32-32-32-10")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "frozen": ("frozen", {}),
    "bp": ("bp", {}),
    "dfa": ("dfa", {}),
    "pepita": ("pepita", {}),
    "pepita+wd": ("pepita", {"weight_decay": 1e-4}),
    "pepita+norm": ("pepita", {"normalise": True}),
    "pepita+wm": ("pepita", {"mirror_every": 1}),
    "pepita+norm+wm": ("pepita", {"normalise": True, "mirror_every": 1}),
    "pepita, hebbian": ("pepita", {"hebbian": True}),
    "ff": ("ff", {}),
}
SEEDS, SEARCH, BATCH = 5, Search(epochs=30, candidates=9, splits=1), 32


def measure(network: str, way: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent, None where no candidate ends."""
    rule, fixed = WAYS[way]
    try:
        return protocol_row("digits", network, rule, seed, SEARCH, {**fixed, "batch": BATCH}, "depth_chosen")
    except Diverged as error:
        return {"accuracy": None, "diverged": True, "why": str(error), "chosen_by": {"by": "search on validation samples"}}


if __name__ == "__main__":
    collect("depth", [(network, way, seed) for seed in range(SEEDS) for network in NETWORKS for way in WAYS], measure, SEEDS)
