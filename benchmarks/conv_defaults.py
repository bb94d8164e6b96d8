"""What the default settings of a device learn through convolutions: four networks that no setting was chosen for, two tasks, by the C.

Batch 1 from fresh weights, 10 epochs, a constant rate, the rule's own settings; accuracy on test parts, three seeds. The networks:
``small`` (two convolutions, dense), ``plain`` (four), ``separable`` (a convolution, two depthwise + pointwise pairs, the mean over all,
dense) and ``residual`` (a convolution, two stacks with skip connections). FSDD: 1,400 of the training recordings. Schedule ``blocks``: one
block at a time, 10 epochs each. ``python benchmarks/conv_defaults.py`` -> ``benchmarks/results/conv_defaults.json``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Network
from edgeff.networks import initialised
from edgeff.networks._stack import Stack
from edgeff.ops.add import Add
from edgeff.ops.canonical import canonical
from edgeff.ops.softmax import Softmax
from edgeff.program.chain import chain
from edgeff.program.deploy import deploy
from edgeff.program.plan import plan
from edgeff.program.state import restored
from edgeff.tasks import Data

EPOCHS, SEEDS, RECORDINGS = 10, 3, 1400
BLOCKS = "blocks"


def network(name: str, shape: tuple[int, ...], seed: int) -> Network:
    """A network with fresh weights for ten classes; rows of more than 16 are halved by the first convolution."""
    stack, step = Stack(shape), 2 if shape[0] > 16 else 1
    if name == "small":
        stack.conv("conv_1", 8, (3, 3), (2, 2), norm=False)
        stack.conv("conv_2", 16, (3, 3), (2, 2), norm=False)
    elif name == "plain":
        for number, (channels, stride) in enumerate(((8, (step, 1)), (12, (2, 2)), (16, (1, 1)), (16, (2, 2))), 1):
            stack.conv(f"conv_{number}", channels, (3, 3), stride, norm=False)
    elif name == "separable":
        stack.conv("conv", 16, (3, 3), (step, 1), norm=False)
        for number, (channels, stride) in enumerate(((16, (1, 1)), (24, (2, 2))), 1):
            stack.depthwise(f"depthwise_{number}", (3, 3), stride)
            stack.conv(f"pointwise_{number}", channels, (1, 1))
    else:
        below = stack.conv("conv", 8, (3, 3), (step, 1), norm=False)
        for number, (channels, stride) in enumerate(((8, (1, 1)), (16, (2, 2))), 1):
            stack.below = below
            stack.conv(f"a_{number}", channels, (3, 3), stride, norm=False)
            main = stack.conv(f"b_{number}", channels, (3, 3), norm=False, activation="none")
            if number > 1:
                stack.below = below
                below = stack.conv(f"skip_{number}", channels, (1, 1), stride, norm=False, activation="none")
            below = stack.add(f"sum_{number}", Add(activation="relu"), (below, main))
    if name in ("separable", "residual"):
        stack.average_pool("pool", (stack.shape[0], stack.shape[1]))
    stack.flatten()
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return canonical(initialised(stack.network(name), seed))


def data_of(task: str, seed: int) -> Data:
    """Digits as images, or a part of FSDD."""
    data: Data = registry.tasks[task].load(seed)
    if task == "digits":
        return replace(data, x_train=data.x_train.reshape(-1, 8, 8, 1), x_test=data.x_test.reshape(-1, 8, 8, 1))
    chosen = np.random.default_rng([seed, 13]).permutation(len(data.x_train))[:RECORDINGS]
    return replace(data, x_train=data.x_train[chosen], y_train=data.y_train[chosen])


def one_at_a_time(made: Network, data: Data, numeric: Any, seed: int) -> float:
    """The test accuracy after every block has learned, a share."""
    blocks, after, rng = chain(made, data.x_train, numeric=numeric, seed=seed), 0.0, np.random.default_rng([seed, 3])
    for number in range(1, blocks.blocks + 1):
        deployment = blocks.deployment(number)
        host, x = HostTarget(deployment.program), deployment.inputs(data.x_train)
        host.init()
        for _ in range(EPOCHS):
            host.learn_many(x, data.y_train.astype(np.int32), rng.permutation(len(x)))
        after = float(np.mean(host.predict_many(deployment.inputs(data.x_test))[0] == data.y_test))
        blocks = blocks.learned(deployment, restored(deployment.program, plan(deployment.program), bytes(host.save())))
    return after


def measure(name: str, task: str, rule: str, numeric: Any, schedule: str) -> dict[str, Any]:
    """The test accuracies in per cent after the last epoch, a seed each."""
    found = []
    for seed in range(SEEDS):
        data = data_of(task, seed)
        made = network(name, data.x_train.shape[1:], seed)
        if schedule == BLOCKS:
            after = one_at_a_time(made, data, numeric, seed)
        else:
            deployment = deploy(made, data.x_train, rule=rule, numeric=numeric, seed=seed)
            after = learn_on_host(HostTarget(deployment.program), deployment, data, EPOCHS, seed, points=1).after
        found.append(round(100 * after, 2))
    return {"test": found, "mean": round(float(np.mean(found)), 2), "deviation": round(float(np.std(found, ddof=1)), 2), "epochs": EPOCHS}


if __name__ == "__main__":
    ways = [("bp", "float32", ""), ("bp", "int8", ""), ("mono_forward", "float32", ""), ("mono_forward", "int8", "")]
    ways += [("mono_forward", "float32", BLOCKS), ("mono_forward", "int8", BLOCKS), ("frozen", "int8", ""), ("fa", "int8", "")]
    keys = [(name, "digits", *way) for way in ways for name in ("small", "plain", "separable", "residual")]
    keys += [(name, "fsdd", *way) for way in ways[:-1] for name in ("small", "separable")]
    collect("conv_defaults", keys, measure, SEEDS)
