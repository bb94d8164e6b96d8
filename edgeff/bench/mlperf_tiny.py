"""The four networks of MLPerf Tiny on boards: what they know, what they take, and what learning on the device would take.

In comes one point: a task, a rule (none: inference), a numeric and a board. Out goes a trace with the figures that can be known: accuracy
by the generated C on this machine, bytes from the plan and the ELF, instructions and cycles from the emulated core. A point that cannot
run has a reason in one line instead. Whatever runs is first compared, bit for bit, between this machine and the emulated core.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeff import registry
from edgeff.bench.metrics import SHARES, measured, metric_of, real_outputs
from edgeff.bench.models import BENCHMARKS, Benchmark, Weights, benchmark_of, weights, weights_tag
from edgeff.boards import load_board, load_boards
from edgeff.cost import cost
from edgeff.deploy import Deployment, deploy
from edgeff.errors import BadInput, CheckFailed, DoesNotFit, Unsupported
from edgeff.ir import Array, Board, Cost, Memory, Numeric, Trace
from edgeff.memory_map import memory_map
from edgeff.networks import random_inputs, reproduces_input
from edgeff.simulate import Progress, build_project, fits, profile, quiet
from edgeff.targets.host import HostTarget
from edgeff.targets.unicorn import UnicornTarget
from edgeff.tasks import Data

NUMERICS: tuple[Numeric, ...] = ("int8", "float32")
CORE_SAMPLES = 1
"""Inferences and learning steps that the emulated core repeats for comparison; a step of ResNet-8 in soft float takes it half a minute."""
LABEL = 0
"""The label of the step that is compared and counted."""
LEARNED_SAMPLES = 500
PREDICTED_AT_ONCE = 4096


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
    def name(self) -> str:
        """A file name for this point; other weights give another one, so that a sweep never mixes them."""
        rule = f"{self.rule}-{self.learned_samples}" if self.rule else "inference"
        tag = weights_tag(self.benchmark, self.numeric, self.folder)
        return f"{self.task}-{self.benchmark.network}-{rule}-{self.numeric}-{self.board}-{tag}-s{self.seed}"

    @property
    def folder(self) -> Path | None:
        """The folder of model files as a path."""
        return Path(self.models) if self.models else None

    def run(self) -> Trace:
        """The trace of this point."""
        return run(self)


def points(models: Path | None, seed: int) -> list[Point]:
    """Every point: four networks, inference and every rule, int8 and float32, every board of the catalogue."""
    folder = str(models) if models else None
    return [
        Point(benchmark.task, rule, numeric, board, seed, folder)
        for benchmark in BENCHMARKS
        for board in load_boards()
        for rule in ("", *registry.rules)
        for numeric in NUMERICS
    ]


def run(point: Point, progress: Progress = quiet) -> Trace:
    """The trace of ``point``.

    Raises CheckFailed where the emulated core and this machine differ in a bit, MissingTool without compilers.
    """
    found = weights(point.benchmark, point.numeric, point.folder, point.seed)
    known, board = _data(point.task, point.seed), load_board(point.board)
    trace = Trace(
        task=point.task,
        network=point.benchmark.network,
        rule=point.rule or "none",
        numeric=point.numeric,
        board=board.name,
        target="unicorn",
        seed=point.seed,
        remarks=(found.source,),
    )
    data = known if isinstance(known, Data) else None
    if isinstance(known, str):
        trace = replace(trace, remarks=(*trace.remarks, f"accuracy is not known: {known}"))
    try:
        deployment = _deployment(point, found, data)
    except (BadInput, Unsupported) as error:
        return replace(trace, refused=str(error))
    host = HostTarget(deployment.program)
    trace = _known_before_a_build(trace, deployment)
    sample = deployment.inputs(_samples(found, data, point.seed))
    if found.known and data is not None:
        trace = _accuracy(trace, point, deployment, host, data, progress)
    return _on_board(trace, point, deployment, host, board, sample, progress)


@functools.lru_cache(maxsize=2)
def _data(task: str, seed: int) -> Data | str:
    """The task's data, or why there are none on this machine."""
    try:
        data: Data = registry.tasks[task].load(seed)
    except (BadInput, Unsupported) as error:
        return str(error)
    return data


def _deployment(point: Point, found: Weights, data: Data | None) -> Deployment:
    x: Array | None = None
    if point.numeric != "float32" and found.network.input_quant is None:
        x = data.x_train if data is not None and len(data.x_train) else random_inputs(found.network, point.seed)
    target = "input" if reproduces_input(found.network) else "class"
    return deploy(found.network, x, rule=point.rule or None, numeric=point.numeric, seed=point.seed, target=target)


def _samples(found: Weights, data: Data | None, seed: int) -> Array:
    """The inputs of the profile: the first test samples, else random ones."""
    if data is not None and len(data.x_test):
        return data.x_test[:CORE_SAMPLES]
    return random_inputs(found.network, seed, CORE_SAMPLES)


def _known_before_a_build(trace: Trace, deployment: Deployment) -> Trace:
    """The trace with what the program alone says, for boards that it does not fit."""
    known = cost(deployment.program)
    memory = Memory(weight_bytes=known.weight_bytes, arena_bytes=known.memory.arena_bytes)
    learn = Cost(macs=known.learn_macs) if deployment.program.learn else Cost()
    return replace(trace, memory=memory, infer=Cost(macs=known.infer_macs), learn=learn)


def _test_value(deployment: Deployment, host: HostTarget, data: Data, metric: str) -> float:
    """The metric of the test part by the C on this machine."""
    rows = [
        real_outputs(deployment.program, host.predict_many(deployment.inputs(data.x_test[first : first + PREDICTED_AT_ONCE]))[1])
        for first in range(0, len(data.x_test), PREDICTED_AT_ONCE)
    ]
    return measured(metric, deployment.network, data.x_test, np.concatenate(rows), data.y_test, data.files_test)


def _accuracy(trace: Trace, point: Point, deployment: Deployment, host: HostTarget, data: Data, progress: Progress) -> Trace:
    """The trace with the metric of the test part; for a rule, before and after learning where there are data to learn from."""
    metric = metric_of(point.task)
    if metric not in SHARES or not len(data.x_test):
        return trace
    value = _test_value(deployment, host, data, metric)
    if not point.rule:
        return replace(trace, accuracy={"float" if point.numeric == "float32" else "quantized": value})
    count = min(point.learned_samples, len(data.x_train))
    if not count:
        return replace(trace, remarks=(*trace.remarks, "learned accuracy is not known: there are no training samples"))
    progress("learning", 0, count)
    order = np.random.default_rng([point.seed, 3]).permutation(len(data.x_train))[:count]
    host.learn_many(deployment.inputs(data.x_train[order]), _labels(deployment, data.y_train[order]))
    after = _test_value(deployment, host, data, metric)
    accuracy = {"before": value, "after": after}
    return replace(
        trace, accuracy=accuracy, curve=((0, value), (count, after)), remarks=(*trace.remarks, f"learned from {count:,} samples")
    )


def _labels(deployment: Deployment, labels: Array) -> Array:
    """Labels as the program takes them: zeros where what it learns is its input."""
    return np.asarray(labels if deployment.target == "class" else np.zeros(len(labels)), np.int32)


def _on_board(
    trace: Trace, point: Point, deployment: Deployment, host: HostTarget, board: Board, sample: Array, progress: Progress
) -> Trace:
    """The trace with what the emulated board takes, or with the bytes that are missing."""
    if missing := _shortage(deployment, board):
        return replace(trace, refused=missing)
    progress("profiling", 0, 1)
    with tempfile.TemporaryDirectory(prefix="edgeff-bench-") as folder:
        try:
            firmware, source = build_project(deployment, board, Path(folder), command="edgeff bench mlperf-tiny")
        except DoesNotFit as error:
            return replace(trace, refused=str(error))
        core = UnicornTarget(firmware, board, time_limit_s=3600.0)
        _agree(f"{trace.network}, {trace.rule} in {trace.numeric} on {board.name}", host, core, sample)
        counted = profile(deployment, board, firmware, sample[0], LABEL, point.task, point.seed)
    return replace(
        counted,
        network=trace.network,
        accuracy=trace.accuracy,
        curve=trace.curve,
        remarks=(*trace.remarks, f"built by {firmware.toolchain}"),
        memory_map=memory_map(deployment.program, source.memory),
    )


def _agree(what: str, host: HostTarget, core: UnicornTarget, sample: Array) -> None:
    """Raises CheckFailed where core and host differ: in a score of a sample, or in a persistent byte after learning from the samples."""
    host.init()
    _, scores = host.predict_many(sample)
    for row, expected in zip(sample, scores, strict=True):
        core.write_input(row)
        core.predict()
        if core.output().tobytes() != expected.tobytes():
            raise CheckFailed(what, got="other scores than the host's C", allowed="the same")
    if not host.program.learn:
        return
    host.learn_many(sample, np.full(len(sample), LABEL, np.int32))
    for row in sample:
        core.write_input(row)
        core.learn(LABEL)
    size = host.memory.persistent_bytes
    if core.read_arena()[:size] != host.arena()[:size].tobytes():
        raise CheckFailed(what, got="another state after learning than the host's C", allowed="the same")


def _shortage(deployment: Deployment, board: Board) -> str:
    """How many bytes are missing, before any build: of RAM exactly, of flash for the constants alone. Empty where nothing is missing."""
    ram = fits(deployment.program, board)
    flash = cost(deployment.program).memory.flash_bytes - board.flash_bytes
    parts = [f"{ram:,} bytes of RAM too few"] if ram > 0 else []
    if ram > 0 and flash > 0:
        parts.append(f"{flash:,} bytes of flash too few before the code")
    return f"does not fit {board.name}: {' and '.join(parts)}" if parts else ""
