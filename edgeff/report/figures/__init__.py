"""Traces -> figures as plotly reads them: plain mappings of ``data`` and ``layout``. Every external name is inserted as escaped text."""

from edgeff.report.figures.accuracy import accuracy_against_ram, plottable
from edgeff.report.figures.choices import choices_figure
from edgeff.report.figures.costs import cost_by_layer, cost_by_run, metric
from edgeff.report.figures.curves import learning_curves
from edgeff.report.figures.memory import memory_figure, ram_parts
from edgeff.report.figures.parts import Figure, ordered_numerics
from edgeff.report.figures.rules import rules_compared

__all__ = [
    "Figure",
    "accuracy_against_ram",
    "choices_figure",
    "cost_by_layer",
    "cost_by_run",
    "learning_curves",
    "memory_figure",
    "metric",
    "ordered_numerics",
    "plottable",
    "ram_parts",
    "rules_compared",
]
