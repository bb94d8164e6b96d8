"""Products with the fixed random matrix as operators of a graph: generated signs become an int8 constant."""

from __future__ import annotations

from edgeff.kernels.arithmetic import feedback_signs
from edgeff.kernels.graph.arithmetic import requantise
from edgeff.kernels.graph.operand import Operand
from edgeff.rules.words.feedback import FeedbackInt, FeedbackTable


def _product(f: Operand, e: Operand) -> Operand:
    """F e, shape (n,)."""
    return (f @ e.reshape(-1, 1)).flat()


def eff_feedback_f32(y: Operand, e: Operand, n: int, n_e: int, add: int, key: int, scale: float) -> Operand:
    """y = F e, or += with ``add``; F is +-scale."""
    sums = _product(e.nodes.constant(feedback_signs(n, n_e, key)).cast("float32"), e * scale)
    return y + sums if add else sums


def eff_feedback_table_f32(y: Operand, e: Operand, f: Operand, n: int, n_e: int, add: int) -> Operand:
    """y = F e, or += with ``add``, F stored."""
    sums = _product(f.reshape(n, n_e), e)
    return y + sums if add else sums


def _scaled(e: Operand, how: FeedbackInt) -> Operand:
    """F e requantised, F generated."""
    f = e.nodes.constant(feedback_signs(how.n, how.n_e, how.key)).cast("int32")
    return requantise(_product(f, e.cast("int32")).cast("int64"), how.multiplier, how.shift)


def _scaled_table(e: Operand, f: Operand, how: FeedbackTable) -> Operand:
    """F e requantised, F stored."""
    sums = _product(f.reshape(how.n, how.n_e).cast("int32"), e.cast("int32")).cast("int64")
    return requantise(sums, how.multiplier, how.shift)


def eff_feedback_add_i8(y: Operand, e: Operand, how: FeedbackInt) -> Operand:
    """y += requantise(F e), int8, saturated."""
    return (y + _scaled(e, how)).clip(-128, 127)


def eff_feedback_add_i16(y: Operand, e: Operand, how: FeedbackInt) -> Operand:
    """y += requantise(F e), int16, saturated."""
    return (y + _scaled(e, how)).clip(-32767, 32767)


def eff_feedback_delta_i16(e: Operand, how: FeedbackInt) -> Operand:
    """d = requantise(F e), int16, saturated."""
    return _scaled(e, how).clip(-32767, 32767)


def eff_feedback_table_add_i8(y: Operand, e: Operand, f: Operand, how: FeedbackTable) -> Operand:
    """y += requantise(F e), int8, saturated."""
    return (y + _scaled_table(e, f, how)).clip(-128, 127)


def eff_feedback_table_add_i16(y: Operand, e: Operand, f: Operand, how: FeedbackTable) -> Operand:
    """y += requantise(F e), int16, saturated."""
    return (y + _scaled_table(e, f, how)).clip(-32767, 32767)


def eff_feedback_table_delta_i16(e: Operand, f: Operand, how: FeedbackTable) -> Operand:
    """d = requantise(F e), int16, saturated."""
    return _scaled_table(e, f, how).clip(-32767, 32767)
