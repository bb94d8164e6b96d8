"""Host training beside PyTorch's: the same algorithm, sizes and cores, an epoch each in turn, so that both see one machine in one state.

``python benchmarks/host_speed_rules.py [--fresh]`` -> ``benchmarks/results/host_speed_rules.json``. It installs a CPU build of PyTorch into
``build/torch``, for this comparison alone; pip takes it from the index that ``PIP_INDEX_URL`` names. PEPITA 784-1024-10 and Forward-Forward
784-500-500 with its head, batch 64, 60,000 random samples, momentum .9. A ratio is the median of the ratios of neighbours; the first epoch
of each does not count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff.networks import initialised, structure
from edgeff.rules import find_rule
from edgeff.train.loop import fit

EPOCHS = 7
VERSION = "2.13.0"
FOLDER = Path(__file__).parent.parent / "build" / "torch"
CASES = (("pepita", "784-1024-10", {"lr": 0.01, "feedback_scale": 0.05, "dropout": 0.1}), ("ff", "784-500-500-10", {"lr": 0.0025}))


def torch_python() -> Path:
    """The interpreter of an environment of its own that has PyTorch, made where it is not there yet."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"torch=={VERSION}", "numpy"], check=True)
        (FOLDER / "installed").touch()
    return python


def measure(rule_name: str, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The seconds of an epoch of both, in turn."""
    cores = len(os.sched_getaffinity(0))
    command = [str(torch_python()), str(Path(__file__).parent / "torch_epochs.py"), rule_name, str(cores)]
    rule, rng = find_rule(rule_name), np.random.default_rng(0)
    x = rng.random((60_000, 784), np.float32)
    targets = np.eye(10, dtype=np.float32)[rng.integers(0, 10, len(x))]
    settings = replace(settings_before(rule.name), epochs=EPOCHS, batch=64, momentum=0.9, weight_decay=0.0, **changes)
    network = rule.prepare(initialised(structure(name), 0), settings, 0)
    seconds: dict[str, list[float]] = {"edgeff": [], "torch": []}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        if other.stdin is None or other.stdout is None:
            raise RuntimeError("no pipes")
        version = other.stdout.readline().strip()
        started = time.perf_counter()

        def torch_epoch(done: int, epochs: int) -> None:
            nonlocal started
            seconds["edgeff"].append(time.perf_counter() - started)
            other.stdin.write("epoch\n")  # type: ignore[union-attr]
            other.stdin.flush()  # type: ignore[union-attr]
            seconds["torch"].append(float(other.stdout.readline()))  # type: ignore[union-attr]
            print(f"{rule_name}, epoch {done} of {epochs}: {seconds['edgeff'][-1]:.2f} s, {seconds['torch'][-1]:.2f} s", flush=True)
            started = time.perf_counter()

        fit(network, rule_name, x, targets, settings, 0, torch_epoch)
        other.stdin.close()
    ratios = [ours / theirs for ours, theirs in zip(seconds["edgeff"][1:], seconds["torch"][1:], strict=True)]
    figures = {f"epoch_s_{library}": round(statistics.median(values[1:]), 2) for library, values in seconds.items()}
    spread = {"ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in sorted(ratios)]}
    return figures | spread | {"cores": cores, "torch": version}


if __name__ == "__main__":
    collect("host_speed_rules", CASES, measure)
