"""Batch normalisation added after convolutions without it, which folding removes again: for training, and for first weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.ir import Array, Layer, Network
from edgeff.ops import kind
from edgeff.ops.batch_norm import BatchNorm
from edgeff.ops.canonical import canonical
from edgeff.ops.dense import Dense

CALIBRATED_ON = 500


def with_norms(network: Network) -> Network:
    """Initialised ``network`` with a batch_norm after every convolution without one, except the head; it takes over the activation.

    ``ops.canonical`` gives back the structure of ``network``, with a bias in each of these layers. The layer called NAME is followed
    by NAME_norm; its own bias, which batch normalisation would take out, is dropped.
    """
    layers: list[Layer] = []
    head = network.trainable[-1].name if network.trainable else ""
    renamed: dict[str, str] = {}
    normed = {name for layer in network if isinstance(layer.op, BatchNorm) for name in layer.inputs}
    for plain in network:
        layer = replace(plain, inputs=tuple(renamed.get(name, name) for name in plain.inputs))
        if not kind(layer).weighted or isinstance(layer.op, Dense) or layer.name in {*normed, head}:
            layers.append(layer)
            continue
        op = BatchNorm(activation=kind(layer).function.name)
        norm = Layer(f"{layer.name}_norm", op, (layer.name,), layer.shape)
        bare = {name: value for name, value in layer.params.items() if name != "bias"}
        layers.append(replace(layer, op=kind(layer).replacing(activation="none"), params=bare))
        layers.append(replace(norm, params=op.initial(norm, (layer.shape,), np.random.default_rng(0))))
        renamed[layer.name] = norm.name
    return replace(network, layers=tuple(layers))


def calibrated(network: Network, x: Array) -> Network:
    """``network`` whose batch normalisation has the statistics of the first samples of x, which frozen filters cannot learn."""
    values, layers = {"input": x[:CALIBRATED_ON]}, []
    for layer in network:
        xs = tuple(values[name] for name in layer.inputs)
        values[layer.name], saved = kind(layer).forward_training(layer, layer.params, *xs)
        fitted = {"mean": saved[0], "variance": saved[1]} if isinstance(layer.op, BatchNorm) else {}
        layers.append(replace(layer, params={**layer.params, **fitted}))
    return replace(network, layers=tuple(layers))


def normalised(network: Network, x: Array) -> Network:
    """``network`` with fresh parameters, scaled and shifted so that on x each channel of a convolution has mean 0 and variance 1 before its
    activation function (data-dependent initialisation: Krähenbühl et al. 2016, arXiv 1511.06856; Mishkin & Matas 2016, arXiv 1511.06422).

    Through depthwise convolutions a signal dies away in fresh weights, and a device has no batch normalisation to raise it again; this
    costs it nothing. Args: x (n, *input shape) float32, of which the first 500 are used. Dense layers, and the head, stay as they are.
    """
    return canonical(calibrated(with_norms(network), x))
