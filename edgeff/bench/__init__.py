"""Configurations in, traces out: the accuracy and cost of networks on tasks, with rules, in numerics, on boards."""

from typing import TYPE_CHECKING

from edgeff.lazy import lazy

if TYPE_CHECKING:
    from edgeff.bench.learning import Configuration, digits_suite, run
    from edgeff.bench.suites import SUITES, Runnable, Wishes, configurations, traces

__all__ = ["SUITES", "Configuration", "Runnable", "Wishes", "configurations", "digits_suite", "run", "traces"]


__getattr__, __dir__ = lazy(
    __name__,
    {
        "learning": ("Configuration", "digits_suite", "run"),
        "suites": ("SUITES", "Runnable", "Wishes", "configurations", "traces"),
    },
)
