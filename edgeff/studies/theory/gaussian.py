"""Averages over Gaussian fields of products of ``g(u) = erf(u / sqrt 2)``, in closed form.

Source: Saad & Solla, Phys. Rev. E 52, 4225 (1995), derived here in another way.

The fields have mean 0 and covariance C. Three facts give all averages:

    <g(c) g(d)> = 2/pi arcsin(C_cd / sqrt((1 + C_cc) (1 + C_dd)))                                                     (1)
    <g'(a) f> = sqrt(2/pi) / sqrt(1 + C_aa) <f>_a,   where < >_a has the covariance C - c_a c_a^T / (1 + C_aa)        (2)
    <b f> = sum_c C_bc <df/dc>   (Stein's lemma)                                                                      (3)

with c_a the column of C at a. (2) holds for any f: ``g'(u) = sqrt(2/pi) exp(-u^2 / 2)`` adds 1 to the precision of the field a, which tilts
the measure. I3 of Saad & Solla is (2), then (3), then (2); I4 is (2) twice, then (1).

Every function takes covariances (..., F, F), positive semidefinite, float64, and returns the averages for all choices of fields at once.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array


def i2(cov: Array) -> Array:
    """``<g(c) g(d)>`` as (..., F, F), each between -1 and 1.

    >>> i2(np.eye(2)).round(4).tolist()
    [[0.3333, 0.0], [0.0, 0.3333]]
    """
    spread = np.sqrt(1.0 + np.diagonal(cov, axis1=-2, axis2=-1))
    averages: Array = 2.0 / np.pi * np.arcsin(cov / (spread[..., :, None] * spread[..., None, :]))
    return averages


def i3(cov: Array, hidden: int) -> Array:
    """``<g'(a) b g(c)>`` as (..., hidden, F, F) at [a, b, c]; a is one of the first ``hidden`` fields.

    >>> float(i3(np.eye(2), 1)[0, 1, 1].round(4))  # <g'(a)> <b g(b)>
    0.3183
    """
    weight, inner = tilted(cov, hidden)
    slopes = np.sqrt(2.0 / np.pi / (1.0 + np.diagonal(inner, axis1=-2, axis2=-1)))  # <g'(c)>_a: (..., hidden, F)
    averages: Array = weight[..., None, None] * inner * slopes[..., None, :]
    return averages


def i4(cov: Array, hidden: int) -> Array:
    """``<g'(a) g'(b) g(c) g(d)>`` as (..., hidden, hidden, F, F) at [a, b, c, d]; a and b are among the first ``hidden`` fields.

    >>> float(i4(np.eye(3), 2)[0, 1, 2, 2].round(4))  # <g'(a)>^2 <g(c)^2>
    0.1061
    """
    weight, inner = twice_tilted(cov, hidden)
    averages: Array = weight[..., None, None] * i2(inner)
    return averages


def tilted(cov: Array, hidden: int) -> tuple[Array, Array]:
    """``<g'(a)>`` as (..., hidden), and the covariance of the fields under the measure tilted by g'(a), (..., hidden, F, F): fact (2)."""
    scale = 1.0 + np.diagonal(cov, axis1=-2, axis2=-1)[..., :hidden]
    column = cov[..., :hidden, :]
    outer = column[..., :, None] * column[..., None, :]
    return np.sqrt(2.0 / np.pi / scale), cov[..., None, :, :] - outer / scale[..., None, None]


def twice_tilted(cov: Array, hidden: int) -> tuple[Array, Array]:
    """``<g'(a) g'(b)>`` as (..., hidden, hidden), and the covariance under both, (..., hidden, hidden, F, F)."""
    weight, inner = tilted(cov, hidden)
    more, innermost = tilted(inner, hidden)
    return weight[..., None] * more, innermost
