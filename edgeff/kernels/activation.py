"""Activation functions at the end of a layer, one record each: their form on the host, in kernels and in files.

All are clamps to ``low`` .. ``high``, so a kernel can end in one both in float and in integers. A new one is one record here
and, for the float kernels, one line in ``eff_activate_f32``. A function that is not a clamp (tanh, leaky ReLU) is a separate operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, floor, inf

import numpy as np

from edgeff.ir import Array

SMALL = 1 << 12


@dataclass(frozen=True)
class ActivationFunction:
    """``y = min(max(x, low), high)``.

    ``code`` is the argument of the float32 kernels (``eff_activate_f32``), ``gate`` the kernel, without its suffix, that multiplies by the
    derivative ("" if there is none). ``onnx`` is its operator (``Clip`` takes ``low`` and ``high``), ``tflite`` its name in TFLite's
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
        """Whether it changes anything at all."""
        return (self.low, self.high) != (-inf, inf)

    def within(self, other: ActivationFunction) -> bool:
        """Whether ``other`` leaves the results of this function unchanged."""
        return other.low <= self.low and self.high <= other.high

    def apply(self, y: Array) -> Array:
        """The function of y (any shape, float), which may be overwritten; NaN stays NaN."""
        if self.high == inf:
            return y if self.low == -inf else np.asarray(np.maximum(y, self._floor(y), out=y))
        return np.asarray(np.clip(y, self.low, self.high, out=y))

    def _floor(self, y: Array) -> Array | float:
        """``low`` in a form that broadcasts to y: NumPy is slow with a scalar, and zeros cost nothing to allocate."""
        if y.size <= SMALL:
            return self.low
        floors = np.zeros(y.shape[-2:], y.dtype)
        return floors + y.dtype.type(self.low) if self.low else floors

    def opened(self, y: Array) -> Array:
        """Where the derivative is 1, from the output y: between the limits."""
        return y > self.low if self.high == inf else (y > self.low) & (y < self.high)

    def ends(self, scale: float, zero_point: int, lowest: int, highest: int) -> tuple[int, int]:
        """The smallest and the largest step of a quantised output, of ``lowest`` .. ``highest`` (TFLite: rounded, ties away from zero).

        >>> RELU6.ends(0.05, -20, -128, 127)
        (-20, 100)
        """

        def steps(value: float) -> int:
            size = floor(float(min(np.float32(abs(value)) / np.float32(scale), np.float32(1e6))) + 0.5)
            return zero_point + int(copysign(size, value))

        low = lowest if self.low == -inf else max(lowest, steps(self.low))
        return low, highest if self.high == inf else min(highest, steps(self.high))


NONE = ActivationFunction("none", 0, -inf, inf, "Identity", "NONE")
RELU = ActivationFunction("relu", 1, 0.0, inf, "Relu", "RELU", gate="eff_relu_gate")
RELU6 = ActivationFunction("relu6", 2, 0.0, 6.0, "Clip", "RELU6")

ACTIVATIONS: dict[str, ActivationFunction] = {function.name: function for function in (NONE, RELU, RELU6)}


def find_clamp(low: float, high: float) -> ActivationFunction | None:
    """The function that clamps to ``low`` .. ``high``, None if there is none."""
    return next((known for known in ACTIVATIONS.values() if (known.low, known.high) == (low, high)), None)


def opens_i8(h: Array, zero: int) -> Array:
    """Where ReLU lets a gradient through its int8 output h: above its zero point and not saturated (docs/adr/0038).

    A saturated activation does not follow its weights, so an error that asks for more of it would move them on for ever.
    """
    return np.asarray((h > zero) & (h < 127))


def activate(values: Array, code: int) -> Array:
    """The function with this ``code`` on float32 values, bit for bit as ``eff_activate_f32``: a NaN becomes ``low``."""
    function = next(known for known in ACTIVATIONS.values() if known.code == code)
    if function.low != -inf:
        values = np.where(values > function.low, values, np.float32(function.low))
    return values if function.high == inf else np.where(values > function.high, np.float32(function.high), values)
