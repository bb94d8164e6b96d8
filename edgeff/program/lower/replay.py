"""Learning from samples seen before: a ring of them in RAM, and the lines that fill it and learn from it.

What is kept is what the layers that learn read: the sample itself, or where frozen layers come before (``frozen:dense_1,bp``) their output,
in the number format they make it in. ``learn`` keeps its sample, learns it and takes some steps on entries that it draws; ``commit`` keeps
a sample and learns nothing; ``replay`` takes one step on an entry drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Literal, cast, get_args

from edgeff.errors import BadInput
from edgeff.ir import Tensor
from edgeff.ops.building import Value
from edgeff.program.lower.compose import Builder
from edgeff.rules import Rule

Keep = Literal["last", "spread", "balanced"]


@dataclass(frozen=True)
class Replay:
    """What a program keeps of the samples it has seen, and how it learns from them.

    ``entries``: how many. ``steps``: on how many of them, drawn with equal chance, ``learn`` takes a further step. ``keep``:
    ``spread``, each of those that came with the same chance, the ``last``, or ``balanced``, as many of each class as it can be.
    ``saved``: whether a saved state holds them.

    >>> Replay(64, steps=2)
    Replay(entries=64, steps=2, keep='spread', saved=True)
    """

    entries: int
    steps: int = 1
    keep: Keep = "spread"
    saved: bool = True

    def __str__(self) -> str:
        """As ``parse_replay`` reads it."""
        return f"{self.entries},steps={self.steps},keep={self.keep},saved={'yes' if self.saved else 'no'}"

    def __post_init__(self) -> None:
        if not 1 <= self.entries <= 1 << 30:
            raise BadInput("replay, entries", got=self.entries, allowed="1 to 2**30")
        if not 0 <= self.steps <= 1000:
            raise BadInput("replay, steps", got=self.steps, allowed="0 to 1000")
        if self.keep not in get_args(Keep):
            raise BadInput("replay, keep", got=repr(self.keep), allowed=", ".join(get_args(Keep)))


def parse_replay(text: str) -> Replay:
    """The setting that ``text`` spells: the count of entries, then ``key=value`` pairs.

    >>> parse_replay("64,keep=last,saved=no")
    Replay(entries=64, steps=1, keep='last', saved=False)
    """
    allowed = f"a count, such as 64, or with settings: 64,{','.join(f'{f.name}={f.default}' for f in fields(Replay)[1:])}"
    entries, *pairs = text.split(",")
    given = dict(pair.partition("=")[::2] for pair in pairs)
    yes = {"yes": True, "true": True, "no": False, "false": False}.get(given.get("saved", "yes").lower())
    whole = [number for number in (entries, given.get("steps", "1")) if number.isascii() and number.isdigit()]
    if not given.keys() <= {"steps", "keep", "saved"} or yes is None or len(whole) < 2:
        raise BadInput("replay", got=repr(text), allowed=allowed)
    return Replay(int(whole[0]), int(whole[1]), cast("Keep", given.get("keep", "spread")), yes)


class Ring:
    """The tensors of a ring, and the calls that fill it and draw from it. Without classes or values where the target is the input."""

    def __init__(self, build: Builder, replay: Replay, like: Value) -> None:
        self._build, self._replay, self._like = build, replay, like
        self.count = self._kept("count", (1,), "uint32")
        self._samples = self._kept("samples", (replay.entries, *like.shape), like.dtype)
        truth, name = build.truth, "labels" if build.target == "class" else "targets"
        self._truths = None if truth is None else self._kept(name, (replay.entries, *truth.shape), truth.dtype)
        self._classes, self._tally = prod(build.network.layers[-1].shape), None
        if replay.keep == "balanced":
            if build.target != "class":
                raise BadInput("replay, keep", got="'balanced' without classes", allowed="last, spread")
            self._tally = self._kept("tally", (2, self._classes), "uint32")

    def _kept(self, name: str, shape: tuple[int, ...], dtype: str) -> Value:
        tensor = Tensor(f"replay.{name}", shape, dtype, "ring", saved=self._replay.saved)
        return self._build.add(tensor)

    def _place(self, slot: Value) -> None:
        """Emits the choice of the entry that the present sample takes."""
        build, replay, key = self._build, self._replay, self._build.key("replay", "place")
        if self._tally is not None and self._truths is not None:
            attrs = {"entries": replay.entries, "classes": self._classes, "key": key}
            build.call("eff_ring_balance", [slot, self.count, self._tally], [self._truths, build.label], attrs, stage="replay")
            return
        attrs = {"entries": replay.entries, "spread": int(replay.keep == "spread"), "key": key}
        build.call("eff_ring_place", [slot, self.count], [], attrs, stage="replay")

    def push(self, x: Value) -> None:
        """Keeps x and what the present sample is to be learned as."""
        build, slot = self._build, self._build.activation("slot", (1,), dtype="int32")
        self._place(slot)
        for ring, value in ((self._samples, x), (self._truths, build.truth)):
            if ring is not None and value is not None:
                attrs = {"entries": self._replay.entries, "n_bytes": build.size_bytes(value)}
                build.call("eff_ring_write", [ring], [value, slot], attrs, stage="replay")

    @contextmanager
    def drawn(self) -> Iterator[Value]:
        """Within it the class or the values are those of an entry drawn, whose sample it gives."""
        build, slot = self._build, self._build.activation("slot", (1,), dtype="int32")
        attrs = {"entries": self._replay.entries, "key": build.key("replay", "draw")}
        build.call("eff_ring_draw", [slot], [self.count, build.step], attrs, stage="replay")
        x = build.activation("sample", self._like.shape, dtype=self._like.dtype, quant=build.quant(self._like))
        truth = self._drawn_truth(build.truth)
        for value, ring in ((x, self._samples), (truth, self._truths)):
            if ring is not None and value is not None:
                attrs = {"entries": self._replay.entries, "n_bytes": build.size_bytes(value)}
                build.call("eff_ring_read", [value], [ring, slot], attrs, stage="replay")
        with build.labelled(truth):
            yield x

    def _drawn_truth(self, like: Value | None) -> Value | None:
        """Where the class or the values of an entry drawn go."""
        if like is None:
            return None
        drawn = self._build.activation("label" if self._build.target == "class" else "target", like.shape, dtype=like.dtype)
        return replace(drawn, scale=like.scale, zero_point=like.zero_point)


def lower_with_replay(build: Builder, rule: Rule, replay: Replay, advance: Callable[[], None]) -> None:
    """Emits the lines ``learn``, ``commit`` and ``replay``; ``advance`` emits the end of a step."""
    build.begin("learn")
    x = rule.lower_features(build)
    ring = Ring(build, replay, x)

    def replayed() -> None:
        with ring.drawn() as entry:
            rule.lower_from(build, entry)
        advance()

    ring.push(x)
    rule.lower_from(build, x)
    advance()
    for _ in range(replay.steps):
        replayed()
    build.begin("commit")
    ring.push(rule.lower_features(build))
    build.begin("replay", sample=False)
    build.needs(ring.count)
    replayed()
