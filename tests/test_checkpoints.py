"""A training run that is interrupted goes on from its folder to the same bits; what is not its own is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from test_conv_learning import plain

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Network
from edgeff.networks import structure
from edgeff.ops import parameters
from edgeff.rules import find_rule
from edgeff.tasks import Data
from edgeff.train.checkpoints import CHECKPOINT, CURVE, LOG, Checkpoints
from edgeff.train.loop import Trained, train

EPOCHS = 5
COMPOSED = "cwc:dense_1,pepita"
WAYS: dict[str, dict[str, Any]] = {
    "adam": {"optimiser": "adam"},
    "momentum": {"optimiser": "sgd", "momentum": 0.9},
}


@cache
def few() -> Data:
    data = registry.tasks["digits"].load(0)
    return replace(data, x_train=data.x_train[:192], y_train=data.y_train[:192])


class PowerCut(Exception):
    """Ends a run after so many epochs."""


def after(epochs: int) -> Callable[[int, int], None]:
    def progress(done: int, _: int) -> None:
        if done == epochs:
            raise PowerCut

    return progress


def learned(
    rule: str, changes: dict[str, Any], folder: Path | None, cut: int = 0, every: int = 1, network: Network | None = None
) -> Trained:
    settings = replace(find_rule(rule).settings, epochs=EPOCHS, batch=16, decay_epochs=(3,), **changes)
    network = network or structure("64-12-10-10", bias=True)
    data = few() if network.input_shape == (64,) else replace(few(), x_train=few().x_train.reshape(-1, *network.input_shape))
    checkpoints = None if folder is None else Checkpoints(folder, every)
    return train(data, network, rule, settings, 3, after(cut) if cut else None, "", guarded=False, checkpoints=checkpoints)


def assert_goes_on(rule: str, changes: dict[str, Any], folder: Path, network: Network | None = None) -> None:
    whole = learned(rule, changes, None, network=network)
    for cut in (2, 4):
        with pytest.raises(PowerCut):
            learned(rule, changes, folder, cut, network=network)
    again = learned(rule, changes, folder, network=network)
    assert again.history == whole.history
    left, right = parameters(whole.network), parameters(again.network)
    for layer, values in left.items():
        for name, value in values.items():
            assert value.tobytes() == right[layer][name].tobytes(), f"{layer}.{name}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", sorted({*registry.rules, COMPOSED} - {"phyll", "deeper_forward"}))
def test_an_interrupted_run_ends_in_the_same_bits(rule: str, way: str, tmp_path: Path) -> None:
    assert_goes_on(rule, WAYS[way], tmp_path / "run")


@pytest.mark.parametrize("rule", ["mono_forward", "cwc", "deeper_forward"])
def test_an_interrupted_run_through_convolutions_too(rule: str, tmp_path: Path) -> None:
    assert_goes_on(rule, {}, tmp_path / "run", plain())


def test_mirrors_that_learn_and_dropout_go_on(tmp_path: Path) -> None:
    assert_goes_on("pepita", {"mirror_every": 2, "mirror_first": 1, "dropout": 0.2, "optimiser": "sgd", "momentum": 0.9}, tmp_path / "run")


def test_an_epoch_that_no_checkpoint_holds_is_learned_again(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        learned("bp", {}, tmp_path, 3, every=2)
    assert len(list(csv.reader((tmp_path / LOG).open()))) == 4
    assert learned("bp", {}, tmp_path, every=2).history == learned("bp", {}, None).history
    rows = list(csv.DictReader((tmp_path / LOG).open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert len({row["rate"] for row in rows}) == 2  # it falls once
    assert "epochs 1 to 5" in (tmp_path / CURVE).read_text()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        learned("bp", {}, tmp_path, 2)
    content = (tmp_path / CHECKPOINT).read_bytes()
    for rule, changes, message in (("dfa", {}, "another rule"), ("bp", {"weight_decay": 0.5}, "another weight_decay")):
        with pytest.raises(BadInput, match=f"got a run with {message}.*choose another folder"):
            learned(rule, changes, tmp_path)
    for damaged in (content[:200], b"", b"no archive"):
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(BadInput, match=r"checkpoint .*allowed: one that `edgeff train` wrote"):
            learned("bp", {}, tmp_path)


def test_the_command_keeps_and_goes_on(tmp_path: Path, cli: CommandLine) -> None:
    words = ("train", "digits", "--network", "64-8-10", "--rule", "pepita", "--epochs", "3")
    cli.ok(*words, "-o", tmp_path / "plain.onnx")
    for name in ("first.onnx", "again.onnx"):
        cli.ok(*words, "--run", tmp_path / "run", "--save-every", "2", "-o", tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / "plain.onnx").read_bytes()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [CHECKPOINT, CURVE, LOG]
    for more, message in (
        (("--save-every", "2"), "option --save-every: got no --run"),
        (("--run", tmp_path / "run", "--retry"), "option --run: got --retry beside it"),
        (("--run", tmp_path / "run", "--seed", "1"), "got a run with another data, seed, start"),
        (("--run", tmp_path / "plain.onnx"), "allowed: a folder that can be written"),
    ):
        ended = cli(*words, *more, "-o", tmp_path / "m.onnx")
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert message in ended.err
    assert np.load(tmp_path / "run" / CHECKPOINT, allow_pickle=False).files
