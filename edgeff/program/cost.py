"""What a program costs before anything is built: multiply-accumulates, weights and activations by call, and the arena of each half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeff import registry
from edgeff.ir import Call, CallCost, MemoryPlan, Program
from edgeff.program.plan import plan


@dataclass(frozen=True)
class ProgramCost:
    """The calls of both lines with their MACs, and the memory plan. ``weight_bytes`` counts parameters wherever they lie."""

    infer: tuple[CallCost, ...]
    learn: tuple[CallCost, ...]
    weight_bytes: int
    memory: MemoryPlan

    @property
    def infer_macs(self) -> int:
        return sum(call.macs for call in self.infer)

    @property
    def learn_macs(self) -> int:
        return sum(call.macs for call in self.learn)


def call_costs(program: Program, calls: Sequence[Call] | None = None) -> tuple[CallCost, ...]:
    """The static cost of each of ``calls``, by default of all the program's: ``infer``, then ``learn``."""
    chosen = (*program.infer, *program.learn) if calls is None else calls
    return tuple(CallCost(call.layer, call.kernel, call.stage, registry.kernels[call.kernel].macs(call.attrs)) for call in chosen)


def weight_bytes(program: Program) -> int:
    """The bytes of all parameters, with their multipliers and shifts, wherever they lie."""
    return sum(t.size_bytes for t in program.by_role("constant", "variable") if t.layer)


def layer_bytes(program: Program, layer: str, *roles: str) -> int:
    """The bytes of a layer's tensors in the given roles."""
    return sum(t.size_bytes for t in program.tensors.values() if t.layer == layer and t.role in roles)


def cost(program: Program) -> ProgramCost:
    """The cost of ``program``, exact."""
    return ProgramCost(call_costs(program, program.infer), call_costs(program, program.learn), weight_bytes(program), plan(program))
