"""Batch normalisation folded into the layer before it: what every quantiser, program and file sees of a trained network."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import kind
from edgeff.ops.batch_norm import affine

HOSTS = ("conv2d", "depthwise_conv2d", "conv1d", "dense")


def fold(network: Network) -> Network:
    """``network`` without batch_norm layers, computing the same; the network itself where it has none.

    The scale goes into the weight, the shift into the bias, the activation moves over; computed in float64, stored in float32. A structure
    without parameters is folded too: the layer before gets the attribute ``bias``. Raises Unsupported, naming it, for a batch_norm that
    follows no convolution or dense layer, or one that others read too.
    """
    if not any(layer.op == "batch_norm" for layer in network):
        return network
    readers = Counter(name for layer in network for name in layer.inputs)
    folded: dict[str, Layer] = {}
    renamed: dict[str, str] = {}
    for layer in network:
        inputs = tuple(renamed.get(name, name) for name in layer.inputs)
        if layer.op != "batch_norm":
            folded[layer.name] = replace(layer, inputs=inputs)
            continue
        below = folded.get(inputs[0])
        if below is None or below.op not in HOSTS or readers[layer.inputs[0]] != 1 or below.attrs.get("activation", "none") != "none":
            found = "the input" if below is None else f"layer {below.name!r}, {below.op}"
            raise Unsupported(
                f"folding {layer.name!r}", got=f"batch normalisation behind {found}", allowed=f"{', '.join(HOSTS)}, read by it alone"
            )
        folded[below.name] = _folded(below, layer)
        renamed[layer.name] = below.name
    return replace(network, layers=tuple(folded.values()))


def _folded(below: Layer, norm: Layer) -> Layer:
    attrs = {**below.attrs, "activation": norm.attrs.get("activation", "none")}
    if not below.params:
        return replace(below, attrs=attrs | {"bias": True})
    scale, shift = affine(norm, {name: value.astype(np.float64) for name, value in norm.params.items()})
    weight = below.params["weight"].astype(np.float64)
    along = [1] * weight.ndim
    along[kind(below).weight_axis] = -1
    bias: Array = below.params["bias"].astype(np.float64) if "bias" in below.params else np.zeros(len(scale))
    params = {"weight": (weight * scale.reshape(along)).astype(np.float32), "bias": (bias * scale + shift).astype(np.float32)}
    return replace(below, attrs=attrs, params=params)
