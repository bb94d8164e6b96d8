"""Network structures by name: any dense list written ``64-32-10``, and the registered reference networks."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Layer, Network
from edgeff.networks._norms import normalised as normalised
from edgeff.ops import by_input, forward, further_inputs, kind, parameters, sample_shape
from edgeff.ops.dense import Dense
from edgeff.ops.scale_input import ScaleInput
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks as registry

_DENSE = re.compile(r"\d+(-\d+)+")
SMALLEST_SCORE = 1e-6
"""Below this a network is dead rather than badly scaled."""
WIDEST = 32_768
MOST_WEIGHTS = 1 << 24
"""64 MB in float32, 30 times the flash of the largest board."""


def dense_list(name: str, *, softmax: bool = True, bias: bool = False) -> Network:
    """The structure of a dense list without parameters: ReLU between the layers, softmax (or nothing) at the end.

    Args: ``name``, sizes from the inputs to the outputs joined by ``-``, each 1 to 32,768 (that bound keeps int8 sums in 32 bits).
    Raises: BadInput for anything else, and for more than ``MOST_WEIGHTS`` weights.

    >>> [layer.name for layer in dense_list("64-32-10")]
    ['dense_1', 'dense_2', 'softmax']
    """
    sizes = [int(part) for part in name.split("-")] if _DENSE.fullmatch(name) and len(name) < 400 else []
    if len(sizes) < 2 or not all(1 <= size <= WIDEST for size in sizes):
        allowed = [f"a dense list such as 64-32-10 with sizes 1 to {WIDEST:,}", *registry]
        raise BadInput("network", got=repr(name), allowed=", ".join(allowed))
    weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    if weights > MOST_WEIGHTS:
        raise BadInput("network", got=f"{name!r} with {weights:,} weights", allowed=f"at most {MOST_WEIGHTS:,}")
    layers: list[Layer] = []
    below = "input"
    for index, size in enumerate(sizes[1:], 1):
        activation = "none" if index == len(sizes) - 1 else "relu"
        layers.append(Layer(f"dense_{index}", Dense(activation=activation, bias=bias), (below,), (size,)))
        below = layers[-1].name
    if softmax:
        layers.append(Layer("softmax", Softmax(), (below,), (sizes[-1],)))
    return Network(name, (sizes[0],), tuple(layers))


def structure(
    name: str, *, softmax: bool = True, bias: bool = False, input_shape: tuple[int, ...] | None = None, classes: int | None = None
) -> Network:
    """The structure called ``name``, without parameters.

    A registered network is made for ``input_shape`` and ``classes``, by default those of its reference. A dense list states both itself; it
    takes an ``input_shape`` with the same number of elements, such as an image's; the caller chooses whether it has biases and a softmax.
    Raises BadInput for a name of no network, and for inputs of another rank than a registered network takes.

    >>> structure("784-10", input_shape=(28, 28, 1)).input_shape, structure("784-10", input_shape=(27, 28, 1)).input_shape
    ((28, 28, 1), (784,))
    """
    if name in registry:
        if input_shape is not None and len(input_shape) != len(takes := registry[name]().input_shape):
            step = "choose a network that fits the task"
            raise BadInput(f"input of network {name}", got=tuple(input_shape), allowed=f"a shape such as {takes}", next_step=step)
        wishes = {"input_shape": input_shape, "classes": classes}
        network: Network = registry[name](**{key: wish for key, wish in wishes.items() if wish is not None})
        return network
    listed = dense_list(name, softmax=softmax, bias=bias)
    if input_shape is not None and (prod(input_shape),) == listed.input_shape:
        return replace(listed, input_shape=tuple(input_shape))
    return listed


def recipe(name: str, rule: str = "bp") -> dict[str, Any]:
    """The settings with which ``rule`` trains the network called ``name`` on the host, where they differ from the rule's own; {} for a
    dense list.

    A network's module has ``RECIPE`` for back-propagation and optionally ``RECIPES`` for other rules.
    """
    if name not in registry:
        return {}
    module = vars(sys.modules[registry[name].__module__])
    return dict(module.get("RECIPE", {}) if rule == "bp" else module.get("RECIPES", {}).get(rule, {}))


def initialised(network: Network, seed: int) -> Network:
    """``network`` with fresh parameters drawn from ``seed``; the attribute ``bias`` of the structure becomes a parameter."""
    rng = np.random.default_rng([seed, 1])
    shapes = {"input": network.input_shape}
    changed: dict[str, Layer] = {}
    for layer in network:
        inputs = tuple(shapes[name] for name in layer.inputs)
        shapes[layer.name] = kind(layer).output_shape(layer, inputs)
        changed[layer.name] = replace(layer, params=kind(layer).initial(layer, inputs, rng), op=kind(layer).initialised)
    return network.replacing(changed)


def random_inputs(network: Network, seed: int, count: int = 2) -> Array:
    """Random inputs (count, *input shape) float32 for use without data: to calibrate a float network, or to run one once.

    Without biases a ReLU network is homogeneous: inputs divided by its largest score give scores of order 1, as in a trained one. A
    quantised network gets inputs from its whole range, one that standardises its inputs what becomes normal.
    """
    rng = np.random.default_rng([seed, 2])
    first, shape = network.layers[0], sample_shape(network)
    if isinstance(first.op, ScaleInput):
        normal = rng.standard_normal((count, *network.input_shape))
        return (first.params["mean"] + normal / first.params["factor"]).astype(np.float32)
    if network.input_quant is not None:
        limits = np.iinfo(network.input_quant.dtype)
        raw = rng.integers(limits.min, limits.max, (count, *shape), endpoint=True)
        quants = {"input": network.input_quant} | {layer.name: layer.quant["output"] for layer in further_inputs(network)}
        parts = [(raw_part - quants[name].zero_point) * quants[name].scale[0] for name, raw_part in by_input(network, raw).items()]
        return np.concatenate([part.reshape(count, -1) for part in parts], axis=1).reshape(count, *shape).astype(np.float32)
    x = rng.standard_normal((count, *shape)).astype(np.float32)
    scores = network.layers[-1].inputs[0] if kind(network.layers[-1]).probabilities else network.layers[-1].name
    values = forward(network, parameters(network), x)[scores]
    largest = float(np.abs(values).max())
    return x / largest if largest > SMALLEST_SCORE else x


def learned_target(network: Network) -> Literal["class", "value", "input"]:
    """What ``network`` learns to output: values, if its metadata say so or it has one output; its input; else classes.

    >>> [learned_target(dense_list(name, softmax=soft)) for name, soft in (("8-2-8", False), ("8-4-1", False), ("8-2-8", True))]
    ['input', 'value', 'class']
    """
    if isinstance(network.metadata.get("values"), Mapping) or network.outputs:
        return "value"
    if reproduces_input(network):
        return "input"
    return "class" if prod(network.layers[-1].shape) > 1 else "value"


def reproduces_input(network: Network) -> bool:
    """Whether the output reproduces the input, as in an autoencoder: the same number of values, and no softmax.

    >>> reproduces_input(dense_list("8-2-8", softmax=False)), reproduces_input(dense_list("8-2-8"))
    (True, False)
    """
    return not kind(network.layers[-1]).probabilities and prod(network.layers[-1].shape) == prod(network.input_shape)
