"""``step`` of a rule as an oracle of a deployment: the paper's equation in NumPy, in float64, on the real values of the deployment's
integers.

It is independent of the program: it knows only the quantisation of each parameter and of the input, the settings and the seed, but no
multiplier, shift or kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgeff.ir import Array, Quant
from edgeff.ops import forward, kind, split_input
from edgeff.program.deploy import Deployment
from edgeff.program.unit import in_unit, unit_of
from edgeff.rules import Rule, Run

Real = NDArray[np.float64]
Changes = Mapping[str, Real]

SPILL = 0.01
"""The share of its range by which an activation may exceed it and still count as inside: a softmax in int8 ends at 255/256."""


ENDS = {"int8": (-128, 127), "int16": (-32767, 32767)}
"""The smallest and largest activation."""


def real(values: Array, quant: Quant | None) -> Real:
    """The real values of integers, float64; a float array unchanged.

    >>> real(np.array([-1, 0, 3], np.int8), Quant((0.5,), 1))
    array([-1. , -0.5,  1. ])
    """
    if quant is None:
        return values.astype(np.float64)
    scales = quant.scales()
    if quant.axis is not None:
        scales = scales.reshape([-1 if axis == quant.axis else 1 for axis in range(values.ndim)])
    return np.asarray((values.astype(np.float64) - quant.zero_point) * scales)


class Oracle:
    """How ``step`` changes each parameter; ``lr`` is the learning rate, by default that of the deployment's settings."""

    def __init__(self, deployment: Deployment, rule: Rule) -> None:
        self._deployment, self._rule = deployment, rule
        whole = in_unit(deployment.network) if deployment.target == "value" else deployment.network
        self._first, self.network = split_input(whole)
        self._unit = unit_of(whole)
        self.lr = float(deployment.settings.lr)
        self._params = {
            layer.name: {name: real(value, layer.quant.get(name)) for name, value in layer.params.items()}
            for layer in self.network
            if layer.params
        }
        rng, seed = np.random.default_rng(0), deployment.program.seed
        self._run = Run(self.network, self._params, deployment.settings, rng, seed, device=True)
        rule.start(self._run)

    def has(self, tensor: str) -> bool:
        """Whether a tensor, called ``layer.parameter``, is a parameter of the network."""
        layer, _, name = tensor.rpartition(".")
        return name in self._params.get(layer, {})

    def put(self, tensor: str, values: Real) -> None:
        """Sets a parameter to real values."""
        layer, _, name = tensor.rpartition(".")
        self._params[layer][name] = values

    def sample(self, x: Array) -> Real:
        """A sample in the program's input dtype as the network's real input, (1, *shape)."""
        if self._first is not None:
            whole = x.reshape(1, *self._deployment.network.input_shape)
            return np.asarray(kind(self._first).forward(self._first, {}, whole), np.float64)
        return real(x, self.network.input_quant).reshape(1, *self.network.input_shape)

    def stays_in_range(self, x: Array) -> bool:
        """Whether the forward pass of a sample stays within the calibrated ranges, where integers saturate but ``step`` does not."""
        for name, values in forward(self.network, self._params, self.sample(x)).items():
            quant = self.network.input_quant if name == "input" else self.network[name].quant.get("output")
            if quant is not None:
                low, high = ((end - quant.zero_point) * quant.scale[0] for end in ENDS[quant.dtype])
                spill = SPILL * (high - low)
                if values.min() < low - spill or values.max() > high + spill:
                    return False
        return True

    def changes(self, x: Array, label: int | Array, number: int) -> Changes:
        """What step ``number`` (from 0) adds to each parameter that it moves, by ``layer.parameter``.

        ``label`` is a class, or values in the format of the program's target.
        """
        self._run.steps, self._run.lr = number, self.lr
        sample, output = self.sample(x), self.network.layers[-1].shape
        if self._deployment.target == "value":
            wanted = self._deployment.program.tensors[str(self._deployment.program.target)].quant
            target = real(np.asarray(label), wanted).reshape(1, *output) / self._unit
        else:
            target = sample.reshape(1, *output) if self._deployment.target == "input" else np.eye(prod(output))[[int(label)]]
        directions = self._rule.step(self._run, sample, target)
        return {f"{layer}.{name}": -self.lr * value for layer, values in directions.items() for name, value in values.items()}

    def predicts_without(self, tensor: str, x: Array) -> bool:
        """Whether a parameter has no influence on the scores of a sample."""
        layer, _, name = tensor.rpartition(".")
        own, sample = self._params[layer], self.sample(x)
        values, before = own[name], self._rule.scores(self._run, sample)
        own[name] = values + 1.0
        after = self._rule.scores(self._run, sample)
        own[name] = values
        return bool(np.array_equal(before, after))
