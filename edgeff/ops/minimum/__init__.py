"""The smaller of two activations, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Numeric
from edgeff.ops import operator
from edgeff.ops.pairwise import OneOfBoth


@operator
@dataclass(frozen=True, kw_only=True)
class Minimum(OneOfBoth):
    """``y = min(a, c)``, either side broadcast; in int8 both sides and the output have one scale, as in TFLite."""

    name: ClassVar[str] = "minimum"
    summary: ClassVar[str] = "the smaller of two activations, either broadcast"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS

    def first(self, a: Array, c: Array) -> Array:
        return np.asarray(a < c)
