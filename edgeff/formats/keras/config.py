"""The configuration of a Keras model, read as JSON before Keras sees it.

In goes the text of a ``config.json`` or of the attribute ``model_config``; the only result is a refusal. A configuration may name any
class or function of any module, which Keras would import and call: here every name must be in one of the lists below, or among the
``LAYERS`` that an operator adds in its module ``keras`` (``ops/<op>/keras.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.errors import BadInput, Unsupported
from edgeff.formats import description, operators
from edgeff.formats.conventions import short

LAYERS = (
    "Activation", "Add", "AveragePooling1D", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D",
    "Conv2DTranspose", "Cropping1D", "Cropping2D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dropout", "Flatten", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "InputLayer",
    "MaxPooling1D", "MaxPooling2D", "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "Permute", "ReLU", "Rescaling", "Reshape",
    "SeparableConv1D", "SeparableConv2D", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "Subtract", "UpSampling1D", "UpSampling2D",
    "ZeroPadding1D", "ZeroPadding2D",
)  # fmt: skip
KERNELS = (
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D",
    "SeparableConv2D",
)  # fmt: skip
MODELS = ("Functional", "Model", "Sequential")
_PARTS = frozenset({
    "Constant", "DTypePolicy", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "L1", "L1L2", "L2", "LecunNormal",
    "LecunUniform", "MaxNorm", "MinMaxNorm", "NonNeg", "Ones", "Orthogonal", "Policy", "RandomNormal", "RandomUniform", "TensorShape",
    "TruncatedNormal", "UnitNorm", "VarianceScaling", "Zeros", "__keras_tensor__", "__tuple__",
})  # fmt: skip
"""Initialisers, regularisers, constraints and types."""
_MAX_VALUES = 1_000_000


def layers() -> tuple[str, ...]:
    """The layer classes that a configuration may name, in alphabetical order."""
    return tuple(sorted((*LAYERS, *(name for _, added in operators.parts("keras", "LAYERS") for name in added))))


def parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """The JSON object that ``text`` holds; BadInput for anything else."""
    return description.from_json(text, what)


def check_configuration(configuration: Mapping[str, Any]) -> None:
    """Raises Unsupported for a class outside the lists, naming its layer, and BadInput for anything that is not a model."""
    if configuration.get("class_name") not in MODELS:
        raise Unsupported("Keras file", got=f"a {short(configuration.get('class_name'))}", allowed=", ".join(MODELS))
    pending: list[tuple[object, str]] = [(configuration, "model")]
    known = layers()
    for count in range(_MAX_VALUES):
        if not pending:
            return
        value, where = pending.pop()
        if isinstance(value, Mapping):
            where = _checked_class(value, where, known)
            pending.extend((part, where) for part in value.values())
        elif isinstance(value, list):
            pending.extend((part, where) for part in value)
        if len(pending) + count > _MAX_VALUES:
            break
    raise BadInput("Keras file", got=f"a configuration of more than {_MAX_VALUES} values", allowed="a smaller model")


def _checked_class(value: Mapping[str, Any], where: str, known: tuple[str, ...]) -> str:
    """The name of the layer that ``value`` describes, else ``where``; refuses a class that is neither a ``known`` layer nor listed, and a
    module that is not Keras's own.
    """
    if "class_name" not in value:
        return where
    kind, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    inner = value.get("config")
    name = inner.get("name", value.get("name")) if isinstance(inner, Mapping) else None
    if kind in known or kind in MODELS:
        where = f"Keras layer {short(name)}"
    elif not isinstance(kind, str) or kind not in _PARTS:
        layer = where if name is None else f"Keras layer {short(name)}"
        raise Unsupported(layer, got=f"class {short(kind)}", allowed=", ".join(known))
    if module is not None and module != "keras" and not str(module).startswith("keras."):
        raise Unsupported(where, got=f"class {short(kind)} of module {short(module)}", allowed="Keras's own")
    if registered is not None and registered != kind:
        raise Unsupported(where, got=f"the registered object {short(registered)}", allowed="Keras's own classes")
    return where
