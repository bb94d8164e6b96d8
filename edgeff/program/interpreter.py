"""A program run by the kernels' NumPy twins. Its results are the reference that every other execution is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array, Call, Program


def check_labels(program: Program, labels: Array) -> None:
    """Raises BadInput unless ``program`` learns and every label is one of its classes; where the target is the input, any label will do."""
    if not program.learn:
        raise BadInput(f"learning with {program.name!r}", got="a program for inference only", next_step="deploy it with a rule")
    if program.label and len(labels) and not 0 <= labels.min() <= labels.max() < program.classes:
        raise BadInput("labels", got=f"{labels.min()} to {labels.max()}", allowed=f"0 to {program.classes - 1}")


class Interpreter:
    """Runs a program call by call; each tensor has its own array.

    ``tensor(name)`` gives any tensor's present value, so layers can be compared one by one.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._arrays: dict[str, Array] = {}
        self.init()

    def init(self) -> None:
        """Weights and state as after reset."""
        for tensor in self.program.tensors.values():
            if tensor.data is not None:
                copy = tensor.role == "variable"
                self._arrays[tensor.name] = np.array(tensor.data, order="C") if copy else tensor.data
            else:
                self._arrays[tensor.name] = np.zeros(tensor.shape, tensor.dtype)

    def run(self, call: Call) -> None:
        """One call by its kernel's twin. A class with an arithmetic of its own overrides this."""
        outputs = [self._arrays[name].reshape(-1) for name in call.outputs]
        inputs = [self._arrays[name].reshape(-1) if name else None for name in call.inputs]
        registry.kernels[call.kernel].run(*outputs, *inputs, **call.attrs)

    def _write(self, x: Array) -> None:
        tensor = self.program.tensors[self.program.input]
        if x.dtype != tensor.dtype or x.size != tensor.elements:
            raise BadInput("input", got=f"{x.dtype} of {x.size}", allowed=f"{tensor.dtype} of {tensor.elements}")
        self._arrays[tensor.name][...] = x.reshape(tensor.shape)

    def predict(self, x: Array, after: Callable[[Call], object] | None = None) -> int:
        """The best class for one input (dtype and size of the program's input); -1 where there are no classes.

        ``after`` is told of each call when it has run: what a tensor holds then may be gone at the end.
        """
        self._write(x)
        with np.errstate(all="ignore"):
            for call in self.program.infer:
                self.run(call)
                if after is not None:
                    after(call)
        return int(self._arrays[self.program.prediction][0]) if self.program.prediction else -1

    def output(self) -> Array:
        """The scores after ``predict``."""
        return self._arrays[self.program.output].copy()

    def learn(self, x: Array, label: int = 0) -> None:
        """One learning step. Raises BadInput for a label that is no class, and for a program that does not learn."""
        check_labels(self.program, np.array([label]))
        self._write(x)
        if self.program.label:
            self._arrays[self.program.label][0] = label
        with np.errstate(all="ignore"):
            for call in self.program.learn:
                self.run(call)

    def tensor(self, name: str) -> Array:
        """A tensor's present value, a copy of its shape and dtype."""
        return self._arrays[name].copy()

    def put(self, name: str, values: Array) -> None:
        """Sets a tensor, in its own dtype."""
        self._arrays[name].reshape(-1)[:] = values.reshape(-1)
