"""The results of an attack, for pages and machines: a sweep of every model, and the effect of its examples on the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeff.studies.attack.perturb import Span
from edgeff.studies.attack.sweep import Settings, Sweep


@dataclass(frozen=True)
class Run:
    """One model under attack: its name here, the rule and the seed of its training (None: unknown), and its sweep."""

    model: str
    rule: str | None
    seed: int
    sweep: Sweep


@dataclass(frozen=True)
class Carried:
    """Shares of samples that ``victim`` classifies correctly on FGSM and PGD examples of ``source``; ``epsilon``: share of the range."""

    source: str
    victim: str
    epsilon: float
    fgsm: float
    pgd: float


@dataclass(frozen=True)
class Attack:
    """Models on one task, whose valid inputs lie in ``span``, under one attack."""

    task: str
    span: Span
    settings: Settings
    runs: tuple[Run, ...]
    carried: tuple[Carried, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the gradient of every model passed its check."""
        return all(run.sweep.check.ok for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON; shares between 0 and 1."""
        models = []
        for run in self.runs:
            record = asdict(run.sweep)
            check = record.pop("check") | {"ok": run.sweep.check.ok}
            models.append({"model": run.model, "rule": run.rule, "seed": run.seed, **record, "check": check})
        attack = {"losses": [*self.settings.losses], "steps": self.settings.steps, "random_start": self.settings.random_start}
        transfers = [asdict(entry) for entry in self.carried]
        return {"ok": self.ok, "task": self.task, "range": [*self.span], "attack": attack, "models": models, "transfers": transfers}
