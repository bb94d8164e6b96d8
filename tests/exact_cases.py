"""What the tests of bit-exactness share: networks trained a little on digits, inputs at the extremes, and deployments that learn."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from edgeff import registry
from edgeff.ir import Array, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.quantize import quantise_array, quantize
from edgeff.rules import Rule
from edgeff.tasks import Data
from edgeff.train.loop import train
from edgeff.verify.step import EXACT, compare_step


@functools.cache
def digits() -> Data:
    data: Data = registry.tasks["digits"].load(0)
    return data


@functools.cache
def float_classifier(bias: bool) -> Network:
    """64-32-10 after three epochs of back-propagation."""
    settings = replace(registry.rules["bp"].settings, epochs=3)
    return train(digits(), structure("64-32-10", bias=bias), "bp", settings).network


@functools.cache
def int8_classifier(bias: bool, per_channel: bool) -> Network:
    return quantize(float_classifier(bias), digits().x_train[:200], per_channel=per_channel)


def extremes(count: int, width: int) -> Array:
    """``count`` seeded int8 samples: ends of the range alone, mixed with random values, random, and constant ones."""
    rng = np.random.default_rng(0)
    ends = rng.choice(np.array([-128, 127], np.int8), (count, width))
    anything = rng.integers(-128, 128, (count, width)).astype(np.int8)
    samples = np.where(rng.random((count, width)) < rng.choice([0.0, 0.1, 0.5, 1.0], (count, 1)), anything, ends)
    samples[0], samples[1], samples[2], samples[3] = -128, 127, 0, np.where(np.arange(width) % 2, 127, -128)
    return samples.astype(np.int8)


def digits_and_extremes(network: Network) -> Array:
    """Every digit of the test set and 1,000 samples at the extremes, in int8."""
    assert network.input_quant is not None
    images = quantise_array(digits().x_test.reshape(-1, 64), network.input_quant)
    return np.concatenate([images, extremes(1000, 64)])


@functools.cache
def learner(rule: str, numeric: Numeric, name: str = "64-32-10", bias: bool = False) -> Deployment:
    """A fresh network that learns on a device."""
    network = initialised(structure(name, bias=bias), 0)
    return deploy(network, digits().x_train, rule=rule, numeric=numeric)


def assert_step_is_lowered(deployment: Deployment, rule: Rule, steps: int, *, allowed: float = EXACT) -> None:
    """Every parameter that the rule learns changes as ``step`` says, in each of ``steps`` steps along the way that the program goes.

    ``allowed`` is the largest error of a float32 program, as a share of the largest change of a tensor.
    """
    x, labels = deployment.inputs(digits().x_train[:steps]), digits().y_train[:steps]
    rows = compare_step(deployment, rule, x, labels, strict=True, steps=steps)
    learned = {t.name for t in deployment.program.by_role("variable")} - {"rate"}
    assert {row.what.partition(",")[0] for row in rows} == learned
    for row in rows:
        within = deployment.program.numeric == "float32" and row.max_difference is not None and row.max_difference <= allowed
        assert row.ok or within, f"{row.what}: {row.note}"
