"""Processor cores: everything that building, running and counting needs to know about one, in one record. One core per file.

A file defines a ``Core`` and registers it (``register``); boards name it. Cores from other distributions are found through the entry point
group ``edgeff.cores``, those of a folder through ``EDGEFF_PLUGIN_DIR``.

Cycle models assume zero wait states: the cost of flash and its cache is not modelled, and the model's notes say so. Without a model a core
has exact instruction counts and no cycles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgeff.device.isa import InstructionSet
from edgeff.device.isa.thumb import Instruction
from edgeff.errors import BadInput
from edgeff.ir import Board
from edgeff.registry import cores

__all__ = ["Core", "CycleModel", "core_of", "register"]

FPU = "fpu"
Flags = Mapping[str, tuple[str, ...]]


class CycleModel(Protocol):
    """The cycles of a core, with zero wait states."""

    @property
    def evidence(self) -> str:
        """The label that every figure of this model carries."""

    @property
    def notes(self) -> str:
        """The model's basis and omissions, in one or two sentences."""

    def decode(self, code: bytes, address: int) -> Sequence[Instruction]:
        """The instructions of the straight run ``code`` that lies at ``address``. Raises Unsupported for one that it does not know."""

    def cycles(self, block: Sequence[Instruction], taken: bool) -> int:
        """The cycles of one pass through a block.

        ``block`` is a straight run of instructions, of which only the last may branch; ``taken`` says whether the next instruction executed
        is not the one that follows in memory. An instruction skipped by its condition takes the time of an executed one.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A core, as boards name it.

    ``features`` are those that kernel variants may need: ``dsp`` (SIMD on halfwords), ``fpu`` (float32 in hardware), ``mve`` (Helium on
    integers and float32). ``startup`` names the start-up code that a firmware template has for it. ``toolchains`` holds each compiler's
    flags, ``without_fpu`` those for a board without the FPU; empty if no board can omit it. ``emulators`` holds the options with which each
    emulator becomes this core; an emulator that cannot is not listed.
    """

    name: str
    summary: str
    arch: str
    features: frozenset[str]
    isa: InstructionSet
    startup: str
    toolchains: Flags
    without_fpu: Flags = field(default_factory=dict)
    emulators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cycles: CycleModel | None = None

    def built(self, fpu: bool) -> Core:
        """This core with or without its FPU, flags included. Raises BadInput if there is no such core.

        >>> from edgeff.registry import cores
        >>> sorted(cores["cortex-m4"].built(fpu=False).features)
        ['dsp']
        """
        if fpu == (FPU in self.features):
            return self
        if fpu or not self.without_fpu:
            allowed = f"false: {self.name} has none" if fpu else f"true: {self.name} always has one"
            raise BadInput("fpu", got=str(fpu).lower(), allowed=allowed)
        return replace(self, features=self.features - {FPU}, toolchains=self.without_fpu, without_fpu={})


def register(core: Core) -> Core:
    """Registers ``core`` under its name and returns it."""
    return cores.add(core.name, core)


def core_of(board: Board) -> Core:
    """The core of a board, with or without FPU as on the board.

    Raises BadInput for a core that is not registered and for an FPU that it cannot have.

    >>> from edgeff.device.boards import load_board
    >>> core_of(load_board("nucleo_l4r5zi")).cycles.evidence
    'modelled, unvalidated'
    """
    core: Core = cores[board.core]
    return core.built(board.fpu)
