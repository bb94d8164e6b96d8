"""The schedule of replay: its equations against a simulation and the equations of one task, what is best, and the table of a device."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from edgeff.cli import run
from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.studies.theory import equations
from edgeff.studies.theory.schedule import after_first_task, followed, late, optimal, rates, table_of, task_errors, uniform


def g(u: Array) -> Array:
    """The activation function of the theory."""
    return erf(u / np.sqrt(2.0))


def slope(u: Array) -> Array:
    """Its derivative."""
    return np.sqrt(2.0 / np.pi) * np.exp(-(u**2) / 2.0)


def test_one_task_alone_follows_the_equations_of_one_task() -> None:
    tasks = after_first_task(0.3, first=5.0)
    change, of_v = rates(tasks.overlaps, tasks.v, 0, 0.7)
    kept = [0, 1, 2]  # both rows of the student and the first teacher; the feedback, of no use, takes the second's place
    order = [*kept, 3]
    expected, expected_v = equations.rates(tasks.overlaps[np.ix_(order, order)], tasks.v[0], np.ones(1), 0.7, "bp")
    assert np.allclose(change[np.ix_(kept, kept)], expected[:3, :3], rtol=1e-12)
    assert np.allclose(of_v[0], expected_v, rtol=1e-12)
    assert not of_v[1].any()


def test_a_simulation_with_finite_inputs_forgets_and_recalls_as_the_equations_do() -> None:
    """Half of the time without replay, half with 40 %: N = 400, the mean of 6 runs."""
    tasks, n, lr, alpha, shares = after_first_task(0.3, first=30.0, alpha=6.0), 400, 1.0, 6.0, np.array([0.0, 0.4])
    expected = followed(tasks, shares).errors[-1]
    root = np.linalg.cholesky(tasks.overlaps + 1e-12 * np.eye(4))
    ends = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        basis = np.linalg.qr(rng.standard_normal((n, 4)))[0].T * np.sqrt(n)
        rows = root @ basis
        w, u, v = rows[:2].copy(), rows[2:], tasks.v.copy()
        for share in np.repeat(shares, int(n * alpha / 2)):
            task = 0 if rng.random() < share else 1
            x = rng.standard_normal(n)
            fields = w @ x / np.sqrt(n)
            error = v[task] @ g(fields) - g(u[task] @ x / np.sqrt(n))
            w, v[task] = w - lr / np.sqrt(n) * np.outer(v[task] * slope(fields) * error, x), v[task] - lr / n * error * g(fields)
        now = np.concatenate([w, u])
        ends.append(task_errors(now @ now.T / n, v))
    assert np.mean(ends, axis=0) == pytest.approx(expected, rel=0.12)
    assert expected[0] > 5 * task_errors(tasks.overlaps, tasks.v)[0], "something is forgotten"


def test_the_optimal_schedule_beats_the_same_replay_uniformly_or_late() -> None:
    tasks = after_first_task(0.3, first=100.0, alpha=12.0)
    best = optimal(tasks, 3, 0.2)
    assert best.shares.mean() == pytest.approx(0.2, abs=1e-6)
    assert best.loss < min(followed(tasks, make(3, 0.2)).loss for make in (uniform, late)) - 1e-4
    assert best.loss < followed(tasks, uniform(3, 0.0)).loss


def test_a_table_loses_no_step() -> None:
    assert table_of(np.array([0.0, 0.5, 0.75]), 7) == [0, 0, 0, 0, 1, 1, 3]
    for shares in (np.full(4, 0.3), np.array([0.0, 0.0, 0.2, 1.0]), np.array([1.0, 0.2, 0.0, 0.0])):
        assert sum(table_of(shares, 700)) == 300, "as many steps in all, whenever they come"
    with pytest.raises(BadInput, match="replay steps after one sample; allowed: at most 255"):
        table_of(np.array([0.0, 0.0, 0.0, 1.0]), 1000)
    with pytest.raises(BadInput, match=r"^similarity of two tasks: got 1.5; allowed: -0.99 to 0.99$"):
        after_first_task(1.5)


def test_the_command_writes_a_table_for_flash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "replay_steps.h"
    assert run(["schedule", "--segments", "2", "--alpha", "6", "--mean", "0.2", "--samples", "40", "-o", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in result["schedules"]] == ["none", "uniform", "late", "optimal"]
    (numbers,) = re.findall(r"replay_steps\[40\] = \{([^}]*)\}", out.read_text(encoding="utf-8"))
    assert [int(number) for number in numbers.split(",")] == result["steps"]
    assert run(["schedule", "--mean", "2"]) == 2
    assert "allowed" in capsys.readouterr().err
