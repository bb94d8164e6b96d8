"""The cost of a program before anything is built: multiply-accumulates, weights and activations by call, and the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeff import registry
from edgeff.ir import Call, CallCost, Cost, LineCost, MemoryPlan, Program
from edgeff.program.plan import plan
from edgeff.program.select import select


@dataclass(frozen=True)
class ProgramCost:
    """The calls of each line with their MACs, and the memory plan. ``weight_bytes`` counts parameters wherever they are stored."""

    lines: Mapping[str, tuple[CallCost, ...]]
    weight_bytes: int
    memory: MemoryPlan

    def macs(self, line: str) -> int:
        """The multiply-accumulates of one run of a line; 0 for one that the program does not have."""
        return sum(call.macs for call in self.lines.get(line, ()))


def program_costs(known: ProgramCost, evidence: str | None = None) -> dict[str, LineCost]:
    """The multiply-accumulates of each line as the records in traces, without its calls."""
    return {name: LineCost(Cost(macs=known.macs(name), evidence=evidence)) for name in known.lines}


def call_costs(program: Program, calls: Sequence[Call] | None = None) -> tuple[CallCost, ...]:
    """The static cost of each of ``calls``, by default of all the program's, line after line."""
    chosen = program.calls if calls is None else calls
    return tuple(CallCost(call.layer, call.kernel, call.stage, registry.kernels[call.kernel].macs(call.attrs)) for call in chosen)


def weight_bytes(program: Program) -> int:
    """The bytes of all parameters, with their multipliers and shifts, wherever they are stored."""
    return sum(t.size_bytes for t in program.by_role("constant", "variable") if t.layer)


def layer_bytes(program: Program, layer: str, *roles: str) -> int:
    """The bytes of a layer's tensors in the given roles."""
    return sum(t.size_bytes for t in program.tensors.values() if t.layer == layer and t.role in roles)


def cost(program: Program, features: frozenset[str] = frozenset()) -> ProgramCost:
    """The cost of ``program``, exact, on a core that has ``features``; by default that of C for any core."""
    lines = {name: call_costs(program, line.calls) for name, line in program.lines.items()}
    return ProgramCost(lines, weight_bytes(program), plan(select(program, features)))
