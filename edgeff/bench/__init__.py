"""Configurations in, traces out: what networks know and take, on tasks, by rules, in numerics, on boards."""

from edgeff.bench.learning import Configuration, digits_suite, run
from edgeff.bench.suites import SUITES, Runnable, Wishes, configurations, traces

__all__ = ["SUITES", "Configuration", "Runnable", "Wishes", "configurations", "digits_suite", "run", "traces"]
