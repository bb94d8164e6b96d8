"""Adversarial attacks on float networks, with gradients in float64: FGSM, PGD, sweeps over epsilon, and examples transferred to another
model.

Networks and samples come in, shares of samples classified correctly go out. Refused: integer networks, outputs that are not classes, and
layers that pass no gradient on.
"""

from edgeff.studies.attack.gradients import LOSSES, Attacked, GradientCheck, check_gradient
from edgeff.studies.attack.perturb import fgsm, pgd
from edgeff.studies.attack.record import Attack, Carried, Run
from edgeff.studies.attack.sweep import Float32, Point, Settings, Sweep, float32_gradients, sweep, transfer

__all__ = [
    "LOSSES",
    "Attack",
    "Attacked",
    "Carried",
    "Float32",
    "GradientCheck",
    "Point",
    "Run",
    "Settings",
    "Sweep",
    "check_gradient",
    "fgsm",
    "float32_gradients",
    "pgd",
    "sweep",
    "transfer",
]
