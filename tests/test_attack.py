"""Attacks on float networks: gradients that are right and do not saturate, examples within their bounds, and the command."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from command_line import CommandLine
from image_networks import Builder

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Array, Layer, Network
from edgeff.networks import initialised, structure
from edgeff.ops.backward import input_gradient
from edgeff.ops.dense import Dense
from edgeff.ops.relu import Relu
from edgeff.ops.softmax import Softmax
from edgeff.studies.attack import LOSSES, Attacked, Settings, check_gradient, fgsm, float32_gradients, pgd, sweep, transfer
from edgeff.studies.attack.perturb import along, bounds
from edgeff.train.loop import train

SPAN = (0.0, 1.0)


def convolutional() -> Network:
    """Every way a gradient takes: windows, both pools, a sum of two paths, batch normalisation to fold, without biases."""
    build = Builder((8, 8, 2))
    first = build.window("conv", "conv2d", (3, 3), pads=(1, 1, 1, 1), outputs=4, activation="relu", bias=False)
    build.window("depth", "depthwise_conv2d", (3, 3), pads=(1, 1, 1, 1), bias=False)
    parts = {name: build.rng.uniform(0.5, 1.5, 4).astype(np.float32) for name in ("weight", "bias", "mean", "variance")}
    build.add("norm", "batch_norm", params=parts, eps=1e-3, momentum=0.9, activation="relu6")
    build.add("sum", "add", (first, build.last), activation="relu")
    build.window("most", "max_pool2d", (2, 2), (2, 2))
    build.window("mean", "average_pool2d", (2, 2), (2, 2))
    build.dense("dense", 5)
    build.add("softmax", "softmax")
    return build.network()


def some(network: Network, count: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.random((count, *network.input_shape), np.float32), rng.integers(0, network.layers[-1].shape[0], count)


@pytest.fixture(scope="module")
def trained() -> tuple[Attacked, Array, Array]:
    """A network that has learned the digits, with the test samples."""
    data = registry.tasks["digits"].load(0)
    made = train(data, structure("64-32-10"), "bp", replace(registry.rules["bp"].settings, epochs=20), task="digits")
    return Attacked(made.network), data.x_test, data.y_test


NETWORKS = [initialised(structure("12-9-7-4", bias=True), 0), initialised(structure("12-9-4", softmax=False), 0), convolutional()]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", NETWORKS, ids=["dense", "without softmax", "convolutional"])
def test_the_gradient_is_that_of_finite_differences(network: Network, loss: str) -> None:
    attacked, (x, y) = Attacked(network), some(network)
    check = check_gradient(attacked, x, y, SPAN, (loss,))
    assert (check.probes, check.ok) == (2 * 8 * len(x), True)
    # Round-off: 1e-16 of a loss of order 10 over a step of 1e-6.
    assert check.largest_error < 1e-7


@pytest.fixture
def wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that are too large by a thousandth."""
    monkeypatch.setattr("edgeff.studies.attack.gradients.input_gradient", lambda *arguments: 1.001 * input_gradient(*arguments))


@pytest.mark.usefixtures("wrong_gradient")
def test_a_wrong_gradient_does_not_stand_the_check() -> None:
    network = NETWORKS[0]
    check = check_gradient(Attacked(network), *some(network), SPAN)
    assert not check.ok
    assert check.largest_error == pytest.approx(1e-3, rel=0.01)


def test_a_kink_is_not_conclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeff.studies.attack.gradients.JITTER", 0.0)
    weight = np.array([[1.0], [-1.0]], np.float32)
    layers = (
        Layer("relu", Relu(activation="relu"), ("input",), (1,)),
        Layer("dense", Dense(), ("relu",), (2,), {"weight": weight}),
    )
    check = check_gradient(Attacked(Network("kink", (1,), layers)), np.zeros((1, 1)), np.array([0]), (-1.0, 1.0))
    assert (check.conclusive, check.ok) == (0, False)


def test_the_soft_margin_has_the_signs_of_the_cross_entropy() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.normal(scale=3, size=(50, 6)), rng.integers(0, 6, 50)
    value, slope = LOSSES["cross-entropy"](z, y)
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True) - np.eye(6)[y]
    cross_entropy = -np.log((powers / powers.sum(axis=1, keepdims=True))[np.arange(50), y])
    # Both sides are float64 in another order of operations.
    np.testing.assert_allclose(np.logaddexp(0, value), cross_entropy, rtol=1e-9)
    np.testing.assert_allclose(slope / (1 + np.exp(-value))[:, None], error, atol=1e-13)


def saturated() -> tuple[Network, Array, Array]:
    """A network sure of its answer by 400 logits, where one input decides and a step of .1 is enough to change it."""
    weight = np.array([[4000.0, 0.0], [0.0, 1.0]], np.float32)
    layers = (
        Layer("dense", Dense(), ("input",), (2,), {"weight": weight, "bias": np.array([-1600.0, 0], np.float32)}),
        Layer("softmax", Softmax(), ("dense",), (2,)),
    )
    return Network("sure", (2,), layers), np.array([[0.5, 0.5]], np.float32), np.array([0])


def test_a_float32_gradient_underflows_where_the_float64_attack_succeeds() -> None:
    network, x, y = saturated()
    attacked = Attacked(network)
    assert np.array_equal(attacked.float32_gradient(x, y), np.zeros_like(x))
    assert float32_gradients(attacked, x, y).zero == 1
    assert attacked.right(along(x, attacked.float32_gradient(x, y), 0.15, SPAN), y).all()
    for loss in LOSSES:
        assert not attacked.right(fgsm(attacked, x, y, 0.15, SPAN, loss), y).any()
    point = sweep(attacked, x, y, SPAN, Settings((0.15,))).points[0]
    assert (point.fgsm_float32, point.fgsm_float64, point.fgsm, point.pgd) == (1, 0, 0, 0)


def test_pgd_is_at_least_as_strong_as_fgsm_and_both_stronger_than_noise(trained: tuple[Attacked, Array, Array]) -> None:
    attacked, x, y = trained
    found = sweep(attacked, x, y, SPAN, Settings((0.02, 0.05, 0.1, 0.2)))
    assert (found.samples, found.check.ok) == (360, True)
    assert found.natural > 0.95
    for point in found.points:
        assert point.pgd <= point.fgsm <= found.natural
        assert point.fgsm <= min(point.fgsm_by_loss.values())
        assert point.pgd <= min(point.pgd_by_loss.values())
    assert [point.pgd for point in found.points] == sorted((point.pgd for point in found.points), reverse=True)
    # The control: moving every input as far, but at random, leaves nearly all answers right.
    assert found.points[2].noise - found.points[2].pgd > 0.3
    assert found.points[2].pgd < found.points[2].fgsm
    assert found == sweep(attacked, x, y, SPAN, Settings((0.02, 0.05, 0.1, 0.2)))


@pytest.mark.parametrize("eps", [0.01, 0.3, 1.0])
def test_examples_stay_within_epsilon_and_the_range(trained: tuple[Attacked, Array, Array], eps: float) -> None:
    attacked, x, y = trained
    x, y = x[:40].copy(), y[:40]
    x[0, 0], x[1, 1] = 1.5, -0.25  # outside of the range by themselves
    low, high = bounds(x.astype(np.float64), eps, SPAN)
    outside = (x < 0) | (x > 1)
    for moved in (
        fgsm(attacked, x, y, eps, SPAN),
        pgd(attacked, x, y, eps, SPAN, steps=5, until_wrong=False),
        pgd(attacked, x, y, eps, SPAN, "margin", steps=5, start=np.full(x.shape, -1.0)),
    ):
        # x + eps is rounded once in float64.
        assert np.abs(moved - x).max() <= eps + 1e-15
        assert ((moved >= low) & (moved <= high)).all()
        assert ((moved >= 0) & (moved <= 1))[~outside].all()
        assert moved[0, 0] <= 1.5
        assert moved[1, 1] >= -0.25


def test_examples_carry_over_and_fool_their_source_most(trained: tuple[Attacked, Array, Array]) -> None:
    attacked, x, y = trained
    data = registry.tasks["digits"].load(0)
    other = train(data, structure("64-32-10"), "bp", replace(registry.rules["bp"].settings, epochs=5), seed=1, task="digits")
    one_step, many = zip(*transfer(attacked, {"own": attacked, "other": Attacked(other.network)}, x, y, 0.1, SPAN).values(), strict=True)
    assert many[0] < many[1] < 0.95
    assert one_step[0] < one_step[1]


def test_what_cannot_be_attacked_is_refused() -> None:
    network = NETWORKS[0]
    x, y = some(network)
    with pytest.raises(Unsupported, match="outputs"):
        Attacked(initialised(structure("8-3-8", softmax=False), 0))
    physical = registry.rules["phyll"].prepare(initialised(structure("12-8-4"), 0), registry.rules["phyll"].settings, 0)
    with pytest.raises(Unsupported, match="gradient"):
        Attacked(physical).gradient(x, y)
    with pytest.raises(BadInput, match="no samples"):
        sweep(Attacked(network), x[:0], y[:0], SPAN)
    for wrong in ((), (0.0,), (0.2, 0.1), (0.1, 0.1), (1.5,), (float("nan"),)):
        with pytest.raises(BadInput, match="epsilons"):
            Settings(wrong)
    with pytest.raises(BadInput, match="losses"):
        Settings(losses=("hinge",))
    with pytest.raises(BadInput, match="steps"):
        Settings(steps=0)


# ---------------------------------------------------------------- the command


def test_the_command_attacks_models_and_draws_them(cli: CommandLine, models: Path, folder: Path) -> None:
    cli.ok("train", "digits", "--network", "64-16-10", "--rule", "bp", "--epochs", "5", "--seed", "3", "-o", "bp.onnx")
    arguments = ("attack", "bp.onnx", models / "float.onnx", "digits", "--epsilons", "0.1,0.05", "--samples", "200", "--steps", "5")
    found = cli.ok(*arguments, "--transfer", "0.1", "-o", "attack.html", "--json").json
    assert (found["ok"], found["range"], found["page"]) == (True, [0.0, 1.0], "attack.html")
    assert found["attack"] == {"losses": ["cross-entropy", "margin"], "steps": 5, "random_start": True}
    assert [(m["model"], m["rule"], m["seed"], m["samples"]) for m in found["models"]] == [
        ("bp", "bp", 3, 200),
        ("float", "pepita", 3, 200),
    ]
    assert [point["epsilon"] for point in found["models"][0]["points"]] == [0.05, 0.1]
    assert [(entry["source"], entry["victim"]) for entry in found["transfers"]] == [("bp", "float"), ("float", "bp")]
    text = Path("attack.html").read_text(encoding="utf-8")
    packed = re.findall(r'<script type="application/octet-stream" id="figures">(.+?)</script>', text)[0]
    figures = json.loads(zlib.decompress(base64.b64decode(packed)))
    drawn = go.Figure(figures["figure-1"]).data  # plotly refuses what it does not know
    assert [line.name for line in drawn if line.showlegend][:2] == ["bp", "float"]
    assert drawn[2].y == tuple(100 * share for share in (found["models"][0]["natural"], *(p["pgd"] for p in found["models"][0]["points"])))
    assert sorted(path.name for path in folder.iterdir()) == ["attack.html", "bp.onnx"]
    plain = cli.ok(*arguments, "--loss", "margin", "--start", "centre").out
    assert "accuracy under attack on digits: margin, float64 gradients" in plain


def test_all_samples_unmoved_give_the_accuracy_that_evaluate_measures(cli: CommandLine, models: Path) -> None:
    model = models / "float.onnx"
    (found,) = cli.ok("attack", model, "digits", "--epsilons", "0.01", "--steps", "1", "--json").json["models"]
    measured = cli.ok("evaluate", model, "digits", "--json").json
    assert (found["samples"], found["natural"]) == (measured["samples"], measured["value"])


@pytest.mark.usefixtures("wrong_gradient")
def test_a_check_that_does_not_hold_ends_with_1(cli: CommandLine, models: Path) -> None:
    ended = cli("attack", models / "float.onnx", "digits", "--epsilons", "0.1", "--samples", "20", "--json")
    assert (ended.status, ended.json["ok"]) == (1, False)
    assert ended.err == "error: the float64 gradient against finite differences: got a difference in float; allowed: none\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{models}/int8.onnx", "digits"), "attacking a model: got int8; allowed: a float model; attack it before it is quantised"),
        (("{models}/ff.onnx", "digits"), "attacking ff: got the prediction of ff, which has no gradient"),
        (("narrow.onnx", "digits"), "network input: got (32,)"),
        (("{models}/float.onnx", "digits", "--epsilons", "0.1,x"), "option --epsilons: got '0.1,x'"),
        (("{models}/float.onnx", "digits", "--epsilons", "0"), "option --epsilons: got '0'"),
        (("{models}/float.onnx", "digits", "--steps", "0"), "option --steps: got '0'"),
        (("{models}/float.onnx", "digits", "--loss", "hinge"), "unknown loss: got 'hinge'"),
        (("{models}/float.onnx", "digits", "--transfer", "0.1"), "option --transfer: got one model"),
        (("{models}/float.onnx", "{models}/float.onnx", "digits"), "models to attack: got a file named twice"),
        (("{models}/float.onnx", "other.onnx", "digits", "--transfer", "0.1"), "option --transfer: got models whose test samples differ"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_the_command_refuses_in_one_line(cli: CommandLine, models: Path, arguments: tuple[str, ...], message: str) -> None:
    if "narrow.onnx" in arguments:
        write_onnx(initialised(structure("32-8-10"), 0), Path("narrow.onnx"))
    if "other.onnx" in arguments:
        cli.ok("train", "digits", "--network", "64-8-10", "--rule", "bp", "--epochs", "1", "--seed", "4", "-o", "other.onnx")
    ended = cli("attack", *(argument.format(models=models) for argument in arguments))
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert ended.err.startswith(f"error: {message}")
