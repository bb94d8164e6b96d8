"""The tables of the int8 kernels for docs/results, from ``benchmarks/results/mlperf_tiny.json`` and ``kernels.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels import FC_AE, LAYERS, NETWORKS, PER_WEIGHT
from mlperf_tiny import CMSIS_NN
from results import load
from tables_rules import table

NAMES = {FC_AE: "FC autoencoder", "bp": "BP", "pepita": "PEPITA, F generated"}


def latency(task: str, toolchain: str) -> dict[str, Any]:
    """The inference row of a reference model."""
    found: dict[str, Any] = next(row for row in load("mlperf_tiny")["rows"] if row["key"] == ["latency", task, "int8", toolchain])
    return found


def kernel_layers() -> str:
    """Instructions per MAC of the layers that have a target."""
    lines = []
    for (task, layer), (what, target) in LAYERS.items():
        figures = []
        for toolchain in ("gcc", "zig"):
            _, _, macs, count = next(call for call in latency(task, toolchain)["calls"] if call[0] == layer)
            figures.append(f"{count / macs:.2f}")
        theirs = CMSIS_NN.get((task, layer))
        lines.append([what, f"{macs:,}", f"{theirs[1] / macs:.2f}" if theirs else "-", f"{target:.2f}", *figures])
    return table(["int8, instructions per MAC", "MACs", "CMSIS-NN, gcc", "target", "edgeff, gcc", "edgeff, zig"], lines)


def kernel_networks() -> str:
    """Instructions, code, stack and arena of whole networks."""
    lines = []
    for task, target in NETWORKS.items():
        for toolchain in ("gcc", "zig"):
            row = latency(task, toolchain)
            lines.append(
                [task, toolchain, f"{target:,}", *(f"{row[name]:,}" for name in ("instructions", "cycles", "code", "stack", "arena"))]
            )
    return table(
        ["int8, one inference", "compiler", "target", "instructions", "cycles modelled", "code bytes", "stack bytes", "arena bytes"],
        lines,
        2,
    )


def kernel_steps() -> str:
    """Instructions per weight of a step of int8 learning: all of it, and its dearest update, in which the fewest rows have no gain."""
    lines = []
    for row in load("kernels")["rows"]:
        if row["key"][0] != "step":
            continue
        _, network, rule, toolchain = row["key"]
        weights = row["weights"]
        largest = max(macs for _, kernel, macs, _ in row["calls"] if "dense_update" in kernel)
        dearest = max(count / macs for _, kernel, macs, count in row["calls"] if "dense_update" in kernel and macs == largest)
        target = f"{PER_WEIGHT['step']}" if rule == "pepita" else "-"
        figures = [f"{row['instructions']:,}", f"{row['instructions'] / weights:.2f}", target, f"{dearest:.2f}"]
        lines.append([NAMES.get(network, network), NAMES.get(rule, rule), toolchain, *figures, f"{PER_WEIGHT['update']}"])
    heads = [
        "network",
        "int8, one step",
        "compiler",
        "instructions",
        "per weight",
        "target",
        "largest layer's update, per weight",
        "target",
    ]
    return table(heads, lines, 3)


SECTIONS: dict[str, Callable[[], str]] = {
    "kernel_layers": kernel_layers,
    "kernel_networks": kernel_networks,
    "kernel_steps": kernel_steps,
}
