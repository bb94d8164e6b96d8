"""Wrong values of any type, as mutations want them: the ends of ranges, neighbours of what was there, what has no meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from edgeff.ir import Array

INTEGERS = (0, 1, -1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32767, 65535, 1 << 24, (1 << 31) - 1, -(1 << 31), (1 << 32) - 1, 1 << 62)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1.2e-38, 1e-9, 1e9, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "input", "x" * 5000, "a\nb", "\x00", "é☃", "../../etc/passwd", "Conv", "SAME_UPPER", '{"layers": []}', "9" * 400)
T = TypeVar("T")


class Draw:
    """Choices by one seeded generator."""

    def __init__(self, seed: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def integer(self, old: int) -> int:
        return self.pick((*INTEGERS, old + 1, old - 1, 2 * old, -old, old // 2, self.below(10)))

    def real(self, old: float) -> float:
        return self.pick((*FLOATS, old * 2, old / 2, -old, old * 1.0001, old * 1e6))

    def text(self, old: str) -> str:
        return self.pick((*TEXTS, old + "_", old[:-1], old * 2, old[::-1]))

    def data(self, old: bytes) -> bytes:
        """Bytes that are cut, longer, noisy or empty."""
        at = self.below(len(old) + 1)
        return self.pick((b"", old[:at], old[at:], old + old[:16], old[:at] + bytes(self.rng.bytes(4)) + old[at + 4 :], b"\xff" * len(old)))

    def array(self, old: Array) -> Array:
        """An array of the same dtype with another element, length or order."""
        flat = old.reshape(-1)
        if not len(flat) or self.chance(0.25):
            return self.pick(
                (flat[:-1], flat[:0], np.concatenate([flat, flat[:1]]), flat[::-1].copy(), np.zeros(2, old.dtype), np.tile(flat, 3))
            )
        changed, at = flat.copy(), self.below(len(flat))
        with np.errstate(all="ignore"):
            value: Any = self.real(float(flat[at])) if old.dtype.kind == "f" else self.integer(int(flat[at])) & ((1 << 64) - 1)
            changed[at] = np.asarray(value, np.float64 if old.dtype.kind == "f" else np.uint64).astype(old.dtype)
        return changed

    def edited(self, old: list[T]) -> list[T]:
        """A list with an item dropped, repeated, moved or replaced by another; or an empty one."""
        if not old or self.chance(0.05):
            return []
        made, at, other = old.copy(), self.below(len(old)), self.below(len(old))
        way = self.below(4)
        if way == 0:
            del made[at]
        elif way == 1:
            made.insert(other, made[at])
        elif way == 2:
            made[at], made[other] = made[other], made[at]
        else:
            made[at] = made[other]
        return made

    def bytes_of_a_file(self, data: bytes) -> bytes:
        """Damage that knows no format: flipped bits, extreme words, cuts, repeats, holes, noise."""
        copy, at = bytearray(data), self.below(len(data))
        way = self.below(6)
        if way == 0:
            for place in self.rng.integers(len(data), size=self.below(8) + 1):
                copy[place] ^= 1 << self.below(8)
        elif way == 1:
            copy[at : at + 4] = (self.integer(len(data)) & 0xFFFFFFFF).to_bytes(4, "little")
        elif way == 2:
            del copy[at:]
        elif way == 3:
            copy[at:at] = copy[at : at + self.below(64) + 1]
        elif way == 4:
            del copy[at : at + self.below(16) + 1]
        else:
            copy[at : at + 16] = self.rng.bytes(16)
        return bytes(copy)
