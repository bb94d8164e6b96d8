"""Host training beside TensorFlow's: the same networks, initial weights and mini-batches on the same cores, epoch by epoch in turn.

``EDGEFF_DATA_DIR=.. python benchmarks/host_training.py [--epochs 10] [--seeds 3] [--fresh]``: ResNet-8 on CIFAR-10 (the subset of 10,000
images where it lies in the folder), test accuracies and seconds of an epoch -> ``benchmarks/results/host_training.json``. A row is a seed;
those that are there already are kept. With ``--timing``: images a second of every registered network, on random samples and without
augmentation -> ``benchmarks/results/host_speed.json``.

Every second epoch of the process is the other library's, so both times stand for one machine in one state; a ratio is the median of the
ratios of neighbours. The first epoch, in which TensorFlow compiles, does not count. TensorFlow runs as a user runs it: ``model.fit`` with
two threads or as many as there are cores (XLA, which is slower here, is off). The test part is read once, at the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.ir import Array, Layer, Network
from edgeff.networks import initialised, recipe, reproduces_input, structure
from edgeff.ops import kind
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.batch_norm import BatchNorm
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.window import Windowed
from edgeff.ops.window_math import same_padding
from edgeff.train.loop import Trained, accuracy, fit

TIMED_IMAGES = {"cnn_1d": 12_800, "ds_cnn": 3_000, "fc_ae": 51_200, "mobilenet_v1_025": 640, "resnet8": 2_560}
TIMED_EPOCHS = 6
LAST_RATE = 0.99**500
"""What the reference's schedule, .99 an epoch for 500 epochs, ends at; a shorter run goes down to it as well, faster."""
Augment = Callable[[Array, np.random.Generator], Array]


def keras_twin(network: Network) -> Any:
    """The initialised network in Keras, with its parameters."""
    values = {"input": tf.keras.layers.Input(network.input_shape)}
    shapes = {"input": network.input_shape}
    for layer in network:
        made = keras_layer(layer, shapes[layer.inputs[0]])
        xs = [values[name] for name in layer.inputs]
        y = made(xs if len(xs) > 1 else xs[0])
        if layer.params:
            made.set_weights(keras_weights(layer, shapes[layer.inputs[0]]))
        activation = kind(layer).function.name
        values[layer.name] = y if activation == "none" else tf.keras.layers.Activation(activation)(y)
        shapes[layer.name] = layer.shape
    return tf.keras.Model(values["input"], values[network.layers[-1].name])


def keras_layer(layer: Layer, shape: tuple[int, ...]) -> Any:
    """The Keras layer that computes ``layer`` from an input of ``shape``, without its activation."""
    keras, op, bias = tf.keras.layers, layer.op, "bias" in layer.params
    if isinstance(op, Conv2d):
        return keras.Conv2D(layer.shape[2], op.window, op.stride, padding(layer.name, op, shape), use_bias=bias)
    if isinstance(op, DepthwiseConv2d):
        return keras.DepthwiseConv2D(op.window, op.stride, padding(layer.name, op, shape), op.multiplier, use_bias=bias)
    if isinstance(op, Conv1d):
        same = (op.pad_left, op.pad_right) == same_padding(shape[0], op.kernel, op.stride)
        return keras.Conv1D(layer.shape[1], op.kernel, op.stride, "same" if same else "valid", use_bias=bias)
    if isinstance(op, AveragePool2d):
        return keras.AveragePooling2D(op.window, op.stride, padding(layer.name, op, shape))
    if isinstance(op, BatchNorm):
        return keras.BatchNormalization(momentum=op.momentum, epsilon=op.eps)
    plain = {
        "add": keras.Add,
        "dense": lambda: keras.Dense(layer.shape[0], use_bias=bias),
        "reshape": lambda: keras.Reshape(layer.shape),
        "softmax": keras.Softmax,
    }
    return plain[layer.kind]()


def padding(name: str, op: Windowed, shape: tuple[int, ...]) -> str:
    """Keras' name of the padding of the layer ``name``."""
    if not any(op.pads):
        return "valid"
    (top, bottom), (left, right) = (same_padding(shape[i], op.window[i], op.stride[i]) for i in (0, 1))
    if op.pads != (top, left, bottom, right):
        raise ValueError(f"Keras has no name for the padding of {name}")
    return "same"


def keras_weights(layer: Layer, shape: tuple[int, ...]) -> list[Array]:
    """The layer's parameters in Keras' order and layout."""
    weight = layer.params["weight"]
    if isinstance(layer.op, BatchNorm):
        return [layer.params[name] for name in ("weight", "bias", "mean", "variance")]
    kernel = weight.reshape(*weight.shape[:2], shape[2], -1) if isinstance(layer.op, DepthwiseConv2d) else np.moveaxis(weight, 0, -1)
    return [kernel, *([layer.params["bias"]] if "bias" in layer.params else [])]


def in_turn(network: Network, x: Array, targets: Array, settings: Any, seed: int, augment: Augment) -> tuple[Trained, Any, dict[str, Any]]:
    """Trains the network with both libraries, an epoch each in turn; returns both results and the seconds of an epoch."""
    model = keras_twin(network)
    loss = "mse" if not kind(network.layers[-1]).probabilities else "categorical_crossentropy"
    model.compile(tf.keras.optimizers.Adam(settings.lr), loss, jit_compile=False)
    rng = np.random.default_rng([seed, 2])  # as edgeff's run: the same order and the same augmentation
    seconds: dict[str, list[float]] = {"edgeff": [], "tensorflow": []}
    started = time.perf_counter()

    def keras_epoch(done: int, epochs: int) -> None:
        nonlocal started
        seconds["edgeff"].append(time.perf_counter() - started)
        started = time.perf_counter()
        order = rng.permutation(len(x))
        batches = [order[first : first + settings.batch] for first in range(0, len(order), settings.batch)]
        seen = np.concatenate([augment(x[index], rng) for index in batches])
        model.optimizer.learning_rate.assign(settings.rate(done - 1))
        model.fit(seen, targets[order], batch_size=settings.batch, shuffle=False, verbose=0)
        seconds["tensorflow"].append(time.perf_counter() - started)
        times = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
        print(f"{network.name}, seed {seed}, epoch {done} of {epochs}: {times}", flush=True)
        started = time.perf_counter()

    trained = fit(network, "bp", x, targets, settings, seed, keras_epoch, augment)
    ratios = [ours / theirs for ours, theirs in zip(seconds["edgeff"][1:], seconds["tensorflow"][1:], strict=True)]
    figures: dict[str, Any] = {f"epoch_s_{name}": round(statistics.median(values[1:]), 2) for name, values in seconds.items()}
    figures |= {"ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in sorted(ratios)]}
    figures |= {"images": len(x), "cores": len(os.sched_getaffinity(0)), "tensorflow": tf.__version__}
    return trained, model, figures


def learn(seed: int, epochs: int) -> dict[str, Any]:
    """Test accuracies in per cent, and the median seconds of an epoch, of both."""
    task = registry.tasks["cifar10"]
    data = task.load(seed)
    settings = replace(settings_before("bp"), **recipe("resnet8") | {"epochs": epochs, "decay": LAST_RATE ** (1 / epochs)})
    network = initialised(structure("resnet8"), seed)
    trained, model, figures = in_turn(network, data.x_train, data.targets(data.y_train), settings, seed, task.augment)
    ours, theirs = trained.scores(data.x_test), model.predict(data.x_test, batch_size=256, verbose=0)
    figures |= {f"test_{name}": round(100 * accuracy(y, data.y_test), 2) for name, y in (("edgeff", ours), ("tensorflow", theirs))}
    return {"epochs": epochs} | figures


def images_per_second(name: str) -> dict[str, Any]:
    """Images a second in training with the network's own recipe, of both."""
    network = initialised(structure(name), 0)
    settings = replace(settings_before("bp"), **recipe(name) | {"epochs": TIMED_EPOCHS})
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TIMED_IMAGES[name], *network.input_shape), np.float32)
    classes = network.layers[-1].shape[0]
    targets = x if reproduces_input(network) else np.eye(classes, dtype=np.float32)[rng.integers(0, classes, len(x))]
    _, _, figures = in_turn(network, x, targets, settings, 0, lambda samples, _rng: samples)
    per_second = {f"images_s_{library}": round(len(x) / figures[f"epoch_s_{library}"]) for library in ("edgeff", "tensorflow")}
    return {"batch": settings.batch} | per_second | figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    if arguments.timing:
        collect("host_speed", [(name,) for name in registry.networks], images_per_second)
    elif arguments.epochs < 2:
        parser.error("--epochs: 2 or more, for the first is not timed")
    else:
        collect("host_training", [(seed, arguments.epochs) for seed in range(arguments.seeds)], learn, arguments.seeds)
