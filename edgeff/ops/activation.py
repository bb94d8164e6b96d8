"""Activation functions that a layer ends in, one record each: what they do on the host, in kernels and in files.

All are clamps to ``low`` .. ``high``, which is why a kernel can end in one in float and in integers alike. One more is one record here
and one line in ``eff_activate_f32``. A function that is no clamp (tanh, leaky ReLU) is an operator of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, floor, inf
from typing import Annotated

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.ops.attributes import OneOf
from edgeff.ops.parallel import cached, each, empty

SMALL = 1 << 12


@dataclass(frozen=True)
class ActivationFunction:
    """``y = min(max(x, low), high)``.

    ``code`` is what the float32 kernels take (``eff_activate_f32``), ``gate`` the kernel, without its suffix, that multiplies by the
    derivative ("" where there is none). ``onnx`` is its operator (``Clip`` takes ``low`` and ``high``), ``tflite`` the name among TFLite's
    ActivationFunctionType and BuiltinOperator.
    """

    name: str
    code: int
    low: float
    high: float
    onnx: str
    tflite: str
    gate: str = ""

    @property
    def clamps(self) -> bool:
        """Whether it does anything at all."""
        return (self.low, self.high) != (-inf, inf)

    def within(self, other: ActivationFunction) -> bool:
        """Whether ``other`` leaves what this function returns as it is."""
        return other.low <= self.low and self.high <= other.high

    def apply(self, y: Array) -> Array:
        """The function of y (any shape, float), which may be overwritten."""
        if self.high == inf:
            if self.low == -inf:
                return y
            return np.asarray(np.maximum(y, self._floor(y), out=y))
        return np.asarray(np.clip(y, self.low, self.high, out=y))

    def _floor(self, y: Array) -> Array | float:
        """``low`` in a form that broadcasts to y: NumPy is slow over a scalar, and zeros cost nothing to make."""
        if y.size <= SMALL:
            return self.low
        floors = np.zeros(y.shape[-2:], y.dtype)
        return floors + y.dtype.type(self.low) if self.low else floors

    def gated(self, delta: Array, y: Array) -> Array:
        """``delta`` where the function lets it through, else 0; from its output y."""
        if not self.clamps:
            return delta
        through = empty(delta.shape, delta.dtype)

        def write(part: slice) -> None:
            opened = y[part] > self.low if self.high == inf else (y[part] > self.low) & (y[part] < self.high)
            np.multiply(delta[part], opened, out=through[part])

        each(write, cached(delta, y))
        return through

    def ends(self, scale: float, zero_point: int, lowest: int, highest: int) -> tuple[int, int]:
        """The smallest and the largest step of a quantised output, of ``lowest`` .. ``highest`` (TFLite: rounded, ties away from zero)."""

        def steps(value: float) -> int:
            size = floor(float(min(np.float32(abs(value)) / np.float32(scale), np.float32(1e6))) + 0.5)
            return zero_point + int(copysign(size, value))

        low = lowest if self.low == -inf else max(lowest, steps(self.low))
        return low, highest if self.high == inf else min(highest, steps(self.high))


ACTIVATIONS: dict[str, ActivationFunction] = {}
"""By name; ``add_activation`` adds one."""


def add_activation(function: ActivationFunction) -> ActivationFunction:
    """``function``, which layers may now end in. Raises BadInput for a name or a code that another one has."""
    for known in ACTIVATIONS.values():
        if known != function and (known.name == function.name or known.code == function.code):
            raise BadInput(f"activation function {function.name!r}", got=f"the name or code of {known.name!r}", allowed="one of its own")
    ACTIVATIONS[function.name] = function
    return function


def find_clamp(low: float, high: float) -> ActivationFunction | None:
    """The function that cuts to ``low`` .. ``high``, None where there is none."""
    return next((known for known in ACTIVATIONS.values() if (known.low, known.high) == (low, high)), None)


ActivationName = Annotated[str, OneOf(lambda: tuple(ACTIVATIONS))]

NONE = add_activation(ActivationFunction("none", 0, -inf, inf, "Identity", "NONE"))
RELU = add_activation(ActivationFunction("relu", 1, 0.0, inf, "Relu", "RELU", gate="eff_relu_gate"))
RELU6 = add_activation(ActivationFunction("relu6", 2, 0.0, 6.0, "Clip", "RELU6"))
