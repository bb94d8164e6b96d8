"""A gated recurrent unit over a sequence in float32."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Flag
from edgeff.ops.logistic.kernel import eff_logistic_f32
from edgeff.ops.lstm.kernel import Sequence
from edgeff.ops.tanh.kernel import eff_tanh_f32

ONE = np.float32(1.0)


@kernel(macs="steps * 3 * n_out * (n_in + n_out)")
def eff_gru_f32(
    y: Annotated[Array, Out("float", "steps", "n_out")],
    hidden: Annotated[Array, Out("float", "n_out")],
    gates: Annotated[Array, Out("float", "3", "n_out")],
    x: Annotated[Array, In("float", "steps", "n_in")],
    weights: Annotated[Array, In("float", "3", "n_out", "n_in")],
    recurrent: Annotated[Array, In("float", "3", "n_out", "n_out")],
    biases: Annotated[Array, In("float", "4", "n_out")],
    size: Sequence,
    reset_after: Flag,
) -> None:
    """y[t] = hidden = z hidden + (1 - z) c, from 0 on. z and r are sums over the input and hidden through the logistic function; c =
    tanh(u + r v), u over the input, v over hidden; or with ``reset_after`` 0 tanh(u + v), v over r hidden. The biases are those of z, r, u
    and v.
    """
    n_out = size.n_out
    hidden[:] = 0
    w, r, b = weights.reshape(3, n_out, size.n_in), recurrent.reshape(3, n_out, n_out), biases.reshape(4, n_out)
    z, reset, candidate = gates.reshape(3, n_out)
    for t, sample in enumerate(x.reshape(size.steps, size.n_in)):
        for gate, sums in enumerate((z, reset)):
            sums[:] = _sum(_sum(b[gate], w[gate], sample), r[gate], hidden)
            eff_logistic_f32(sums, sums.copy(), n_out)
        if not reset_after:
            reset *= hidden
        of_input = _sum(b[2], w[2], sample)
        of_state = _sum(b[3], r[2], hidden if reset_after else reset)
        candidate[:] = of_input + (reset * of_state if reset_after else of_state)
        eff_tanh_f32(candidate, candidate.copy(), n_out)
        hidden[:] = z * hidden + (ONE - z) * candidate
        y.reshape(size.steps, n_out)[t] = hidden


def _sum(start: Array, w: Array, x: Array) -> Array:
    """start + w x, one column after the other."""
    sums = start.copy()
    for column, value in zip(w.T, x, strict=True):
        sums += column * value
    return sums
