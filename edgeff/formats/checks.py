"""The limits on names, shapes and arrays of any file, and how names are shown in messages."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import Array
from edgeff.ops.attributes import MAX_ELEMENTS

__all__ = ["MAX_AXES", "MAX_ELEMENTS", "MAX_NAME_CHARACTERS", "check_finite", "check_name", "check_shape", "short"]

MAX_NAME_CHARACTERS = 4096
MAX_AXES = 6
"""Limit for an input or an activation, without the batch axis."""


def check_name(name: str, what: str, *, empty_allowed: bool = False) -> None:
    """Returns nothing; raises BadInput for a name that is empty, too long, or no valid Unicode."""
    if not name and not empty_allowed:
        raise BadInput(f"{what} name", got="an empty name", allowed="1 character or more")
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadInput(f"{what} {short(name)}", got=f"a name of {len(name)} characters", allowed=f"at most {MAX_NAME_CHARACTERS}")
    if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
        raise BadInput(f"{what} {short(name)}", got="a lone surrogate in the name", allowed="valid Unicode")


def check_finite(array: Array, where: str) -> None:
    """Returns nothing; raises BadInput with the number of NaN and infinite elements of a float array, if any."""
    if array.dtype.kind == "f":
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise BadInput(where, got=f"{bad} NaN or infinite of {array.size} values", allowed="finite numbers")


def check_shape(shape: tuple[int, ...], where: str) -> None:
    """Returns nothing; raises BadInput for a shape with too many axes or elements, or with none."""
    if not 1 <= len(shape) <= MAX_AXES or min(shape) < 1 or prod(shape) > MAX_ELEMENTS:
        raise BadInput(f"shape of {where}", got=shape, allowed=f"1 to {MAX_AXES} axes and {MAX_ELEMENTS} elements, without the batch axis")
