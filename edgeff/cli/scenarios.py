"""``edgeff simulate --scenario``: a shipped model meets a changed world; its outcome, its controls, and what a step costs on the board."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeff.cli.terminal import percent, print_json, print_line, print_table, stages, taken

if TYPE_CHECKING:
    from edgeff.ir import Board, Numeric
    from edgeff.program.deploy import Deployment
    from edgeff.studies.scenarios import Outcome, Sensed


def run_scenario(
    name: str,
    board: Board,
    *,
    rule: str | None,
    numeric: Numeric | None,
    changes: Sequence[tuple[str, str]],
    samples: int | None,
    target: str | None,
    as_json: bool,
    seed: int,
) -> None:
    """Prints the outcome of a scenario. Raises BadInput for an unknown one, and for samples where a scenario has its own."""
    from edgeff.device.simulate import build_project, profile
    from edgeff.errors import BadInput
    from edgeff.report import run_json
    from edgeff.studies.scenarios import PRESSURE, play, scenario_of, sense
    from edgeff.studies.scenarios.pressure import NEVER_STOP

    learns = rule or "bp"
    given = _parsed(learns, numeric or ("int16" if name == PRESSURE else "int8"), changes)
    outcome: Outcome | Sensed
    deployment: Deployment
    with stages() as report:
        if name == PRESSURE:
            outcome, deployment = sense(
                rule=learns, numeric=numeric or "int16", seed=seed, changes=given, samples=samples or NEVER_STOP, say=report
            )
        else:
            scenario = scenario_of(name)
            if samples is not None:
                raise BadInput(f"--samples of scenario {name}", got=samples, allowed="those of the scenario", next_step="leave it out")
            outcome, deployment = play(scenario, rule=learns, numeric=numeric or "int8", seed=seed, changes=given, say=report)
        with tempfile.TemporaryDirectory(prefix="edgeff-scenario-") as folder:
            firmware, _ = build_project(deployment, board, Path(folder))
            zero = deployment.inputs(_zeros(deployment))
            trace = profile(deployment, board, firmware, zero[0], 0, name, seed, target)
    if as_json:
        print_json({**run_json(trace), "scenario": {"name": name, **asdict(outcome)}})
        return
    if name == PRESSURE:
        _print_sensed(outcome)
    else:
        _print_outcome(outcome)
    memory, step = trace.memory, trace.learn
    print_line(f"on {board.name}: a step takes {taken(step)}")
    print_table(
        ("flash", "static RAM", "stack", "saved state", "instructions per step"),
        [[memory.flash_bytes, memory.static_ram_bytes, memory.stack_bytes, outcome.save_bytes, step.instructions]],
    )


def _parsed(rule: str, numeric: Numeric, changes: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """The settings of ``--set`` as values."""
    from edgeff.rules import find_rule

    texts = dict(changes)
    after = find_rule(rule).device_settings(numeric).changed(texts)
    return {key: getattr(after, key) for key in texts}


def _zeros(deployment: Deployment) -> Any:
    """A sample of zeros, of which a step is counted."""
    import numpy as np

    return np.zeros((1, *deployment.network.input_shape), np.float32)


def _print_outcome(outcome: Any) -> None:
    print_line(f"{outcome.case}: {outcome.rule}, {outcome.numeric}, {outcome.samples} samples, {outcome.steps} steps")
    recovered = "-" if outcome.recovered is None else percent(outcome.recovered)
    values = (outcome.before, outcome.after, outcome.control, outcome.known_before, outcome.known_after)
    print_table(
        ("without learning", "learned", "bp in float32", "known world before", "after", "recovered of bp's gain"),
        [[*map(percent, values), recovered]],
    )


def _print_sensed(outcome: Any) -> None:
    print_line(f"a barometer: {outcome.parameters} parameters, {outcome.numeric}; Pa RMS over a week")
    rows = [
        ["after four weeks with a reference", outcome.raw, outcome.line, outcome.after],
        ["after all samples", outcome.raw_later, outcome.line_later, outcome.later],
    ]
    shown = [[label, *(f"{value:.1f}" for value in values)] for label, *values in rows]
    print_table(("", "readings", "a line fitted in these weeks", "the device"), shown)
    print_line(f"samples until within 50 Pa: {outcome.recovered or 'not within the four weeks'}")
