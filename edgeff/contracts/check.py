"""A check: one requirement on every registered item of a kind, with a sentence for a name and one line for a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edgeff.errors import CheckFailed, EdgeffError

T = TypeVar("T")


def always(item: Any) -> bool:  # noqa: ARG001 - the signature of ``Check.applies``
    """True."""
    return True


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """``ask(item)`` raises CheckFailed if the item does not do what ``name`` says.

    ``applies`` says whether the check makes sense for an item. ``slow``: it takes more than a few seconds.
    """

    name: str
    ask: Callable[[T], None]
    applies: Callable[[T], bool] = always
    slow: bool = False

    def failure(self, item: T) -> str:
        """One line that says what does not hold, empty if the check passes. Any exception of the item is a failure."""
        try:
            self.ask(item)
        except EdgeffError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - it comes from the code of a plug-in
            return str(CheckFailed(self.name, got=f"{type(error).__name__}: {error}"))
        return ""


def require(holds: bool, what: str, *, got: object = "", allowed: object = "", next_step: str = "") -> None:
    """Raises CheckFailed unless ``holds``."""
    if not holds:
        raise CheckFailed(what, got=got, allowed=allowed, next_step=next_step)


def outcomes(item: T, checks: Sequence[Check[T]], *, slow: bool) -> Iterator[tuple[str, str]]:
    """For each applicable check its name and its failure line, empty if it passed; the slow ones only with ``slow``."""
    for check in checks:
        if check.applies(item) and (slow or not check.slow):
            yield check.name, check.failure(item)


def hold(what: str, item: T, checks: Sequence[Check[T]], *, slow: bool) -> None:
    """Raises CheckFailed with the first failure and their count, if any check fails; all of them are run."""
    results = list(outcomes(item, checks, slow=slow))
    failures = [line for _, line in results if line]
    if failures:
        raise CheckFailed(f"{what}: {len(failures)} of {len(results)} checks failed; {failures[0]}")
