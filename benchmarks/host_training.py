"""ResNet-8 on the CIFAR-10 subset, trained by edgeff and by TensorFlow with one recipe on the same cores, epoch by epoch in turn.

``EDGEFF_DATA_DIR=.. python benchmarks/host_training.py [--epochs 16] [--seeds 3] [--fresh]`` -> ``benchmarks/results/host_training.json``;
with ``--timing`` three epochs on a quiet machine -> ``benchmarks/results/host_speed.json``.
Both see the same augmented pixels a mini-batch, Adam at 1e-3 * .99^epoch, batches of 32, weights from U(+-sqrt(6 / fan_in)) and batch norm
with momentum .99. Every second epoch of the process is the other library's, so both times stand for the same machine in the same state. The
test part is read once, at the end. TensorFlow is the extra ``tensorflow``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from results import collect

from edgeff import registry
from edgeff.networks import recipe, structure
from edgeff.train import accuracy, train

CLASSES = 10


def keras_resnet8(seed: int) -> Any:
    """The same network in Keras, initialised as edgeff's."""
    layers = tf.keras.layers
    draws = iter(range(1000 * seed, 1000 * seed + 100))

    def conv(x: Any, channels: int, size: int, stride: int, *, norm: bool = True, relu: bool = True) -> Any:
        weights = tf.keras.initializers.HeUniform(seed=next(draws))
        x = layers.Conv2D(channels, size, strides=stride, padding="same", kernel_initializer=weights, use_bias=not norm)(x)
        x = layers.BatchNormalization()(x) if norm else x
        return layers.Activation("relu")(x) if relu else x

    inputs = layers.Input((32, 32, 3))
    x = conv(inputs, 16, 3, 1)
    for number, channels in enumerate((16, 32, 64)):
        stride = 2 if number else 1
        main = conv(conv(x, channels, 3, stride), channels, 3, 1, relu=False)
        skip = conv(x, channels, 1, stride, norm=False, relu=False) if number else x
        x = layers.Activation("relu")(layers.add([skip, main]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    weights = tf.keras.initializers.HeUniform(seed=next(draws))
    return tf.keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", kernel_initializer=weights)(x))


def measure(seed: int, epochs: int) -> dict[str, Any]:
    """Test accuracies in per cent, and the median seconds of an epoch, of both."""
    task = registry.tasks["cifar10"]
    data = task.load(seed)
    settings = replace(registry.rules["bp"].settings, **recipe("resnet8") | {"epochs": epochs})
    model = keras_resnet8(seed)
    model.compile(tf.keras.optimizers.Adam(settings.lr), "categorical_crossentropy")
    targets = data.targets(data.y_train)
    rng = np.random.default_rng([seed, 9])
    seconds: dict[str, list[float]] = {"edgeff": [], "tensorflow": []}
    started = time.perf_counter()

    def keras_epoch(done: int, _of: int) -> None:
        """One epoch of TensorFlow behind each of edgeff's."""
        nonlocal started
        seconds["edgeff"].append(time.perf_counter() - started)
        started = time.perf_counter()
        model.optimizer.learning_rate.assign(settings.rate(done - 1))
        order = rng.permutation(len(data.x_train))
        for first in range(0, len(order), settings.batch):
            index = order[first : first + settings.batch]
            model.train_on_batch(task.augment(data.x_train[index], rng), targets[index])
        seconds["tensorflow"].append(time.perf_counter() - started)
        print(f"seed {seed}, epoch {done}: " + ", ".join(f"{name} {times[-1]:.1f} s" for name, times in seconds.items()), flush=True)
        started = time.perf_counter()

    trained = train(data, structure("resnet8"), "bp", settings, seed, keras_epoch, "cifar10", augment=task.augment)
    times = {name: round(statistics.median(values[1:] or values), 2) for name, values in seconds.items()}
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)][1:]
    return {
        "epochs": epochs,
        "test_edgeff": round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2),
        "test_tensorflow": round(100 * accuracy(model.predict(data.x_test, batch_size=256, verbose=0), data.y_test), 2),
        "epoch_s_edgeff": times["edgeff"],
        "epoch_s_tensorflow": times["tensorflow"],
        "ratio": round(statistics.median(ratios), 2) if ratios else None,
        "images": len(data.x_train),
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    if arguments.timing:
        collect("host_speed", [(0, 3)], measure, 1)
    else:
        collect("host_training", [(seed, arguments.epochs) for seed in range(arguments.seeds)], measure, arguments.seeds)
