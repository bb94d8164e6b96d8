"""The file of a search for settings: its options, every trial, what was chosen for each rule, and what that reached on the test part.

It is both the result and the state of a search that was stopped: trials that it holds are not run again. Refused: a file of another search,
or one that is no such file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeff import atomic
from edgeff.bench.tuning import Choice, Search, validation_metric
from edgeff.errors import BadInput
from edgeff.tasks import Task

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...]


class RuleRecord(BaseModel):
    """One rule: the settings ``chosen``, their values at the ``start``, what they reach in ``validation``, and on the test part by seed."""

    model_config = ConfigDict(extra="forbid")

    chosen: dict[str, Value]
    start: dict[str, float]
    validation: float
    test: dict[int, float | None] = {}

    def texts(self) -> dict[str, str]:
        """The chosen settings as ``Settings.changed`` reads them."""
        return {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in self.chosen.items()}


class Record(BaseModel):
    """The whole file; ``data`` says which data of a user's own were read, and how.

    Accuracies are shares between 0 and 1; None is a run that diverged.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    number: Annotated[Literal[1], Field(alias="schema")] = 1
    task: str
    data: dict[str, str] = {}
    network: str
    bias: bool
    epochs: int
    candidates: int
    splits: int
    seed: int
    version: str
    metric: str
    validation_metric: str
    budget_epochs: int
    rules: dict[str, RuleRecord] = {}
    tried: dict[str, float | None] = {}

    def write(self, path: Path) -> None:
        """Writes the file whole. Raises BadInput if it cannot be written."""
        try:
            atomic.write_text(path, self.model_dump_json(by_alias=True, indent=1) + "\n")
        except OSError as error:
            raise BadInput(f"output file '{path}'", got=error.strerror or str(error), allowed="a path that can be written") from None


def chosen(choice: Choice) -> RuleRecord:
    """What was chosen for a rule, before any run on the test part."""
    return RuleRecord(chosen=dict(choice.changes), start=dict(choice.start), validation=choice.value)


def opened(path: Path, name: str, task: Task, network: str, search: Search, version: str, *, bias: bool, data: Mapping[str, str]) -> Record:
    """The record of this search in ``path`` as far as it got, or a new one. Raises BadInput for a file of anything else."""
    new = Record(
        task=name,
        data=dict(data),
        network=network,
        bias=bias,
        epochs=search.epochs,
        candidates=search.candidates,
        splits=search.splits,
        seed=search.seed,
        version=version,
        metric=task.metric,
        validation_metric=validation_metric(task),
        budget_epochs=search.budget_epochs,
    )
    if not path.exists():
        return new
    old = read_record(path)
    asked = {name: value for name, value in new.model_dump().items() if name not in ("rules", "tried")}
    differing = [f"{name} {getattr(old, name)}" for name, value in asked.items() if getattr(old, name) != value]
    if differing:
        wanted = ", ".join(f"{name} {asked[name]}" for name in asked if getattr(old, name) != asked[name])
        raise BadInput(f"search in '{path}'", got=", ".join(differing), allowed=wanted, next_step="write to another file with -o")
    return old


def read_record(path: Path) -> Record:
    """The record in ``path``. Raises BadInput if there is none."""
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"settings file '{path}'", got=error.strerror or str(error), allowed="a file that `edgeff tune` wrote") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "no text"}
        where = ".".join(map(str, first["loc"]))
        got = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise BadInput(f"settings file '{path}'", got=got, allowed="a file that `edgeff tune` wrote") from None


class Chosen(NamedTuple):
    """The settings that a search chose for a rule, as ``Settings.changed`` reads them, and how it chose them, for a model's metadata."""

    settings: dict[str, str]
    how: dict[str, Any]


def chosen_settings(path: Path, task: str, network: str, rule: str) -> Chosen:
    """What was chosen for ``rule``. Raises BadInput if that is not in ``path``, or for another task or network."""
    record = read_record(path)
    for what, got, allowed in (("task", task, record.task), ("network", network, record.network)):
        if got != allowed:
            raise BadInput(f"{what} for the settings of '{path}'", got=got, allowed=allowed, next_step="run `edgeff tune` for it")
    if rule not in record.rules:
        got = f"none for {rule}" if record.rules else "none yet"
        raise BadInput(f"settings in '{path}'", got=got, allowed=", ".join(record.rules), next_step=f"run `edgeff tune` with --rule {rule}")
    kept = record.rules[rule]
    how = {"by": "edgeff tune", "candidates": record.candidates, "budget_epochs": record.budget_epochs, "splits": record.splits}
    return Chosen(kept.texts(), how | {"seed": record.seed, f"validation_{record.validation_metric}": kept.validation})
