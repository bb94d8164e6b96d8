"""What ONNX and TFLite cannot express, as JSON beside the graph.

``describe`` writes a network's layers with their attributes and scales in full (files hold scales as float32, a Network in float64), and
``refine`` puts them back on a network read from the graph. The graph always wins: a layer's description is used only if it agrees with
the graph, to float32, so a file that another tool has changed is read as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.formats import conventions
from edgeff.ir import Attr, Layer, Network, Quant
from edgeff.ops import Operator, kind, make
from edgeff.ops.attributes import domains

SCHEMA = 1
MAX_JSON_CHARACTERS = 4 << 20


def to_json(value: Any, what: str) -> str:
    """``value`` as JSON in ASCII; NumPy scalars become numbers. Raises BadInput for values that JSON cannot hold (``what`` names them)."""
    try:
        text = json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(what, got=str(error), allowed="what JSON can hold: numbers (finite), strings, lists, objects") from error
    if len(text) > MAX_JSON_CHARACTERS:
        raise BadInput(what, got=f"{len(text)} characters of JSON", allowed=f"at most {MAX_JSON_CHARACTERS}")
    return text


def from_json(text: str | bytes, what: str) -> dict[str, Any]:
    """The object that ``text`` holds; raises BadInput for anything else, a NaN included."""
    if len(text) > MAX_JSON_CHARACTERS:
        raise BadInput(what, got=f"{len(text)} characters of JSON", allowed=f"at most {MAX_JSON_CHARACTERS}")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(what, got=str(error) or type(error).__name__, allowed="a JSON object") from error
    if not isinstance(value, dict):
        raise BadInput(what, got=f"JSON of type {type(value).__name__}", allowed="a JSON object")
    return value


def describe(network: Network) -> dict[str, Any]:
    """The description of ``network``: schema, name, the input's quantisation, and of each layer name, op, attributes, quantisation and the
    names of its parameters.
    """
    return {
        "schema": SCHEMA,
        "name": network.name,
        "input_quant": None if network.input_quant is None else _quant_json(network.input_quant),
        "layers": [
            {
                "name": layer.name,
                "op": layer.kind,
                "attrs": kind(layer).attributes,
                "quant": {key: _quant_json(quant) for key, quant in layer.quant.items()},
                "params": list(layer.params),
            }
            for layer in network
        ],
    }


def layer_kinds(description: Mapping[str, Any]) -> dict[str, str]:
    """The kind of each layer that ``description`` lists, by name; malformed entries are left out (``refine`` refuses them)."""
    layers = description.get("layers")
    entries = [entry for entry in layers if isinstance(entry, dict)] if isinstance(layers, list) else []
    pairs = [(entry.get("name"), entry.get("op")) for entry in entries]
    return {name: op for name, op in pairs if isinstance(name, str) and isinstance(op, str)}


def refine(network: Network, description: Mapping[str, Any]) -> Network:
    """``network`` with its name, attributes and scales as described, wherever the description agrees with the graph; raises BadInput if it
    is malformed.
    """
    try:
        layers = description["layers"]
        if [(entry["name"], entry["op"]) for entry in layers] != [(layer.name, layer.kind) for layer in network]:
            return network
        refined = tuple(_refine_layer(layer, entry) for layer, entry in zip(network.layers, layers, strict=True))
        input_quant = network.input_quant
        if input_quant is not None and description["input_quant"] is not None:
            input_quant = _refine_quant(input_quant, description["input_quant"])
        named = replace(network, name=str(description["name"]), layers=refined, input_quant=input_quant)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput("edgeff's description of the network", got=f"{type(error).__name__} {error}", allowed=f"schema {SCHEMA}") from error
    conventions.check_name(named.name, "network", empty_allowed=True)
    return named


def _without_idle_bias(layer: Layer, entry: Mapping[str, Any]) -> Layer:
    """``layer`` without a bias of zeros that the description does not list: some operators require one."""
    bias = layer.params.get("bias")
    if bias is None or bias.any() or "bias" in entry.get("params", ["bias"]):
        return layer
    params = {key: array for key, array in layer.params.items() if key != "bias"}
    return replace(layer, params=params, quant={key: quant for key, quant in layer.quant.items() if key != "bias"})


def _refine_layer(layer: Layer, entry: Mapping[str, Any]) -> Layer:
    layer = _without_idle_bias(layer, entry)
    item, quants = _described(kind(layer), entry["attrs"]), entry["quant"]
    if item is None or set(quants) != set(layer.quant):
        return layer
    ordered = {key: (layer.quant[key], _channel_axis(layer, key)) for key in quants}
    return replace(layer, op=item, quant={key: _refine_quant(quant, quants[key], axis) for key, (quant, axis) in ordered.items()})


def _described(read: Operator, attrs: Mapping[str, Attr]) -> Operator | None:
    """The operator as described; None if it is not an operator, or not the one ``read`` from the graph."""
    try:
        described = make(type(read), attrs)
    except BadInput:
        return None
    stated = [name for name in domains(type(read)) if name not in read.described]
    return described if all(_same(getattr(described, name), getattr(read, name)) for name in stated) else None


def _channel_axis(layer: Layer, key: str) -> int | None:
    """The axis of a parameter's per-channel scales, None for an output."""
    if key == "output":
        return None
    return kind(layer).weight_axis if key == "weight" else 0


def _refine_quant(quant: Quant, entry: Mapping[str, Any], channel_axis: int | None = None) -> Quant:
    scale, zero_point, axis = tuple(float(s) for s in entry["scale"]), entry["zero_point"], entry["axis"]
    # TFLite writes one scale per tensor and one scale along an axis of length 1 alike.
    same_axis = axis == quant.axis or (len(scale) == 1 and axis in (None, channel_axis))
    if len(scale) == len(quant.scale) and zero_point == quant.zero_point and same_axis and all(map(_same, scale, quant.scale)):
        return replace(quant, scale=scale, zero_point=int(zero_point), axis=None if axis is None else int(axis))
    return quant


def _same(described: object, read: object) -> bool:
    """Whether two attributes are equal once both are written as float32."""
    if isinstance(described, float) and isinstance(read, int | float):
        with np.errstate(over="ignore"):
            return bool(np.float32(described) == np.float32(read))
    return type(described) is type(read) and described == read


def _quant_json(quant: Quant) -> dict[str, Any]:
    return {"scale": [float(s) for s in quant.scale], "zero_point": int(quant.zero_point), "axis": quant.axis}


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
