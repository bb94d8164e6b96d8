"""A trained model gets further classes: what it knew stays, and the new class can be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from own_files import write_csv

from edgeff.cli.models import load_model
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Layer, Network
from edgeff.networks import dense_list, initialised
from edgeff.networks.heads import with_classes, with_prototypes
from edgeff.ops import forward, parameters
from edgeff.ops.relu import Relu
from edgeff.program.quantize import quantize

X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)


def test_no_answer_changes_before_a_new_class_is_learned() -> None:
    network = initialised(dense_list("6-8-4", bias=True), 1)
    network["dense_2"].params["bias"][:] = (-9.0, 0.5, 0.25, -0.5)  # a mean far below the largest, and scores below 0
    wider = with_classes(network, 7)
    before = forward(network, parameters(network), X)["dense_2"]
    after = forward(wider, parameters(wider), X)["dense_2"]
    assert np.array_equal(after[:, :4], before)
    assert np.allclose(after[:, 4:], before.mean(axis=1, keepdims=True), atol=1e-6)  # of sums in another order
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))
    int8 = with_classes(quantize(network, X), 5)
    assert int8["dense_2"].params["weight"].dtype == np.int8
    assert np.array_equal(int8["dense_2"].params["weight"][:4], quantize(network, X)["dense_2"].params["weight"])


def test_class_means_tell_classes_as_the_nearest_mean_does() -> None:
    """The nearest mean is found here by distances; a class without samples, and integers, are refused."""
    network = initialised(dense_list("6-8-3"), 2)
    y = np.random.default_rng(1).integers(0, 3, len(X))
    x = X + 2.0 * np.eye(6, dtype=np.float32)[y]
    made = with_prototypes(network, x[:300], y[:300])
    h = forward(network, parameters(network), x)["dense_1"].astype(np.float64)
    means = np.stack([h[:300][y[:300] == label].mean(axis=0) for label in range(3)])
    nearest = ((h[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    scores = forward(made, parameters(made), x)["softmax"]
    assert np.mean(scores.argmax(axis=1) == nearest) > 0.99  # float32 against float64
    assert np.mean(nearest[300:] == y[300:]) > 0.7
    assert np.array_equal(made["dense_1"].params["weight"], network["dense_1"].params["weight"])
    with pytest.raises(BadInput, match="got none of class 2; allowed: some of each of 3 classes"):
        with_prototypes(network, x[y < 2], y[y < 2])
    with pytest.raises(Unsupported, match="got integers; allowed: float32"):
        with_prototypes(quantize(network, X), x, y)


def test_what_has_no_head_is_refused() -> None:
    network = initialised(dense_list("6-4"), 0)
    with pytest.raises(BadInput, match="got 4; allowed: 5 to"):
        with_classes(network, 4)
    with pytest.raises(Unsupported, match="an end in relu; allowed: one that ends in a dense layer"):
        with_classes(Network("r", (6,), (Layer("relu", Relu(activation="relu"), ("input",), (6,)),)), 9)
    with pytest.raises(Unsupported, match="a scale for each output"):
        with_classes(quantize(network, X, per_channel=True), 5)


def test_a_new_class_is_learned_on_the_board_by_its_name(tmp_path: Path, cli: CommandLine) -> None:
    """Trained without the kind ``run``, then shown all three."""
    table = write_csv(tmp_path / "all.csv", count=240)
    lines = table.read_text(encoding="utf-8").splitlines()
    (tmp_path / "two.csv").write_text("\n".join(line for line in lines if ";run;" not in line), encoding="utf-8")
    words = ("train", tmp_path / "two.csv", "--target", "kind", "--data", "drop=machine", "--network", "3-12-2", "--rule", "bp", "--bias")
    cli.ok(*words, "-o", tmp_path / "two.onnx")
    made = cli.ok("head", tmp_path / "two.onnx", "--names", "run", "-o", tmp_path / "three.onnx", "--json").json
    assert made["classes"] == load_model(tmp_path / "three.onnx").network.metadata["classes"] == ["fault", "idle", "run"]
    means = cli.ok("head", tmp_path / "two.onnx", "--names", "run", "--prototypes", table, "-o", tmp_path / "means.onnx", "--json").json
    assert (means["classes"], means["kept"]) == (made["classes"], 0)
    assert cli.ok("evaluate", tmp_path / "means.onnx", table, "--json").json["value"] > 0.7
    learn = ("simulate", tmp_path / "three.onnx", table, "--board", "rpi_pico", "--rule", "bp", "--set", "lr=0.05", "--json")
    accuracy = cli.ok(*learn).json["accuracy"]
    assert accuracy["before"] < 0.7  # two of three classes at most
    assert accuracy["after"] > 0.85
    assert (
        "got 2 names; allowed: 1" in cli("head", tmp_path / "two.onnx", "--classes", "3", "--names", "a,b", "-o", tmp_path / "x.onnx").err
    )
    assert "each once" in cli("head", tmp_path / "two.onnx", "--names", "idle", "-o", tmp_path / "x.onnx").err
