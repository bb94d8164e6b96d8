"""The deviation of PEPITA from adaptive feedback alignment, to first order in the scale s of its feedback.

Pass 2 of PEPITA has the input ``x' = x - s e F / sqrt(N)`` and therefore ``lambda'_k = lambda_k - s e D_k``; with the hidden layer's rate
divided by s, its step is

    w_k -= eta / sqrt(N) delta_k x',   delta_k = (g(lambda_k) - g(lambda'_k)) / s = D_k g'_k e - s/2 D_k^2 g''_k e^2 + ..
    v_k -= eta / N e' g(lambda'_k),    e' = e - s e sum_j v_j D_j g'_j + ..

(g'_k for g'(lambda_k)). For s -> 0 that is AFA. The terms linear in s, averaged as in ``edgeff.studies.theory.equations``, are

    drift_kf = eta (D_k^2 / 2 <g''_k e^2 phi> + D_k f.F/N <g'_k e^2>)
    noise_kl = -eta^2 / 2 (D_k^2 D_l <g''_k g'_l e^3> + k and l exchanged)
    v_k      = eta (sum_j v_j D_j <g'_j e g_k> + D_k <g'_k e^2>)

The second part of the drift always lengthens the feedback D (for f = F it is D_k C <g'_k e^2>): the modulated input contains F itself.
As g''(u) = -u g'(u), all of these are closed: with the facts of ``gaussian``, < >_k and < >_kl the tilted measures and P
their covariance,

    <g''_k e^2 phi> = -<g'_k> (P_kf <e^2>_k + sum_cd P_kc P_fd <d^2 e^2 / dc dd>_k)
    <g''_k g'_l e^3> = -3 <g'_k g'_l> sum_c P_kc u_c <g'_c e^2>_kl

This module's expansion is not in the literature cited by ``edgeff.studies.theory.equations``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeff.ir import Array
from edgeff.studies.theory.gaussian import i2, i3, tilted, twice_tilted


class FirstOrder(NamedTuple):
    """Terms to be multiplied by s: ``drift`` (K, K + M + 1) of the rows w_k with all rows, ``noise`` (K, K) of Q, ``v`` (K,)."""

    drift: Array
    noise: Array
    v: Array


def first_order(overlaps: Array, v: Array, teacher_v: Array, lr: float) -> FirstOrder:
    """The terms at these order parameters. Cost: of order K^2 (K + M)^3."""
    hidden, units = len(v), len(v) + len(teacher_v)
    u = np.concatenate([v, -teacher_v])
    fed = overlaps[:hidden, -1]
    weight, inner = tilted(overlaps, hidden)
    squares = weight[:, None, None] * i2(inner)[:, :units, :units]  # <g'_k g(c) g(d)>
    with_e = squares @ u
    with_e2 = with_e @ u
    bent = -weight[:, None] * _with_field(inner, u, hidden)
    drift = lr * (0.5 * fed[:, None] ** 2 * bent + np.outer(fed * with_e2, overlaps[-1]))
    lopsided = np.outer(fed**2, fed) * _with_cube(overlaps, u, hidden)
    of_v = lr * ((v * fed) @ with_e[:, :hidden] + fed * with_e2)
    return FirstOrder(drift, -0.5 * lr**2 * (lopsided + lopsided.T), of_v)


def _with_field(inner: Array, u: Array, hidden: int) -> Array:
    """``<lambda_k e^2 phi>_k`` for all phi as (K, F), where ``inner`` (K, F, F) is the covariance of < >_k: fact (3) twice."""
    units = len(u)
    slopes, _ = twice_tilted(inner, units)  # <g'(c) g'(d)>_k
    # <g''(c) e>_k = -<c g'(c) e>_k
    curved = -np.einsum("kccd,d->kc", i3(inner, units)[..., :units, :units], u)
    second = 2.0 * (slopes * np.outer(u, u) + np.eye(units) * (u * curved)[:, None, :])
    own = inner[np.arange(hidden), np.arange(hidden)]  # P_kf: (K, F)
    square = i2(inner)[:, :units, :units] @ u @ u
    result: Array = own * square[:, None] + np.einsum("kc,kcd,kfd->kf", own[:, :units], second, inner[:, :, :units])
    return result


def _with_cube(overlaps: Array, u: Array, hidden: int) -> Array:
    """``<g''_k g'_l e^3>`` as (K, K)."""
    units = len(u)
    weight, inner = twice_tilted(overlaps[:units, :units], hidden)
    of_c, innermost = tilted(inner, units)
    with_e2 = of_c * (i2(innermost) @ u @ u)  # <g'_c e^2>_kl: (K, K, K + M)
    own = np.einsum("klkc->klc", inner[:, :, :hidden])  # P_kc
    result: Array = -3.0 * weight * np.einsum("klc,c,klc->kl", own, u, with_e2)
    return result
