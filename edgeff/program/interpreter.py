"""A program run by the kernels' NumPy twins, line by line. Its results are the reference that every other execution is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput, CheckFailed
from edgeff.ir import Array, Call, Line, Program
from edgeff.program.codes import INFINITE_BITS, MEANINGS, Code, diverged, largest_bits, learns, rate_word, takes, windows_of
from edgeff.program.plan import consumes, plan
from edgeff.program.state import restored, saved


def line_of(program: Program, name: str) -> Line:
    """The line ``name`` of ``program``. Raises BadInput if it has none of that name."""
    if name not in program.lines:
        raise BadInput(f"a line of {program.name!r}", got=repr(name), allowed=", ".join(program.lines))
    return program.lines[name]


def require_learning(program: Program) -> None:
    """Raises BadInput unless ``program`` learns."""
    if "learn" not in program.lines:
        raise BadInput(f"learning with {program.name!r}", got="a program for inference only", next_step="deploy it with a rule")


def require_rate(program: Program) -> None:
    """Raises BadInput unless ``program`` learns, and by a rate."""
    require_learning(program)
    if "rate" not in program.tensors:
        raise BadInput(f"the learning rate of {program.name!r}", got="a program without one")


def check_labels(program: Program, labels: Array) -> None:
    """Raises BadInput unless every label is one of the classes of ``program``; if the target is the input, any label is accepted."""
    if program.label and len(labels) and not 0 <= labels.min() <= labels.max() < program.classes:
        raise BadInput("labels", got=f"{labels.min()} to {labels.max()}", allowed=f"0 to {program.classes - 1}")


def check_targets(program: Program, targets: Array) -> None:
    """Raises BadInput unless ``targets`` (n, outputs) are in the dtype and of the size of the target of ``program``."""
    tensor = program.tensors[program.target or program.output]
    if targets.dtype != tensor.dtype or targets.ndim != 2 or targets.shape[1] != tensor.elements:
        got, allowed = f"{targets.dtype} of shape {targets.shape}", f"{tensor.dtype} (n, {tensor.elements})"
        raise BadInput("values to learn", got=got, allowed=allowed, next_step="convert them: Deployment.targets")


def check_arguments(program: Program, line: Line, arguments: Sequence[Array]) -> None:
    """Raises BadInput unless ``arguments`` are those of ``line``, each of its tensor's dtype and size, and labels are classes."""
    if len(arguments) != len(line.arguments):
        raise BadInput(f"arguments of line {line.name!r}", got=len(arguments), allowed=f"{len(line.arguments)}")
    for name, value in zip(line.arguments, arguments, strict=True):
        tensor = program.tensors[name]
        if value.dtype != tensor.dtype or value.size != tensor.elements:
            raise BadInput(name, got=f"{value.dtype} of {value.size}", allowed=f"{tensor.dtype} of {tensor.elements}")
        if tensor.role == "label":
            check_labels(program, value)


def truth_of(program: Program, truth: int | Array) -> tuple[Array, ...]:
    """What follows the sample among the arguments of a learning step: a class, values, or nothing.

    Raises BadInput for what is not one of the classes of ``program``, or values of another dtype or size.
    """
    if program.target:
        check_targets(program, np.reshape(truth, (1, -1)))
        return (np.asarray(truth),)
    check_labels(program, np.array([truth]))
    return (np.array([truth], np.int32),) if program.label in program.lines["learn"].arguments else ()


def check_finite(program: Program, line: Line, arguments: Sequence[Array]) -> None:
    """Raises BadInput for arguments that the C of ``line`` refuses with ``EFF_NOT_FINITE``."""
    if not takes(program, line, arguments):
        allowed = f"finite numbers{'' if largest_bits(program, line) == INFINITE_BITS else ' below 2**48'}"
        raise BadInput(f"arguments of line {line.name!r}", got="NaN, infinity or too large a number", allowed=allowed)


class Interpreter:
    """Runs a program call by call; each tensor has its own array.

    ``tensor(name)`` returns any tensor's current value, so layers can be compared one by one.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._windows = windows_of(program)
        self._learning = {line.name for line in program.lines.values() if learns(program, line)}
        self._arrays: dict[str, Array] = {}
        self.init()

    def init(self) -> None:
        """Sets weights and state as after a reset."""
        self._since_input = set[str]()  # the lines that ran since the input was given, that one among them
        for tensor in self.program.tensors.values():
            if tensor.data is not None:
                copy = tensor.role == "variable"
                self._arrays[tensor.name] = np.array(tensor.data, order="C") if copy else tensor.data
            else:
                self._arrays[tensor.name] = np.zeros(tensor.shape, tensor.dtype)
        self.reset_state()

    def reset_state(self) -> None:
        """Sets what the network remembers from one inference to the next as after ``init``; nothing in most networks."""
        for tensor in self.program.by_role("memory"):
            self._arrays[tensor.name][...] = tensor.start

    def run(self, call: Call) -> None:
        """One call by its kernel's twin. A class with its own arithmetic overrides this."""
        outputs = [self._arrays[name].reshape(-1) for name in call.outputs]
        inputs = [self._arrays[name].reshape(-1) if name else None for name in call.inputs]
        registry.kernels[call.kernel].run(*outputs, *inputs, **call.attrs)

    def line(self, name: str, *arguments: Array, after: Callable[[Call], object] | None = None) -> tuple[Array, ...]:
        """Runs the line ``name`` on its arguments, each in its tensor's dtype and size; returns copies of its results.

        ``after`` is called after each call: the content of a tensor may be overwritten by the end.
        Raises BadInput for a line that the program does not have, and for arguments that do not fit; CheckFailed where what it learns has
        diverged: the weights are then those that were exported.
        """
        line = line_of(self.program, name)
        check_arguments(self.program, line, arguments)
        check_finite(self.program, line, arguments)
        if any(self._arrays[counter][0] == 0 for counter in line.needs):
            raise BadInput(f"line {name!r}", got=MEANINGS[Code.EMPTY], allowed="one or more, learned or committed")
        for argument, value in zip(line.arguments, arguments, strict=True):
            self._arrays[argument][...] = value.reshape(self._arrays[argument].shape)
        with np.errstate(all="ignore"):
            for call in line.calls:
                self.run(call)
                if after is not None:
                    after(call)
        self._since_input = {name} if self.program.input in line.arguments else self._since_input | {name}
        if name in self._learning and diverged(self._windows, self._arrays.__getitem__):
            self.init()
            raise CheckFailed(f"line {name!r}", got=MEANINGS[Code.DIVERGED], next_step="lower the rate")
        return tuple(self.tensor(result) for result in line.results)

    def predict(self, x: Array, after: Callable[[Call], object] | None = None) -> int:
        """The best class for one sample, all inputs in their dtype one after the other; -1 if there are no classes. ``after`` as in
        ``line``.

        ``Code.NOT_FINITE`` if it contains NaN or infinity: then nothing is computed, and the scores are not valid.
        """
        parts = self.program.parts(x)
        if not takes(self.program, self.program.lines["infer"], parts):
            return Code.NOT_FINITE
        self.line("infer", *parts, after=after)
        return int(self._arrays[self.program.prediction][0]) if self.program.prediction else -1

    def save(self, sequence: int = 0) -> bytes:
        """The learned state: the bytes that the C of this program saves. Raises BadInput for a program that does not learn."""
        require_learning(self.program)
        return saved(self.program, plan(self.program), self._arrays, sequence)

    def restore(self, state: bytes) -> None:
        """Restores a state written by the C or ``save``. Raises BadInput for a state that the C refuses; then nothing is changed."""
        require_learning(self.program)
        for name, value in restored(self.program, plan(self.program), state).items():
            self._arrays[name][...] = value

    def output(self) -> Array:
        """The scores after ``predict``; of several outputs, all of them one after the other."""
        if len(self.program.outputs) == 1:
            return self._arrays[self.program.output].copy()
        return np.concatenate([self._arrays[tensor.name].reshape(-1) for tensor in self.program.outputs])

    def learn(self, x: Array | None, label: int | Array = 0) -> Code:
        """One learning step on x and its class, or where values are learned its target, in that tensor's dtype.

        ``OK``, or ``NOT_FINITE`` for NaN, infinity or a number of 2**48 or more in either, which changes nothing, or ``DIVERGED``: the
        weights are then those that were exported.

        Without x the sample is the input that was given last: ``CONSUMED``, which changes nothing, where its memory has been used for
        something else, by the plan of the plain kernels. Raises BadInput for a label that is not a class, and for a program that does
        not learn.
        """
        require_learning(self.program)
        truth = truth_of(self.program, label)
        if x is None:
            memory, since = plan(self.program), [self.program.lines[name] for name in self._since_input]
            given = any(self.program.input in line.arguments for line in since)
            if not given or any(consumes(self.program, memory, line) for line in since):
                return Code.CONSUMED
            x = self._arrays[self.program.input].copy()
        if not takes(self.program, self.program.lines["learn"], (x, *truth)):
            return Code.NOT_FINITE
        try:
            self.line("learn", x, *truth)
        except CheckFailed:
            return Code.DIVERGED
        return Code.OK

    def set_rate(self, rate: float) -> Code:
        """Sets the learning rate from now on, relative to the program's own, 0 to 1. Returns ``OK``, or ``BAD_RATE``: it is unchanged.

        Raises BadInput for a program that has no learning rate.
        """
        require_rate(self.program)
        word = rate_word(rate)
        if word is None:
            return Code.BAD_RATE
        self._arrays["rate"][0] = word
        return Code.OK

    def tensor(self, name: str) -> Array:
        """A copy of a tensor's current value."""
        return self._arrays[name].copy()

    def put(self, name: str, values: Array) -> None:
        """Sets a tensor, in its own dtype."""
        self._arrays[name].reshape(-1)[:] = values.reshape(-1)
