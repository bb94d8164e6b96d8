"""Layers in parts: a convolution or dense layer as several, each with a run of its outputs, that can learn one after the other.

``in_parts`` gives the same function: the outputs of the parts are put one after the other by a layer that has the whole one's name.
A device then keeps in RAM the weights of the part that learns, and of the others nothing (``edgeff.program.chain``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from re import fullmatch

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Layer, Network, Quant
from edgeff.ops.concat import Concat
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.dense import Dense

PART = "_part_"


def divisible(layer: Layer, parts: int) -> bool:
    """Whether ``layer`` can be had in so many parts: a dense layer or a convolution of one group, whose outputs they share evenly."""
    whole = isinstance(layer.op, Dense) or (isinstance(layer.op, Conv2d) and layer.op.groups == 1)
    return whole and layer.shape[-1] % parts == 0


def in_parts(network: Network, names: Collection[str], parts: int) -> Network:
    """``network`` with each of the layers ``names`` in ``parts``. Raises BadInput for a layer that is not divisible by them."""
    layers: list[Layer] = []
    for layer in network:
        if layer.name not in names:
            layers.append(layer)
            continue
        if not divisible(layer, parts):
            allowed = "a dense layer or a convolution of one group, and a count that divides its outputs"
            raise BadInput(f"layer {layer.name!r} in parts", got=f"{parts} of {layer.shape[-1]} outputs, {layer.kind}", allowed=allowed)
        size = layer.shape[-1] // parts
        made = [_part(layer, number, slice(number * size, (number + 1) * size)) for number in range(parts)]
        quant = {"output": layer.quant["output"]} if "output" in layer.quant else {}
        joint = Layer(layer.name, Concat(axis=len(layer.shape) - 1), tuple(part.name for part in made), layer.shape, quant=quant)
        layers += [*made, joint]
    return replace(network, layers=tuple(layers))


def part_number(layer: Layer) -> int:
    """Which part of a layer ``layer`` is, from 1; 0 for a whole one."""
    found = fullmatch(rf".+{PART}(\d+)", layer.name)
    return int(found.group(1)) if found else 0


def joined(network: Network) -> Network:
    """``network`` with all layers in parts as whole ones again."""
    layers: dict[str, Layer] = {}
    for layer in network:
        names = tuple(f"{layer.name}{PART}{number}" for number in range(1, len(layer.inputs) + 1))
        if isinstance(layer.op, Concat) and layer.inputs == names:
            parts = [layers.pop(name) for name in names]
            params = {key: np.concatenate([part.params[key] for part in parts]) for key in parts[0].params}
            whole = replace(parts[0], name=layer.name, shape=layer.shape, params=params, quant=_joint_quant(parts))
            layers[layer.name] = whole
        else:
            layers[layer.name] = layer
    return replace(network, layers=tuple(layers.values()))


def _part(layer: Layer, number: int, outputs: slice) -> Layer:
    """A layer with a run of another's outputs."""
    params = {key: np.ascontiguousarray(value[outputs]) for key, value in layer.params.items()}
    quant = {key: replace(item, scale=item.scale[outputs]) if item.axis == 0 else item for key, item in layer.quant.items()}
    shape = (*layer.shape[:-1], outputs.stop - outputs.start)
    return replace(layer, name=f"{layer.name}{PART}{number + 1}", shape=shape, params=params, quant=quant)


def _joint_quant(parts: list[Layer]) -> Mapping[str, Quant]:
    first = parts[0].quant
    return {
        key: replace(item, scale=tuple(scale for part in parts for scale in part.quant[key].scale)) if item.axis == 0 else item
        for key, item in first.items()
    }
