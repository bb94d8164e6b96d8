"""Explanations of differences: LiteRT's own arithmetic in NumPy, and the size of float32 rounding errors.

How LiteRT's reference kernels (BUILTIN_REF) bring integers to the output's scale, operator by operator, established with ai-edge-litert
2.3.0 on models of one operator whose sums lie at the borders between two outputs (tests/test_litert_rounding.py, docs/adr/0006):

- FULLY_CONNECTED, in floating point and once: the sum times ``double(s_x) double(s_w) / double(s_y)``, rounded to the nearest integer, ties
  away from zero. Of 59,204 outputs 0 differ; with a 31-bit multiplier rounded once 1,019, with edgeff's double rounding 8,597.
- CONV_2D and DEPTHWISE_CONV_2D (per tensor and per channel), ADD, MEAN, QUANTIZE, RELU: gemmlowp's double rounding with a 31-bit
  multiplier, edgeff's and TFLM's own rule (docs/adr/0003). 0 differ; with a single rounding up to 15 % of the decisive outputs. RELU6 in
  one scale has nothing to round.
- MEAN: the multiplier of s_x / s_y times 2**floor(log2 n), divided by n and truncated; also if input and output have the same scale.
- AVERAGE_POOL_2D: the sum divided by the count, ties away from zero; MAX_POOL_2D, PAD, RESHAPE, TRANSPOSE: nothing to round.
- SOFTMAX: TFLite's fixed-point scheme, the one of ``eff_softmax_i8``: on 22 values where this and the optimised kernels' table of float
  exponentials disagree, BUILTIN_REF always followed the former, the optimised kernels the latter. In int16 both have TFLM's tables,
  computed in float64 instead of float32: 2 of 1,026 entries differ, and 9 of 2,880 outputs by one step (tests/test_int16_activations.py).
- int16 activations (16x8): FULLY_CONNECTED once in floating point as in int8; all others as TFLM. 0 differ.

So a twin of LiteRT differs from edgeff's only in the dense layer and in a softmax of int16. Source of the dense form:
tflite/kernels/internal/reference/integer_ops/fully_connected.h of LiteRT.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Call, Network, Program, Quant
from edgeff.kernels.records import OutputI8, OutputI16
from edgeff.ops import forward, parameters
from edgeff.ops.softmax import tables
from edgeff.ops.softmax.kernel import eff_softmax_chords_i16
from edgeff.program.interpreter import Interpreter

# Sums in another order have rounding errors of the same size, not the same errors; they are at most this many times as large.
FLOAT_FACTOR = 32.0
# Relative to the largest score: the exponentials of other libraries are good to about 2^-21.
FLOAT_FLOOR = 2.0**-20


def litert_reference(program: Program, x: Array) -> Array:
    """What LiteRT's reference kernels compute for an integer program of inference: (n, outputs) for x (n, inputs) in its dtype.

    The program must be of a network that TFLite files can hold.
    """
    twin = _LitertReference(program)
    scores = np.empty((len(x), sum(tensor.elements for tensor in program.outputs)), program.outputs[0].dtype)
    for row, sample in zip(scores, x, strict=True):
        twin.predict(sample)
        row[:] = twin.output().reshape(-1)
    return scores


class _LitertReference(Interpreter):
    """The twins, except that a dense layer rescales as LiteRT's FULLY_CONNECTED does, and an int16 softmax has its tables."""

    def run(self, call: Call) -> None:
        if call.kernel == "eff_softmax_chords_i16":
            made, given = (self.tensor(name).reshape(-1) for name in (call.outputs[0], call.inputs[0]))
            numbers: dict[str, Any] = {**tables(np.float64), **call.attrs}
            eff_softmax_chords_i16(made, given, **numbers)
            self.put(call.outputs[0], made)
            return
        if call.kernel not in ("eff_dense_i8", "eff_dense_i16x8"):
            super().run(call)
            return
        x, w, b, y = (self.program.tensors[name] if name else None for name in (*call.inputs[:3], *call.outputs))
        if x is None or w is None or y is None or x.quant is None or w.quant is None or y.quant is None:
            raise Unsupported(f"a twin of LiteRT for layer {call.layer!r}", got="a tensor without its scale", allowed="a quantised network")
        weights = self.tensor(w.name).reshape(y.elements, x.elements).astype(np.int64)
        sums = weights @ (self.tensor(x.name).reshape(-1).astype(np.int64) - x.quant.zero_point)
        if b is not None:
            sums = sums + self.tensor(b.name)
        scaled = round_half_away(sums.astype(np.float64) * (_float32(x.quant) * _float32(w.quant) / _float32(y.quant)))
        output = cast("OutputI8 | OutputI16", call.attrs["output"])
        ends = output.y_min, output.y_max
        self.put(y.name, np.clip(np.clip(scaled, -(2**20), 2**20) + y.quant.zero_point, *ends))


def round_half_away(v: Array) -> Array:
    """float64 values rounded to the nearest integer, ties away from zero, still float64.

    >>> round_half_away(np.array([-1.5, -0.5, 0.49999999999999994, 0.5])).tolist()
    [-2.0, -1.0, 0.0, 1.0]
    """
    whole = np.trunc(v)
    return np.asarray(whole + np.sign(v) * (np.abs(v - whole) >= 0.5))


def _float32(quant: Quant) -> Array:
    """The scales rounded to float32 as in a file, in float64."""
    return np.asarray(quant.scale, np.float32).astype(np.float64)


def float_tolerance(network: Network, x: Array) -> float:
    """How far two float32 executions of ``network`` may be from each other in their scores for x (n, *input shape).

    FLOAT_FACTOR times the rounding error of float32 on the same samples (how far the host's float32 mathematics is from float64), but no
    less than FLOAT_FLOOR of the largest score.
    """
    name = network.layers[-1].name
    exact = forward(network, parameters(network, np.float64), x.astype(np.float64))[name]
    rounded = forward(network, parameters(network, np.float32), x.astype(np.float32))[name]
    error = float(np.abs(rounded.astype(np.float64) - exact).max(initial=0.0))
    return FLOAT_FACTOR * error + FLOAT_FLOOR * float(np.abs(exact).max(initial=0.0))
