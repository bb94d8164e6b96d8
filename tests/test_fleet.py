"""A fleet: who learns what, what is averaged, what is sent, and that unequal devices learn one network."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgeff.cli import run
from edgeff.errors import BadInput
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.studies.fleet import Fleet, averaged, dealt, learn_together, tier_of
from edgeff.tasks import Data


def clouds() -> Data:
    """Three clouds of points in four dimensions."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(3), 100)
    x = (np.eye(3, 4)[y] * 2 + 0.4 * rng.standard_normal((300, 4))).astype(np.float32)
    return Data(x[:240], y[:240], x[240:], y[240:], ("a", "b", "c"))


def test_samples_are_dealt_out_once_each() -> None:
    y = clouds().y_train
    for alpha in (None, 0.5, 1e6):
        parts = dealt(y, 6, alpha, 1)
        assert sorted(np.concatenate(parts).tolist()) == [*range(240)]
    even = dealt(y, 6, 1e6, 1)
    assert all(abs(int((y[part] == label).sum()) - 80 / 6) < 2 for part in even for label in range(3))
    skewed = dealt(y, 6, 0.5, 1)
    assert max(int((y[part] == 0).sum()) for part in skewed) > 25
    with pytest.raises(BadInput, match=r"of 200 clients without one"):
        dealt(y, 200, 0.01, 0)


def test_a_layer_is_the_mean_over_those_who_learned_it() -> None:
    network = initialised(structure("4-6-3"), 0)

    def shifted(by: float) -> Network:
        return network.replacing({x.name: replace(x, params={k: v + by for k, v in x.params.items()}) for x in network.trainable})

    mean = averaged(network, [(shifted(1.0), ("dense_1", "dense_2"), 10), (shifted(4.0), ("dense_2",), 20)])
    assert np.allclose(mean["dense_1"].params["weight"], network["dense_1"].params["weight"] + 1.0)
    assert np.allclose(mean["dense_2"].params["weight"], network["dense_2"].params["weight"] + 3.0)


def test_unequal_devices_learn_one_network() -> None:
    data, network = clouds(), initialised(structure("4-16-3"), 0)
    whole = tier_of(network, data, Fleet(numeric="int8"), 1 << 20)
    last = tier_of(network, data, Fleet(numeric="int8"), whole.arena_bytes - 1)
    assert (whole.layers, last.layers) == (("dense_1", "dense_2"), ("dense_2",))
    fleet = Fleet("bp", "int8", 6, (whole.arena_bytes, last.arena_bytes), 3, alpha=1.0)
    rounds, tiers, learned = learn_together(network, data, fleet)
    assert [(tier.rule, tier.layers, tier.arena_bytes) for tier in tiers] == [(t.rule, t.layers, t.arena_bytes) for t in (whole, last)]
    assert rounds[-1].accuracy > 0.9 > rounds[0].accuracy
    assert not np.array_equal(learned["dense_1"].params["weight"], network["dense_1"].params["weight"])
    again, _, _ = learn_together(network, data, fleet, at_once=3)
    assert again == rounds
    poor, _, kept = learn_together(network, data, Fleet("bp", "int8", 2, (last.arena_bytes,), 1))
    assert np.array_equal(kept["dense_1"].params["weight"], network["dense_1"].params["weight"])
    assert 0 < poor[-1].bytes_up < rounds[-1].bytes_up
    with pytest.raises(BadInput, match=r"budget of a device: got 8 bytes; allowed: [\d,]+ or more, for layer dense_2"):
        tier_of(network, data, fleet, 8)


def test_the_command_prints_rounds_and_refuses_no_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "fleet",
                "64-16-10",
                "digits",
                "--clients",
                "4",
                "--rounds",
                "2",
                "--budget",
                "1",
                "--budget",
                "16",
                "--numeric",
                "float32",
                "--json",
            ]
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert [tier["layers"] for tier in result["tiers"]] == [["dense_2"], ["dense_1", "dense_2"]]
    assert result["rounds"][2]["accuracy"] > result["rounds"][0]["accuracy"] + 0.2
    assert run(["fleet", "64-16-10", "digits", "--rule", "ff"]) == 2
    assert "fleet that learns by rule ff: got layers beside the network's own; allowed: afa, bp" in capsys.readouterr().err
    assert run(["fleet", "fc_ae", "ad"]) == 2
    assert "allowed: a task of classes" in capsys.readouterr().err
