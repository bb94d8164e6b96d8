"""Network + task + budget -> what can learn on a device within it, best first: rule, settings, numeric, layers.

RAM is planned, so exact (``edgeff.program.plan``: the ELF's bytes; a budget also has to hold ``STACK_BYTES``). Accuracy is looked up in
what was measured (``edgeff.bench.measured``), None where nothing was; then a choice takes its place by how its rule and numeric stood on
other networks of the same kind. Nothing is trained. Refused: a budget that nothing fits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from edgeff import registry
from edgeff.bench.kernel_cycles import cycles_of
from edgeff.bench.measured import CONVOLUTIONAL, DENSE, expected_loss, find, table
from edgeff.device.cores import core_of
from edgeff.errors import BadInput, DoesNotFit, Unsupported
from edgeff.ir import Array, Board, Network, Numeric, Program
from edgeff.ops.canonical import canonical
from edgeff.program.chain import RULE, chain
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import GUARD_BYTES, flash_bytes, guard_bytes, plan
from edgeff.program.select import select
from edgeff.program.state import place_bytes
from edgeff.rules import Rule

STACK_BYTES = 1_536
"""Kept free for the stack: painted stacks of learning steps take up to 720 bytes in dense networks, and in pooled blocks up to 1,250 on a
Cortex-M4 and 1,536 on a Cortex-M0+."""
CODE_BYTES = 16_384
"""Counted as flash beside the constants; firmware of one rule takes 9 to 12 KB of code with dense layers, more with convolutions."""
ERASE_BYTES = 2_048
"""The erase block of which a finished block's place in flash is made."""
BLOCKS, ALL = "blocks", "all"


@dataclass(frozen=True)
class Choice:
    """One way to learn. ``settings`` are those of ``--set``, ``arena_limit`` that of ``--arena-limit``; ``layers`` is ``all`` or the names
    of those that learn.

    ``ram_bytes`` is static RAM, ``flash_bytes`` constants, an allowance for code, and places for finished blocks; ``accuracy`` a share.
    ``schedule`` is empty, or ``blocks``: one block at a time, of which the largest counts. ``score`` puts choices in order.
    """

    rule: str
    settings: Mapping[str, str]
    numeric: str
    layers: str | tuple[str, ...]
    ram_bytes: int
    flash_bytes: int
    accuracy: float | None
    evidence: str
    steps_per_second: float | None
    schedule: str
    score: float = field(repr=False, default=0.0)

    @property
    def described(self) -> dict[str, Any]:
        """The choice as JSON."""
        layers = ALL if self.layers == ALL else list(self.layers)
        names = ("rule", "settings", "numeric", "schedule", "ram_bytes", "flash_bytes", "accuracy", "evidence", "steps_per_second")
        return {name: getattr(self, name) for name in names} | {"layers": layers, "settings": dict(self.settings)}


@dataclass(frozen=True)
class Budget:
    """Bytes of RAM and flash, and learning steps in a second on ``board``; None for no limit."""

    ram_bytes: int
    flash_bytes: int | None = None
    steps_per_second: float | None = None
    board: Board | None = None

    def holds(self, choice: Choice) -> bool:
        """Whether the choice fits, with a stack. A speed that is not known does not."""
        fast = self.steps_per_second is None or (choice.steps_per_second or 0.0) >= self.steps_per_second
        return choice.ram_bytes + STACK_BYTES <= self.ram_bytes and choice.flash_bytes <= (self.flash_bytes or choice.flash_bytes) and fast


@dataclass(frozen=True)
class Fit:
    """The choices that fit, best first; ``only_last_layer``: none of them teaches more than the last layer."""

    choices: tuple[Choice, ...]
    only_last_layer: bool


@dataclass(frozen=True)
class _Case:
    network: Network
    x: Array
    task: str
    budget: Budget
    seed: int

    @property
    def kind(self) -> str:
        return CONVOLUTIONAL if any(layer.params["weight"].ndim > 2 for layer in self.network.trainable) else DENSE

    @property
    def features(self) -> frozenset[str]:
        """What the board's core has, for which variants of kernels are selected."""
        return frozenset() if self.budget.board is None else core_of(self.budget.board).features

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.network.trainable)

    def deployment(self, rule: str, numeric: Numeric, **changes: Any) -> Deployment:
        return deploy(self.network, self.x, rule=rule, numeric=numeric, changes=changes, seed=self.seed)


def fit(
    network: Network,
    x: Array,
    task: str,
    budget: Budget,
    *,
    rules: Collection[str] | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Fit:
    """What fits the budget.

    Args:
        network: float, with parameters (fresh ones: bytes do not depend on them).
        x: samples (n, *input shape), to calibrate on.
        task: the name under which accuracies were measured.
        budget: what there is.
        rules: the names of those to look at, by default all.
        seed: of what rules draw.
        progress: is called with what is done, how many are done, and of how many.
    Raises: DoesNotFit, with the fewest bytes that would do, where nothing fits.
    """
    case = _Case(canonical(network, side_branches=False), x, task, budget, seed)
    every: list[Choice] = []
    pairs = [(rule, numeric) for rule in registry.rules.values() if rules is None or rule.name in rules for numeric in rule.numerics]
    for done, (rule, numeric) in enumerate(pairs):
        if progress:
            progress(f"planning {rule.name} in {numeric}", done, len(pairs))
        try:
            every += _of_rule(case, rule, numeric)
        except (BadInput, Unsupported):
            continue
    fitting = sorted((choice for choice in every if budget.holds(choice)), key=lambda choice: (-choice.score, choice.ram_bytes))
    if not fitting:
        least = min((choice.ram_bytes + STACK_BYTES for choice in every), default=0)
        what = f"{budget.ram_bytes:,} bytes of RAM" + ("" if budget.flash_bytes is None else f" and {budget.flash_bytes:,} of flash")
        what += "" if budget.steps_per_second is None else f" at {budget.steps_per_second:g} steps per second"
        step = f"at least {least:,} bytes of RAM learn something" if least else "no rule learns this network on a device"
        raise DoesNotFit(f"learning {network.name}", got=what, next_step=step)
    last = (case.names[-1],)
    return Fit(tuple(fitting), all(choice.layers == last for choice in fitting))


def _of_rule(case: _Case, rule: Rule, numeric: Numeric) -> Iterator[Choice]:
    """The ways of one rule in one numeric: all it can learn, what recomputation saves, fewer layers, and one block at a time."""
    whole = case.deployment(rule.name, numeric)
    learning = tuple(layer.name for layer in rule.learns(case.network, settings=whole.settings) if layer.name in case.names)
    layers: str | tuple[str, ...] = ALL if learning == case.names or rule.side_branches else learning
    first = _choice(case, (whole,), {}, layers)
    yield first
    known = set(vars(whole.settings))
    if rule.name == RULE and numeric == "int8":
        narrow, wide = (_chained(case, whole, {"master": master}) for master in ("8", "16"))
        yield from (narrow, wide)
        limit = case.budget.ram_bytes - STACK_BYTES - GUARD_BYTES
        if limit > 0 and narrow.ram_bytes + STACK_BYTES > case.budget.ram_bytes:
            with suppress(Unsupported):
                yield _chained(case, whole, {"master": "8", "arena_limit": str(limit)})
    if case.budget.holds(first):
        return
    if "keep" in known and case.kind == CONVOLUTIONAL:
        yield _choice(case, (case.deployment(rule.name, numeric, keep="least"),), {"keep": "least"}, layers)
    if "layers" in known and rule.name == "bp":
        for count in range(len(case.names) - 1, 0, -1):
            part = _choice(case, (case.deployment(rule.name, numeric, layers=count),), {"layers": str(count)}, case.names[-count:])
            if case.budget.holds(part) or count == 1:
                yield part
                break


def _chained(case: _Case, whole: Deployment, settings: Mapping[str, str]) -> Choice:
    """One block at a time: the largest block's RAM; the flash of all weights once more, a place for each finished block.

    With ``arena_limit`` layers are had in parts where a block would take more; Unsupported where that does not do.
    """
    changes, limit = {"master": int(settings["master"])}, int(settings.get("arena_limit", 0))
    blocks = chain(case.network, case.x, numeric="int8", changes=changes, seed=case.seed, arena_limit=limit, features=case.features)
    parts = tuple(blocks.deployment(number) for number in range(1, blocks.blocks + 1))
    return _choice(case, parts, settings, ALL, whole.program)


def _choice(
    case: _Case,
    deployments: tuple[Deployment, ...],
    settings: Mapping[str, str],
    layers: str | tuple[str, ...],
    whole: Program | None = None,
) -> Choice:
    programs = [select(deployment.program, case.features) for deployment in deployments]
    plans = [plan(program) for program in programs]
    ram = max(memory.arena_bytes + guard_bytes(program) for memory, program in zip(plans, programs, strict=True))
    schedule = BLOCKS if whole is not None else ""
    constants = plans[0].flash_bytes
    if whole is not None:
        constants = flash_bytes(select(whole, case.features)) + sum(place_bytes(memory, ERASE_BYTES) for memory in plans)
    rule, numeric = programs[0].rule, str(deployments[0].network.numeric)
    measured = find(case.task, case.network.name, rule, numeric, schedule)
    partial = layers != ALL and rule != "frozen"
    accuracy = None if measured is None or partial else measured.accuracy
    return Choice(
        rule=rule,
        settings=settings,
        numeric=numeric,
        layers=layers,
        ram_bytes=ram,
        flash_bytes=constants + CODE_BYTES,
        accuracy=accuracy,
        evidence=_evidence(None if accuracy is None else measured, case.kind),
        steps_per_second=_steps(case.budget.board, programs),
        schedule=schedule,
        score=accuracy if accuracy is not None else _expected(case, rule, numeric, schedule, layers),
    )


def _evidence(measured: Any, kind: str) -> str:
    known = f"not measured; in order by its standing on {kind} networks" if measured is None else measured.evidence
    return f"accuracy {known}. RAM planned, equal to the ELF's static RAM of the model; flash: constants planned, code allowed for"


def _steps(board: Board | None, programs: Iterable[Program]) -> float | None:
    """Learning steps in a second by the slowest of ``programs``, modelled; None without a board, and where a kernel was not counted."""
    if board is None:
        return None
    cycles = [cycles_of(program, "learn", board.core) for program in programs]
    known = [count for count in cycles if count]
    return float(f"{board.clock_hz / max(known):.3g}") if len(known) == len(cycles) else None


def _expected(case: _Case, rule: str, numeric: str, schedule: str, layers: str | tuple[str, ...]) -> float:
    """The best that was measured on this network and task, less what is expected to be missing; fewer layers lie towards the last alone."""
    own = [row.accuracy for row in table() if (row.task, row.network) == (case.task, case.network.name)]
    missing = expected_loss(rule, numeric, case.kind, schedule)
    if layers != ALL and rule != "frozen":
        share = (len(layers) - 1) / max(len(case.names) - 1, 1)
        alone = expected_loss("frozen", numeric, case.kind)
        missing = share * missing + (1 - share) * max(alone, missing)
    return max(own, default=1.0) - missing
