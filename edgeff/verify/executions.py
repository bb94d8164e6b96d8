"""Runs one program in edgeff's own executions: the NumPy twins, the C on the host, the C on an emulated core; all must agree to the bit.

Samples are (n, inputs) in the program's input dtype; scores come back as (n, outputs), best classes as (n,) int32, and the outputs of each
kernel call as (n, elements). On the host these come from a second build, which copies them between the calls; on the core from the
firmware itself, which is halted between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeff.codegen.folder import write_c
from edgeff.codegen.lines import further_lines
from edgeff.errors import MissingTool
from edgeff.ir import Array, Board, Call, MemoryPlan, Program, Tensor
from edgeff.program.interpreter import Interpreter

Advance = Callable[[], None]
TIME_LIMIT_S = 600.0
"""Time limit for one inference or learning step of an emulated core: a large float network on a core without an FPU takes half a minute."""


@dataclass(frozen=True, slots=True)
class Results:
    """The scores of some samples, and their best classes if there are classes.

    ``calls`` holds the outputs (n, elements) of each kernel call, if traced, and ``layers`` those that are a layer's output.
    """

    scores: Array
    classes: NDArray[np.int32]
    calls: tuple[Array, ...] = ()
    layers: Mapping[str, Array] = field(default_factory=dict)

    def first(self, count: int) -> Results:
        """The results of the first ``count`` samples."""
        layers = {name: values[:count] for name, values in self.layers.items()}
        return Results(self.scores[:count], self.classes[:count], tuple(values[:count] for values in self.calls), layers)


@dataclass(frozen=True, slots=True)
class Learned:
    """The persistent bytes of the arena after each learning step, (steps, bytes) uint8, and the samples' results after the last one.

    ``further`` are the persistent bytes, and then the results, after each run of each further line on each of the samples: (runs, bytes).
    """

    states: NDArray[np.uint8]
    after: Results
    further: NDArray[np.uint8]


def outputs_of_calls(program: Program) -> tuple[tuple[Call, Tensor], ...]:
    """Each call of inference with each tensor that it writes, in order."""
    return tuple((call, program.tensors[name]) for call in program.infer for name in call.outputs)


def twin_results(program: Program, x: Array, advance: Advance, twin: Interpreter | None = None) -> Results:
    """The results of the NumPy twins, with the outputs of every call and layer."""
    runner = twin or Interpreter(program)
    made = outputs_of_calls(program)
    calls = tuple(np.empty((len(x), tensor.elements), tensor.dtype) for _, tensor in made)
    scores = np.empty((len(x), sum(tensor.elements for tensor in program.outputs)), program.tensors[program.output].dtype)
    classes = []
    for number, sample in enumerate(x):
        rows = iter(calls)

        def keep(call: Call, rows: Iterator[Array] = rows, number: int = number) -> None:
            for name in call.outputs:
                next(rows)[number] = runner.tensor(name).reshape(-1)

        classes.append(runner.predict(sample, keep))
        scores[number] = runner.output().reshape(-1)
        advance()
    first = [(tensor.layer, values) for (call, tensor), values in zip(made, calls, strict=True) if tensor.name == call.outputs[0]]
    layers = {layer: values for layer, values in first if layer}
    return Results(scores, _classes(program, classes), calls, layers)


def run_further(
    program: Program, x: Array, labels: Array, run: Callable[[str, tuple[Array, ...]], tuple[bytes, bytes]]
) -> NDArray[np.uint8]:
    """Runs each line that is neither ``infer`` nor ``learn`` on each sample of x in turn: (runs, bytes).

    ``run(line, arguments)`` gives the persistent bytes and those of the results.
    """
    own = {"target": labels} if program.target else {"label": np.asarray(labels, np.int32).reshape(-1, 1)}
    given, lines = {"input": x} | own, further_lines(program)
    rows = []
    for number in range(len(x)):
        for line in lines:
            arguments = tuple(given[program.tensors[name].role][number] for name in line.arguments)
            rows.append(b"".join(run(line.name, arguments)))
    width = max(map(len, rows), default=0)
    return np.frombuffer(b"".join(row.ljust(width, b"\0") for row in rows), np.uint8).reshape(len(rows), width)


def persistent_bytes(program: Program, memory: MemoryPlan, twin: Interpreter) -> bytes:
    """The persistent part of the arena as it would be if the twins had one."""
    part = bytearray(memory.persistent_bytes)
    for tensor in program.persistent:
        first = memory.offsets[tensor.name]
        part[first : first + tensor.size_bytes] = twin.tensor(tensor.name).tobytes()
    return bytes(part)


def twin_learning(program: Program, memory: MemoryPlan, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
    """One step on each sample of x in turn by the NumPy twins, then the results of the samples ``after``, then the further lines."""
    twin = Interpreter(program)
    states = np.empty((len(x), memory.persistent_bytes), np.uint8)
    for state, sample, label in zip(states, x, labels, strict=True):
        twin.learn(sample, label)
        state[:] = np.frombuffer(persistent_bytes(program, memory, twin), np.uint8)
        advance()

    def run(line: str, arguments: tuple[Array, ...]) -> tuple[bytes, bytes]:
        results = twin.line(line, *arguments)
        return persistent_bytes(program, memory, twin), b"".join(result.tobytes() for result in results)

    results = twin_results(program, after, advance, twin)
    return Learned(states, results, run_further(program, x, labels, run))


class Host:
    """The C as a shared library on this machine; ``traced``: with the outputs of each call. Raises MissingTool without a compiler."""

    def __init__(self, program: Program, *, traced: bool = False) -> None:
        from edgeff.device.targets.host import HostTarget

        self._target = HostTarget(program, traced=traced)
        self._program, self._traced = program, traced

    def results(self, x: Array, advance: Advance) -> Results:
        """The results of the samples x."""
        self._target.reset_state()
        classes, scores = self._target.predict_many(x)
        self._target.reset_state()
        calls = self._target.trace_many(x) if self._traced else ()
        for _ in x:
            advance()
        return Results(scores, _classes(self._program, classes), calls)

    def learning(self, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
        """One step on each sample of x in turn, then the results of the samples ``after``, then the further lines."""
        self._target.init()
        states = self._target.learn_traced(x, labels)
        size = self._target.memory.persistent_bytes

        def run(line: str, arguments: tuple[Array, ...]) -> tuple[bytes, bytes]:
            results = self._target.line(line, *arguments)
            return self._target.arena()[:size].tobytes(), b"".join(result.tobytes() for result in results)

        return Learned(states, self.results(after, advance), run_further(self._program, x, labels, run))


class Emulated:
    """The C in a firmware on an emulated board, built by ``toolchain`` (a name) or by the first one that is installed.

    It runs on ``target``, by default the first that the board lists. ``traced``: with the outputs of each call. Raises MissingTool without
    the emulator or a cross compiler, DoesNotFit if the firmware is too large for the board.
    """

    def __init__(
        self, program: Program, board: Board, toolchain: str | None = None, *, target: str | None = None, traced: bool = False
    ) -> None:
        try:
            from edgeff.device.cores import core_of
            from edgeff.device.firmware import ARENA_SYMBOL, build
            from edgeff.device.mailbox import load_target
            from edgeff.device.toolchains import choose
        except ImportError as error:
            raise MissingTool(f"{error.name} is not installed", next_step="pip install unicorn capstone pyelftools") from None
        with tempfile.TemporaryDirectory(prefix="edgeff-verify-") as folder:
            source = write_c(program, Path(folder) / "c", features=core_of(board).features)
            firmware = build(source.folder, board, Path(folder) / "project", choose(board, toolchain))
        self._target = load_target(firmware, name=target, time_limit_s=TIME_LIMIT_S)
        self._program, self._memory, self._arena = program, source.memory, ARENA_SYMBOL
        places = [[(source.memory.offsets[name], program.tensors[name].size_bytes) for name in call.outputs] for call in program.infer]
        self._trace = self._target.trace(places) if traced else None

    def results(self, x: Array, advance: Advance) -> Results:
        """The results of the samples x."""
        if self._program.by_role("memory"):
            self._target.init()
        scores, classes = [], []
        outputs = outputs_of_calls(self._program) if self._trace else ()
        calls = tuple(np.empty((len(x), tensor.elements), tensor.dtype) for _, tensor in outputs)
        for number, sample in enumerate(x):
            self._write(sample)
            if self._trace:
                best, traced = self._trace.run(self._target.predict)
                for values, raw in zip(calls, chain.from_iterable(traced), strict=True):
                    values[number] = np.frombuffer(raw, values.dtype)
            else:
                best = self._target.predict()
            classes.append(best)
            scores.append(self._outputs())
            advance()
        return Results(np.array(scores), _classes(self._program, classes), calls)

    def _write(self, sample: Array) -> None:
        """Fills every input."""
        first, *parts = self._program.parts(sample)
        self._target.write_input(first)
        for tensor, part in zip(self._program.inputs[1:], parts, strict=True):
            self._target.write_arena(self._memory.offsets[tensor.name], part)

    def _outputs(self) -> Array:
        """Every output, one after the other."""
        more = self._program.outputs[1:]
        arena = self._target.read(self._arena, self._memory.arena_bytes) if more else b""
        places = [(self._memory.offsets[tensor.name], tensor) for tensor in more]
        rest = [np.frombuffer(arena[place : place + tensor.size_bytes], tensor.dtype) for place, tensor in places]
        return np.concatenate([self._target.output(), *rest])

    def learning(self, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
        """One step on each sample of x in turn, then the results of the samples ``after``, then the further lines."""
        self._target.init()
        states = np.empty((len(x), self._memory.persistent_bytes), np.uint8)
        for state, sample, label in zip(states, x, labels, strict=True):
            self._target.write_input(sample)
            self._target.learn(label)
            state[:] = np.frombuffer(self._target.read(self._arena, len(state)), np.uint8)
            advance()
        return Learned(states, self.results(after, advance), run_further(self._program, x, labels, self._run))

    def _run(self, line: str, arguments: tuple[Array, ...]) -> tuple[bytes, bytes]:
        label = 0
        for name, value in zip(self._program.lines[line].arguments, arguments, strict=True):
            if self._program.tensors[name].role == "label":
                label = int(value[0])
            elif self._program.tensors[name].role == "target":
                self._target.write_arena(self._memory.offsets[name], value)
            else:
                self._target.write_input(value)
        self._target.call(line, label)
        arena = self._target.read(self._arena, self._memory.arena_bytes)
        places = [(self._memory.offsets[name], self._program.tensors[name].size_bytes) for name in self._program.lines[line].results]
        return arena[: self._memory.persistent_bytes], b"".join(arena[first : first + size] for first, size in places)


def _classes(program: Program, values: Array | list[int]) -> NDArray[np.int32]:
    """The best classes; all -1 for a program without classes."""
    return np.asarray(values, np.int32) if program.prediction else np.full(len(values), -1, np.int32)
