"""Which activations a step of back-propagation stores: what is left out is computed again, which costs multiplications and saves arena.

The programs themselves are compared, by the bytes that each call needs. All activations are stored at first; then, one at a time,
that one of those alive at the peak is left out which brings the peak lowest, as long as one is left. No program on the way needs the
scales of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from edgeff.errors import DoesNotFit
from edgeff.ir import Network, Program
from edgeff.program.cost import call_costs
from edgeff.program.distances import call_bytes
from edgeff.program.plan import lifetimes, plan
from edgeff.program.select import select


class Stored(NamedTuple):
    """A program that stores the outputs of ``keep``: its peak, its step's multiplications, and which of ``keep`` are alive at the peak."""

    peak_bytes: int
    macs: int
    keep: tuple[str, ...]
    at_peak: tuple[str, ...]

    @property
    def setting(self) -> str:
        """``keep`` as the setting of a rule."""
        return ",".join(self.keep) or "none"


def peak_of(program: Program) -> tuple[int, set[str]]:
    """What persists and the most bytes that one call needs, and the tensors alive there: no arena is smaller."""
    spans = lifetimes(program)
    needed = call_bytes(program, spans)
    peak = max(needed, key=lambda call: (needed[call], call))
    persistent = sum(tensor.size_bytes for tensor in program.persistent)
    return needed[peak] + persistent, {name for name, parts in spans.items() if any(first <= peak <= last for first, last in parts)}


def tried(names: Collection[str], lowered: Callable[[str], Program]) -> Iterator[Stored]:
    """What is stored, from all of ``names`` down; ``lowered`` gives the program of a setting ``keep``."""

    def stored(keep: tuple[str, ...]) -> Stored:
        program = lowered(",".join(keep) or "none")
        peak_bytes, alive = peak_of(program)
        layers = {program.tensors[name].layer for name in alive}
        macs = sum(call.macs for call in call_costs(program, program.learn))
        return Stored(peak_bytes, macs, keep, tuple(name for name in keep if name in layers))

    best = stored(tuple(names))
    yield best
    while best.at_peak:
        best = min(stored(tuple(name for name in best.keep if name != left_out)) for left_out in best.at_peak)
        yield best


def chosen(network: Network, lowered: Callable[[str], Program], arena_limit: int) -> str:
    """The setting ``keep`` with the smallest arena, or the first on the way to it within ``arena_limit`` bytes (0: no limit).

    Args: ``network``, whose activations may be stored; ``lowered`` gives the program of a setting. Raises DoesNotFit if none is within
    the limit.
    """
    candidates = tried([layer.name for layer in network], lowered)
    if not arena_limit:
        return min(candidates, key=lambda item: (item.peak_bytes, item.macs)).setting
    arenas = []
    for item in candidates:
        arenas.append(plan(select(lowered(item.setting))).arena_bytes)
        if arenas[-1] <= arena_limit:
            return item.setting
    raise DoesNotFit(
        "setting arena_limit",
        got=f"{arena_limit:,} bytes",
        allowed=f"at least {min(arenas):,}, with the best choice of what a step stores",
        next_step="train fewer layers (layers=N), or biases alone (parameters=bias)",
    )
