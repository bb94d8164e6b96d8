"""The head of a trained classifier, its last dense layer: more classes, whose old rows stay, or rows made of class means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import forward, kind, parameters
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
    head, last = _head_of(network), network.layers[-1]
    old = head.shape[0]
    if not old < count <= MOST_CLASSES:
        raise BadInput("classes of the head", got=count, allowed=f"{old + 1} to {MOST_CLASSES:,}: the model has {old}")
    if any(quant.per_channel for quant in head.quant.values()):
        raise Unsupported(
            f"layer {head.name!r}", got="a scale for each output", allowed="one scale", next_step="start from the float model"
        )
    params = {name: _longer(value, count) for name, value in head.params.items()}
    changed = {head.name: replace(head, shape=(count,), params=params)}
    if last is not head:
        changed[last.name] = replace(last, shape=(count,))
    return network.replacing(changed)


def with_prototypes(network: Network, x: Array, y: Array) -> Network:
    """``network``, float32, with a head that tells a class by the nearest mean of what its samples are to the head; nothing is learned.

    A row is ``m_c / v`` with bias ``-|m_c|^2 / (2 v)``, m_c the mean of class c and v the mean square of the distances to the own mean, by
    element: the scores are the logarithms of what a softmax takes for normal classes of one spread (Mensink et al. 2013).

    Args: ``x`` (n, *input shape), ``y`` (n,) int. Raises: BadInput for a class without samples; Unsupported for integers, and as
    ``with_classes`` does.

    >>> from edgeff.networks import dense_list, initialised
    >>> made = with_prototypes(initialised(dense_list("2-2"), 0), np.eye(2, dtype=np.float32), np.arange(2))
    >>> made["dense_1"].params["weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    head = _head_of(network)
    if head.quant:
        raise Unsupported(f"layer {head.name!r}", got="integers", allowed="float32", next_step="start from the float model")
    count = head.shape[0]
    if missing := sorted(set(range(count)) - set(y.tolist())):
        raise BadInput(
            "samples for class means", got=f"none of class {', '.join(map(str, missing[:10]))}", allowed=f"some of each of {count} classes"
        )
    below = x if head.inputs[0] == "input" else forward(network, parameters(network), x)[head.inputs[0]]
    h = below.reshape(len(x), -1).astype(np.float64)
    means = np.stack([h[y == label].mean(axis=0) for label in range(count)])
    spread = float(np.mean((h - means[y]) ** 2)) or 1.0
    params = {
        "weight": (means / spread).astype(np.float32),
        "bias": (-np.sum(means * means, axis=1) / (2.0 * spread)).astype(np.float32),
    }
    return network.replacing({head.name: _biased(head, params)})


def _biased(head: Layer, params: dict[str, Array]) -> Layer:
    """The dense layer ``head`` with other parameters, which have a bias."""
    op = head.op.replacing(bias=True) if isinstance(head.op, Dense) and "bias" not in head.params else head.op
    return replace(head, op=op, params=params)


def _head_of(network: Network) -> Layer:
    """The dense layer that ends ``network``, with or without a softmax. Raises Unsupported for another end."""
    last = network.layers[-1]
    ends = kind(last).probabilities
    head = network[last.inputs[0]] if ends and last.inputs[0] != "input" else last
    readers = [layer.name for layer in network if head.name in layer.inputs]
    if not isinstance(head.op, Dense) or not head.trainable or readers != ([last.name] if ends else []):
        allowed = "one that ends in a dense layer, with or without a softmax"
        raise Unsupported(f"a head of network {network.name!r}", got=f"an end in {head.kind}", allowed=allowed)
    return head


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
    return network.replacing({head.name: _biased(head, params)})
