"""The differential equations of learning by adaptive feedback alignment (AFA), in the limit of many inputs.

A student ``y = sum_k v_k g(lambda_k)``, ``lambda_k = w_k . x / sqrt(N)``, learns from a teacher ``y* = sum_m v*_m g(nu_m)``,
``nu_m = u_m . x / sqrt(N)``; a fresh x with entries N(0, 1) at each step, ``e = y - y*``. One step of AFA:

    w_k -= eta / sqrt(N) D_k g'(lambda_k) e x,     D_k = w_k . F / N          (gradient descent has v_k instead of D_k)
    v_k -= eta / N e g(lambda_k)

Multiplied by any row f of ``edgeff.studies.theory.order`` and averaged over x, with alpha = steps / N as the time, for N -> infinity:

    d(w_k . f / N) / d alpha = -eta D_k <g'(lambda_k) e phi>,   phi = f . x / sqrt(N)                                for R, D
    d Q_kl / d alpha = the same for f = w_l, + k and l exchanged, + eta^2 D_k D_l <g'(lambda_k) g'(lambda_l) e^2>
    d v_k / d alpha = -eta <g(lambda_k) e>

T, S and C are constant. The feedback's own equation is the one of D: it adapts with the weights, and as its rate is D_k times something
bounded, D_k never changes its sign. ``e`` is a sum over g of the first K + M fields, with weights ``u = (v, -v*)``, so all is I2, I3 and
I4.

Sources: Saad & Solla (1995) for the method; Refinetti et al., ICML 2021, for fixed feedback; Srinivasan et al., ICLR 2024, for AFA. The
scaling of F is edgeff's: its overlaps with the weights are of order 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from edgeff.errors import BadInput, Diverged
from edgeff.ir import Array
from edgeff.studies.theory.first_order import first_order
from edgeff.studies.theory.gaussian import i2, i3, i4
from edgeff.studies.theory.order import Start, alignment, generalisation_error

Feedback = Literal["afa", "bp", "frozen"]
_RELATIVE, _ABSOLUTE = 1e-8, 1e-11
_LARGEST = 1e6  # an overlap of order 1 at the start that reaches this is diverging


@dataclass(frozen=True)
class Curve:
    """The order parameters at ``alphas`` (P,): ``overlaps`` (P, K + M + 1, K + M + 1) and ``v`` (P, K); ``teacher_v`` (M,) is constant."""

    alphas: Array
    overlaps: Array
    v: Array
    teacher_v: Array

    @property
    def errors(self) -> Array:
        """The generalisation error (P,)."""
        return np.array([generalisation_error(o, v, self.teacher_v) for o, v in zip(self.overlaps, self.v, strict=True)])

    @property
    def alignments(self) -> Array:
        """The cosine between feedback and second layer (P,)."""
        return np.array([alignment(o, v) for o, v in zip(self.overlaps, self.v, strict=True)])


def rates(overlaps: Array, v: Array, teacher_v: Array, lr: float, feedback: Feedback = "afa", scale: float = 0.0) -> tuple[Array, Array]:
    """The derivatives by alpha of ``overlaps`` and of ``v``, in their shapes.

    ``feedback`` is the feedback to the hidden units: ``afa`` D, ``bp`` v (gradient descent), ``frozen`` nothing (only v learns); without
    ``afa`` the last row of ``overlaps``, the feedback's, may be left out. ``scale``
    adds the deviation of PEPITA from AFA at this scale of F, to first order (``edgeff.studies.theory.first_order``).
    """
    hidden, units = len(v), len(v) + len(teacher_v)
    u = np.concatenate([v, -teacher_v])
    fed = {"afa": overlaps[:hidden, -1], "bp": v, "frozen": np.zeros(hidden)}[feedback]
    drift = -lr * fed[:, None] * (i3(overlaps, hidden)[:, :, :units] @ u)
    noise = lr**2 * np.outer(fed, fed) * (i4(overlaps[:units, :units], hidden) @ u @ u)
    of_v = -lr * i2(overlaps)[:hidden, :units] @ u
    if scale:
        more = first_order(overlaps, v, teacher_v, lr)
        drift, noise, of_v = drift + scale * more.drift, noise + scale * more.noise, of_v + scale * more.v
    change = np.zeros_like(overlaps)
    change[:hidden] += drift
    change[:, :hidden] += drift.T
    change[:hidden, :hidden] += noise
    return change, of_v


def solve(start: Start, alphas: Sequence[float] | Array, lr: float, feedback: Feedback = "afa", scale: float = 0.0) -> Curve:
    """The solution at ``alphas``, which rise from 0, by LSODA (it detects stiffness at high rates) with a relative tolerance of 1e-8.

    Raises BadInput for times that do not rise from 0 or a learning rate that is not above 0, and Diverged if the solution does.
    """
    from scipy.integrate import solve_ivp

    times = np.asarray(alphas, np.float64)
    check_times(times)
    check_rate(lr)
    size, teacher_v = len(start.overlaps), start.teacher_v

    what = f"the equations of PEPITA to first order, at scale {scale / sqrt(2.0):g}" if scale else f"the equations of {feedback}"
    diverged = Diverged(what, got=f"no solution up to alpha {times[-1]:g} at lr {lr:g}", next_step="lower --scale or --lr")

    def change(_alpha: float, state: Array) -> Array:
        of_overlaps, of_v = rates(state[: size**2].reshape(size, size), state[size**2 :], teacher_v, lr, feedback, scale)
        solution: Array = np.concatenate([of_overlaps.ravel(), of_v])
        if not np.isfinite(solution).all() or np.abs(state).max() > _LARGEST:
            raise diverged
        return solution

    begin = np.concatenate([start.overlaps.ravel(), start.v])
    with np.errstate(all="ignore"):
        solution = solve_ivp(change, (0.0, times[-1]), begin, "LSODA", times, rtol=_RELATIVE, atol=_ABSOLUTE)
    if not solution.success or not np.isfinite(solution.y).all():
        raise diverged
    states = solution.y.T
    return Curve(times, states[:, : size**2].reshape(-1, size, size), states[:, size**2 :], teacher_v)


def check_times(alphas: Array) -> None:
    """Raises BadInput if ``alphas`` (P,) do not rise from 0."""
    if alphas.ndim != 1 or len(alphas) < 2 or alphas[0] != 0.0 or not np.isfinite(alphas).all() or (np.diff(alphas) <= 0.0).any():
        raise BadInput("times alpha", got=f"{alphas.size} values", allowed="two or more, rising from 0")


def check_rate(lr: float) -> None:
    """Raises BadInput if ``lr`` is not a positive number."""
    if not 0.0 < lr <= 1e3:
        raise BadInput("learning rate", got=lr, allowed="above 0, to 1000")
