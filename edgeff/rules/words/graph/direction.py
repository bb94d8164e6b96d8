"""Random directions of signs as operators of a graph: drawn in the graph in every step."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import rate_of, signs, step_key
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Matrix


def eff_minus_f32(d: Operand, n: int) -> Operand:
    """d = -d."""
    return -d


eff_minus_i16 = eff_minus_f32


def _signs(n_out: int, n_in: int, key: int, step: Operand) -> Operand:
    """This step's signs, float32 (n_out, n_in)."""
    return signs(n_out, n_in, step_key(key, step)).cast("float32")


def eff_signed_dense_f32(y: Operand, x: Operand, step: Operand, size: Matrix, add: int, key: int) -> Operand:
    """y = V x, or += with ``add``."""
    sums = (_signs(size.n_out, size.n_in, key, step) @ x.reshape(size.n_in, 1)).flat()
    return y + sums if add else sums


def eff_signs_f32(d: Operand, s: Operand, step: Operand, n: int, add: int, key: int) -> Operand:
    """d = s v, or += with ``add``."""
    signed = s * _signs(1, n, key, step).flat()
    return d + signed if add else signed


def eff_dot_f32(a: Operand, c: Operand, n: int) -> Operand:
    """s (1,) = <a, c>."""
    return (a * c).sum()


def eff_perturb_f32(w: Operand, step: Operand, size: Matrix, amount: float, key: int) -> Operand:
    """w += amount V."""
    return w.reshape(size.n_out, size.n_in) + _signs(size.n_out, size.n_in, key, step) * amount


def eff_signed_update_f32(w: Operand, s: Operand, rate: Operand, step: Operand, size: Matrix, lr: float, key: int) -> Operand:
    """w -= rate s V."""
    return w.reshape(size.n_out, size.n_in) - (rate_of(rate, lr) * s) * _signs(size.n_out, size.n_in, key, step)
