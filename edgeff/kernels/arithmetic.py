"""The integer arithmetic and the random generator of ``edgeff.h`` in NumPy, bit for bit, over whole arrays.

Integers are computed in int64 and stay within the 32-bit ranges that the C states.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
GOLDEN = 0x9E3779B9
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def high_mul(a: Any, b: Any) -> Int:
    """round(a * b / 2**31), ties upwards; int32 values."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 30)) >> 31


def shift_round(v: Any, n: Any) -> Int:
    """round(v / 2**n), ties away from zero; 0 <= n <= 31."""
    v, n = np.asarray(v, np.int64), np.asarray(n, np.int64)
    mask = (np.int64(1) << n) - 1
    return (v >> n) + ((v & mask) > (mask >> 1) + (v < 0))


def shift_round_up(v: Any, n: int) -> Int:
    """round(v / 2**n), ties upwards; the 64-bit accumulators' shift."""
    return (np.asarray(v, np.int64) + ((1 << n) >> 1)) >> n


def saturate32(v: Int) -> Int:
    """``v`` within int32."""
    return np.minimum(np.maximum(v, INT32_MIN), INT32_MAX)


def requantise(v: Any, multiplier: Any, shift: Any) -> Int:
    """``v * multiplier * 2**(shift - 31)`` by gemmlowp's double rounding (docs/adr/0003).

    Args: ``v``, int32 values; ``multiplier`` >= 0; -31 <= ``shift`` <= 30.
    """
    v, shift = np.asarray(v, np.int64), np.asarray(shift, np.int64)
    wide = saturate32(v << np.maximum(shift, 0))
    return shift_round(high_mul(wide, multiplier), np.maximum(-shift, 0))


def multiplier_and_shift(real: float) -> tuple[int, int]:
    """``(multiplier, shift)`` with ``real`` ~ ``multiplier * 2**(shift - 31)``, as TFLite's QuantizeMultiplier.

    The multiplier lies in [2**30, 2**31). Args: ``real``, a finite number >= 0. A number below 2**-32 becomes (0, 0); one of 2**30 or
    above saturates.

    >>> multiplier_and_shift(0.5)
    (1073741824, 0)
    """
    if real == 0.0:
        return 0, 0
    mantissa, exponent = math.frexp(real)
    fixed = math.floor(mantissa * 2**31 + 0.5)
    if fixed == 2**31:
        fixed, exponent = fixed // 2, exponent + 1
    if exponent < -31:
        return 0, 0
    return (INT32_MAX, 30) if exponent > 30 else (fixed, exponent)


def mix(v: Any) -> NDArray[np.uint32]:
    """A bijection of 32 bits that mixes well (Wellons' lowbias32), over uint32 arrays."""
    v = np.asarray(v).astype(np.uint32)
    with np.errstate(over="ignore"):
        v = v ^ (v >> np.uint32(16))
        v = v * np.uint32(0x7FEB352D)
        v = v ^ (v >> np.uint32(15))
        v = v * np.uint32(0x846CA68B)
        out: NDArray[np.uint32] = v ^ (v >> np.uint32(16))
    return out


def draws(key: int, indices: Any) -> NDArray[np.uint32]:
    """The draws of the stream ``key`` at ``indices`` (any integers >= 0): uint32, uniform."""
    counter = (int(key) + np.asarray(indices, np.uint64) * np.uint64(GOLDEN)) & np.uint64(0xFFFFFFFF)
    return mix(counter)


def step_key(key: int, step: int) -> int:
    """The stream of the call site ``key`` at step ``step``."""
    return int(mix(np.uint32(key) ^ mix(np.uint32((int(step) + GOLDEN) & 0xFFFFFFFF))))


@lru_cache(maxsize=4096)
def stream_key(seed: int, *names: str) -> int:
    """The key of the stream called ``names`` under ``seed``, a number of 32 bits."""
    key = int(mix(np.uint32(seed & 0xFFFFFFFF)))
    for byte in "/".join(names).encode():
        key = int(mix(np.uint32((key + byte + GOLDEN) & 0xFFFFFFFF)))
    return key


def feedback_signs(n: int, n_e: int, key: int) -> NDArray[np.int8]:
    """The generated feedback matrix's signs, shape (n, n_e), +1 or -1: bit ``c % 32`` of draw ``d * ceil(n_e / 32) + c // 32``."""
    words = draws(key, np.arange(n * -(-n_e // 32)).reshape(n, -1))
    bits = (words[:, :, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return (2 * bits.reshape(n, -1)[:, :n_e].astype(np.int8) - 1).astype(np.int8)


def feedback_uniform(n: int, n_e: int, key: int) -> NDArray[np.float64]:
    """Uniform numbers from -1 to 1, shape (n, n_e), from draw ``d * n_e + c``: a feedback matrix that is stored."""
    return draws(key, np.arange(n * n_e).reshape(n, n_e)).astype(np.float64) * 2.0**-31 - 1.0


def saturate16(v: Any) -> Any:
    """Integers limited to +-32767, in their own dtype."""
    return np.minimum(np.maximum(v, -32767), 32767)


def sum_of_squares(v: NDArray[Any]) -> int:
    """The exact sum of the squares of a vector of integers."""
    return int(np.dot(v, v))


def exp_q31(a: Any, integer_bits: int = 5) -> Int:
    """exp of numbers <= 0 with ``integer_bits`` integer bits (5: Q5.26), in Q0.31 (gemmlowp's, that of TFLite's fixed-point softmax)."""
    a = np.asarray(a, np.int64)
    quarter = 1 << (29 - integer_bits)
    part = (a & (quarter - 1)) - quarter
    x = saturate32(part << integer_bits) + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    cubic = high_mul(shift_round(x4, 2) + x3, 715827883)
    result = 1895147668 + high_mul(1895147668, x + shift_round(cubic + x2, 1))
    rest = part - a
    for i, power in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)[: integer_bits + 2]):
        result = np.where(rest & (quarter << i), high_mul(result, power), result)
    return np.where(a == 0, INT32_MAX, result)


def reciprocal_q29(a: Any) -> Int:
    """2 / (1 + a) for a in [0, 1), a in Q0.31, in Q2.29: three Newton-Raphson steps."""
    half = (np.asarray(a, np.int64) + INT32_MAX + 1) // 2
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        x = x + saturate32(high_mul(x, (1 << 29) - high_mul(half, x)) << 2)
    return x


def reciprocal_q31(a: Any) -> Int:
    """1 / (1 + a) for a in [0, 1), all Q0.31."""
    return saturate32(reciprocal_q29(a) << 1)


def sigmoid_q15(x: Any) -> Int:
    """The logistic function of numbers in units of 2**-16, in Q0.15."""
    x = np.asarray(x, np.int64)
    upper = reciprocal_q31(exp_q31(-(np.minimum(np.abs(x), 0x1FFFFF) * 1024)))
    return np.where(x < 0, INT32_MAX - upper, upper) >> 16


def exp_f32(x: Any) -> NDArray[np.float32]:
    """exp in float32 by the C's polynomial, bit for bit: 0 below -87, clamped above 88, NaN of NaN."""
    f = np.float32
    x = np.asarray(x, f)
    clamped = np.clip(np.where(np.isnan(x), f(0.0), x), f(-87.0), f(88.0))
    scaled = clamped * f(1.44269504)
    n = np.where(scaled < 0, scaled - f(0.5), scaled + f(0.5)).astype(np.int32)
    nf = n.astype(f)
    r = (clamped - nf * f(0.693359375)) - nf * f(-2.12194440e-4)
    p = np.full_like(r, f(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + f(c)
    y = (p * (r * r) + r) + f(1.0)
    power = ((n + 127).astype(np.uint32) << np.uint32(23)).view(f)
    out: NDArray[np.float32] = np.where(x < f(-87.0), f(0.0), np.where(np.isnan(x), x, y * power)).astype(f)
    return out


def sum_in_order(values: NDArray[np.float32], start: np.float32 = np.float32(0.0)) -> np.float32:
    """The float32 sum of a vector from ``start`` in index order, each addition rounded."""
    return np.float32(np.add.accumulate(np.concatenate(([start], values)).astype(np.float32), dtype=np.float32)[-1])
