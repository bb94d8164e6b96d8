"""How ``edgeff bench`` scales: wall time against workers of a Dask cluster on this machine; a thousand configurations resumed, their page.

The configurations of the cluster are real (training on the host, the quantised network in C); every run of them gives the same results, to
the last digit, or the script fails. The thousand are one real run of an emulated board under a thousand names, in files as ``edgeff bench``
saves them; resuming reads all of them, in a process of its own.
``python benchmarks/scale.py`` -> ``benchmarks/results/scale.json``, about 5 minutes of two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

from results import collect

from edgeff.bench import Configuration, Machines
from edgeff.bench.rules import RulePoint
from edgeff.ir import Numeric
from edgeff.report import installed_versions, page, run_json
from edgeff.report.store import Store

POINTS = [
    RulePoint("digits", "64-32-10", rule, seed, {"epochs": 10}) for rule in ("bp", "dfa", "pepita", "local_heads") for seed in range(3)
]
NETWORKS = ("64-8-10", "64-16-10", "64-32-10", "64-64-10", "64-128-10")
RULES = ("bp", "dfa", "pepita", "mempepita", "ff", "fa", "cwc", "local_heads", "tdca", "frozen")
NUMERICS: tuple[Numeric, ...] = ("float32", "int8")
RESUME = """
import sys, time
from edgeff.cli import bench, run
import edgeff.bench
import scale
edgeff.bench.SUITES = {"thousand": lambda _wishes: scale.thousand()}
run_missing = bench.run_missing
def timed(chosen, known, done, *rest):
    print("resumed", len(chosen), len(done), time.process_time(), file=sys.stderr)
    return run_missing(chosen, known, done, *rest)
bench.run_missing = timed
sys.exit(run(["bench", "thousand", "-o", sys.argv[1], "--json"]))
"""


def thousand() -> list[Configuration]:
    """A thousand configurations."""
    return [
        Configuration("digits", network, rule, numeric, board, seed, epochs=1, core_samples=5)
        for network, rule, numeric, board, seed in product(NETWORKS, RULES, NUMERICS, ("nucleo_l4r5zi", "rpi_pico"), range(5))
    ]


def results_by(machines: Machines) -> str:
    """Every result of the configurations, in the order of their names."""
    return json.dumps({point.name: run_json(trace) for point, trace in machines.traces(POINTS)}, sort_keys=True)


def over_workers(backend: str, workers: int) -> dict[str, Any]:
    """The wall time of the configurations, of a cluster or pool that is up already, and whether the results are those of one process."""
    from distributed import LocalCluster

    if backend == "local":
        started = perf_counter()
        results = results_by(Machines(workers))
        wall_s = perf_counter() - started
    else:
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
            started = perf_counter()
            results = results_by(Machines(scheduler=cluster.scheduler_address))
            wall_s = perf_counter() - started
    EXPECTED.setdefault("results", results)
    if results != EXPECTED["results"]:
        raise SystemExit(f"the results of {workers} workers ({backend}) are others")
    return {"configurations": len(POINTS), "wall_s": round(wall_s, 1), "equal": True, "load_before": round(os.getloadavg()[0], 1)}


EXPECTED: dict[str, str] = {}


def resumed() -> dict[str, Any]:
    """The time from the start of the process to the first configuration that is missing, of 1,000 finished ones; and their page's size."""
    from edgeff.cli.bench import identities

    base = Configuration("digits", "64-32-10", "pepita", "int8", "nucleo_l4r5zi", 0, 1, 5).run()
    with tempfile.TemporaryDirectory() as folder:
        store, traces = Store(Path(folder) / "configurations", installed_versions()), []
        store.folder.mkdir()
        known = identities(thousand())
        for number, one in enumerate(thousand()):
            accuracy = dict(base.accuracy) | {"after": 0.5 + number * 7 % 1000 / 2500}
            trace = replace(
                base, network=str(one.network), rule=one.rule, numeric=one.numeric, board=one.board, seed=one.seed, accuracy=accuracy
            )
            store.save(one.name, known[one.name], trace)
            traces.append(trace)
        started = perf_counter()
        done = subprocess.run([sys.executable, "-c", RESUME, folder], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
        wall_s = perf_counter() - started
        _, chosen, found, resume_cpu_s = next(line for line in done.stderr.splitlines() if line.startswith("resumed")).split()
        if int(chosen) != 1000 or int(found) != 1000:
            raise SystemExit(f"{found} of {chosen} were resumed: {done.stderr}")
        size = sum(path.stat().st_size for path in store.folder.iterdir())
    text = page(traces, installed_versions())
    return {
        "configurations": 1000,
        "saved_bytes": size,
        "resume_cpu_s": round(float(resume_cpu_s), 2),
        "with_report_wall_s": round(wall_s, 1),
        "page_bytes": len(text.encode()),
        "load_before": round(os.getloadavg()[0], 1),
    }


def measure(*key: Any) -> dict[str, Any]:
    return resumed() if key[0] == "resume" else over_workers(*key)


if __name__ == "__main__":
    collect("scale", [("local", 1), ("local", 2), ("dask", 1), ("dask", 2), ("resume", 1000)], measure)
