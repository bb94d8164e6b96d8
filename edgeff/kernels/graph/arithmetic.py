"""The integer arithmetic and the random generator of ``edgeff.kernels.arithmetic`` and ``updates`` over operands, bit for bit.

Integers are int64 and stay within the bounds that the twins state; the generator's words are uint32, whose products wrap.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.arithmetic import GOLDEN, INT32_MAX, INT32_MIN
from edgeff.kernels.graph.operand import Number, Operand, concat
from edgeff.kernels.records import Rescale, Step
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8


def high_mul(a: Operand, b: Number) -> Operand:
    """round(a * b / 2**31), ties upwards."""
    return (a * b + (1 << 30)) >> 31


def shift_round(v: Operand, n: Operand | Array | int) -> Operand:
    """round(v / 2**n), ties away from zero; 0 <= n <= 31."""
    negative = (v < 0).cast("int64")
    if isinstance(n, Operand):
        one = v.of(1)
        return (v + (one.times_power(n) >> 1) - negative) >> n  # n is 1 or more where it is computed
    places = np.asarray(n, np.int64)
    if not places.any():
        return v
    if places.size == 1:
        return (v + (1 << int(places.max()) >> 1) - negative) >> int(places.max())
    halves = (np.int64(1) << places) >> 1
    return (v + halves - negative * (places > 0).astype(np.int64)) >> v.of(places)


def shift_round_up(v: Operand, n: int) -> Operand:
    """round(v / 2**n), ties upwards."""
    return (v + ((1 << n) >> 1)) >> n if n else v


def saturate32(v: Operand) -> Operand:
    """``v`` within int32."""
    return v.clip(INT32_MIN, INT32_MAX)


def saturate16(v: Operand) -> Operand:
    """``v`` within +-32767."""
    return v.clip(-32767, 32767)


def requantise(v: Operand, multiplier: Array | int, shift: Array | int) -> Operand:
    """``v * multiplier * 2**(shift - 31)`` by gemmlowp's double rounding; the factors are known."""
    shifts = np.asarray(shift, np.int64)
    left = np.maximum(shifts, 0)
    wide = saturate32(v * (np.int64(1) << left)) if left.any() else v
    return shift_round(high_mul(wide, np.asarray(multiplier, np.int64)), np.maximum(-shifts, 0))


def factors(multiplier: Operand, shift: Operand) -> tuple[Array, Array]:
    """The factors of a layer, constants of the program, as arrays: shape () for one factor."""
    pair = multiplier.known.reshape(-1), shift.known.reshape(-1)
    return (pair[0][0], pair[1][0]) if pair[0].size == 1 else pair


def mix(v: Operand) -> Operand:
    """The bijection of 32 bits."""
    v = v ^ (v >> 16)
    v = v * 0x7FEB352D
    v = v ^ (v >> 15)
    v = v * 0x846CA68B
    return v ^ (v >> 16)


def draws(key: Operand, indices: Operand) -> Operand:
    """The draws of the stream ``key`` (uint32) at ``indices`` (int64): uint32."""
    return mix(key + indices.cast("uint32") * GOLDEN)


def step_key(key: int, step: Operand) -> Operand:
    """The stream of the call site ``key`` at ``step`` (uint32), shape (1,)."""
    return mix(step.of(key) ^ mix(step + GOLDEN))


def bits(words: Operand, width: int, count: int) -> Operand:
    """The first ``count`` pieces of ``width`` bits of each row of words (rows, per row): int64 (rows, count), the lowest bits first."""
    rows = words.shape[0]
    shifts = words.of(np.arange(0, 32, width))
    pieces = (words.reshape(rows, -1, 1) >> shifts) & ((1 << width) - 1)
    return pieces.reshape(rows, -1).part(slice(None), slice(0, count)).cast("int64")


def signs(n: int, n_e: int, key: Operand) -> Operand:
    """The signs of the stream ``key``, +1 or -1, int64 (n, n_e): ``feedback_signs``."""
    per_row = -(-n_e // 32)
    words = draws(key, key.nodes.counter(n * per_row)).reshape(n, per_row)
    return bits(words, 1, n_e) * 2 - 1


def rounding_of(n_out: int, n_in: int, step: Operand, fraction: int, how: Step) -> Operand:
    """What is added before the shift by ``fraction``, (n_out, n_in): eight random bits, centred, or one half."""
    if not how.stochastic:
        return step.nodes.constant(np.int64(1 << (fraction - 1)))
    noise = step.nodes.fed_noise(n_out, n_in)
    return (_bytes(n_out, n_in, step, how.key) if noise is None else noise.cast("int64") + 128) * (1 << (fraction - 8)) + (
        1 << (fraction - 9)
    )


def _bytes(n_out: int, n_in: int, step: Operand, key: int) -> Operand:
    """Eight random bits for each element, int64 (n_out, n_in)."""
    per_row = -(-n_in // 4)
    words = draws(step_key(key, step), step.nodes.counter(n_out * per_row)).reshape(n_out, per_row)
    return bits(words, 8, n_in)


def gain_of(delta: Operand, multiplier: int, shift: int, rate: Operand, limit: int) -> Operand:
    """The gain of integer gradients: requantised, saturated at +-limit, times ``rate`` in units of 2**-16, rounded to nearest."""
    gain = requantise(delta, multiplier, shift).clip(-limit, limit)
    return (gain * rate.cast("int64").within(0, 1 << 16) + 0x8000) >> 16


def changed_i8(w: Operand, sums: Operand, rate: Operand, step: Operand, how: Step) -> Operand:
    """w after its step from the exact sums in the order of w."""
    gain = gain_of(saturate32(sums), how.multiplier, how.shift, rate, BIAS_LIMIT)
    change = (gain + rounding_of(1, w.size, step, FRACTION_I8, how).flat()) >> FRACTION_I8
    return (w - change).clip(-127, 127)


def rate_of(rate: Operand, lr: float) -> Operand:
    """The float learning rate, shape (1,): ``lr`` times the word ``rate`` in units of 2**-16."""
    return (rate.cast("float32") * 2.0**-16) * lr


def activate(values: Operand, code: int) -> Operand:
    """What the activation function with a ``code`` leaves of float32 values."""
    from edgeff.kernels.activation import ACTIVATIONS

    function = next(known for known in ACTIVATIONS.values() if known.code == code)
    if not function.clamps:
        return values
    if function.onnx == "Relu":
        return values.unary("Relu")
    return values.clip(max(function.low, -3.4028234e38), min(function.high, 3.4028234e38))


def one_hot(label: Operand, n: int) -> Operand:
    """Where the class is, bool (n,)."""
    return label.nodes.counter(n).equals(label)


def exp_q31(a: Operand, integer_bits: int = 5) -> Operand:
    """exp of numbers <= 0 with so many integer bits (5: Q5.26), in Q0.31."""
    quarter = 1 << (29 - integer_bits)
    part = (a & (quarter - 1)) - quarter
    x = saturate32(part * (1 << integer_bits)) + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    cubic = high_mul(shift_round(x4, 2) + x3, 715827883)
    result = high_mul(x + shift_round(cubic + x2, 1), 1895147668) + 1895147668
    rest = part - a
    for i, power in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)[: integer_bits + 2]):
        result = high_mul(result, power).where((rest & (quarter << i)) > 0, result)
    return a.of(INT32_MAX).where(a.equals(0), result)


def reciprocal_q31(a: Operand) -> Operand:
    """1 / (1 + a) for a in [0, 1), all Q0.31."""
    half = (a.within(0, INT32_MAX) + (INT32_MAX + 1)) // 2
    x = high_mul(half, -1010580540) + 1515870810
    for _ in range(3):
        x = x + saturate32(high_mul(x, (1 << 29) - high_mul(half, x)) * 4)
    return saturate32(x * 2)


def sigmoid_q15(x: Operand) -> Operand:
    """The logistic function of numbers in units of 2**-16, in Q0.15."""
    upper = reciprocal_q31(exp_q31(-(x.abs().clip(0, 0x1FFFFF) * 1024)))
    return (INT32_MAX - upper).where(x < 0, upper) >> 16


def joined(parts: list[Operand]) -> Operand:
    """Scalars or vectors as one vector."""
    return concat([part.flat() for part in parts])


def rescale(v: Operand, how: Rescale) -> Operand:
    """``v`` (without its zero point) by the factor, cut to the range of the C's sum, and the new zero point added."""
    return requantise(v, how.multiplier, how.shift).clip(-1024, 1024) + how.y_zero
