"""The tables of the int8 kernels for docs/results, from ``benchmarks/results/mlperf_tiny.json`` and ``kernels.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels import (
    CORES,
    FC_AE,
    HELIUM,
    HELIUM_LAYERS,
    HELIUM_NAMES,
    LAYERS,
    NETWORKS,
    PER_WEIGHT,
    RULE_NETWORKS,
)
from mlperf_tiny import CMSIS_NN
from results import load
from tables_rules import table

from edgeff.device.boards import load_board

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


def rule_step(network: str, rule: str, numeric: str) -> dict[str, Any]:
    """The row of a step of a rule."""
    found: dict[str, Any] = next(row for row in load("kernels")["rows"] if row["key"] == ["rule", network, rule, numeric])
    return found


def kernel_rules() -> str:
    """Modelled cycles of an int8 step of every rule, and their share of those of its float32 step."""
    lines = []
    for rule in dict.fromkeys(row["key"][2] for row in load("kernels")["rows"] if row["key"][0] == "rule"):
        cells = []
        for network in RULE_NETWORKS:
            steps = [rule_step(network, rule, numeric) for numeric in ("int8", "float32")]
            counts = [int(step["cycles"]) for step in steps if "refused" not in step]
            cells.append(f"{counts[0]:,} ({counts[0] / counts[1]:.2f})" if len(counts) == len(steps) else "-")
        lines.append([rule, *cells])
    heads = [f"{name} above {below}" if below else name for name, below in RULE_NETWORKS.items()]
    return table(["int8 step, zig: cycles modelled (share of float32)", *heads], lines)


def kernel_code() -> str:
    """The code of the firmware of an inference, with edgeff's kernels and with CMSIS-NN's in their place."""
    theirs = {row["key"][0]: row["code"] for row in load("cmsis_nn")["rows"] if row["key"][1] == "nucleo_l4r5zi"}
    return table(
        ["int8, one inference: bytes of code", "edgeff, gcc", "edgeff, zig", "CMSIS-NN, gcc"],
        [[task, *(f"{latency(task, toolchain)['code']:,}" for toolchain in ("gcc", "zig")), f"{theirs[task]:,}"] for task in NETWORKS],
    )


def kernel_convolutions() -> str:
    """Instructions per MAC of each layer with weights in a step of BP, in int8 and in float32."""
    lines = []
    for network in ("cnn_small", "ds_cnn"):
        steps = [rule_step(network, "bp", numeric)["calls"] for numeric in ("int8", "float32")]
        floats = {(layer, kernel.removesuffix("_f32")): count / macs for layer, kernel, macs, count in steps[1] if macs}
        for layer, kernel, macs, count in steps[0]:
            what = kernel.removesuffix("_i8")
            if macs and "conv" in kernel and (network == "cnn_small" or "gradient" in kernel or "update" in kernel):
                lines.append([network, layer, what.removeprefix("eff_"), f"{macs:,}", f"{count / macs:.2f}", f"{floats[layer, what]:.2f}"])
    return table(["BP step, zig", "layer", "kernel", "MACs", "int8, instructions per MAC", "float32"], lines, 3)


def kernel_cores() -> str:
    """DS-CNN and a step of PEPITA in int8 on every kind of core."""
    rows = {tuple(row["key"]): row for row in load("kernels")["rows"] if row["key"][0] == "core"}
    lines = []
    for _, board, what, toolchain in rows:
        if what == "infer":
            infer, learn = rows["core", board, "infer", toolchain], rows["core", board, "learn", toolchain]
            macs = sum(call[2] for call in infer["calls"])
            figures = [f"{infer['instructions']:,}", f"{infer['instructions'] / macs:.2f}", f"{infer['code']:,}", f"{infer['stack']:,}"]
            per_weight = learn["instructions"] / learn["weights"]
            figures += [f"{learn['instructions']:,}", f"{per_weight:.2f}", f"{learn['code']:,}", f"{learn['stack']:,}"]
            lines.append([load_board(board).core, board, toolchain, *figures])
    lines.sort(key=lambda line: CORES.index(line[1]))
    heads = ["core", "board", "compiler", "DS-CNN, one inference", "per MAC", "code bytes", "stack bytes"]
    return table([*heads, "PEPITA on 784-128-10, one step", "per weight", "code bytes", "stack bytes"], lines, 3)


def kernel_helium() -> str:
    """Layers in int8 on a Cortex-M55 beside their targets."""
    rows = {tuple(row["key"]): row for row in load("kernels")["rows"]}
    lines = []
    for (what, name), target in HELIUM_LAYERS.items():
        calls = {by: next(call for call in rows["core", HELIUM, what, by]["calls"] if call[0] == name) for by in ("gcc", "zig")}
        lines.append([HELIUM_NAMES[name], f"{calls['gcc'][2]:,}", f"{target:.2f}", *(f"{calls[by][3] / calls[by][2]:.3f}" for by in calls)])
    return table(["int8 on a Cortex-M55, instructions per MAC", "MACs", "target", "edgeff, gcc", "edgeff, zig"], lines)


SECTIONS: dict[str, Callable[[], str]] = {
    "kernel_layers": kernel_layers,
    "kernel_networks": kernel_networks,
    "kernel_steps": kernel_steps,
    "kernel_rules": kernel_rules,
    "kernel_code": kernel_code,
    "kernel_convolutions": kernel_convolutions,
    "kernel_cores": kernel_cores,
    "kernel_helium": kernel_helium,
}
