"""TDCA: credits by hand, the random network as DFA, meta-training against its random start on runs it never saw."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_cases import digits

from edgeff.errors import BadInput
from edgeff.networks import initialised, structure
from edgeff.ops import parameters
from edgeff.rules import Run, find_rule
from edgeff.rules._tdca_training import (
    Lesson,
    MetaSettings,
    begin,
    drawn_from,
    evolve,
    inner_losses,
    inner_settings,
    meta_train,
    synthetic,
)
from edgeff.rules._top_down import SHIPPED, TopDown, diffusion, error_code, random_top_down, read, top_down, unpacked, write
from edgeff.train.loop import fit

SHORT = MetaSettings(generations=8, pairs=4, runs=1, epochs=1, sigma=0.05, lr=0.03)


def started(name: str = "6-5-4-3", **changes: Any) -> Run:
    rule = find_rule("tdca")
    network = initialised(structure(name), 3)
    run = Run(network, parameters(network, np.float64), replace(rule.settings, **changes), np.random.default_rng(0), seed=1)
    rule.start(run)
    return run


def test_the_credits_are_the_top_down_networks_output() -> None:
    """u = (2, -1), b = (1, 1): relu(3) - relu(-1) = 3 and relu(0) - relu(2) = -2; then V."""
    network = TopDown(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 1.0]), np.array([[1.0, 1.0], [2.0, 0.0], [0.0, -1.0]]))
    assert network.credits(np.array([[2.0, -1.0]])).tolist() == [[1.0, 6.0, 2.0]]
    assert network.credits(np.array([[-2.0, 1.0]])).tolist() == [[-1.0, -6.0, -2.0]]
    assert network.credits(np.zeros((1, 2))).tolist() == [[0.0, 0.0, 0.0]]
    first, bias, second = network.plain_layers()
    assert (np.maximum([[2.0, -1.0]] @ first.T + bias, 0) @ second.T).tolist() == [[1.0, 6.0, 2.0]]


def test_a_hidden_layer_moves_by_its_credits_and_its_inputs() -> None:
    """The step written out for one sample, entry by entry."""
    run = started(feedback_scale=0.5)
    x, t = np.random.default_rng(2).normal(size=(1, 6)), np.array([[0.0, 1.0, 0.0]])
    w1, w2, w3 = (run.params[f"dense_{n}"]["weight"] for n in (1, 2, 3))
    h1 = np.maximum(w1 @ x[0], 0)
    h2 = np.maximum(w2 @ h1, 0)
    o = np.exp(w3 @ h2) / np.exp(w3 @ h2).sum()
    e, network = o - t[0], read(SHIPPED)
    u, b = network.U @ (error_code(3) @ e), network.b
    c = network.V @ (np.maximum(u + b, 0) - np.maximum(b - u, 0))
    found = find_rule("tdca").step(run, x, t)
    for name, expected in (
        ("dense_1", np.outer(0.5 * (diffusion(5, 0) @ c) * (h1 > 0), x[0])),
        ("dense_2", np.outer(0.5 * (diffusion(4, 1) @ c) * (h2 > 0), h1)),
        ("dense_3", np.outer(e, h2)),
    ):
        assert np.abs(found[name]["weight"] - expected).max() < 1e-12  # float64, sums in another order


def test_a_random_network_is_linear_with_the_deviation_of_dfa() -> None:
    """With b = 0 the credits of a sum are the sum of the credits, through a matrix of entries of mean square 1 / C."""
    entries = []
    for seed in range(20):
        network = random_top_down(seed)
        matrix = diffusion(32, 0) @ network.credits(error_code(10).T).T
        e = np.random.default_rng(seed).normal(size=(4, 10))
        actual = network.credits(e @ error_code(10).T) @ diffusion(32, 0).T
        assert np.abs(actual - e @ matrix.T).max() < 1e-5  # float32
        entries.append(matrix)
    assert np.sqrt(np.mean(np.square(entries))) == pytest.approx(1 / sqrt(10), rel=0.1)


def test_a_population_of_inner_runs_is_what_fit_does() -> None:
    lesson = synthetic(np.random.default_rng(0), samples=120)
    networks = [random_top_down(1), read(SHIPPED)]
    found = inner_losses(unpacked(np.stack([n.flat() for n in networks])), lesson, 16, inner_settings(2), seed=1)
    targets = np.eye(10, dtype=np.float32)[lesson.y]
    for source, loss in zip(("random", "meta"), found, strict=True):
        settings = inner_settings(2, source)
        trained = fit(initialised(structure("64-16-10"), 1), "tdca", lesson.x, targets, settings, seed=1)
        scores = trained.scores(lesson.x_validation)
        expected = -np.log(scores[np.arange(120), lesson.y_validation]).mean()
        assert loss == pytest.approx(expected, rel=1e-4)  # float32 sums in another order over 16 steps


@pytest.mark.slow
def test_meta_training_improves_on_its_random_start_and_not_without_fitness() -> None:
    """On samples, initial weights and orders never met, all eight inner runs. The control's fitness is that of shuffled labels."""
    settings = MetaSettings(generations=40, pairs=12, runs=2, epochs=3, sigma=0.06, lr=0.02)
    x, y = digits().x_train, digits().y_train
    seen, unseen = drawn_from(x[:700], y[:700], 10), drawn_from(x[700:], y[700:], 10)

    def shuffled(rng: np.random.Generator) -> Lesson:
        lesson = seen(rng)
        return lesson._replace(y=rng.permutation(lesson.y), y_validation=rng.permutation(lesson.y_validation))

    networks = [begin(0).network, meta_train(seen, settings), meta_train(shuffled, settings)]
    population = unpacked(np.stack([n.flat() for n in networks]))
    losses = [inner_losses(population, unseen(np.random.default_rng([9, n])), 32, inner_settings(3), seed=100 + n) for n in range(8)]
    random, learned, control = np.transpose(losses)
    assert (learned < random).all()
    assert learned.mean() < 0.85 * min(random.mean(), control.mean())


def test_the_shipped_network_teaches_unseen_tasks_better_than_where_it_began_and_than_random_ones() -> None:
    """Twelve tasks it was not evolved on. That much of the gain is the size of its credits is on the rule's page."""
    population = unpacked(np.stack([network.flat() for network in [read(SHIPPED), begin(0).network, *map(random_top_down, range(3))]]))
    lessons = [synthetic(np.random.default_rng([8, n])) for n in range(12)]
    losses = np.mean([inner_losses(population, lesson, 32, inner_settings(6), seed=200 + n) for n, lesson in enumerate(lessons)], axis=0)
    assert losses[0] < 0.8 * losses[1]
    assert losses[0] < losses[2:].mean()


def test_meta_training_is_deterministic_and_can_be_taken_up_again() -> None:
    assert meta_train(synthetic, SHORT).flat().tobytes() == meta_train(synthetic, SHORT).flat().tobytes()
    assert meta_train(synthetic, SHORT, seed=1).flat().tobytes() != meta_train(synthetic, SHORT).flat().tobytes()
    state = begin(0)
    for _ in range(4):
        evolve(state, synthetic, SHORT, 0)
    state = replace(state)
    for _ in range(4):
        evolve(state, synthetic, SHORT, 0)
    assert state.network.flat().tobytes() == meta_train(synthetic, SHORT).flat().tobytes()


def test_lessons_keep_training_and_validation_apart() -> None:
    x = np.arange(40, dtype=np.float32)[:, None]
    lesson = drawn_from(x, np.arange(40) % 4, 4)(np.random.default_rng(0))
    train, validation = set(lesson.x.ravel()), set(lesson.x_validation.ravel())
    assert not train & validation
    assert (len(train), len(validation)) == (20, 20)


def test_a_network_of_ones_own_comes_from_a_file(tmp_path: Path) -> None:
    made = random_top_down(5)
    write(tmp_path / "own.npz", made, {"task": "none"})
    assert started(top_down=str(tmp_path / "own.npz")).extra["top_down"].flat().tobytes() == made.flat().tobytes()
    for bad in ("missing.npz", "wrong.npz", "text.npz"):
        np.savez(tmp_path / "wrong.npz", U=np.zeros((2, 2)), b=np.zeros(2), V=np.zeros((2, 2)))
        (tmp_path / "text.npz").write_text("no network", encoding="utf-8")
        with pytest.raises(BadInput, match="top-down network"):
            top_down(str(tmp_path / bad), 0)
