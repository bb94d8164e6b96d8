"""The words of a graph under construction that ONNX lacks, in words that it has."""

from __future__ import annotations

import numpy as np

from edgeff.kernels.graph.operand import Expansions, Operand

LIFT = 62


def _shift_right(v: Operand, count: Operand) -> Operand:
    """ONNX shifts unsigned integers alone: int64 of less than 2**62 become those by 2**62."""
    lifted, places = (v + (1 << LIFT)).cast("uint64"), _unsigned(count)
    back = v.nodes.constant(np.uint64(1 << LIFT))
    lowered = (back >> places).cast("int64") if count.data is None else v.of(np.int64(1 << LIFT) >> count.data)
    return (lifted >> places).cast("int64") - lowered


def _power_of_two(count: Operand) -> Operand:
    one = count.nodes.constant(np.uint64(1))
    return count.nodes.node("BitShift", (one, _unsigned(count)), "uint64", count.shape, direction="LEFT").cast("int64")


def _integer_root(v: Operand) -> Operand:
    """Below 2**52 the correctly rounded float64 root has the right integer part."""
    return v.cast("float64").sqrt().cast("int64")


def _unsigned(count: Operand) -> Operand:
    return count.cast("uint64") if count.data is None else count.nodes.constant(count.data.astype(np.uint64))


WORDS: Expansions = {"ShiftRight": _shift_right, "PowerOfTwo": _power_of_two, "IntegerRoot": _integer_root}
