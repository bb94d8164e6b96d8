"""Configurations in, traces out: the accuracy and cost of networks on tasks, with rules, in numerics, on boards."""

from typing import TYPE_CHECKING

from edgeff.lazy import lazy

if TYPE_CHECKING:
    from edgeff.bench.learning import Configuration, digits_suite, run
    from edgeff.bench.machines import Machines, Shard
    from edgeff.bench.suites import SUITES, Runnable, Wishes, configurations

__all__ = ["SUITES", "Configuration", "Machines", "Runnable", "Shard", "Wishes", "configurations", "digits_suite", "run"]


__getattr__, __dir__ = lazy(
    __name__,
    {
        "learning": ("Configuration", "digits_suite", "run"),
        "machines": ("Machines", "Shard"),
        "suites": ("SUITES", "Runnable", "Wishes", "configurations"),
    },
)
