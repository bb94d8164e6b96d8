"""int8 kernels on an emulated Cortex-M4F beside their targets: instructions per MAC or per weight, code and stack, by both compilers.

``python benchmarks/kernels.py`` -> ``benchmarks/results/kernels.json``: steps of learning, by every rule in int8 and in float32 and through
convolutions too, DS-CNN and a step of PEPITA on every kind of core, and a small network whose counts are the baseline of
``tests/test_kernel_counts.py``. Inference rows on a Cortex-M4 are those of ``mlperf_tiny.json``. ``--check`` measures the small network
again and fails if a kernel takes more than 2 % above the baseline.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from results import collect, load

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.errors import Unsupported
from edgeff.ir import Network, Numeric
from edgeff.networks import initialised, random_inputs, structure
from edgeff.networks._stack import Stack
from edgeff.ops.add import Add
from edgeff.program.deploy import Deployment, deploy

BOARD = "mps2_an386"
ALLOWED_RISE = 0.02
FC_AE = "640-128-128-128-128-8-128-128-128-128-640"
STEPS = [(network, rule) for network in ("64-32-10", "784-128-10", FC_AE) for rule in ("bp", "pepita")]
LAYERS = {
    ("kws", "conv2d_2"): ("pointwise, 25x5x64 to 64", 1.05),
    ("kws", "depthwise_conv2d_1"): ("depthwise 3x3, 25x5x64", 3.0),
    ("vww", "depthwise_conv2d_1"): ("depthwise 3x3, 48x48x8", 2.7),
    ("ad", "dense_1"): ("dense 640 to 128", 1.0),
    ("ad", "dense_2"): ("dense 128 to 128", 1.1),
    ("ic", "conv2d_2"): ("conv 3x3, 32x32x16 to 16", 1.1),
    ("ic", "conv2d_4"): ("conv 3x3 stride 2, 32x32x16 to 32", 1.0),
    ("kws", "conv2d_1"): ("conv 10x4 stride 2, 49x10 to 64", 1.35),
    ("ic", "conv2d_1"): ("conv 3x3x3 to 16, 32x32", 1.95),
    ("vww", "conv2d_2"): ("pointwise, 48x48, 8 to 16", 2.2),
}
"""Layers of the reference models, each with what it is and its target in instructions per MAC."""
NETWORKS = {"kws": 3_400_000, "ic": 13_500_000, "ad": 280_000, "vww": 9_500_000}
"""Targets in instructions of an inference."""
RULE_NETWORKS = {"64-32-10": "", "784-128-10": "", "cnn_small": "", "ds_cnn": "pointwise_3"}
"""Networks whose steps are counted for every rule, each with the last layer that is left as it is, if any."""
CORES = ("rpi_pico", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547", "qemu_virt_rv32")
HELIUM = "mps3_an547"
HELIUM_LAYERS = {("infer", "pointwise_1"): 0.25, ("dense", "dense_1"): 0.25, ("infer", "depthwise_1"): 1.6}
"""Layers by the row of that board which has them, with their targets in instructions per MAC."""
HELIUM_NAMES = {"pointwise_1": "pointwise, 25x5x64 to 64", "dense_1": "dense 640 to 128", "depthwise_1": "depthwise 3x3, 25x5x64"}
PER_WEIGHT = {"update": 9.3, "step": 11.5}
"""Targets in instructions per weight that learns: of the update alone, and of a whole PEPITA step."""


def small_network() -> Network:
    """One layer of each kind that has a fast kernel, on an image of 9x7x4."""
    stack = Stack((9, 7, 4))
    stack.conv("conv", 6, (3, 3))
    below = stack.depthwise("depthwise", (3, 3))
    above = stack.conv("pointwise", 6, (1, 1), activation="none")
    stack.add("sum", Add(activation="relu"), (below, above))
    stack.average_pool("pool", (9, 7))
    stack.flatten()
    stack.dense("dense", 5)
    return initialised(stack.network("kernels"), 0)


def counted(deployment: Deployment, toolchain: str, board_name: str = BOARD) -> dict[str, Any]:
    """The counts of an inference or, with a rule, of a step: totals and those of each call."""
    board = load_board(board_name)
    x = random_inputs(deployment.network, 0)[:1]
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, board, Path(folder), toolchain=TOOLCHAINS[toolchain])
        trace = profile(deployment, board, firmware, deployment.inputs(x)[0], 3)
    weights = sum(tensor.elements for tensor in deployment.program.by_role("variable") if tensor.dtype == "int8")
    line = trace.line("learn" if deployment.program.learn else "infer")
    return {
        "toolchain": TOOLCHAINS[toolchain].version(),
        "weights": weights,
        "instructions": line.cost.instructions,
        "cycles": line.cost.cycles,
        "code": firmware.code_bytes,
        "stack": trace.memory.stack_bytes,
        "arena": trace.memory.arena_bytes,
        "calls": [[call.name, call.kernel, call.macs, call.instructions] for call in line.calls],
    }


def small(toolchain: str) -> dict[str, Any]:
    """The counts of the small network."""
    network = small_network()
    return counted(deploy(network, random_inputs(network, 0), numeric="int8"), toolchain)


def of_rule(name: str, rule: str, numeric: Numeric) -> dict[str, Any]:
    """A step of a rule by zig, on the layers of the network that learn; why not, where the rule cannot learn it."""
    network, frozen = initialised(structure(name), 0), RULE_NETWORKS[name]
    try:
        deployment = deploy(network, random_inputs(network, 0), rule=f"frozen:{frozen},{rule}" if frozen else rule, numeric=numeric)
    except Unsupported as error:
        return {"refused": str(error)}
    return counted(deployment, "zig")


def on_core(board: str, what: str, toolchain: str) -> dict[str, Any]:
    """An inference of DS-CNN or of the autoencoder, or a step of PEPITA on 784-128-10, in int8 on a board."""
    name, rule = {"infer": ("ds_cnn", None), "dense": (FC_AE, None), "learn": ("784-128-10", "pepita")}[what]
    network, target = initialised(structure(name, softmax=name != FC_AE), 0), "input" if name == FC_AE else "class"
    return counted(deploy(network, random_inputs(network, 0), rule=rule, numeric="int8", target=target), toolchain, board)


def measure(what: str, *key: Any) -> dict[str, Any]:
    """One row: ``small`` by a toolchain, ``step`` of a network and a rule by a toolchain in int8, ``rule`` or ``core``."""
    if what == "small":
        return small(*key)
    if what == "rule":
        return of_rule(*key)
    if what == "core":
        return on_core(*key)
    name, rule, toolchain = key
    network = initialised(structure(name, softmax=name != FC_AE), 0)
    target = "input" if name == FC_AE else "class"
    return counted(deploy(network, random_inputs(network, 0), rule=rule, numeric="int8", target=target), toolchain)


def rises(baseline: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The kernels of ``now`` that take more instructions than ``baseline`` allows, in words."""
    return [
        f"{name}, {kernel}: {count:,} instructions, {before:,} before"
        for (name, kernel, _, count), (*_, before) in zip(now["calls"], baseline["calls"], strict=True)
        if count > before * (1 + ALLOWED_RISE)
    ]


def check() -> None:
    """Exits with the kernels of the small network that became slower."""
    rows = {tuple(row["key"]): row for row in load("kernels")["rows"]}
    if found := rises(rows["small", "zig"], small("zig")):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    if "--check" in sys.argv:
        check()
    else:
        keys: list[tuple[str, ...]] = [("small", toolchain) for toolchain in ("zig", "gcc")]
        keys += [("step", network, rule, toolchain) for network, rule in STEPS for toolchain in ("zig", "gcc")]
        rules = [rule for rule, item in registry.rules.items() if "int8" in item.numerics]
        keys += [("rule", name, rule, numeric) for name in RULE_NETWORKS for rule in rules for numeric in ("int8", "float32")]
        toolchains = {board: [name for name in load_board(board).toolchains if TOOLCHAINS[name].available()] for board in CORES}
        keys += [("core", board, what, name) for board in CORES for what in ("infer", "learn") for name in toolchains[board]]
        keys += [("core", HELIUM, "dense", name) for name in toolchains[HELIUM]]
        collect("kernels", keys, measure)
