"""A trained classifier with more classes: its head, the last dense layer, gets rows and keeps the old ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Network
from edgeff.ops import kind
from edgeff.ops.dense import Dense

MOST_CLASSES = 32_768


def with_classes(network: Network, count: int) -> Network:
    """``network`` with ``count`` classes in place of its fewer, float32 or int8.

    The old rows of weight and bias are kept bit for bit. A new row is the mean of the old ones: its score is the mean of the others', so no
    sample is given a new class before something is learned (Mensink et al. 2013 begin from class means in the same spirit; here no sample
    is needed). In int8 the mean is rounded, and where all scores are nearly equal a new class may win.

    Raises: BadInput for a count that is not larger; Unsupported for a network that does not end in a dense layer with or without a
    softmax, and for weights with one scale an output.

    >>> from edgeff.networks import dense_list, initialised
    >>> with_classes(initialised(dense_list("4-3"), 0), 5).layers[-1].shape
    (5,)
    """
    last = network.layers[-1]
    ends = kind(last).probabilities
    head = network[last.inputs[0]] if ends and last.inputs[0] != "input" else last
    readers = [layer.name for layer in network if head.name in layer.inputs]
    if not isinstance(head.op, Dense) or not head.trainable or readers != ([last.name] if ends else []):
        allowed = "one that ends in a dense layer, with or without a softmax"
        raise Unsupported(f"a head of network {network.name!r}", got=f"an end in {head.kind}", allowed=allowed)
    old = head.shape[0]
    if not old < count <= MOST_CLASSES:
        raise BadInput("classes of the head", got=count, allowed=f"{old + 1} to {MOST_CLASSES:,}: the model has {old}")
    if any(quant.per_channel for quant in head.quant.values()):
        raise Unsupported(
            f"layer {head.name!r}", got="a scale for each output", allowed="one scale", next_step="start from the float model"
        )
    params = {name: _longer(value, count) for name, value in head.params.items()}
    changed = {head.name: replace(head, shape=(count,), params=params)}
    if ends:
        changed[last.name] = replace(last, shape=(count,))
    return network.replacing(changed)


def _longer(rows: Array, count: int) -> Array:
    """``rows`` (n, ...) and their mean, as often as it takes to be ``count``."""
    mean = rows.mean(axis=0, dtype=np.float64, keepdims=True)
    new = np.rint(mean) if rows.dtype.kind == "i" else mean
    return np.concatenate([rows, np.repeat(new.astype(rows.dtype), count - len(rows), axis=0)])


def with_output(network: Network, centre: float, spread: float) -> Network:
    """``network``, float32 and ending in a dense layer, whose outputs are ``centre`` plus ``spread`` times its own: in its last layer."""
    head = network.layers[-1]
    if not isinstance(head.op, Dense) or head.quant:
        raise Unsupported(f"the output of network {network.name!r}", got=f"an end in {head.kind}", allowed="a float dense layer")
    bias = head.params.get("bias", np.zeros(head.shape, np.float32)).astype(np.float64)
    params = {
        "weight": (head.params["weight"] * np.float64(spread)).astype(np.float32),
        "bias": (bias * spread + centre).astype(np.float32),
    }
    return network.replacing(
        {head.name: replace(head, op=head.op.replacing(bias=True) if "bias" not in head.params else head.op, params=params)}
    )
