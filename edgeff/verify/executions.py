"""Runs one program in edgeff's own executions: the NumPy twins, the C on the host, the C on an emulated core; all must agree to the bit.

Samples are (n, inputs) in the program's input dtype; scores come back as (n, outputs), best classes as (n,) int32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import MissingTool
from edgeff.exporters.c import write_c
from edgeff.interpreter import Interpreter
from edgeff.ir import Array, Board, MemoryPlan, Program

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Results:
    """The scores and best classes of some samples; ``layers`` maps each layer to its outputs (n, elements), where they can be seen."""

    scores: Array
    classes: NDArray[np.int32]
    layers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Learned:
    """The persistent bytes of the arena after each learning step, (steps, bytes) uint8, and the samples' results after the last one."""

    states: NDArray[np.uint8]
    after: Results


def twin_results(program: Program, x: Array, advance: Advance, twin: Interpreter | None = None) -> Results:
    """By the NumPy twins, with every layer's output."""
    twin = twin or Interpreter(program)
    made = {program.tensors[call.outputs[0]].layer: call.outputs[0] for call in program.infer}
    made.pop("", None)
    scores, classes = [], []
    layers: dict[str, list[Array]] = {name: [] for name in made}
    for sample in x:
        classes.append(twin.predict(sample))
        scores.append(twin.output().reshape(-1))
        for name, tensor in made.items():
            layers[name].append(twin.tensor(tensor).reshape(-1))
        advance()
    return Results(np.array(scores), _classes(program, classes), {name: np.array(rows) for name, rows in layers.items()})


def twin_learning(program: Program, memory: MemoryPlan, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
    """One step on each sample of x in turn by the NumPy twins, then the results of the samples ``after``."""
    twin = Interpreter(program)
    states = np.zeros((len(x), memory.persistent_bytes), np.uint8)
    for state, sample, label in zip(states, x, labels, strict=True):
        twin.learn(sample, int(label))
        for tensor in program.by_role("variable", "state"):
            raw = np.frombuffer(twin.tensor(tensor.name).tobytes(), np.uint8)
            state[memory.offsets[tensor.name] : memory.offsets[tensor.name] + len(raw)] = raw
        advance()
    return Learned(states, twin_results(program, after, advance, twin))


class Host:
    """The C as a shared library on this machine. Raises MissingTool without a compiler."""

    def __init__(self, program: Program) -> None:
        from edgeff.targets.host import HostTarget

        self._target = HostTarget(program)
        self._program = program

    def results(self, x: Array, advance: Advance) -> Results:
        """Of the samples x."""
        classes, scores = self._target.predict_many(x)
        for _ in x:
            advance()
        return Results(scores, _classes(self._program, classes))

    def learning(self, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
        """One step on each sample of x in turn, then the results of the samples ``after``."""
        self._target.init()
        states = self._target.learn_many(x, labels, trace=True)
        assert states is not None  # noqa: S101 - trace=True gives them
        return Learned(states, self.results(after, advance))


class Emulated:
    """The C in a firmware on an emulated board, built by ``toolchain`` (a name) or by the first one that is installed.

    Raises MissingTool without the emulator or a cross compiler, DoesNotFit when the firmware is too large for the board.
    """

    def __init__(self, program: Program, board: Board, toolchain: str | None = None) -> None:
        try:
            from edgeff.firmware import ARENA_SYMBOL, build
            from edgeff.targets.unicorn import UnicornTarget
            from edgeff.toolchains import choose
        except ImportError as error:
            raise MissingTool(f"{error.name} is not installed", next_step="pip install unicorn capstone pyelftools") from None
        with tempfile.TemporaryDirectory(prefix="edgeff-verify-") as folder:
            source = write_c(program, Path(folder) / "c")
            self._target = UnicornTarget(build(source.folder, board, Path(folder) / "project", choose(board, toolchain)))
        self._program, self._persistent_bytes, self._arena = program, source.memory.persistent_bytes, ARENA_SYMBOL

    def results(self, x: Array, advance: Advance) -> Results:
        """Of the samples x."""
        scores, classes = [], []
        for sample in x:
            self._target.write_input(sample)
            classes.append(self._target.predict())
            scores.append(self._target.output())
            advance()
        return Results(np.array(scores), _classes(self._program, classes))

    def learning(self, x: Array, labels: Array, after: Array, advance: Advance) -> Learned:
        """One step on each sample of x in turn, then the results of the samples ``after``."""
        self._target.init()
        states = np.empty((len(x), self._persistent_bytes), np.uint8)
        for state, sample, label in zip(states, x, labels, strict=True):
            self._target.write_input(sample)
            self._target.learn(int(label))
            state[:] = np.frombuffer(self._target.read(self._arena, len(state)), np.uint8)
            advance()
        return Learned(states, self.results(after, advance))


def _classes(program: Program, values: Array | list[int]) -> NDArray[np.int32]:
    """The best classes; all -1 for a program without classes."""
    return np.asarray(values, np.int32) if program.prediction else np.full(len(values), -1, np.int32)
