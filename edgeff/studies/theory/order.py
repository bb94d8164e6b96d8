"""Order parameters: the overlaps of all weight vectors, which together with the second layers are sufficient when N is large.

Rows of length N: the student's w_1 .. w_K, the teacher's u_1 .. u_M and the feedback vector F. For an input x with entries N(0, 1) the
K + M + 1 numbers (w_k . x, u_m . x, F . x) / sqrt(N) are Gaussian; their covariance is the Gram matrix of the rows over N, ``overlaps``:

    [ Q    R    D ]    Q_kl = w_k . w_l / N    R_km = w_k . u_m / N    D_k = w_k . F / N, the feedback of hidden unit k
    [ R^T  T    S ]                            T_mn = u_m . u_n / N    S_m = u_m . F / N
    [ D^T  S^T  C ]                                                    C = F . F / N
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.studies.theory.gaussian import i2

LARGEST = 16
"""Most hidden units of a network: the averages are over four fields, each one of up to 2 x 16 units."""
TYPICAL_LENGTH = 10


@dataclass(frozen=True)
class Start:
    """Where learning starts: ``overlaps`` (K + M + 1, K + M + 1), ``v`` (K,) of the student and ``teacher_v`` (M,), float64.

    Raises BadInput if the sizes do not match or no vectors have these overlaps.
    """

    overlaps: Array
    v: Array
    teacher_v: Array

    def __post_init__(self) -> None:
        size = len(self.v) + len(self.teacher_v) + 1
        if self.overlaps.shape != (size, size):
            raise BadInput("overlaps", got=f"shape {self.overlaps.shape}", allowed=f"({size}, {size}): student, teacher and feedback")
        if not np.array_equal(self.overlaps, self.overlaps.T) or np.linalg.eigvalsh(self.overlaps)[0] <= 0.0:
            raise BadInput("overlaps", got="a matrix that no independent vectors have", allowed="symmetric and positive definite")


def random_start(hidden: int = 2, teacher: int = 2, seed: int = 0) -> Start:
    """A start with overlaps of order 1: those of K + M + 1 random directions in a space of few dimensions, all of squared length N.

    In N dimensions random directions have overlaps of order 1 / sqrt(N), so the feedback vanishes in the limit and is only noise
    before it; here the overlaps stay finite in the limit. The student's second layer starts at 0, the teacher's is 1 (a committee).
    Raises BadInput for sizes outside 1 to 16.
    """
    for name, units in (("hidden units of the student", hidden), ("hidden units of the teacher", teacher)):
        if not 1 <= units <= LARGEST:
            raise BadInput(name, got=units, allowed=f"1 to {LARGEST}")
    size = hidden + teacher + 1
    rows = np.random.default_rng(seed).standard_normal((size, max(TYPICAL_LENGTH, 2 * size)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gram = rows @ rows.T
    return Start((gram + gram.T) / 2.0, np.zeros(hidden), np.ones(teacher))


def generalisation_error(overlaps: Array, v: Array, teacher_v: Array) -> float:
    """``<(y - y*)^2> / 2`` over all inputs, exact: ``u I2 u / 2`` with ``u = (v, -v*)``.

    >>> round(generalisation_error(np.eye(3), np.zeros(1), np.ones(1)), 6)  # no output: <g(nu)^2> / 2
    0.166667
    """
    u = np.concatenate([v, -teacher_v])
    return float(0.5 * u @ i2(overlaps[: len(u), : len(u)]) @ u)


def alignment(overlaps: Array, v: Array) -> float:
    """The cosine of the angle between the feedback D and the second layer v, which gradient descent would feed back; 0 if v is 0."""
    feedback = overlaps[: len(v), -1]
    lengths = float(np.linalg.norm(feedback) * np.linalg.norm(v))
    return float(feedback @ v) / lengths if lengths else 0.0
