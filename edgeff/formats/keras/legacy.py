"""Keras 2 configurations in the words of Keras 3, which loads the file then.

In goes the JSON of the attribute ``model_config`` of an .h5 file, whoever wrote it; out comes one that says the same: without the entries
that Keras 3's layers do not take (``groups`` of a depthwise convolution, initialisers of kernels that a separable one has not), without
names that hold a slash or are words of Python, with an input layer where a sequence's first layer has the shape of its input, and with the
layers that Keras 2 made of TensorFlow's functions (TFOpLambda, of ``a + b`` or ``x * 2``) as layers of Keras. Weights are found by their
order, so names are free.

Refused: other functions, functions that are called several times. What is no such entry is left for ``config`` to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from edgeff.errors import Unsupported, one_line
from edgeff.formats.conventions import short
from edgeff.formats.keras.config import MODELS

MOST_MODELS = 100
"""Models in models, one in the other."""
_SPLIT = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_UNKNOWN = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
"""What Keras 2 writes for layers of several kernels and Keras 3 does not take."""
_OF_AN_INPUT = ("batch_input_shape", "input_dim", "input_length")
"""What a layer says of the model's input, which an input layer says."""
_OF_TWO = {"add": "Add", "subtract": "Subtract", "multiply": "Multiply", "maximum": "Maximum", "minimum": "Minimum"}
_OF_ONE: dict[str, tuple[str, dict[str, Any]]] = {
    "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
    "nn.sigmoid": ("Activation", {"activation": "sigmoid"}),
    "nn.softmax": ("Activation", {"activation": "softmax"}),
    "nn.tanh": ("Activation", {"activation": "tanh"}),
}
_SAME = {"__operators__.mul": "multiply", "__operators__.sub": "subtract", "__operators__.truediv": "divide", "math.truediv": "divide"}
_SAME |= {"math.sigmoid": "nn.sigmoid", "math.tanh": "nn.tanh", "tanh": "nn.tanh", "sigmoid": "nn.sigmoid"}
FUNCTIONS = "add, subtract, multiply, divide (by a number), maximum, minimum, concat, nn.relu, nn.relu6, nn.sigmoid, nn.softmax, nn.tanh"
_CONSTANT = "_CONSTANT_VALUE"


def modern(configuration: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration for Keras 3, and the file's name of each layer by its name there where the two differ."""
    taken = set[str]()
    _collect_names(configuration, taken, MOST_MODELS)
    names: dict[str, str] = {}
    return _model(configuration, taken, names), names


def _layers_of(configuration: Mapping[str, Any]) -> list[Any]:
    """The layers of a model, [] for anything else; Keras before 2.3 had a list for the configuration of a sequence."""
    inner = configuration.get("config")
    if configuration.get("class_name") not in MODELS:
        return []
    layers = inner.get("layers") if isinstance(inner, Mapping) else inner
    return layers if isinstance(layers, list) else []


def _name(layer: Mapping[str, Any]) -> str:
    inner = layer.get("config")
    return str((inner.get("name") if isinstance(inner, Mapping) else None) or layer.get("name") or "")


def _collect_names(configuration: Mapping[str, Any], taken: set[str], depth: int) -> None:
    if not depth:
        raise Unsupported("Keras file", got=f"more than {MOST_MODELS} models in each other", allowed="fewer")
    for layer in _layers_of(configuration):
        if isinstance(layer, Mapping):
            taken.add(_name(layer))
            _collect_names(layer, taken, depth - 1)


def _model(configuration: Mapping[str, Any], taken: set[str], names: dict[str, str]) -> dict[str, Any]:
    """A model whose layers are modern."""
    layers = _layers_of(configuration)
    if not layers:
        return dict(configuration)
    inner = configuration["config"] if isinstance(configuration["config"], Mapping) else {"name": "sequential"}
    called = [_name(layer) for layer in layers if isinstance(layer, Mapping)]
    own = {name: _free(name, taken) for name in called if "/" in name or iskeyword(name)}
    names.update({new: old for old, new in own.items()})
    made = [*_input_of(layers[0], taken), *(_layer(layer, taken, names, own) if isinstance(layer, Mapping) else layer for layer in layers)]
    ends = {key: _renamed(inner[key], own) for key in ("input_layers", "output_layers") if key in inner}
    title = {"name": str(inner["name"]).replace("/", "_")} if "name" in inner else {}
    return {**configuration, "config": {**inner, **ends, **title, "layers": made}}


def _input_of(first: Any, taken: set[str]) -> list[dict[str, Any]]:
    """An input layer of its own for the first layer of a sequence that has the shape of its input; none for others."""
    inner = first.get("config") if isinstance(first, Mapping) and "inbound_nodes" not in first else None
    if not isinstance(inner, Mapping) or first.get("class_name") in ("InputLayer", *MODELS) or "batch_input_shape" not in inner:
        return []
    config = {"batch_input_shape": inner["batch_input_shape"], "dtype": "float32", "name": _free(f"{_name(first)}_input", taken)}
    return [{"class_name": "InputLayer", "config": config}]


def _free(name: str, taken: set[str]) -> str:
    """A name without slashes that nothing else has."""
    base = wish = name.replace("/", "_") + ("_" if iskeyword(name) else "")
    number = 1
    while wish in taken:
        number += 1
        wish = f"{base}_{number}"
    taken.add(wish)
    return wish


def _layer(layer: Mapping[str, Any], taken: set[str], names: dict[str, str], own: Mapping[str, str]) -> dict[str, Any]:
    """One layer; ``own`` are the new names of its model's layers."""
    made = _model(layer, taken, names)
    name, inner = _name(layer), made.get("config")
    if isinstance(inner, Mapping):
        inner = dict(inner)
        if "name" in inner:
            inner["name"] = own.get(name, name)
        if made.get("class_name") in _SPLIT:
            if inner.get("groups", 1) != 1:
                raise Unsupported(f"Keras layer {short(name)}", got=f"groups {one_line(str(inner['groups']), 20)}", allowed="1")
            inner = {key: value for key, value in inner.items() if key not in _UNKNOWN}
        if made.get("class_name") not in ("InputLayer", *MODELS):
            inner = {key: value for key, value in inner.items() if key not in _OF_AN_INPUT}
        made["config"] = inner
    if "name" in made:
        made["name"] = own.get(name, name)
    if "inbound_nodes" in made:
        made["inbound_nodes"] = _renamed(made["inbound_nodes"], own)
    return _of_function(made, name) if made.get("class_name") == "TFOpLambda" else made


def _renamed(value: Any, own: Mapping[str, str], depth: int = 8) -> Any:
    """References [layer, node, tensor, ..] within ``value``, whose layers have new names."""
    if isinstance(value, list) and depth:
        refers = len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int) and isinstance(value[2], int)
        head = [own.get(value[0], value[0])] if refers else []
        return head + [_renamed(part, own, depth - 1) for part in value[len(head) :]]
    if isinstance(value, Mapping) and depth:
        return {key: _renamed(part, own, depth - 1) for key, part in value.items()}
    return value


def _of_function(layer: dict[str, Any], name: str) -> dict[str, Any]:
    """The Keras layer that does what a function of TensorFlow does."""
    where = f"Keras layer {short(name)}"
    inner = layer["config"] if isinstance(layer.get("config"), Mapping) else {}
    function = str(inner.get("function"))
    kind = _SAME.get(function, function.removeprefix("math.").removeprefix("__operators__."))
    calls = layer.get("inbound_nodes")
    if not isinstance(calls, list) or not calls or not all(_is_call(call) for call in calls):
        raise Unsupported(where, got=f"TFOpLambda of {short(function)} in an unknown form", allowed="one call, as Keras 2 writes it")
    config = {key: inner[key] for key in ("name", "trainable", "dtype") if key in inner}
    first, given = calls[0], calls[0][3] if len(calls[0]) > 3 and isinstance(calls[0][3], Mapping) else {}
    if kind == "concat":
        return _made(layer, "Concatenate", config | {"axis": given.get("axis", -1)}, calls)
    if len(calls) == 1 and kind in _OF_ONE:
        of, more = _OF_ONE[kind]
        if given.get("axis") not in (None, -1):
            raise Unsupported(where, got=f"axis {one_line(str(given['axis']), 20)}", allowed="-1")
        return _made(layer, of, config | more, calls)
    sides = [None if first[0] == _CONSTANT else first, given.get("y", given.get("b"))]
    constant = first[2] if sides[0] is None else sides[1]
    if len(calls) == 1 and kind in _OF_TWO and all(_is_call(side) for side in sides):
        return _made(layer, _OF_TWO[kind], config, sides)
    tensor = sides[1] if sides[0] is None else sides[0]
    if len(calls) == 1 and _is_number(constant) and _is_call(tensor):
        scaled = _scaled(kind, constant, reflected=sides[0] is None)
        if scaled is not None:
            return _made(layer, "Rescaling", config | {"scale": scaled[0], "offset": scaled[1]}, [tensor])
    raise Unsupported(where, got=f"TFOpLambda of function {short(function)}", allowed=FUNCTIONS)


def _scaled(kind: str, number: Any, *, reflected: bool) -> tuple[Any, Any] | None:
    """The scale and offset of a function of a tensor and a number, None if it is no such function; ``reflected``: the number is first."""
    if kind == "add":
        return 1.0, number
    if kind == "multiply":
        return number, 0.0
    if kind == "subtract":
        return (-1.0, number) if reflected else (1.0, _each(number, lambda value: -value))
    if kind == "divide" and not reflected:
        return _each(number, lambda value: 1.0 / value if value else float("inf")), 0.0
    return None


def _each(number: Any, function: Any) -> Any:
    return [_each(part, function) for part in number] if isinstance(number, list) else function(number)


def _is_number(value: Any, depth: int = 4) -> bool:
    """Whether ``value`` is a number, or lists of them."""
    if isinstance(value, list) and depth:
        return bool(value) and all(_is_number(part, depth - 1) for part in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_call(value: Any) -> bool:
    """Whether ``value`` is [layer, node, tensor] and perhaps arguments; the layer may stand for a constant."""
    return isinstance(value, list) and 3 <= len(value) <= 4 and isinstance(value[0], str)


def _made(layer: dict[str, Any], kind: str, config: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
    """The layer as one of another class, which reads the tensors of ``calls``."""
    return {**layer, "class_name": kind, "config": config, "inbound_nodes": [[[*call[:3], {}] for call in calls]]}
