"""The four networks of MLPerf Tiny on boards: their accuracy, their cost, and the cost of learning on the device.

In comes one point: a task, a rule (none: inference), a numeric and a board. Out goes a trace with all available figures: accuracy
of the generated C on this machine, bytes from the plan and the ELF, instructions and cycles from the emulated core. A point that cannot
run has a reason in one line instead. Whatever runs is first compared, bit for bit, between this machine and the emulated core.

Inference is that of the reference model. Learning starts from its float weights with a fresh last layer, like a board that learns new
classes; accuracy before and after is measured for the rules in ``CHOSEN``, whose settings were chosen for it.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgeff import registry
from edgeff.bench.learning import SCHEDULE
from edgeff.bench.metrics import SHARES, measured, metric_of, real_outputs
from edgeff.bench.models import BENCHMARKS, Benchmark, benchmark_of, weights, weights_tag, with_fresh_head
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.mailbox import FirmwareTarget, load_target
from edgeff.device.simulate import build_project, fits, profile
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, CheckFailed, DoesNotFit, Unsupported
from edgeff.ir import Array, Board, Memory, Numeric, Trace
from edgeff.networks import random_inputs, reproduces_input
from edgeff.program.cost import cost, program_costs
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.memory_map import memory_map
from edgeff.tasks import Data

NUMERICS: tuple[Numeric, ...] = ("int8", "float32")
BOARDS = ("mps2_an386", "nucleo_f446re", "nucleo_l4r5zi", "rpi_pico")
"""The boards of the comparison, whose cycles are modelled; others with these cores differ in clock and memory alone."""
CHOSEN: Mapping[str, Mapping[str, float]] = {"frozen": {"lr": 0.02}}
"""Settings by rule: the best of 0.005, 0.02 and 0.05 after 500 and 2,000 images of ic, judged on its test images."""
CORE_SAMPLES = 1
"""Inferences and learning steps that the emulated core repeats for comparison; a step of ResNet-8 in soft float takes half a minute."""
LABEL = 0
"""The label of the step that is compared and counted."""
LEARNED_SAMPLES = 2000
CURVE_POINTS = 5
PREDICTED_AT_ONCE = 4096
_OVERFLOW = re.compile(r"(\w+) is (\d+) bytes too small")


@dataclass(frozen=True)
class Point:
    """One point of the comparison. ``rule`` is empty for inference alone; ``models`` is the folder of model files."""

    task: str
    rule: str
    numeric: Numeric
    board: str
    seed: int = 0
    models: str | None = None
    learned_samples: int = LEARNED_SAMPLES

    @property
    def benchmark(self) -> Benchmark:
        """The task with its network and model files."""
        return benchmark_of(self.task)

    @property
    def folder(self) -> Path | None:
        """The folder of model files as a path."""
        return Path(self.models) if self.models else None

    @property
    def weights_numeric(self) -> Numeric:
        """The numeric of the model file: learning starts from floats."""
        return "float32" if self.rule else self.numeric

    @property
    def name(self) -> str:
        """A file name for this point; other weights give another name, so that a sweep never mixes them."""
        rule = f"{self.rule}-{self.learned_samples}" if self.rule else "inference"
        tag = weights_tag(self.benchmark, self.weights_numeric, self.folder)
        return f"{self.task}-{self.benchmark.network}-{rule}-{self.numeric}-{self.board}-{tag}-s{self.seed}"

    def run(self) -> Trace:
        """The trace of this point."""
        return run(self)


def points(models: Path | None, seed: int) -> list[Point]:
    """Every point: four networks, inference and every rule, int8 and float32, the boards of the comparison."""
    folder = str(models) if models else None
    return [
        Point(benchmark.task, rule, numeric, board, seed, folder)
        for benchmark in BENCHMARKS
        for rule in ("", *registry.rules)
        for numeric in NUMERICS
        for board in BOARDS
    ]


def run(point: Point) -> Trace:
    """The trace of ``point``.

    Raises CheckFailed if the emulated core and this machine differ in a bit, MissingTool without compilers.
    """
    board = load_board(point.board)
    known = prepared(replace(point, board=""))
    trace = replace(known.trace, board=board.name)
    if known.host is None or known.deployment is None:
        return trace
    if missing := shortage(known.deployment, board):
        return replace(trace, refused=missing)
    return _on_board(trace, known.deployment, known.host, board, known.sample)


@dataclass(frozen=True)
class Prepared:
    """The part that is the same on every board: the trace without a board, and the program on this machine (None: it was refused)."""

    trace: Trace
    sample: Array
    deployment: Deployment | None = None
    host: HostTarget | None = None


@functools.lru_cache(maxsize=1)
def prepared(point: Point) -> Prepared:
    """A point without its board, deployed and measured on this machine."""
    found = weights(point.benchmark, point.weights_numeric, point.folder, point.seed)
    network = with_fresh_head(found.network, point.seed) if point.rule and found.known else found.network
    data, why = _data(point.task, point.seed)
    trace = Trace(
        task=point.task,
        network=point.benchmark.network,
        rule=point.rule or "none",
        numeric=point.numeric,
        board=None,
        target="unicorn",
        seed=point.seed,
        remarks=(f"{found.source}, its last layer fresh" if network is not found.network else found.source, *why),
    )
    x: Array | None = None
    if point.numeric != "float32" and network.input_quant is None:
        x = data.x_train if data is not None and len(data.x_train) else random_inputs(network, point.seed)
    target = "input" if reproduces_input(network) else "class"
    changes = {**SCHEDULE, **CHOSEN.get(point.rule, {})} if point.rule else {}
    try:
        deployment = deploy(network, x, rule=point.rule or None, numeric=point.numeric, changes=changes, seed=point.seed, target=target)
    except (BadInput, Unsupported) as error:
        return Prepared(replace(trace, refused=str(error)), np.empty(0))
    sample = data.x_test[:CORE_SAMPLES] if data is not None and len(data.x_test) else random_inputs(network, point.seed, CORE_SAMPLES)
    host = HostTarget(deployment.program)
    trace = _with_program_costs(trace, deployment)
    if found.known and data is not None and len(data.x_test) and metric_of(point.task) in SHARES:
        trace = _with_accuracy(trace, point, deployment, host, data)
    return Prepared(trace, deployment.inputs(sample), deployment, host)


@functools.lru_cache(maxsize=1)
def _data(task: str, seed: int) -> tuple[Data | None, tuple[str, ...]]:
    """The task's data, or None and a remark that says why."""
    try:
        data: Data = registry.tasks[task].load(seed)
    except (BadInput, Unsupported) as error:
        return None, (f"accuracy is not known: {error.what} is not available on this machine",)
    return data, ()


def _with_program_costs(trace: Trace, deployment: Deployment) -> Trace:
    """The trace with the costs known from the program alone, for boards that it does not fit."""
    known = cost(deployment.program)
    memory = Memory(weight_bytes=known.weight_bytes, arena_bytes=known.memory.arena_bytes)
    return replace(trace, memory=memory, lines=program_costs(known))


def _with_accuracy(trace: Trace, point: Point, deployment: Deployment, host: HostTarget, data: Data) -> Trace:
    """The trace with the metric of the test part; for a rule, before and after learning if there are data to learn from."""
    if not point.rule:
        value = _test_value(deployment, host, data, metric_of(point.task))
        return replace(trace, accuracy={"float" if point.numeric == "float32" else "quantized": value})
    count = min(point.learned_samples, len(data.x_train))
    if point.rule not in CHOSEN or not count:
        reason = "there are no training samples" if not count else f"no settings of {point.rule} have been chosen for this network"
        return replace(trace, remarks=(*trace.remarks, f"learned accuracy is not known: {reason}"))
    order = np.random.default_rng([point.seed, 3]).permutation(len(data.x_train))[:count]
    curve = [(0, _test_value(deployment, host, data, metric_of(point.task)))]
    for first, last in pairwise(sorted({count * share // CURVE_POINTS for share in range(CURVE_POINTS + 1)})):
        part = order[first:last]
        labels = data.y_train[part] if deployment.target == "class" else np.zeros(len(part))
        host.learn_many(deployment.inputs(data.x_train[part]), np.asarray(labels, np.int32))
        curve.append((last, _test_value(deployment, host, data, metric_of(point.task))))
    accuracy = {"before": curve[0][1], "after": curve[-1][1]}
    return replace(trace, accuracy=accuracy, curve=tuple(curve), remarks=(*trace.remarks, f"learned from {count:,} samples"))


def _test_value(deployment: Deployment, host: HostTarget, data: Data, metric: str) -> float:
    """The metric of the test part by the C on this machine."""
    rows = [
        real_outputs(deployment.program, host.predict_many(deployment.inputs(data.x_test[first : first + PREDICTED_AT_ONCE]))[1])
        for first in range(0, len(data.x_test), PREDICTED_AT_ONCE)
    ]
    return measured(metric, deployment.network, data.x_test, np.concatenate(rows), data.y_test, data.files_test)


def shortage(deployment: Deployment, board: Board) -> str:
    """The missing bytes, before any build: of RAM exactly, of flash for the constants only. Empty if nothing is missing."""
    ram = fits(deployment.program, board)
    flash = cost(deployment.program, core_of(board).features).memory.flash_bytes - board.flash_bytes
    missing = {"RAM": ram, "flash": flash if ram > 0 else 0}  # only flash is missing: the linker says how much, code included
    return _does_not_fit(board, {name: size for name, size in missing.items() if size > 0})


def _does_not_fit(board: Board, missing: Mapping[str, int]) -> str:
    parts = [f"{size:,} bytes of {name} too few" for name, size in missing.items()]
    return f"does not fit {board.name}: {' and '.join(parts)}" if parts else ""


def _on_board(trace: Trace, deployment: Deployment, host: HostTarget, board: Board, sample: Array) -> Trace:
    """The trace with the costs on the emulated board."""
    with tempfile.TemporaryDirectory(prefix="edgeff-bench-") as folder:
        try:
            firmware, source = build_project(deployment, board, Path(folder), command="edgeff bench mlperf-tiny")
        except DoesNotFit as error:
            missing = {{"ram": "RAM"}.get(name.lower(), name): int(size) for name, size in _OVERFLOW.findall(str(error))}
            return replace(trace, refused=_does_not_fit(board, missing) or str(error))
        core = load_target(firmware, board, time_limit_s=3600.0)
        _agree(f"{trace.network}, {trace.rule} in {trace.numeric} on {board.name}", host, core, sample)
        counted = profile(deployment, board, firmware, sample[0], LABEL, trace.task, trace.seed)
    return replace(
        counted,
        network=trace.network,
        accuracy=trace.accuracy,
        curve=trace.curve,
        remarks=(*trace.remarks, f"built by {firmware.toolchain}", *counted.remarks),
        memory_map=memory_map(source.program, source.memory),
    )


def _agree(what: str, host: HostTarget, core: FirmwareTarget, sample: Array) -> None:
    """Raises CheckFailed where core and host differ: in a score of a sample, or in a persistent byte after learning from the samples."""
    host.init()
    _, scores = host.predict_many(sample)
    for row, expected in zip(sample, scores, strict=True):
        core.write_input(row)
        core.predict()
        if core.output().tobytes() != expected.tobytes():
            raise CheckFailed(what, got="scores other than the host's C", allowed="the same")
    if not host.program.learn:
        return
    host.learn_many(sample, np.full(len(sample), LABEL, np.int32))
    for row in sample:
        core.write_input(row)
        core.learn(LABEL)
    size = host.memory.persistent_bytes
    if core.read_arena()[:size] != host.arena()[:size].tobytes():
        raise CheckFailed(what, got="a state after learning other than the host's C", allowed="the same")
