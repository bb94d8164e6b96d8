"""Scenarios: a model that was trained before it was shipped meets a world that has changed, and learns it on the device.

One file a scenario of classes: its ``parts(seed)`` are the data before and after the change. ``play`` trains, ships and lets learn; the
outcome has the controls beside it: the same device that does not learn, and back-propagation in float32 on the same layers and samples.
``sense`` is a sensor that drifts and learns values.
"""

from __future__ import annotations

from edgeff.errors import BadInput
from edgeff.studies.scenarios.gas_drift import GAS_DRIFT
from edgeff.studies.scenarios.new_camera import NEW_CAMERA
from edgeff.studies.scenarios.new_keyword import NEW_ARABIC_WORD, NEW_KEYWORD
from edgeff.studies.scenarios.new_load import NEW_LOAD
from edgeff.studies.scenarios.new_patient import NEW_PATIENT
from edgeff.studies.scenarios.new_speaker import NEW_SPEAKER
from edgeff.studies.scenarios.new_wearer import NEW_WEARER
from edgeff.studies.scenarios.play import Means, Outcome, class_means, play
from edgeff.studies.scenarios.pressure import PRESSURE, Sensed, sense
from edgeff.studies.scenarios.scenario import Parts, Scenario

_ALL = (GAS_DRIFT, NEW_ARABIC_WORD, NEW_CAMERA, NEW_KEYWORD, NEW_LOAD, NEW_PATIENT, NEW_SPEAKER, NEW_WEARER)
SCENARIOS = {item.name: item for item in _ALL}
"""Those of classes, by name."""
NAMES = (*SCENARIOS, PRESSURE)

__all__ = [
    "NAMES",
    "PRESSURE",
    "SCENARIOS",
    "Means",
    "Outcome",
    "Parts",
    "Scenario",
    "Sensed",
    "class_means",
    "play",
    "scenario_of",
    "sense",
]


def scenario_of(name: str) -> Scenario:
    """The scenario of classes called ``name``. Raises BadInput for another name."""
    if name not in SCENARIOS:
        raise BadInput("unknown scenario", got=repr(name), allowed=", ".join(NAMES))
    return SCENARIOS[name]
