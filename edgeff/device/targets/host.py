"""The target ``host``: the generated C as a shared library, called through ctypes. Whole epochs of exact learning take seconds."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeff.codegen.folder import Source, write_c, write_trace
from edgeff.device.targets import register
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import BadInput, CheckFailed
from edgeff.ir import Array, Program
from edgeff.program.codes import MEANINGS, Code
from edgeff.program.interpreter import (
    check_arguments,
    check_finite,
    check_labels,
    check_targets,
    line_of,
    require_learning,
    require_rate,
    truth_of,
)
from edgeff.program.state import require_taken, state_bytes

HARNESS = Path(__file__).with_name("host.c")


@register
class HostTarget:
    """Runs a program's C on this machine. The library lives in a temporary folder for as long as the target does.

    With ``traced`` the calls can be watched one by one. Raises MissingTool without a compiler.
    """

    name: ClassVar[str] = "host"
    summary: ClassVar[str] = "the generated C on this machine, as a shared library"
    counters = None

    def __init__(self, program: Program, source: Source | None = None, *, traced: bool = False) -> None:
        self.program = program
        self._folder = tempfile.TemporaryDirectory(prefix="edgeff-host-")
        folder = Path(self._folder.name)
        self.source = source or write_c(program, folder / "c")
        self.memory = self.source.memory
        library = folder / "model.so"
        sources = write_trace(program, self.source) if traced else self.source.sources
        host_shared_library([*sources, HARNESS], self.source.folder, library, ["HOST_TRACE"] if traced else [])
        self._c = ctypes.CDLL(str(library))
        self._c.eff_output.restype = ctypes.c_void_p
        self._arena = np.ctypeslib.as_array((ctypes.c_uint8 * self.memory.arena_bytes).in_dll(self._c, "eff_arena"))
        self._input, self._output = program.tensors[program.input], program.tensors[program.output]
        self._inputs, self._outputs = (sum(tensor.elements for tensor in each) for each in (program.inputs, program.outputs))
        self.init()

    def init(self) -> None:
        """Sets weights and state as after a reset."""
        self._c.eff_init()

    def reset_state(self) -> None:
        """Forgets the inputs so far, where the network remembers any."""
        if self.program.by_role("memory"):
            self._c.eff_reset_state()

    def _samples(self, x: Array) -> Array:
        x = np.ascontiguousarray(x)
        if x.dtype != self._input.dtype or x.size % self._inputs:
            raise BadInput("input", got=f"{x.dtype} of shape {x.shape}", allowed=f"{self._input.dtype}, a multiple of {self._inputs}")
        return x.reshape(-1, self._inputs)

    def predict_many(self, x: Array) -> tuple[NDArray[np.int32], Array]:
        """The best classes (n,) int32 and the scores (n, outputs) for inputs x (n, inputs) of the program's input dtype.

        A sample that contains NaN or infinity has the class ``Code.NOT_FINITE`` and scores of NaN, or of 0 in integers.
        """
        x = self._samples(x)
        best = np.empty(len(x), np.int32)
        scores = np.empty((len(x), self._outputs), self._output.dtype)
        self._c.host_predict_many(_address(x), ctypes.c_int32(len(x)), _address(best), _address(scores))
        if x.dtype == np.float32:
            scores[best == Code.NOT_FINITE] = np.nan if scores.dtype == np.float32 else 0
        return best, scores

    def trace_many(self, x: Array) -> tuple[Array, ...]:
        """The outputs of each call of inference once it has run, (n, elements) for every output of every call; for a ``traced`` target."""
        x = self._samples(x)
        tensors = [self.program.tensors[name] for call in self.program.infer for name in call.outputs]
        ends = np.cumsum([0, *(tensor.size_bytes for tensor in tensors)])
        raw = np.empty((len(x), ends[-1]), np.uint8)
        self._c.host_trace_many(_address(x), ctypes.c_int32(len(x)), _address(raw), ctypes.c_size_t(ends[-1]))
        places = zip(tensors, ends[:-1], ends[1:], strict=True)
        return tuple(raw[:, first:end].copy().view(tensor.dtype) for tensor, first, end in places)

    def learn_many(self, x: Array, labels: Array, order: Array | None = None) -> NDArray[np.int32]:
        """One learning step on each sample in ``order``, by default as given. Returns the ``Code`` of each step, (n,) int32.

        ``labels`` are classes (n,), or where values are learned (n, outputs) in the target's dtype.

        ``NOT_FINITE`` is that of a sample that contains NaN, infinity or a number of 2**48 or more, which changed nothing. Raises BadInput
        for labels or an order out of range, and for a program that does not learn.
        """
        return self._learn(x, labels, order, 0)[0]

    def learn_traced(self, x: Array, labels: Array, order: Array | None = None) -> NDArray[np.uint8]:
        """The same; returns the persistent bytes after each step, (n, bytes) uint8."""
        return self._learn(x, labels, order, self.memory.persistent_bytes)[1]

    def _learn(self, x: Array, labels: Array, order: Array | None, traced_bytes: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        require_learning(self.program)
        if self.program.target:
            check_targets(self.program, labels)
        else:
            check_labels(self.program, np.asarray(labels))
        x, labels = self._samples(x), np.ascontiguousarray(labels, None if self.program.target else np.int32)
        if len(x) != len(labels):
            raise BadInput("labels", got=len(labels), allowed=f"{len(x)}, one per sample")
        order = np.ascontiguousarray(np.arange(len(x)) if order is None else order, np.int32)
        if len(order) and not 0 <= order.min() <= order.max() < len(x):
            raise BadInput("order of samples", got=f"{order.min()} to {order.max()}", allowed=f"0 to {len(x) - 1}")
        codes, states = np.empty(len(order), np.int32), np.empty((len(order), traced_bytes), np.uint8)
        written = _address(states) if traced_bytes else None
        count, size = ctypes.c_int32(len(order)), ctypes.c_size_t(traced_bytes)
        self._c.host_learn_many(_address(x), _address(labels), _address(order), count, _address(codes), written, size)
        return codes, states

    def line(self, name: str, *arguments: Array) -> tuple[Array, ...]:
        """Runs a line on its arguments, each in its tensor's dtype and size; returns copies of its results.

        Raises BadInput for a line that the program does not have, and for arguments that do not fit or that the model refuses.
        """
        line = line_of(self.program, name)
        check_arguments(self.program, line, arguments)
        check_finite(self.program, line, arguments)
        label: tuple[Any, ...] = ()
        if self.program.input in line.arguments:
            self._c.eff_input()  # it is about to be filled
        for argument, value in zip(line.arguments, arguments, strict=True):
            if self.program.tensors[argument].role == "label":
                label = (ctypes.c_int32(int(value.reshape(-1)[0])),)
            else:
                self._view(argument)[...] = value.reshape(-1)
        if name == "learn" and self.program.target:
            label = (_address(self._view(self.program.target).copy()),)
        code = int(self._function(name)(*(label or (ctypes.c_int32(0),))))
        if code in (Code.DIVERGED, Code.ROLLED_BACK):
            raise CheckFailed(f"line {name!r}", got=MEANINGS[Code(code)], next_step="lower the rate")
        if code < 0:
            raise BadInput(f"line {name!r}", got=MEANINGS[Code(code)], allowed="arguments that its C function accepts")
        return tuple(self._view(result).reshape(self.program.tensors[result].shape).copy() for result in line.results)

    def call(self, line: str, argument: int = 0) -> int:
        """Runs a line of the program, or init, on the current values of its arguments; returns the result of its C function.

        Raises BadInput for a line that the program does not have.
        """
        if line == "init":
            self.init()
            return 0
        return int(self._function(line_of(self.program, line).name)(ctypes.c_int32(argument)))

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """Memory, starting at an address or a symbol. Raises BadInput for an unknown symbol."""
        return ctypes.string_at(self._place(place), size_bytes)

    def write(self, place: int | str, content: bytes) -> None:
        """Writes memory, starting at an address or a symbol. Raises BadInput for an unknown symbol."""
        ctypes.memmove(self._place(place), content, len(content))
        first = self._arena.ctypes.data + self.memory.offsets.get(self.program.input, 0)
        if -len(content) < self._place(place) - first < self._input.size_bytes:
            self._c.eff_input()  # the input is part of what was written

    def _place(self, place: int | str) -> int:
        if isinstance(place, int):
            return place
        try:
            return ctypes.addressof(ctypes.c_uint8.in_dll(self._c, place))
        except ValueError:
            raise BadInput("unknown symbol", got=repr(place)) from None

    def _function(self, line: str) -> Any:
        if line == "learn" and self.program.target:
            line = "learn_target"
        return getattr(self._c, "eff_predict" if line == "infer" else f"eff_{line}")

    def _view(self, name: str) -> Array:
        """A tensor of the arena, flat."""
        tensor, first = self.program.tensors[name], self.memory.offsets[name]
        return self._arena[first : first + tensor.size_bytes].view(tensor.dtype)

    def predict(self, x: Array) -> int:
        """The best class for one input."""
        return int(self.predict_many(x)[0][0])

    def output(self) -> Array:
        """The scores after the last prediction."""
        address = self._c.eff_output()
        raw = ctypes.string_at(address, self._output.size_bytes)
        return np.frombuffer(raw, self._output.dtype).copy()

    def learn(self, x: Array | None, label: int | Array = 0) -> Code:
        """One learning step on a class, or on values in the target's dtype: ``OK``, or ``NOT_FINITE`` as in ``learn_many``.

        Without x on the input as it lies there, or ``CONSUMED``.
        """
        if x is None:
            require_learning(self.program)
            truth = truth_of(self.program, label)
            argument = _address(np.ascontiguousarray(truth[0])) if self.program.target else ctypes.c_int32(int(label))
            return Code(self._function("learn")(argument))
        return Code(self.learn_many(x, np.reshape(label, (1, -1)) if self.program.target else np.array([label]))[0])

    def set_rate(self, rate: float) -> Code:
        """Sets the learning rate from now on, relative to the program's own, 0 to 1. Returns ``OK``, or ``BAD_RATE``: it is unchanged.

        Raises BadInput for a program that has no learning rate.
        """
        require_rate(self.program)
        return Code(self._c.eff_set_rate(ctypes.c_float(rate)))

    def save(self) -> bytes:
        """The learned state, in the form that ``eff_restore`` accepts on any target. Raises BadInput for a program that does not learn."""
        require_learning(self.program)
        buffer = np.empty(state_bytes(self.memory), np.uint8)
        self._c.eff_save_buffer.restype = ctypes.c_size_t
        written = self._c.eff_save_buffer(_address(buffer), ctypes.c_size_t(buffer.size))
        return buffer[:written].tobytes()

    def restore(self, saved: bytes) -> None:
        """Restores the result of ``save``. Raises BadInput for a state that the model refuses, and says why; then nothing is changed."""
        require_learning(self.program)
        require_taken(self._c.eff_restore_buffer(saved, ctypes.c_size_t(len(saved))))

    def arena(self) -> NDArray[np.uint8]:
        """A copy of the arena's bytes."""
        return self._arena.copy()

    def tensor(self, name: str) -> Array:
        """The current value of a variable or state tensor."""
        tensor = self.program.tensors[name]
        if tensor.role == "constant" and tensor.data is not None:
            return tensor.data
        return self._view(name).reshape(tensor.shape).copy()


def _address(values: Array) -> ctypes.c_void_p:
    return values.ctypes.data_as(ctypes.c_void_p)
