"""Differential equations of learning from the top down: adaptive feedback alignment (AFA) and PEPITA in networks with many inputs.

A two-layer student learns from a two-layer teacher, one fresh sample per step (``equations``). With N inputs and steps counted in N, the
overlaps of its weights (``order``) follow ordinary differential equations as N grows, whose right-hand sides are Gaussian averages in
closed form (``gaussian``). PEPITA at a vanishing scale of its feedback is AFA; its deviation
from AFA is added to first order (``first_order``).
``simulation`` runs both rules at finite N, ``comparison`` compares the two. docs/theory.md has the derivation. ``schedule`` follows two
tasks by the same equations and finds when to replay the first.
"""

from edgeff.studies.theory.comparison import PUBLISHED_SCALE, Comparison, Line, compare
from edgeff.studies.theory.equations import Curve, rates, solve
from edgeff.studies.theory.order import Start, generalisation_error, random_start
from edgeff.studies.theory.simulation import simulate

__all__ = [
    "PUBLISHED_SCALE",
    "Comparison",
    "Curve",
    "Line",
    "Start",
    "compare",
    "generalisation_error",
    "random_start",
    "rates",
    "simulate",
    "solve",
]
