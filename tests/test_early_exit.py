"""Early exit: thresholds from training data, decisions that no label can reach, and the saving."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nextafter
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from exact_cases import digits

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.rules import LayerScores, Rule, Run
from edgeff.studies.early_exit import Thresholds, fit_thresholds, margins, walk
from edgeff.train.loop import Trained, accuracy, start, train

FF = registry.rules["ff"]


class Told(Rule):
    """Scores that stand in the samples themselves: x (n, layers, C)."""

    name = "told"

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores] | None:  # noqa: ARG002
        return iter([LayerScores(f"layer_{number}", x[:, number], 10 * (number + 1)) for number in range(x.shape[1])])


def told() -> Run:
    return start(initialised(structure("4-3-2"), 0), Told(), FF.settings, 0)


@functools.cache
def trained() -> Trained:
    return train(digits(), structure("64-40-30-20-10"), "ff", replace(FF.settings, epochs=40), task="digits")


def test_a_sample_stops_behind_the_first_layer_that_is_sure() -> None:
    """A margin that equals the threshold is not sure; the last layer answers all."""
    x = np.array(
        [
            [[5.0, 1.0], [0.0, 9.0], [0.0, 9.0]],
            [[3.0, 1.0], [0.0, 2.0], [7.0, 0.0]],
            [[3.0, 1.0], [4.0, 3.0], [0.0, 1.0]],
        ]
    )
    found = walk(Told(), told(), x, Thresholds(("a", "b", "c"), (2.0, 1.0)))
    assert found.layers.tolist() == [1, 2, 3]
    assert found.predicted.tolist() == [0, 1, 1]
    assert found.full.tolist() == [1, 0, 1]
    assert found.macs.tolist() == [10, 20, 30]
    assert found.full_macs == 30


def test_a_threshold_is_the_mean_minus_the_deviation_of_right_margins() -> None:
    x = np.array([[[5.0, 1.0], [1.0, 0.0]], [[1.0, 3.0], [1.0, 0.0]], [[9.0, 0.0], [1.0, 0.0]]])
    labels = np.array([0, 1, 1])  # the third is wrong in the first layer
    assert fit_thresholds(Told(), told(), x, labels).margins == (2.0,)  # 4 and 2: mean 3, deviation 1
    assert fit_thresholds(Told(), told(), x, labels, 0.0).margins == (3.0,)
    assert fit_thresholds(Told(), told(), x[2:], labels[2:]).margins == (inf,)


def test_no_label_can_reach_a_decision() -> None:
    """The walk takes samples and thresholds alone, and a sample's decision is the same among other samples or with the rest taken away."""
    assert list(inspect.signature(walk).parameters) == ["rule", "run", "x", "thresholds", "progress"]
    run, data = trained().run, digits()
    limits = fit_thresholds(FF, run, data.x_train, data.y_train)
    scrambled = replace(data, y_test=np.random.default_rng(0).permutation(data.y_test))
    a, b = (walk(FF, run, each.x_test, limits) for each in (data, scrambled))
    for name in ("predicted", "layers", "macs"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    alone = walk(FF, run, data.x_test[:20], limits)
    assert np.array_equal(alone.layers, a.layers[:20])
    assert fit_thresholds(FF, run, scrambled.x_train, scrambled.y_train) == limits


def test_a_decision_does_not_look_ahead() -> None:
    """Whatever later layers would say, a sample that stops has been decided by the scores before."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(200, 3, 4))
    other = np.concatenate([x[:, :2], rng.uniform(size=(200, 1, 4))], axis=1)
    a, b = (walk(Told(), told(), each, Thresholds(("a", "b", "c"), (0.3, 0.2))) for each in (x, other))
    early = a.layers < 3
    assert early.any()
    assert np.array_equal(a.layers, b.layers)
    assert np.array_equal(a.predicted[early], b.predicted[early])


def test_thresholds_at_the_ends_give_the_first_layer_and_the_whole_network() -> None:
    run, x = trained().run, digits().x_test
    last = walk(FF, run, x, Thresholds(("a", "b", "c"), (inf, inf)))
    assert np.array_equal(last.predicted, FF.scores(run, x).argmax(axis=1))
    assert (last.macs == last.full_macs).all()
    first = walk(FF, run, x, Thresholds(("a", "b", "c"), (nextafter(0.0, -1.0), 0.0)))
    steps = FF.layer_scores(run, x)
    assert steps is not None
    assert np.array_equal(first.predicted, next(steps).scores.argmax(axis=1))
    assert (first.layers == 1).all()


def test_it_saves_layers_and_keeps_the_accuracy() -> None:
    """The control walks as many layers, chosen by lot: it is worse."""
    run, data = trained().run, digits()
    found = walk(FF, run, data.x_test, fit_thresholds(FF, run, data.x_train, data.y_train))
    full, early = accuracy(np.eye(10)[found.full], data.y_test), accuracy(np.eye(10)[found.predicted], data.y_test)
    assert found.macs.mean() < 0.8 * found.full_macs
    assert early > full - 0.01
    steps = FF.layer_scores(run, data.x_test)
    assert steps is not None
    first = next(steps)
    stopped = found.layers == 1
    sure = (first.scores.argmax(axis=1) == data.y_test)[stopped].mean()
    lots = (first.scores.argmax(axis=1) == data.y_test).mean()
    assert margins(first.scores)[stopped].min() > margins(first.scores)[~stopped].max()
    assert sure > lots + 0.01


@pytest.mark.parametrize("rule", ["bp", "pepita"])
def test_a_rule_whose_layers_do_not_predict_alone_is_refused(rule: str) -> None:
    run = start(initialised(structure("64-8-10"), 0), registry.rules[rule], registry.rules[rule].settings, 0)
    with pytest.raises(Unsupported, match=rf"^an early exit with rule {rule}: got layers that do not predict alone"):
        fit_thresholds(registry.rules[rule], run, digits().x_train[:9], digits().y_train[:9])


def test_no_training_samples_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^thresholds for an early exit: got no samples"):
        fit_thresholds(Told(), told(), np.zeros((0, 2, 2)), np.zeros(0, int))


def test_the_command_says_what_was_saved(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(trained().network, path)
    found = cli.ok("early-exit", str(path), "digits", "--json").json
    data, run = digits(), trained().run
    walked = walk(FF, run, data.x_test, fit_thresholds(FF, run, data.x_train, data.y_train))
    assert found["accuracy"] == float((walked.predicted == data.y_test).mean())
    assert found["accuracy_full"] == float((walked.full == data.y_test).mean())
    assert found["mean_layers"] == float(walked.layers.mean())
    assert found["macs_full"] == walked.full_macs
    assert [row["name"] for row in found["layers"]] == ["dense_1", "dense_2", "dense_3"]
    assert sum(row["share"] for row in found["layers"]) == pytest.approx(1.0)
    assert "whole network" in cli.ok("early-exit", str(path), "digits", "--deviations", "0").out
