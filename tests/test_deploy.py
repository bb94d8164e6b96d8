"""Deployment: network, rule and numeric become a program, with room to learn and inputs in its own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_networks import EVERY_PROGRAM, deployed, samples, small

from edgeff import registry
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Headroom, Numeric
from edgeff.program.deploy import CALIBRATION_SAMPLES, deploy
from edgeff.program.quantize import quantise_array, quantize


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_inputs_come_in_the_programs_numbers(rule: str | None, numeric: Numeric) -> None:
    deployment = deployed(rule, numeric)
    program = deployment.program
    x = deployment.inputs(samples(5))
    assert (x.shape, x.dtype) == ((5, 12), np.dtype(program.tensors[program.input].dtype))
    assert (program.rule or None, program.numeric, deployment.network.numeric) == (rule, numeric, numeric)
    if deployment.network.input_quant is not None:
        assert (x == quantise_array(samples(5), deployment.network.input_quant)).all()


def test_only_a_network_that_learns_gets_room() -> None:
    plain = deployed(None, "int8").network
    learning = deployed("bp", "int8")
    room = registry.rules["bp"].headroom(small(), learning.settings, "int8")
    assert room != Headroom()
    ratio = learning.network["dense_1"].quant["weight"].scale[0] / plain["dense_1"].quant["weight"].scale[0]
    assert ratio == pytest.approx(room.weights, rel=1e-6)  # scales are float32
    narrow = deployed("bp", "int8", headroom=Headroom()).network
    assert narrow["dense_1"].quant["weight"] == plain["dense_1"].quant["weight"]


def test_the_first_samples_calibrate() -> None:
    x = samples(CALIBRATION_SAMPLES + 50)
    x[CALIBRATION_SAMPLES:] = 100.0
    first = deploy(small(), x[:CALIBRATION_SAMPLES], numeric="int8").network
    assert deploy(small(), x, numeric="int8").network.input_quant == first.input_quant


def test_a_quantised_network_is_taken_as_it_is() -> None:
    network = quantize(small(), samples(40))
    assert deploy(network, numeric="int8").network is network
    assert deploy(network, rule="pepita", numeric="int8").network is network


def test_changes_are_changes_of_the_devices_settings() -> None:
    rule = registry.rules["pepita"]
    deployment = deployed("pepita", "int8", changes={"lr": 0.5})
    assert deployment.settings.lr == 0.5
    assert deployment.settings.feedback_scale == rule.device_settings("int8").feedback_scale
    assert deployment.settings.batch == 1


def test_forward_forward_gets_its_layers() -> None:
    network = deployed("ff", "float32").network
    assert {"label", "normalise"} <= {layer.kind for layer in network}
    assert deploy(network, rule="ff").network is network


def test_what_is_learned_is_recorded() -> None:
    assert deployed("bp", "float32").target == "class"
    assert deployed("bp", "float32", small("12-8-12", softmax=False), target="input").target == "input"


@pytest.mark.parametrize(
    ("options", "kind", "line"),
    [
        ({"numeric": "int8"}, BadInput, "quantisation: got no calibration data"),
        ({"numeric": "int4", "x": samples(4)}, BadInput, "numeric: got 'int4'"),
        ({"rule": "hebb"}, BadInput, "unknown rule: got 'hebb'"),
        ({"rule": "bp", "changes": {"learning_rate": 1.0}}, BadInput, "unknown setting of rule bp: got 'learning_rate'; allowed: lr, "),
        ({"rule": "bp", "changes": {"lr": -1.0}}, BadInput, "setting lr: got -1.0"),
        ({"rule": "ff", "changes": {"on": 1e9}}, BadInput, "setting on: got 1000000000.0"),
        ({"rule": "bp", "changes": {"momentum": 0.5}}, Unsupported, "momentum on a device"),
        ({"network": quantize(small(), samples(4)), "numeric": "float32"}, BadInput, "numeric: got float32 for a model that is int8"),
        ({"network": quantize(small(), samples(4)), "numeric": "int8", "rule": "ff"}, Unsupported, "rule ff: got a quantised network"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], kind: type[EdgeffError], line: str) -> None:
    with pytest.raises(kind) as caught:
        deploy(**({"network": small()} | options))
    assert str(caught.value).startswith(line)
