"""What a program costs before anything is built: multiply-accumulates, weights and activations by call, and the arena of each half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeff import registry
from edgeff.ir import Call, CallCost, MemoryPlan, Program
from edgeff.plan import plan


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


def call_costs(program: Program, calls: Sequence[Call]) -> tuple[CallCost, ...]:
    """The static cost of each call."""
    return tuple(CallCost(call.layer, call.kernel, call.stage, registry.kernels[call.kernel].macs(call.attrs)) for call in calls)


def layer_bytes(program: Program, layer: str, *roles: str) -> int:
    """The bytes of a layer's tensors in the given roles."""
    return sum(t.size_bytes for t in program.tensors.values() if t.layer == layer and t.role in roles)


def cost(program: Program) -> ProgramCost:
    """The cost of ``program``, exact."""
    weights = sum(t.size_bytes for t in program.by_role("constant", "variable") if t.layer)
    return ProgramCost(call_costs(program, program.infer), call_costs(program, program.learn), weights, plan(program))
