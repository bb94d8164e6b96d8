"""The one form of a trained network that every quantiser, program, count and file uses: batch normalisation folded, side branches left out.

Entry points (``quantize``, ``deploy``, ``lower``, the writers) ask for it themselves; of a network that is in this form they get it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import kind
from edgeff.ops.batch_norm import BatchNorm


def canonical(network: Network, *, side_branches: bool = True) -> Network:
    """``network`` in the form in which it is quantised, lowered, counted and written; the network itself if it is in that form.

    Batch normalisation is folded into the layer before it, and without ``side_branches`` the layers that the output does not depend on are
    left out. It computes the same. Errors as in ``_fold``.
    """
    folded = _fold(network)
    return folded if side_branches else folded.upstream


def _fold(network: Network) -> Network:
    """``network`` without batch_norm layers, computing the same; the network itself if it has none.

    The scale goes into the weight, the shift into the bias, the activation is taken over; computed in float64, stored in float32. A
    structure without parameters is folded too: the layer before gets the attribute ``bias``. Raises Unsupported, naming the layer, for a
    batch_norm that does not follow a convolution or dense layer, or follows one with other readers.
    """
    if not any(isinstance(layer.op, BatchNorm) for layer in network):
        return network
    readers = Counter(name for layer in network for name in layer.inputs)
    folded: dict[str, Layer] = {}
    renamed: dict[str, str] = {}
    for layer in network:
        inputs = tuple(renamed.get(name, name) for name in layer.inputs)
        if not isinstance(layer.op, BatchNorm):
            folded[layer.name] = replace(layer, inputs=inputs)
            continue
        below = folded.get(inputs[0])
        if below is None or not kind(below).weighted or readers[layer.inputs[0]] != 1 or kind(below).function.clamps:
            before = "the input" if below is None else f"layer {below.name!r}, {below.kind}"
            allowed = "a convolution or dense layer, read by it alone"
            raise Unsupported(f"folding {layer.name!r}", got=f"batch normalisation after {before}", allowed=allowed)
        folded[below.name] = _folded(below, layer.op, layer.params)
        renamed[layer.name] = below.name
    return replace(network, layers=tuple(folded.values()), outputs=tuple(renamed.get(name, name) for name in network.outputs))


def _folded(below: Layer, norm: BatchNorm, moments: Mapping[str, Array]) -> Layer:
    op = kind(below).replacing(activation=norm.activation)
    if not below.params:
        return replace(below, op=op.replacing(bias=True))
    scale, shift = norm.affine({name: value.astype(np.float64) for name, value in moments.items()})
    weight = below.params["weight"].astype(np.float64)
    along = [1] * weight.ndim
    along[op.weight_axis] = -1
    bias: Array = below.params["bias"].astype(np.float64) if "bias" in below.params else np.zeros(len(scale))
    params = {"weight": (weight * scale.reshape(along)).astype(np.float32), "bias": (bias * scale + shift).astype(np.float32)}
    return replace(below, op=op, params=params)
