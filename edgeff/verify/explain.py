"""What explains a difference: LiteRT's own arithmetic in NumPy, and the size of float32 rounding errors.

LiteRT's reference kernels (BUILTIN_REF) sum a fully-connected layer in integers as everyone does, but rescale in floating point: the sum
times ``double(s_x) double(s_w) / double(s_y)``, rounded once to the nearest integer, ties away from zero. Established with ai-edge-litert
2.3.0 on 50,400 outputs placed at the borders between two integers: this arithmetic 0 differing; a 31-bit multiplier rounded once 2 (and
every tie of a negative sum); s_x s_w in float32 1,110. Their softmax is TFLite's fixed-point scheme, the one of ``eff_softmax_i8``: on 22
values where that and the optimised kernels' table of float exponentials disagree, BUILTIN_REF followed the first every time, the optimised
kernels the second. Source: tflite/kernels/internal/reference/integer_ops/fully_connected.h and reference/softmax.h of LiteRT.
"""

from __future__ import annotations

import numpy as np

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.ir import Array, Call, Network, Program, Quant
from edgeff.layers import forward, parameters

# Sums in another order have rounding errors of the same size, not the same errors; no more than this many times as large.
FLOAT_FACTOR = 32.0
# Of the largest score: the exponentials of other libraries are good to about 2^-21.
FLOAT_FLOOR = 2.0**-20


def litert_reference(program: Program, x: Array) -> Array:
    """What LiteRT's reference kernels compute for an int8 program of inference: (n, outputs) for x (n, inputs) int8.

    Raises Unsupported for a kernel that has no form in LiteRT.
    """
    values: dict[str, Array] = {program.input: x}
    for call in program.infer:
        if call.stage == "argmax":
            continue
        if call.kernel == "eff_dense_i8":
            values[call.outputs[0]] = _dense(program, call, values)
        elif call.kernel == "eff_softmax_i8":
            rows = values[call.inputs[0]]
            made = np.empty_like(rows)
            for row, out in zip(rows, made, strict=True):
                registry.kernels[call.kernel].run(out, row, **call.attrs)
            values[call.outputs[0]] = made
        else:
            raise Unsupported(f"a twin of LiteRT for kernel {call.kernel}", got=call.layer, allowed="int8 dense and softmax")
    return values[program.output]


def round_half_away(v: Array) -> Array:
    """float64 values rounded to the nearest integer, ties away from zero, still float64.

    >>> round_half_away(np.array([-1.5, -0.5, 0.49999999999999994, 0.5])).tolist()
    [-2.0, -1.0, 0.0, 1.0]
    """
    whole = np.trunc(v)
    return np.asarray(whole + np.sign(v) * (np.abs(v - whole) >= 0.5))


def _dense(program: Program, call: Call, values: dict[str, Array]) -> Array:
    x, w, b = (program.tensors[name] if name else None for name in call.inputs[:3])
    y = program.tensors[call.outputs[0]]
    if x is None or w is None or w.data is None or x.quant is None or w.quant is None or y.quant is None:
        raise Unsupported(f"a twin of LiteRT for layer {call.layer!r}", got="a tensor without its scale", allowed="a quantised network")
    weights = w.data.reshape(y.elements, x.elements).astype(np.int64)
    sums = (values[x.name].astype(np.int64) - x.quant.zero_point) @ weights.T
    if b is not None and b.data is not None:
        sums = sums + b.data
    scaled = round_half_away(sums.astype(np.float64) * (_float32(x.quant) * _float32(w.quant) / _float32(y.quant)))
    low = call.attrs["y_min"]
    return np.clip(np.clip(scaled, -1024, 1024) + y.quant.zero_point, int(low), 127).astype(np.int8)


def _float32(quant: Quant) -> Array:
    """The scales as a file holds them, in float64."""
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
