"""Writes .h5 files as Keras 2 (TensorFlow 2.0 to 2.15) does, without Keras: its configuration as JSON, and its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeff.ir import Array

Entry = tuple[str, dict[str, Any], list[Any], dict[str, Array]]
"""A layer: its class, its configuration, what it reads, and its weights by name."""


def initialiser(name: str) -> dict[str, Any]:
    return {"class_name": name, "config": {"seed": None} if name == "GlorotUniform" else {}}


def _kernel(rank: int, size: Sequence[int], **more: Any) -> dict[str, Any]:
    """The entries that all of Keras 2's convolutions have, ``groups`` among them."""
    plain = {"strides": [1] * rank, "padding": "valid", "data_format": "channels_last", "dilation_rate": [1] * rank, "groups": 1}
    plain |= {"kernel_size": [*size], "activation": "linear", "use_bias": True, "bias_initializer": initialiser("Zeros")}
    return plain | {"bias_regularizer": None, "activity_regularizer": None, "bias_constraint": None} | more


def _of_one_kernel() -> dict[str, Any]:
    return {"kernel_initializer": initialiser("GlorotUniform"), "kernel_regularizer": None, "kernel_constraint": None}


def conv2d(name: str, filters: int, size: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return "Conv2D", {"name": name, "filters": filters} | _kernel(2, (size, size)) | _of_one_kernel() | more


def depthwise_conv2d(name: str, size: int, **more: Any) -> tuple[str, dict[str, Any]]:
    own = {"depth_multiplier": 1, "depthwise_initializer": initialiser("GlorotUniform"), "depthwise_regularizer": None}
    return "DepthwiseConv2D", {"name": name} | _kernel(2, (size, size)) | own | {"depthwise_constraint": None} | more


def separable_conv1d(name: str, filters: int, size: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """Of a separable convolution Keras 2 writes the initialiser of a kernel that it has not, too."""
    own: dict[str, Any] = {"filters": filters, "depth_multiplier": 1}
    for kind in ("depthwise", "pointwise"):
        own |= {f"{kind}_initializer": initialiser("GlorotUniform"), f"{kind}_regularizer": None, f"{kind}_constraint": None}
    return "SeparableConv1D", {"name": name} | _kernel(1, (size,)) | _of_one_kernel() | own | more


def dense(name: str, units: int, **more: Any) -> tuple[str, dict[str, Any]]:
    own = {"units": units, "activation": "linear", "use_bias": True, "bias_initializer": initialiser("Zeros"), "bias_regularizer": None}
    return "Dense", {"name": name} | own | _of_one_kernel() | {"activity_regularizer": None, "bias_constraint": None} | more


def batch_norm(name: str, axis: int) -> tuple[str, dict[str, Any]]:
    own: dict[str, Any] = {"axis": [axis], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True}
    for key, kind in (("beta", "Zeros"), ("gamma", "Ones"), ("moving_mean", "Zeros"), ("moving_variance", "Ones")):
        own[f"{key}_initializer"] = initialiser(kind)
    return "BatchNormalization", {"name": name} | own | dict.fromkeys(("beta_regularizer", "gamma_regularizer", "beta_constraint"))


def function(name: str, of: str) -> tuple[str, dict[str, Any]]:
    """A layer that Keras 2 made of a function of TensorFlow."""
    return "TFOpLambda", {"name": name, "function": of}


def input_layer(name: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
    return "InputLayer", {"name": name, "batch_input_shape": [None, *shape], "sparse": False, "ragged": False}


def plain(kind: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"name": name} | more


def call(*names: str) -> list[Any]:
    """What a layer reads, as Keras 2 writes it."""
    return [[[name, 0, 0, {}] for name in names]]


def write(
    path: Path, layers: Sequence[tuple[tuple[str, dict[str, Any]], list[Any] | None]], weights: Mapping[str, Mapping[str, Array]]
) -> None:
    """``layers`` with what each reads, None in a sequence; ``weights`` of a layer by their names."""
    h5py = pytest.importorskip("h5py")
    made = []
    for (kind, config), reads in layers:
        entry = {"class_name": kind, "config": {"trainable": True, "dtype": "float32"} | config}
        made.append(entry if reads is None else entry | {"name": config["name"], "inbound_nodes": reads})
    names = [config["name"] for (_, config), _ in layers]
    inner: dict[str, Any] = {"name": "model_8", "layers": made}
    sequence = layers[0][1] is None
    if not sequence:
        inner |= {"input_layers": [[names[0], 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.8.0", "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential" if sequence else "Functional", "config": inner})
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            own = group.create_group(name)
            own.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in weights.get(name, {})]
            for key, array in weights.get(name, {}).items():
                own.create_dataset(f"{name}/{key}:0", data=array)
