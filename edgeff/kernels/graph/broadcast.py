"""The two sides of a broadcast as operands that the operators of a graph broadcast themselves."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast


def pairs(how: Broadcast, a: Operand, c: Operand) -> tuple[Operand, Operand]:
    """Both sides in four axes, of length 1 where an element serves several places."""
    sizes = (how.n0, how.n1, how.n2, how.n3)
    sides = ((a, (how.a0, how.a1, how.a2, how.a3)), (c, (how.c0, how.c1, how.c2, how.c3)))
    left, right = (x.reshape(*(size if step else 1 for size, step in zip(sizes, steps, strict=True))) for x, steps in sides)
    return left, right
