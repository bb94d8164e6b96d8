"""Scenarios of learning in service, by the C that boards run, on the host, with their controls (``edgeff simulate --scenario``).

``nice python benchmarks/scenarios.py [SCENARIO ..]`` -> ``benchmarks/results/scenarios.json``. What a step costs is counted once for each
form on an emulated board. Rates are chosen on a third of the samples that a device learns, with one budget for every rule and the control.
``class means`` are a head made of the
device's own samples without a step. Forward-Forward has its own way of reading pictures and is left out where networks have convolutions.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from results import collect, load

from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.ir import Network
from edgeff.program.deploy import Deployment
from edgeff.studies.scenarios import PRESSURE, SCENARIOS, class_means, play, sense

BOARD, SMALL_BOARD = "nucleo_l4r5zi", "microbit"
SEEDS = {
    "new_speaker": 18,
    "new_wearer": 23,
    "new_load": 12,
    "gas_drift": 5,
    "new_keyword": 5,
    "new_camera": 15,
    "new_arabic_word": 6,
    "new_patient": 13,
    PRESSURE: 10,
}
MEANS = "class means"
RULES, OF_CONVOLUTIONS = ("bp", "pepita", "dfa", "ff", "frozen"), ("new_camera", "new_keyword")
FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((rule, "int8") for rule in RULES if rule != "ff" or name not in OF_CONVOLUTIONS) for name in SCENARIOS
}
for name in SCENARIOS:
    FORMS[name] += ((MEANS, "float32"),)
FORMS[PRESSURE] = (("bp", "int16"), ("bp", "int8"), ("bp", "float32"))
networks: dict[str, dict[tuple[str, int], Network]] = {}
controls: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}


def cost(deployment: Deployment, board: str) -> dict[str, Any]:
    """What a step takes on the emulated board, and the memory by the ELF."""
    machine = load_board(board)
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, machine, Path(folder))
        sample = deployment.inputs(np.zeros((1, *deployment.network.input_shape), np.float32))[0]
        trace = profile(deployment, machine, firmware, sample)
    return {"board": board, **asdict(trace.memory), "instructions": trace.learn.instructions, "latency_s": trace.learn.latency_s}


def measure(name: str, rule: str, numeric: Any, seed: int) -> dict[str, Any]:
    """A row; that of seed 0 with the cost."""
    if name == PRESSURE:
        sensed, deployment = sense(rule=rule, numeric=numeric, seed=seed)
        row: dict[str, Any] = asdict(sensed)
    elif rule == MEANS:
        means = class_means(SCENARIOS[name], seed=seed, networks=networks.setdefault(name, {}))
        control = next(row["control"] for row in load("scenarios")["rows"] if row["key"] == [name, "bp", "int8", seed])
        return asdict(means) | {"control": control}
    else:
        outcome, deployment = play(
            SCENARIOS[name],
            rule=rule,
            numeric=numeric,
            seed=seed,
            networks=networks.setdefault(name, {}),
            controls=controls.setdefault((name, seed), {}),
        )
        row = asdict(outcome)
    return row if seed else row | {"cost": cost(deployment, SMALL_BOARD if name == PRESSURE else BOARD)}


if __name__ == "__main__":
    chosen = [name for name in SEEDS if not sys.argv[1:] or name in sys.argv[1:]]
    keys = [(name, *form, seed) for name in chosen for seed in range(SEEDS[name]) for form in FORMS[name]]
    collect("scenarios", keys, measure, max(SEEDS.values()))
