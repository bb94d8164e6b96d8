"""What rules have in common whose channel groups compete for the classes: their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeff.errors import BadInput
from edgeff.rules import Settings


@dataclass(frozen=True)
class GroupSettings(Settings):
    """``sharpness``: the factor on goodness before the softmax. ``predict``: ``head``, the network's own output, or ``goodness``, the sum
    over hidden layers. ``head_rate``: the head's learning rate as a multiple of the others'.
    """

    sharpness: float = 3.0
    predict: str = "head"
    head_rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predict not in ("head", "goodness"):
            raise BadInput("setting predict", got=repr(self.predict), allowed="head, goodness")
        for name in ("sharpness", "head_rate"):
            if not 0.0 < getattr(self, name) <= 100.0:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="above 0, at most 100")

    @property
    def searched(self) -> Mapping[str, float]:
        return {**super().searched, "sharpness": 4.0}
