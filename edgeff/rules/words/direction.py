"""Random directions of signs that are never stored, and steps along them."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import feedback_signs, step_key, sum_in_order
from edgeff.kernels.records import Flag, Key, Matrix, Size
from edgeff.kernels.tensors import InPlaceF32, InPlaceI16, Rate, StepCount, VectorF32
from edgeff.kernels.updates import rate_of
from edgeff.rules.words.feedback import eff_feedback_f32

ScalarF32 = Annotated[Array, In("float", "1")]


def _signs(n_out: int, n_in: int, key: int, step: Array) -> Array:
    return feedback_signs(n_out, n_in, step_key(key, int(step[0])))


@kernel()
def eff_minus_f32(d: InPlaceF32, n: Size) -> None:
    """d = -d in place."""
    d[:] = -d


@kernel()
def eff_minus_i16(d: InPlaceI16, n: Size) -> None:
    """d = -d in place; d is not -32768."""
    d[:] = -d


@kernel(macs="n_out * n_in")
def eff_signed_dense_f32(
    y: Annotated[Array, Out("float", "n_out", also_read=True)],
    x: Annotated[Array, In("float", "n_in")],
    step: StepCount,
    size: Matrix,
    add: Flag,
    key: Key,
) -> None:
    """y = V x, or += with ``add``, V (n_out, n_in) this step's signs: the sums of ``eff_feedback_f32``."""
    eff_feedback_f32(y, x, size.n_out, size.n_in, add, step_key(key, int(step[0])), 1.0)


@kernel()
def eff_signs_f32(d: InPlaceF32, s: ScalarF32, step: StepCount, n: Size, add: Flag, key: Key) -> None:
    """d = s v, or += with ``add``: the number s (1,) times this step's signs v (n,)."""
    signed = s[0] * _signs(1, n, key, step)[0].astype(np.float32)
    d[:] = d + signed if add else signed


@kernel(macs="n")
def eff_dot_f32(s: Annotated[Array, Out("float", "1")], a: VectorF32, c: VectorF32, n: Size) -> None:
    """s (1,) = <a, c>, summed from 0 in index order."""
    s[0] = sum_in_order(a * c)


@kernel()
def eff_perturb_f32(
    w: Annotated[Array, Out("float", "n_out", "n_in", also_read=True)], step: StepCount, size: Matrix, amount: float, key: Key
) -> None:
    """w += amount V in place, V this step's signs."""
    w += (np.float32(amount) * _signs(size.n_out, size.n_in, key, step).astype(np.float32)).reshape(w.shape)


@kernel(macs="n_out * n_in")
def eff_signed_update_f32(
    w: Annotated[Array, Out("float", "n_out", "n_in", also_read=True)],
    s: ScalarF32,
    rate: Rate,
    step: StepCount,
    size: Matrix,
    lr: float,
    key: Key,
) -> None:
    """w -= (rate / 2**16) lr s V in place, V this step's signs."""
    gain = rate_of(rate, lr) * s[0]
    w -= (gain * _signs(size.n_out, size.n_in, key, step).astype(np.float32)).reshape(w.shape)
