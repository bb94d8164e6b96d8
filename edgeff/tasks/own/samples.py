"""What a file or folder of a user's own holds, as read and before it is split: the record that every reader returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeff.ir import Array, Attr


@dataclass(frozen=True)
class Samples:
    """n samples, in the order of the file.

    ``x`` (n, *input shape) float32; ``labels`` (n,) strings or (n,) numbers, None where there are none (new data to predict);
    ``groups`` (n,) strings; ``test`` (n,) bool where the data state their own split; ``columns``, the names of the inputs of a table;
    ``classes``, where the data name them, else found in the labels; ``inputs``, what the numbers are; ``numbers``: they are measurements of
    unlike scale, which a network wants standardised; ``recipe`` and ``clip``: the attributes of the layer that computes x from ``clip``
    int16 samples, for sounds.
    """

    x: Array
    labels: Array | None
    groups: Array | None = None
    test: Array | None = None
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    inputs: str = "as they are"
    numbers: bool = False
    recipe: Mapping[str, Attr] | None = None
    clip: int = 0
