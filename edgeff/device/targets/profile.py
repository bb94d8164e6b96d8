"""What one inference or learning step costs on an emulated core: counted edges come in, the cost of each call and function goes out.

Instruction counts are exact: every instruction of every block that ran, an instruction that its condition skips included. Cycles are a
model's and carry its label.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgeff.device.cores import CycleModel
from edgeff.device.cores.model import Instruction, count_instructions, decode
from edgeff.device.targets.counting import Edge
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
    cycles: int


@dataclass(frozen=True, slots=True)
class Profile:
    """The cost of one run of a line; calls and functions each add up to the total, exactly.

    ``functions`` and ``function_cycles`` map the symbols that ran to the instructions and cycles spent in themselves, dearest first.
    """

    line: str
    board: Board
    instructions: int
    cycles: int
    evidence: str
    calls: tuple[CallProfile, ...]
    functions: Mapping[str, int]
    function_cycles: Mapping[str, int]

    @property
    def latency_s(self) -> float:
        """The modelled cycles at the board's clock, in seconds."""
        return self.cycles / self.board.clock_hz

    def cost(self, macs: int | None = None) -> Cost:
        """This profile as the record that traces hold; multiply-accumulates are counted elsewhere."""
        evidence = f"instructions {COUNTS_EVIDENCE}, cycles {self.evidence}"
        return Cost(macs=macs, instructions=self.instructions, cycles=self.cycles, latency_s=self.latency_s, evidence=evidence)


class _Tally:
    def __init__(self) -> None:
        self.instructions = self.cycles = 0

    def add(self, instructions: int, cycles: int) -> None:
        self.instructions += instructions
        self.cycles += cycles


def profile_edges(
    line: str,
    edges: Sequence[Edge],
    counted_calls: int,
    program_calls: Sequence[Call],
    functions: Sequence[Symbol],
    read: Callable[[int, int], bytes],
    board: Board,
    model: CycleModel,
) -> Profile:
    """The profile of counted edges; ``read(address, size)`` gives the code that ran.

    Raises CheckFailed when the firmware made another number of calls than ``program_calls`` has.
    """
    if counted_calls != len(program_calls):
        raise CheckFailed(f"calls of {line} in the firmware", got=counted_calls, allowed=f"{len(program_calls)}, as in the program")
    by_call = [_Tally() for _ in program_calls]
    by_function: dict[str, _Tally] = {}
    starts = [function.address for function in functions]
    blocks: dict[tuple[int, int], tuple[Instruction, ...]] = {}
    for edge in edges:
        key = (edge.start, edge.size_bytes)
        if key not in blocks:
            code = read(*key)
            blocks[key] = decode(code, edge.start)
            if len(blocks[key]) != count_instructions(code):
                raise CheckFailed(f"block at {edge.start:#010x}", got=len(blocks[key]), allowed=f"{count_instructions(code)} instructions")
        block = blocks[key]
        taken = block[-1].branch and edge.to != edge.start + edge.size_bytes
        cycles = model.cycles(block, taken)
        # The return of the body comes after the last call and is booked on it.
        by_call[min(edge.segment, len(by_call) - 1)].add(edge.count * len(block), edge.count * cycles)
        name = _function_at(edge.start, starts, functions)
        by_function.setdefault(name, _Tally()).add(edge.count * len(block), edge.count * cycles)
    ranked = sorted(by_function.items(), key=lambda item: (-item[1].instructions, item[0]))
    return Profile(
        line=line,
        board=board,
        instructions=sum(tally.instructions for tally in by_call),
        cycles=sum(tally.cycles for tally in by_call),
        evidence=model.evidence,
        calls=tuple(
            CallProfile(call.layer, call.kernel, call.stage, tally.instructions, tally.cycles)
            for call, tally in zip(program_calls, by_call, strict=True)
        ),
        functions={name: tally.instructions for name, tally in ranked},
        function_cycles={name: tally.cycles for name, tally in ranked},
    )


def _function_at(address: int, starts: Sequence[int], functions: Sequence[Symbol]) -> str:
    """The function an address belongs to: the last one that begins at or before it (assembly routines often state no size)."""
    place = bisect.bisect_right(starts, address) - 1
    return functions[place].name if place >= 0 else UNNAMED
