"""Softmax as operators of a graph: integers by the same fixed-point steps."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import arithmetic
from edgeff.kernels.graph.arithmetic import exp_q31, high_mul, reciprocal_q31, shift_round
from edgeff.kernels.graph.operand import Operand
from edgeff.ops.softmax.kernel import Logits

REFUSED = "a learning step has the softmax of one vector alone"


def eff_softmax_f32(x: Operand, n: int) -> Operand:
    """y = exp(x - max x) / sum."""
    return x.nodes.node("Softmax", (x,), x.dtype, x.shape, axis=-1)


def eff_softmax_i8(x: Operand, n: int, logits: Logits) -> Operand:
    """exp of the 256 differences that int8 logits can have are a table."""
    differences = np.arange(-255, 1)
    kept = differences >= logits.diff_min
    powers = arithmetic.exp_q31(arithmetic.high_mul(np.where(kept, differences, 0) << logits.shift, logits.multiplier))
    parts = np.where(kept, arithmetic.shift_round(powers, 12), 0)
    difference = x - x.max() + 255
    every = x.nodes.constant
    total = every(parts).take(difference).sum()
    share = _share(every(powers).take(difference), total, 23)
    return (share - 128).clip(-128, 127).where(difference >= int(np.argmax(kept)), -128)


def eff_softmax_i16(x: Operand, n: int, logits: Logits) -> Operand:
    """exp is computed for each difference."""
    difference = x - x.max()
    kept = difference >= logits.diff_min
    powers = exp_q31(high_mul(difference.where(kept, 0) * (1 << logits.shift), logits.multiplier))
    total = shift_round(powers, 12).where(kept, 0).sum()
    return _share(powers, total, 16).clip(0, 32767).where(kept, 0)


def _share(powers: Operand, total: Operand, extra_bits: int) -> Operand:
    """Probabilities in steps of 2**(extra_bits - 31) from exp in Q0.31 and the sum of exp in Q12.19."""
    zeros = (total.reshape(1) < np.int64(1) << np.arange(32)).cast("int64").sum()  # leading zeros of 32 bits
    zeros = zeros.within(13 - powers.size.bit_length(), 12)  # the largest of the powers is 2**31, which adds 2**19 to the total
    scale = reciprocal_q31(total.times_power(zeros) - (1 << 31))
    return shift_round(high_mul(scale, powers), 12 + extra_bits - zeros)
