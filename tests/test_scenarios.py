"""Scenarios: a shipped model learns a changed world beside its controls, and a barometer learns its own error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeff.cli import run
from edgeff.errors import BadInput
from edgeff.ir import Network
from edgeff.studies.scenarios import Parts, Scenario, class_means, play, scenario_of, sense
from edgeff.studies.scenarios.pressure import LEARNED, TARGET_PA, WEEK
from edgeff.studies.scenarios.scenario import RATES
from edgeff.tasks import Data


def turned(seed: int) -> Parts:
    """Three clouds of points whose first and second number change places."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(3), 80)
    x = (np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 1.0, 0.0]])[y] + 0.3 * rng.standard_normal((240, 3))).astype(np.float32)
    other = x[:, [1, 0, 2]]
    known = Data(x[:120], y[:120], x[120:180], y[120:180], ("a", "b", "c"))
    return Parts("turned", known, other[120:180], y[120:180], other[180:], y[180:])


TURNED = Scenario("turned", "points that change places", "3-12-3", 30, 10, 1, turned)


@pytest.mark.parametrize("rule", ["bp", "ff"])
def test_a_device_learns_the_changed_world_beside_its_controls(rule: str) -> None:
    """``ff`` ships a model of its own, with labels; the control is back-propagation in float32 all the same."""
    outcome, deployment = play(TURNED, rule=rule, numeric="int8")
    assert outcome.known_before > 0.9 > outcome.before
    assert outcome.after > outcome.before + 0.2
    assert outcome.control > 0.9
    assert {outcome.rate, outcome.control_rate} <= set(RATES)
    assert outcome.recovered == (outcome.after - outcome.before) / (outcome.control - outcome.before)
    assert (outcome.samples, outcome.steps, deployment.program.rule) == (60, 600, rule)


def test_a_case_is_the_same_beside_others_that_share_its_model_and_control() -> None:
    networks: dict[tuple[str, int], Network] = {}
    controls: dict[str, tuple[float, float]] = {}
    alone, _ = play(TURNED, rule="dfa", seed=1)
    first, _ = play(TURNED, rule="bp", seed=1, networks=networks, controls=controls)
    then, _ = play(TURNED, rule="dfa", seed=1, networks=networks, controls=controls)
    assert (alone, list(networks), list(controls)) == (then, [("bp", 1)], ["bp"])
    assert first.control == then.control


def test_class_means_take_no_step_and_forget_the_known_world() -> None:
    """The second class changes places with the first, so means of the new samples are wrong about the old ones."""
    means = class_means(TURNED)
    assert means.known_before > 0.9
    assert means.after > means.before + 0.2
    assert means.known_after < means.known_before - 0.2


@pytest.mark.parametrize(
    ("name", "cases", "file"), [("new_arabic_word", 6, "arabic_speech_commands_6w30s.npz"), ("new_patient", 13, "mitbih_beats.npz")]
)
def test_what_is_learned_is_of_the_new_world(
    name: str, cases: int, file: str, reference_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sample tests what it taught; of what is learned only samples of known words were known, and no beat of the new patient."""
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(reference_data(file).parent))
    scenario = scenario_of(name)
    assert scenario.cases == cases
    for seed in range(cases):
        parts = scenario.parts(seed)
        sides = [{row.tobytes() for row in x} for x in (parts.known.x_train, parts.x, parts.x_new)]
        shared = sides[0] & sides[1]
        assert not sides[2] & (sides[0] | sides[1])
        kept = [row.tobytes() in shared for row in parts.x]
        assert sum(kept) == {"new_arabic_word": 25, "new_patient": 0}[name]  # five of each word that is known
        assert len(set(parts.y[~np.array(kept)].tolist())) == (1 if name == "new_arabic_word" else len(set(parts.y.tolist())))


def test_a_barometer_comes_within_its_target_and_stays_there() -> None:
    """Device 0 in int16, for five weeks: far off before, and the rate that learns nothing is the control."""
    sensed, _ = sense(samples=LEARNED + WEEK)
    assert sensed.parameters == 101
    assert sensed.raw > 300.0
    assert max(sensed.after, sensed.later) <= TARGET_PA
    assert sensed.recovered is not None
    assert sensed.recovered <= LEARNED
    still, _ = sense(samples=LEARNED, changes={"lr": 1e-9})
    assert still.after > 300.0


def test_the_command_plays_a_scenario_and_refuses_what_it_has_no_use_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        BadInput, match="gas_drift, new_arabic_word, new_camera, new_keyword, new_load, new_patient, new_speaker, new_wearer, pressure"
    ):
        scenario_of("weather")
    on_board = ["simulate", "--board", "microbit"]
    assert run([*on_board, "m.onnx", "digits", "--scenario", "pressure"]) == 2
    assert "MODEL of a scenario" in capsys.readouterr().err
    assert run(on_board) == 2
    assert "missing MODEL" in capsys.readouterr().err
    assert run([*on_board, "--scenario", "pressure", "--samples", "4032", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["scenario"]["name"] == "pressure"
    assert result["memory"]["flash_bytes"] <= 32 * 1024
    assert result["memory"]["static_ram_bytes"] + result["memory"]["stack_bytes"] <= 8 * 1024
