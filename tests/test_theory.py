"""Theory of learning from the top down: its averages and equations against sampling, and against networks that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine

from edgeff.cli.theory import entry
from edgeff.errors import BadInput, Diverged
from edgeff.ir import Array
from edgeff.report.figures.theory import beyond_figure
from edgeff.studies.theory import Comparison, Start, compare, generalisation_error, random_start, rates, simulate, solve
from edgeff.studies.theory.first_order import first_order
from edgeff.studies.theory.gaussian import i2, i3, i4
from edgeff.studies.theory.simulation import Students, vectors

LR = 0.8


def g(u: Array) -> Array:
    from scipy.special import erf

    found: Array = erf(u / np.sqrt(2.0))
    return found


def slope(u: Array) -> Array:
    found: Array = np.sqrt(2.0 / np.pi) * np.exp(-(u**2) / 2.0)
    return found


@pytest.fixture(scope="module")
def start() -> Start:
    made = random_start(2, 2, seed=0)
    return Start(made.overlaps, np.array([0.7, -0.4]), made.teacher_v)


@pytest.fixture(scope="module")
def fields(start: Start) -> tuple[Array, Array]:
    return quadrature(start.overlaps, 16)


def quadrature(cov: Array, nodes: int) -> tuple[Array, Array]:
    """Points (P, F) of a Gauss-Hermite grid over fields of this covariance, and their weights (P,), which add up to 1."""
    node, weight = np.polynomial.hermite_e.hermegauss(nodes)
    points, weights = (
        np.stack(np.meshgrid(*[values] * len(cov), indexing="ij"), axis=-1).reshape(-1, len(cov))
        for values in (node, weight / weight.sum())
    )
    return points @ np.linalg.cholesky(cov).T, weights.prod(axis=1)


def mean_step(fields: tuple[Array, Array], start: Start, scale: float) -> tuple[Array, Array, Array]:
    """The mean change of the overlaps (linear and squared part) and of v in a step of PEPITA, or of AFA at scale 0; by quadrature."""
    x, weights = fields
    lam, nu, c = x[:, :2], x[:, 2:4], start.overlaps[-1]
    h, target = g(lam), g(nu) @ start.teacher_v
    e = h @ start.v - target
    if scale:
        modulated = g(lam - scale * e[:, None] * c[:2])
        delta, x = (h - modulated) / scale, x - scale * e[:, None] * c
        h, e = modulated, modulated @ start.v - target
    else:
        delta = slope(lam) * c[:2] * e[:, None]
    weighted = weights[:, None] * delta
    return -LR * weighted.T @ x, LR**2 * weighted.T @ delta, -LR * (weights * e) @ h


# ---------------------------------------------------------------- averages and equations


def test_averages_equal_quadrature(start: Start) -> None:
    cov = start.overlaps[1:, 1:]  # one of the student, the teacher's and the feedback
    x, weights = quadrature(cov, 32)
    out, bend = g(x), slope(x)
    near = 1e-6  # of the quadrature with 32 nodes a field
    np.testing.assert_allclose(i2(cov), np.einsum("p,pc,pd->cd", weights, out, out), rtol=0.0, atol=near)
    np.testing.assert_allclose(i3(cov, 2), np.einsum("p,pa,pb,pc->abc", weights, bend[:, :2], x, out, optimize=True), rtol=0.0, atol=near)
    expected = np.einsum("p,pa,pb,pc,pd->abcd", weights, bend[:, :2], bend[:, :2], out, out, optimize=True)
    np.testing.assert_allclose(i4(cov, 2), expected, rtol=0.0, atol=near)
    error = 0.5 * weights @ (out[:, :1] @ start.v[1:] - out[:, 1:3] @ start.teacher_v) ** 2
    assert generalisation_error(cov, start.v[1:], start.teacher_v) == pytest.approx(error, abs=near)


def test_rates_are_the_mean_of_a_step(start: Start, fields: tuple[Array, Array]) -> None:
    drift, noise, of_v = mean_step(fields, start, 0.0)
    change, found_v = rates(start.overlaps, start.v, start.teacher_v, LR)
    expected = np.zeros((5, 5))
    expected[:2] += drift
    expected[:, :2] += drift.T
    expected[:2, :2] += noise
    np.testing.assert_allclose(change, expected, rtol=0.0, atol=2e-5)  # of the quadrature with 16 nodes
    np.testing.assert_allclose(found_v, of_v, rtol=0.0, atol=2e-5)
    assert not change[2:, 2:].any()  # teacher and feedback stay


def test_the_first_order_of_pepita_is_the_slope_of_its_mean_step(start: Start, fields: tuple[Array, Array]) -> None:
    s = 0.01
    ahead, behind = mean_step(fields, start, s), mean_step(fields, start, -s)
    found = first_order(start.overlaps, start.v, start.teacher_v, LR)
    for expected, up, down in zip(found, ahead, behind, strict=True):
        # central differences err by s^2; the quadrature's error is that above
        np.testing.assert_allclose((up - down) / (2 * s), expected, rtol=1e-3, atol=5e-5)


def test_gradient_descent_is_the_gradient_of_the_error(start: Start) -> None:
    """With v as feedback and a vanishing rate, R and v move down the gradient: ``dv / d alpha = -lr d error / dv``."""
    _, of_v = rates(start.overlaps, start.v, start.teacher_v, LR, "bp")
    h = 1e-6
    for k in range(2):
        step = h * np.eye(2)[k]
        up, down = (generalisation_error(start.overlaps, start.v + sign * step, start.teacher_v) for sign in (1, -1))
        assert of_v[k] == pytest.approx(-LR * (up - down) / (2 * h), abs=1e-8)  # cancellation of 1e-16 / h, and h^2


def test_the_solution_keeps_teacher_feedback_signs_and_a_gram_matrix(start: Start) -> None:
    found = solve(start, np.linspace(0.0, 60.0, 13), 1.0)
    assert (found.overlaps[:, 2:, 2:] == start.overlaps[2:, 2:]).all()
    assert (np.sign(found.overlaps[:, :2, -1]) == np.sign(start.overlaps[:2, -1])).all()
    assert min(np.linalg.eigvalsh(o)[0] for o in found.overlaps) > 0.0
    np.testing.assert_allclose(found.overlaps, found.overlaps.transpose(0, 2, 1), rtol=0.0, atol=1e-13)  # rounding, adding up


def test_a_student_that_is_its_teacher_stays(start: Start) -> None:
    overlaps = start.overlaps.copy()
    overlaps[:2], overlaps[:, :2] = overlaps[2:4], overlaps[:, 2:4]
    overlaps[:2, :2] = start.overlaps[2:4, 2:4]
    overlaps[:2, 2:4] = overlaps[2:4, :2] = start.overlaps[2:4, 2:4]
    change, of_v = rates(overlaps, start.teacher_v, start.teacher_v, LR, scale=0.1)
    assert abs(change).max() < 1e-15  # rounding of sums that cancel
    assert abs(of_v).max() < 1e-15


# ---------------------------------------------------------------- against networks that learn


def test_every_seed_starts_from_the_overlaps_asked_for(start: Start) -> None:
    rows = vectors(start, 50, np.random.default_rng(1))
    np.testing.assert_allclose(rows @ rows.T / 50, start.overlaps, rtol=0.0, atol=1e-14)  # rounding of the factorisation


@pytest.fixture(scope="module")
def quick() -> Comparison:
    return compare(500, seeds=12, alpha=30.0, feedback_scales=(0.05, 0.005))


@pytest.mark.slow
def test_afa_follows_its_equations_and_no_others(quick: Comparison) -> None:
    afa = quick.lines[0]
    error, fall = afa.relative_error, afa.theory.errors[0] / afa.theory.errors[-1]
    assert fall > 10.0
    assert error.max() < 0.05  # what is left of finite size at 500 inputs
    for other in (quick.bp, quick.frozen):  # the control: a wrong equation is far off
        assert abs(afa.mean / other.errors - 1.0).max() > 0.5
    assert abs(afa.alignment - afa.theory.alignments).max() < 0.05


def test_pepita_tends_to_afa_with_its_scale_and_its_equations_say_how_far_it_is(quick: Comparison) -> None:
    _, published, tenth = quick.lines
    far, near = quick.beyond_afa(published).max(), quick.beyond_afa(tenth).max()
    assert far > 0.2
    assert 7.0 < far / near < 11.0  # of first order in the scale
    assert published.relative_error.max() < 0.05
    shown = beyond_figure(quick)["data"]
    assert max(shown[0]["y"]) == pytest.approx(100 * far, rel=0.1)


def test_one_step_of_pepita_is_one_of_the_rule_with_two_passes(start: Start) -> None:
    n, s = 40, 0.3
    rng = np.random.default_rng(2)
    rows, x = vectors(start, n, rng), rng.standard_normal(n)
    students = Students(rows[None].copy(), start.v[None].copy(), s)
    students.learn(x[None], np.array([0.25]), LR)
    w, feedback = rows[:2], rows[-1]
    h = g(w @ x / np.sqrt(n))
    x2 = x - s / np.sqrt(n) * (h @ start.v - 0.25) * feedback
    h2 = g(w @ x2 / np.sqrt(n))
    # rounding alone
    np.testing.assert_allclose(students.rows[0, :2], w - LR / s / np.sqrt(n) * np.outer(h - h2, x2), rtol=0.0, atol=1e-13)
    np.testing.assert_allclose(students.v[0], start.v - LR / n * (h2 @ start.v - 0.25) * h2, rtol=0.0, atol=1e-15)


def test_more_seeds_change_no_earlier_one(start: Start) -> None:
    few, more = (simulate(start, 20, (0, 40), LR, (0.0,), seeds, seed=5)[0] for seeds in (1, 3))
    np.testing.assert_allclose(few[0].overlaps, more[0].overlaps, rtol=0.0, atol=1e-12)  # order of sums in a product of stacks


# ---------------------------------------------------------------- refusals and the command


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: random_start(0, 2), r"hidden units of the student: got 0; allowed: 1 to 16"),
        (lambda: Start(np.eye(4), np.zeros(2), np.ones(2)), r"overlaps: got shape \(4, 4\); allowed: \(5, 5\)"),
        (lambda: Start(np.ones((5, 5)), np.zeros(2), np.ones(2)), r"overlaps: got .*; allowed: symmetric and positive definite"),
        (lambda: solve(random_start(), [0.0, 2.0, 1.0], 1.0), r"times alpha: got 3 values; allowed: two or more, rising from 0"),
        (lambda: solve(random_start(), [0.0, 1.0], 0.0), r"learning rate: got 0.0; allowed: above 0"),
        (lambda: simulate(random_start(), 4, (0, 1), 1.0, (0.0,), 1), r"inputs of the network: got 4; allowed: 5 or more"),
        (lambda: compare(100, alpha=0.001), r"alpha, steps over inputs: got 0.001; allowed: one step \(0.01\)"),
        (lambda: compare(100, feedback_scales=(0.0,)), r"scale of the feedback: got 0; allowed: above 0"),
    ],
)
def test_what_cannot_be_is_refused(call: object, match: str) -> None:
    assert callable(call)
    with pytest.raises(BadInput, match=match):
        call()


def test_divergence_is_told(start: Start) -> None:
    with pytest.raises(Diverged, match=r"the equations of PEPITA to first order, at scale 7.* got no solution .* lower --scale or --lr"):
        solve(start, [0.0, 50.0], 1.0, scale=10.0)
    with pytest.raises(Diverged, match=r"^AFA: got no finite weights after 3,000 steps at lr 1000; lower --lr"):
        simulate(start, 20, (0, 3000), 1e3, (0.0,), 1)


def test_the_command_prints_json_and_writes_the_page(cli: CommandLine, folder: Path) -> None:
    quick = ("theory", "--n", 40, "--seeds", 2, "--alpha", 2, "--scale", 0.05, "--hidden", 3, "--teacher", 1, "--seed", 4)
    found = cli.ok(*quick, "--json", "-o", "t.html").json
    expected = entry(compare(40, hidden=3, teacher=1, seeds=2, alpha=2.0, feedback_scales=(0.05,), seed=4)) | {"seed": 4}
    assert found == expected
    assert [(line["rule"], line["feedback_scale"]) for line in found["lines"]] == [("afa", 0.0), ("pepita", 0.05)]
    assert {len(line[key]) for line in found["lines"] for key in ("theory", "simulation", "deviation", "relative_error")} == {31}
    page = Path("t.html").read_text(encoding="utf-8")
    assert page.count('data-figure="figure-') == 4
    assert "<script src" not in page
    table = cli.ok(*quick).out
    assert f"{100 * max(found['lines'][0]['relative_error']):.2f}" in table
    assert list(folder.iterdir()) == [folder / "t.html"]


def test_the_command_refuses_in_one_line(cli: CommandLine) -> None:
    ended = cli("theory", "--lr", "-1")
    assert (ended.status, ended.err) == (2, "error: option --lr: got '-1'; allowed: above 0, to 1000\n")
    ended = cli("theory", "--n", "4", "--seeds", "1")
    assert (ended.status, ended.err) == (2, "error: inputs of the network: got 4; allowed: 5 or more, for 5 independent vectors\n")
