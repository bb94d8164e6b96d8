"""What a device learned, back in its network: the variables of a program become the parameters of the network it was lowered from.

Refused: a program whose variables are no parameters of the network as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Array, Layer, Network, Program
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


def values_from(learned: Network, network: Network, program: Program) -> dict[str, Array]:
    """What a state of ``program``, lowered from ``network``, holds if its parameters are those of ``learned``: the way back.

    Rates, counters and what else only learning reads are as after a reset. Raises BadInput for a network with other layers, shapes or
    scales, or in which a parameter differs that this program does not learn.
    """
    learned, network = (in_unit(each) if program.target else each for each in (learned, network))
    parameters, theirs = _parameters(network, program), {layer.name: layer for layer in learned}
    values = {t.name: np.zeros(t.shape, t.dtype) if t.data is None else np.asarray(t.data).reshape(t.shape) for t in program.saved}
    for layer in network:
        for key, array in layer.params.items():
            other = theirs[layer.name].params.get(key) if layer.name in theirs else None
            what = f"parameter {short(f'{layer.name}.{key}')} of the learned model"
            if other is None or (other.shape, other.dtype) != (array.shape, array.dtype):
                got = "none" if other is None else f"{other.dtype} {other.shape}"
                raise BadInput(what, got=got, allowed=f"{array.dtype} {array.shape}, as in the model that the device was exported from")
            if _scales(layer, key) != _scales(theirs[layer.name], key):
                raise BadInput(what, got="other scales", allowed="those of the model that the device was exported from")
            if (name := parameters.get((layer.name, key))) is not None:
                values[name] = np.ascontiguousarray(other)
            elif not np.array_equal(array, other):
                step = "name the rule and the layers that learn, or export the device's program again"
                raise BadInput(what, got="other numbers", allowed="those of the device, where they do not learn", next_step=step)
    return values


def _scales(layer: Layer, key: str) -> list[tuple[list[float], int, str]]:
    """The quantisation of a parameter and of the layer's output, in float32, as files hold it."""
    quants = [layer.quant.get(name) for name in (key, "output")]
    return [(np.asarray(quant.scale, np.float32).tolist(), quant.zero_point, quant.dtype) for quant in quants if quant is not None]


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
