"""The cost of one inference or learning step on an emulated core: counted edges come in, the cost of each call and function goes out.

Instruction counts are exact: every instruction of every block that ran, including instructions skipped by their condition. Cycles are a
model's and carry its label; a core without a model has none.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgeff.device.cores import Core
from edgeff.device.emulation.counting import Counted
from edgeff.device.toolchains.elf import Symbol
from edgeff.errors import CheckFailed
from edgeff.ir import Board, Call, Cost

COUNTS_EVIDENCE = "exact (emulated)"
UNNAMED = "(no symbol)"


@dataclass(frozen=True, slots=True)
class CallProfile:
    """The cost of one call of a program: the kernel, everything it calls, and the instructions that set up its arguments."""

    name: str
    kernel: str
    stage: str
    instructions: int
    cycles: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The cost of one run of a line; calls and functions each add up to the total, exactly.

    ``functions`` and ``function_cycles`` map the symbols that ran to the instructions and cycles spent in themselves, most expensive first.
    On a core without a cycle model every cycle figure is None, and so is ``evidence``, the model's label.
    """

    line: str
    board: Board
    instructions: int
    cycles: int | None
    evidence: str | None
    calls: tuple[CallProfile, ...]
    functions: Mapping[str, int]
    function_cycles: Mapping[str, int | None]

    @property
    def latency_s(self) -> float | None:
        """The modelled cycles at the board's clock, in seconds."""
        return None if self.cycles is None else self.cycles / self.board.clock_hz

    @property
    def energy_j(self) -> float | None:
        """The modelled cycles at the core's typical run current, in joules; None where the board file does not give it."""
        return None if self.cycles is None or self.board.power is None else self.board.power.joules(self.cycles)

    def cost(self, macs: int | None = None) -> Cost:
        """This profile as the record in traces; multiply-accumulates are counted elsewhere."""
        evidence = COUNTS_EVIDENCE if self.evidence is None else f"instructions {COUNTS_EVIDENCE}, cycles {self.evidence}"
        return Cost(macs, self.instructions, self.cycles, self.latency_s, self.energy_j, evidence)


class _Tally:
    def __init__(self, timed: bool) -> None:
        self.instructions = 0
        self.cycles = 0 if timed else None

    def add(self, instructions: int, cycles: int | None) -> None:
        self.instructions += instructions
        if self.cycles is not None and cycles is not None:
            self.cycles += cycles


class _Block:
    """A straight run of code: its instructions, and its cycles if there is a model."""

    def __init__(self, code: bytes, address: int, core: Core) -> None:
        self.instructions = len(core.isa.lengths(code))
        self._model, self._decoded = core.cycles, core.cycles.decode(code, address) if core.cycles else ()
        if core.cycles and len(self._decoded) != self.instructions:
            raise CheckFailed(f"block at {address:#010x}", got=len(self._decoded), allowed=f"{self.instructions} instructions")

    def cycles(self, leaves: bool) -> int | None:
        """The cycles of one pass; ``leaves``: the next block is not the one that follows in memory."""
        if self._model is None:
            return None
        return self._model.cycles(self._decoded, leaves and self._decoded[-1].branch)


def profile_edges(
    line: str,
    counted: Counted,
    program_calls: Sequence[Call],
    functions: Sequence[Symbol],
    read: Callable[[int, int], bytes],
    board: Board,
    core: Core,
) -> Profile:
    """The profile of counted edges; ``read(address, size)`` returns the code that ran.

    Raises CheckFailed if the firmware made another number of calls than ``program_calls`` has.
    """
    if counted.calls != len(program_calls):
        raise CheckFailed(f"calls of {line} in the firmware", got=counted.calls, allowed=f"{len(program_calls)}, as in the program")
    timed = core.cycles is not None
    by_call = [_Tally(timed) for _ in program_calls]
    by_function: dict[str, _Tally] = {}
    starts = [function.address for function in functions]
    blocks: dict[tuple[int, int], _Block] = {}
    total = _Tally(timed)
    for edge in counted.edges:
        key = (edge.start, edge.size_bytes)
        if key not in blocks:
            blocks[key] = _Block(read(*key), edge.start, core)
        block = blocks[key]
        cycles = block.cycles(leaves=edge.to != edge.start + edge.size_bytes)
        spent = edge.count * block.instructions, None if cycles is None else edge.count * cycles
        # The return of the body comes after the last call and is attributed to it.
        by_call[min(edge.segment, len(by_call) - 1)].add(*spent)
        name = _function_at(edge.start, starts, functions)
        by_function.setdefault(name, _Tally(timed)).add(*spent)
        total.add(*spent)
    ranked = sorted(by_function.items(), key=lambda item: (-item[1].instructions, item[0]))
    return Profile(
        line=line,
        board=board,
        instructions=total.instructions,
        cycles=total.cycles,
        evidence=core.cycles.evidence if core.cycles else None,
        calls=tuple(
            CallProfile(call.layer, call.kernel, call.stage, tally.instructions, tally.cycles)
            for call, tally in zip(program_calls, by_call, strict=True)
        ),
        functions={name: tally.instructions for name, tally in ranked},
        function_cycles={name: tally.cycles for name, tally in ranked},
    )


def _function_at(address: int, starts: Sequence[int], functions: Sequence[Symbol]) -> str:
    """The function that an address belongs to: the last one that begins at or before it (assembly routines often state no size)."""
    place = bisect.bisect_right(starts, address) - 1
    return functions[place].name if place >= 0 else UNNAMED
