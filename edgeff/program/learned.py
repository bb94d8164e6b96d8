"""What a device learned, back in its network: the variables of a program become the parameters of the network it was lowered from.

Refused: a program whose variables are no parameters of the network as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.ir import Array, Network, Program
from edgeff.program.unit import in_unit, out_of_unit


def learned_network(network: Network, program: Program, values: Mapping[str, Array]) -> Network:
    """``network`` with the parameters that ``program``, which was lowered from it, has learned.

    Args: ``values``, the variables and states by name, as ``restored`` and ``Interpreter.tensor`` give them.
    Raises: Unsupported when none of them is a parameter of the network, or when one is held in another form than the network's.
    """
    network = in_unit(network) if program.target else network
    parameters = _parameters(network, program)
    if not parameters:
        raise Unsupported("what was learned", got="no parameter of the network", allowed="a rule that learns some of its weights")
    layers = tuple(
        replace(layer, params={key: values.get(parameters.get((layer.name, key), ""), array) for key, array in layer.params.items()})
        for layer in network
    )
    return out_of_unit(replace(network, layers=layers)) if program.target else replace(network, layers=layers)


def left_out(network: Network, program: Program) -> list[str]:
    """The names of what ``program`` saves and the network has no place for: rates, counters, heads that only learning reads."""
    parameters = set(_parameters(in_unit(network) if program.target else network, program).values())
    return [tensor.name for tensor in program.saved if tensor.name not in parameters]


def _parameters(network: Network, program: Program) -> dict[tuple[str, str], str]:
    """The variable of each parameter that learns, by layer and key."""
    variables = {tensor.name: tensor for tensor in program.by_role("variable")}
    names = {(layer.name, key): f"{layer.name}.{key}" for layer in network for key in layer.params}
    parameters = {place: name for place, name in names.items() if name in variables}
    for (layer, key), name in parameters.items():
        data = variables[name].data
        if data is None or not np.array_equal(data, network[layer].params[key]):
            raise Unsupported(f"parameter {short(name)}", got="another form in the program than in the network", allowed="the same array")
    return parameters
