"""The natural logarithm of ``eff_logarithm.h`` in NumPy, bit for bit."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array

LN_COEFFICIENTS = (
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)


def ln_f32(x: Array) -> Array:
    """The natural logarithm of normal float32 numbers > 0 by the C's polynomial, bit for bit; any shape."""
    f = np.float32
    bits = np.asarray(x, f).view(np.uint32)
    exponent = (bits >> np.uint32(23)).astype(np.int32) - 126
    m = ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F000000)).view(f)
    low = m < f(0.707106781)
    e = (exponent - low).astype(f)
    m = np.where(low, m + m, m) - f(1.0)
    z = m * m
    p = np.full_like(m, f(7.0376836292e-2))
    for c in LN_COEFFICIENTS:
        p = p * m + f(c)
    p = p * m * z
    p = p + e * f(-2.12194440e-4)
    p = p - f(0.5) * z
    out: Array = (m + p) + e * f(0.693359375)
    return out
