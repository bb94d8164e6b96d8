"""The way back through a block whose end is a linear head on averages: without a gradient of a map's size where the block allows it.

Such a block ends in a map, ReLU or nothing, an average pool without overlap, reshapes, and a dense layer. Its map comes from one
convolution; from two, one after the other; from a depthwise and a pointwise convolution after a first one; from an addition of
such; or, in int8, from a first convolution's output to which two others over it are added. Any other block takes the general way
(``edgeff.rules._blocks``): the results are the same to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeff.ir import Call, Layer, Network
from edgeff.kernels.activation import NONE, RELU
from edgeff.ops import kind
from edgeff.ops.add import Add
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.building import Value
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.global_average_pool import GlobalAveragePool
from edgeff.ops.reshape import Reshape
from edgeff.rules._blocks import Block, Passes, lower_backward
from edgeff.rules._building import Pooling, RuleBuilder


@dataclass(frozen=True)
class Branch:
    """Convolutions one after the other, the last of which makes a summand of the block's map: ``stem`` and ``first`` may be missing."""

    last: Layer
    first: Layer | None = None
    stem: Layer | None = None


@dataclass(frozen=True)
class PooledBlock:
    """A block as the kernels take it.

    ``head`` reads the averages that ``pool`` makes by windows of ``size`` from the map ``top``, the sum of ``branches``; ``reshapes``
    lie between. ``skipped``: a convolution that learns, whose output is a summand and what the one branch reads.
    """

    head: Layer
    reshapes: tuple[Layer, ...]
    pool: Layer
    size: tuple[int, int]
    top: Layer
    branches: tuple[Branch, ...]
    skipped: Layer | None = None


def pooled_block(network: Network, block: Block) -> PooledBlock | None:
    """``block`` as a pooled one, None if it is none."""
    layers = {layer.name: layer for layer in block.layers}
    head, below, reshapes = block.end, layers.get(block.end.inputs[0]), list[Layer]()
    while below is not None and isinstance(below.op, Reshape) and _alone(network, below):
        reshapes.insert(0, below)
        below = layers.get(below.inputs[0])
    if below is None or not _alone(network, below):
        return None
    top = layers.get(below.inputs[0])
    if top is None or len(top.shape) != 3 or kind(top).function not in (NONE, RELU):
        return None
    size = _windows(below, top)
    summands = [layers.get(name) for name in top.inputs] if isinstance(top.op, Add) else [top]
    learning = block.learning
    around = _around(network, layers, learning, top)
    branches = [around[0]] if around else [_branch(network, layers, learning, layer, top) for layer in summands if layer is not None]
    found, skipped = tuple(branch for branch in branches if branch is not None), around[1] if around else None
    parts = [skipped, *(layer for branch in found for layer in (branch.last, branch.first, branch.stem))]
    covered = {layer.name for layer in parts if layer is not None}
    if size is None or len(found) != len(branches) or covered != {layer.name for layer in block.layers if layer.trainable} - {head.name}:
        return None
    return PooledBlock(head, tuple(reshapes), below, size, top, found, skipped)


def _alone(network: Network, layer: Layer) -> bool:
    """Whether one layer reads ``layer``."""
    return sum(layer.name in reader.inputs for reader in network) == 1


def _windows(pool: Layer, top: Layer) -> tuple[int, int] | None:
    """The windows' size, if ``pool`` averages windows of the map ``top`` that do not overlap and leave nothing out."""
    if isinstance(pool.op, GlobalAveragePool):
        return top.shape[0], top.shape[1]
    if not isinstance(pool.op, AveragePool2d) or pool.op.function is not NONE or pool.op.stride != pool.op.window:
        return None
    covered = all(count * window >= size for count, window, size in zip(pool.shape, pool.op.window, top.shape, strict=False))
    return pool.op.window if covered and (pool.op.pad_top, pool.op.pad_left) == (0, 0) else None


def _branch(network: Network, layers: Mapping[str, Layer], learning: frozenset[str], last: Layer, top: Layer) -> Branch | None:
    """The convolutions that make ``last``, a summand of ``top`` or top itself; None if there is no kernel for them."""
    if not _plain(last) or (last is not top and (kind(last).function is not NONE or not _alone(network, last))):
        return None
    first = layers.get(last.inputs[0])
    if first is None or first.name not in learning:
        return Branch(last)
    depthwise = isinstance(first.op, DepthwiseConv2d) and first.op.multiplier == 1
    if not (depthwise or _plain(first)) or not _inner(network, first):
        return None
    stem = layers.get(first.inputs[0])
    if stem is None or stem.name not in learning:
        return Branch(last, first)
    if not depthwise or not _plain(stem) or not _inner(network, stem) or stem.inputs[0] in learning:
        return None
    return Branch(last, first, stem)


def _around(network: Network, layers: Mapping[str, Layer], learning: frozenset[str], top: Layer) -> tuple[Branch, Layer] | None:
    """Two convolutions, and the first one whose output they read and ``top`` adds to theirs; None for any other sum."""
    if not isinstance(top.op, Add):
        return None
    for names in (top.inputs, top.inputs[::-1]):
        last, skipped = (layers.get(name) for name in names)
        first = layers.get(last.inputs[0]) if last is not None else None
        if last is None or first is None or skipped is None or first.inputs[0] != skipped.name:
            continue
        convolutions = _plain(last) and _plain(first) and _plain(skipped) and kind(last).function is NONE and _alone(network, last)
        readers = sum(skipped.name in reader.inputs for reader in network)
        below = "bias" in skipped.params and kind(skipped).function in (NONE, RELU) and skipped.inputs[0] not in learning
        if convolutions and below and _inner(network, first) and readers == 2 and {last.name, first.name, skipped.name} <= learning:
            return Branch(last, first), skipped
    return None


def _plain(layer: Layer) -> bool:
    return isinstance(layer.op, Conv2d) and layer.op.groups == 1


def _inner(network: Network, layer: Layer) -> bool:
    """Whether a convolution inside a block has what the kernels ask for."""
    return _alone(network, layer) and "bias" in layer.params and kind(layer).function in (NONE, RELU)


def lower_pooled(build: RuleBuilder, block: Block, passes: Passes, ends: Sequence[Value]) -> None:
    """Emits the way back from the head's error, ``ends``, through a block and its updates; the general way where it is no pooled block."""
    pooled = pooled_block(build.network, block) if build.numeric in ("float32", "int8") else None
    if pooled is None or (pooled.skipped is not None and build.numeric != "int8"):
        lower_backward(build, block, passes, ends)
        return
    (values,), (error,), draft = passes, ends, list[Call]()
    if build.numeric == "int8":
        with build.drafting() as draft:
            lower_backward(build, block, passes, ends)
    top = pooled.top
    pooling = build.pooling(values[top.name], pooled.size, draft, gated=kind(top).function is RELU)
    _learn(build, pooled, values, error, pooling)


def _learn(build: RuleBuilder, pooled: PooledBlock, values: Mapping[str, Value], error: Value, pooling: Pooling) -> None:
    """Emits the way back from the head's error and the updates."""
    averages = values[pooled.head.inputs[0]]
    build.gate(error, values[pooled.head.name], pooled.head)
    (g,) = build.input_gradients(pooled.head, error, averages)
    build.head_update(pooled.head, error, averages)
    build.shares(g, pooling)
    if pooled.skipped is not None:
        (branch,) = pooled.branches
        read = values[pooled.skipped.name], values[pooled.skipped.inputs[0]]
        build.pooled_skip_update(pooled.skipped, branch.first or branch.last, branch.last, g, *read, pooling)
    for branch in pooled.branches:
        if branch.first is None:
            build.pooled_update(branch.last, g, values[branch.last.inputs[0]], pooling)
        else:
            x, image = values.get(branch.first.inputs[0]), values[branch.stem.inputs[0]] if branch.stem else None
            build.pooled_pair_update(branch.first, branch.last, g, x, pooling, branch.stem, image)


def lower_alone(build: RuleBuilder, block: Block, before: Mapping[str, Value], error: Callable[[Block, Passes], Sequence[Value]]) -> None:
    """Emits a block from the values ``before`` it and its learning, when no other block follows: its map need not be kept.

    ``error(block, passes)`` emits d loss / d its end. int8 with a depthwise and a pointwise convolution: the map is not made.
    """
    pooled = pooled_block(build.network, block) if build.numeric == "int8" else None
    values = dict(before)
    if pooled is None or not _separable(pooled):
        for layer in block.layers:
            values[layer.name] = build.forward(layer, *(values[name] for name in layer.inputs))
        lower_pooled(build, block, [values], error(block, [values]))
        return
    (branch,) = pooled.branches
    with build.drafting() as draft:
        whole = dict(before)
        for layer in block.layers:
            whole[layer.name] = build.forward(layer, *(whole[name] for name in layer.inputs))
        lower_backward(build, block, [whole], error(block, [whole]))
    first = branch.first or branch.last
    x = values[(branch.stem or first).inputs[0]]
    averages, pooling = build.separable(first, branch.last, x, pooled.pool, pooled.size, branch.stem)
    values[pooled.pool.name] = averages
    for layer in (*pooled.reshapes, pooled.head):
        values[layer.name] = build.forward(layer, values[layer.inputs[0]])
    (end,) = error(block, [values])
    _learn(build, pooled, values, end, replace(pooling, draft=tuple(draft)))


def _separable(pooled: PooledBlock) -> bool:
    """Whether the block's map comes from a depthwise convolution and a pointwise one with a bias."""
    if len(pooled.branches) != 1 or isinstance(pooled.top.op, Add):
        return False
    first, last = pooled.branches[0].first, pooled.branches[0].last
    op = last.op
    point = isinstance(op, Conv2d) and op.window == op.stride == (1, 1) and op.pads == (0, 0, 0, 0)
    return first is not None and isinstance(first.op, DepthwiseConv2d) and point and "bias" in last.params
