"""Figures are of the test part, which is the seed's and shares nothing with the training part: each by an oracle of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.datasets import load_digits

from edgeff import registry
from edgeff.contracts.rules import digits
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.rules import Settings


def test_every_digit_is_in_one_part_once() -> None:
    data = registry.tasks["digits"].load(0)
    parts = np.concatenate([data.x_train, data.x_test])
    whole = (load_digits().data / 16.0).astype(np.float32)
    assert sorted(sample.tobytes() for sample in parts) == sorted(sample.tobytes() for sample in whole)
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)


def test_another_seed_splits_the_digits_otherwise() -> None:
    first, other = (registry.tasks["digits"].load(seed) for seed in (0, 1))
    shared = {sample.tobytes() for sample in first.x_test} & {sample.tobytes() for sample in other.x_test}
    assert len(shared) < 120  # 72 are expected of two independent fifths of 360


def test_the_accuracy_of_learning_is_that_of_the_test_part() -> None:
    """Test labels that mean nothing: what is learned of the training part does not show."""
    data = digits()
    deployment = deploy(initialised(structure("64-16-10"), 0), data.x_train, rule="bp", numeric="int8")
    blind = replace(data, y_test=np.random.default_rng(0).permutation(data.y_test))
    seen, unseen = (learn_on_host(HostTarget(deployment.program), deployment, part, 3, 0, points=1).after for part in (data, blind))
    assert seen > 0.7
    assert unseen < 0.2


def test_the_host_rate_falls_at_its_epochs_and_not_before() -> None:
    settings = Settings(lr=1.0, decay=0.5, decay_epochs=(3, 5), epochs=7)
    assert [settings.rate(epoch) for epoch in range(7)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    every = Settings(lr=1.0, decay=0.5, decay_epochs=(), decay_every=2, epochs=5)
    assert [every.rate(epoch) for epoch in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
