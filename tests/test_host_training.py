"""Back-propagation, batch normalisation and optimisers on the host over any graph: against difference quotients, formulae and Keras."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from image_networks import Builder

from edgeff import registry
from edgeff.errors import BadInput, Diverged, Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.networks import initialised, recipe, structure
from edgeff.ops import forward, kind, make, parallel, parameters
from edgeff.ops.canonical import canonical
from edgeff.program.lower import lower
from edgeff.rules import Run, Settings
from edgeff.tasks import Data
from edgeff.train.loop import MOST_SAMPLES_BYTES, accuracy, fit, in_batches, start, train
from edgeff.train.optimisers import OPTIMISERS

BP = registry.rules["bp"]
NORM: dict[str, Any] = {"eps": 1e-3, "momentum": 0.9}


def norm(build: Builder, name: str, activation: str = "relu") -> str:
    """A batch_norm over the last layer, its parameters away from their start."""
    channels = build.shape(build.last)[-1]
    draws = build.rng.uniform(0.5, 1.5, (4, channels)).astype(np.float32)
    params = dict(zip(("weight", "bias", "mean", "variance"), draws, strict=True))
    return build.add(name, "batch_norm", (), (), params, **NORM, activation=activation)


def branching(activation: str = "relu") -> Network:
    """Every kind of layer that back-propagation goes through, with one layer read three times and two skip connections."""
    build = Builder((6, 5, 3), seed=2)
    build.window("conv", "conv2d", (3, 3), pads=(1, 1, 1, 1), outputs=4, bias=False)
    first = norm(build, "norm", activation)
    build.window("apart", "depthwise_conv2d", (3, 3), pads=(1, 1, 1, 1), bias=False)
    second = norm(build, "apart_norm", "none")
    build.add("sum", "add", (first, second), activation="relu")
    build.window("point", "conv2d", (1, 1), outputs=4, activation=activation)
    build.add("double", "add", (first, "point"), activation="none")
    build.window("largest", "max_pool2d", (2, 2), (2, 2))
    build.window("mean", "average_pool2d", (2, 2), (1, 1), (0, 0, 1, 1))
    build.add("positive", "relu", (), (), activation=activation)
    build.add("turned", "transpose", (), (), perm="1,0,2")
    build.add("sequence", "reshape", (), (6, 4))
    build.conv1d("conv_1d", 3, 5, 2, (1, 1))
    norm(build, "sequence_norm")
    build.dense("dense", 6)
    norm(build, "dense_norm", "relu6")
    build.dense("scores", 3)
    build.add("softmax", "softmax", (), (3,))
    return build.network()


def loss(run: Run, x: Array, t: Array) -> float:
    """The mean cross-entropy of a batch, or half its squared error where there is no softmax; by batch statistics."""
    values = {"input": x}
    for layer in run.network:
        xs = tuple(values[name] for name in layer.inputs)
        values[layer.name] = kind(layer).forward_training(layer, run.params.get(layer.name, {}), *xs)[0]
    y = values[run.network.layers[-1].name]
    each = -(t * np.log(y)).sum() if run.network.layers[-1].kind == "softmax" else ((y - t) ** 2).sum() / 2
    return float(each) / len(x)


def batch(network: Network, count: int, seed: int = 5) -> tuple[Array, Array]:
    """Random samples and one-hot targets in float64."""
    rng = np.random.default_rng(seed)
    classes = network.layers[-1].shape[0]
    return rng.normal(size=(count, *network.input_shape)), np.eye(classes)[rng.integers(0, classes, count)]


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("softmax", [True, False])
def test_back_propagation_gives_the_difference_quotients_of_the_loss(activation: str, softmax: bool) -> None:
    network = branching(activation)
    if not softmax:
        network = replace(network, layers=network.layers[:-1])
    run = Run(network, parameters(network, np.float64), Settings(), np.random.default_rng(0))
    x, t = batch(network, 4)
    gradients = BP.step(run, x, t)
    assert {name for name, made in gradients.items() if made} == {layer.name for layer in network.trainable}
    rng, checked = np.random.default_rng(1), 0
    for layer in network.trainable:
        for name in set(layer.params) - set(kind(layer).moving):
            value, expected = run.params[layer.name][name].reshape(-1), gradients[layer.name][name].reshape(-1)
            for place in rng.choice(len(value), min(len(value), 6), replace=False):
                before, ends = value[place], []
                for end in (1e-6, -1e-6):
                    value[place] = before + end
                    ends.append(loss(run, x, t))
                value[place] = before
                assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected[place], rel=1e-5, abs=1e-8), (layer.name, name, place)
                checked += 1
    assert checked > 80


def test_batch_norm_gives_the_batch_mean_nought_and_variance_one() -> None:
    layer = Layer("norm", make("batch_norm", NORM), ("input",), (3, 2, 5))
    params = kind(layer).initial(layer, ((3, 2, 5),), np.random.default_rng(0))
    x = np.random.default_rng(1).normal(1000.0, 3.0, (40, 3, 2, 5)).astype(np.float32)
    y, (mean, variance, _) = kind(layer).forward_training(layer, params, x)
    # 1000 +- 3 in float32: a variance from E[x^2] - E[x]^2 would keep no digit
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1.0, atol=1e-3)


def test_a_batch_of_one_constant_sample_has_no_variance_and_no_nan() -> None:
    layer = Layer("norm", make("batch_norm", NORM), ("input",), (5,))
    params = kind(layer).initial(layer, ((5,),), np.random.default_rng(0))
    x = np.full((1, 5), 3.0, np.float32)
    y, saved = kind(layer).forward_training(layer, params, x)
    assert (y == 0.0).all()
    (delta,), _ = kind(layer).backward(layer, params, np.ones((1, 5), np.float32), y, (x,), saved, wanted=True)
    assert np.isfinite(delta).all()


def test_moving_averages_go_towards_the_batch_and_nothing_of_them_is_learned() -> None:
    network = branching()
    settings = replace(BP.settings, lr=0.0, momentum=0.9, weight_decay=0.1)
    run = start(network, BP, settings, 0)
    x, t = batch(network, 8)
    before = {name: value.copy() for name, value in run.params["norm"].items()}
    values = forward(network, run.params, x)["conv"]
    OPTIMISERS["sgd"](run).apply(BP.step(run, x, t), 0.0)
    mean, variance = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
    np.testing.assert_allclose(run.params["norm"]["mean"], 0.9 * before["mean"] + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(run.params["norm"]["variance"], 0.9 * before["variance"] + 0.1 * variance, rtol=1e-5)
    assert (run.params["norm"]["weight"] == before["weight"]).all()


@pytest.mark.parametrize("name", ["ds_cnn", "fc_ae", "mobilenet_v1_025", "resnet8", "cnn_1d"])
def test_a_folded_network_computes_what_the_trained_one_does(name: str) -> None:
    network = initialised(structure(name), 0)
    rng = np.random.default_rng(3)
    norms = [layer for layer in network if layer.kind == "batch_norm"]
    draws = {layer.name: {key: rng.uniform(0.5, 1.5, old.shape).astype(np.float32) for key, old in layer.params.items()} for layer in norms}
    network = network.replacing({layer.name: replace(layer, params=draws[layer.name]) for layer in norms})
    folded = canonical(network)
    assert not any(layer.kind == "batch_norm" for layer in folded)
    assert canonical(folded) is folded
    x = rng.normal(size=(2, *network.input_shape)).astype(np.float32)
    last = network.layers[-1].name
    expected = forward(network, parameters(network, np.float64), x.astype(np.float64))[last]
    actual = forward(folded, parameters(folded, np.float64), x.astype(np.float64))[folded.layers[-1].name]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())  # folded weights are float32


def test_a_network_is_lowered_in_its_canonical_form() -> None:
    network = initialised(structure("fc_ae"), 0)
    program, expected = (lower(each, target="input") for each in (network, canonical(network)))
    assert program.lines == expected.lines
    assert {name: tensor.data is not None and tensor.data.tobytes() for name, tensor in program.tensors.items()} == {
        name: tensor.data is not None and tensor.data.tobytes() for name, tensor in expected.tensors.items()
    }


def test_batch_norm_behind_no_convolution_is_refused_by_name() -> None:
    build = Builder((4, 4, 2))
    build.window("largest", "max_pool2d", (2, 2), (2, 2))
    norm(build, "norm")
    with pytest.raises(Unsupported, match=r"folding 'norm': got batch normalisation after layer 'largest', max_pool2d"):
        canonical(build.network())


def test_adam_takes_the_steps_of_its_paper() -> None:
    network = initialised(structure("3-2", bias=True), 0)
    run = start(network, BP, replace(BP.settings, optimiser="adam"), 0)
    weight = run.params["dense_1"]["weight"].astype(np.float64)
    optimiser = OPTIMISERS["adam"](run)
    rng = np.random.default_rng(0)
    mean, square = np.zeros((2, 3)), np.zeros((2, 3))
    for step in range(1, 6):
        gradient = rng.normal(size=(2, 3)).astype(np.float32)
        optimiser.apply({"dense_1": {"weight": gradient}}, 0.01)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient.astype(np.float64) ** 2
        weight -= 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * mean / (np.sqrt(square) + 1e-7)
        np.testing.assert_allclose(run.params["dense_1"]["weight"], weight, rtol=1e-5)
    assert run.params["dense_1"]["weight"].dtype == np.float32
    assert run.steps == 5


def test_weights_decay_but_not_those_of_batch_norm() -> None:
    network = branching()
    run = start(network, BP, replace(BP.settings, momentum=0.0, weight_decay=0.5), 0)
    still = {layer.name: {name: np.zeros_like(value) for name, value in run.params[layer.name].items()} for layer in network.trainable}
    for layer in network.trainable:
        for name in kind(layer).moving:
            del still[layer.name][name]
    OPTIMISERS["sgd"](run).apply(still, 0.1)
    for layer in network.trainable:
        shrunk = 1.0 if layer.kind == "batch_norm" else 0.95
        np.testing.assert_allclose(run.params[layer.name]["weight"], shrunk * layer.params["weight"], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({"decay_epochs": (2, 4), "decay": 0.1}, [1.0, 1.0, 0.1, 0.1, 0.01]),
        ({"decay_epochs": (), "decay_every": 1, "decay": 0.5}, [1.0, 0.5, 0.25, 0.125, 0.0625]),
        ({"decay_epochs": (), "decay_every": 2, "decay": 0.5}, [1.0, 1.0, 0.5, 0.5, 0.25]),
        ({"decay_epochs": ()}, [1.0] * 5),
    ],
)
def test_the_learning_rate_follows_its_schedule(changes: dict[str, Any], rates: list[float]) -> None:
    settings = Settings(lr=1.0, **changes)
    assert [settings.rate(epoch) for epoch in range(5)] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"optimiser": "lion"}, "setting optimiser: got 'lion'; allowed: sgd, adam"),
        ({"decay_every": "-1"}, "setting decay_every: got -1; allowed: 0 or more"),
    ],
)
def test_a_setting_that_is_no_optimiser_or_schedule_is_refused(changes: dict[str, str], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        Settings().changed(changes)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("name", list(registry.networks))
def test_every_recipe_is_made_of_settings(name: str) -> None:
    assert replace(BP.settings, **recipe(name)).optimiser == "adam"


def small_convolutional(activation: str = "relu") -> Network:
    """A structure over 8x8 images with batch norm and a skip connection."""
    build = Builder((8, 8, 1))
    build.window("conv", "conv2d", (3, 3), (2, 2), (0, 0, 1, 1), outputs=12, bias=False)
    below = norm(build, "norm", activation)
    build.window("deeper", "conv2d", (3, 3), pads=(1, 1, 1, 1), outputs=12, bias=False)
    norm(build, "deeper_norm", "none")
    build.add("sum", "add", (below, build.last), activation="relu")
    build.window("mean", "average_pool2d", (2, 2), (2, 2))
    build.dense("dense", 10)
    build.add("softmax", "softmax", (), (10,))
    return build.network("small_convolutional")


def image_digits() -> Data:
    data = registry.tasks["digits"].load(0)
    return replace(data, x_train=data.x_train.reshape(-1, 8, 8, 1), x_test=data.x_test.reshape(-1, 8, 8, 1))


def test_a_convolutional_network_learns_digits_and_needs_the_labels() -> None:
    data = image_digits()
    settings = Settings(optimiser="adam", lr=5e-3, batch=32, epochs=8, decay=0.2, decay_epochs=(6,))
    learned = train(data, small_convolutional(), "bp", settings)
    frozen = train(data, small_convolutional(), "frozen", settings)
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    blind = train(shuffled, small_convolutional(), "bp", settings)
    found = {name: accuracy(run.scores(data.x_test), data.y_test) for name, run in (("bp", learned), ("frozen", frozen), ("blind", blind))}
    assert found["bp"] >= 0.95
    assert found["bp"] >= found["frozen"] + 0.03
    assert found["blind"] <= 0.25
    last = canonical(learned.network).layers[-1].name
    folded = forward(canonical(learned.network), parameters(canonical(learned.network)), data.x_test)[last]
    assert (folded.argmax(axis=1) == learned.scores(data.x_test).argmax(axis=1)).mean() >= 0.99


def test_training_does_not_depend_on_the_count_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    data = image_digits()
    monkeypatch.setattr(parallel, "CACHED_BYTES", 8_000)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        parallel._pool.cache_clear()
        settings = Settings(optimiser="adam", lr=5e-3, batch=50, epochs=1)
        after = train(replace(data, x_train=data.x_train[:220], y_train=data.y_train[:220]), small_convolutional(), "bp", settings)
        found.append([value.tobytes() for layer in after.network.trainable for value in layer.params.values()])
    parallel._pool.cache_clear()
    assert found[0] == found[1]


def test_augmentation_sees_every_mini_batch_and_the_seed_decides_it() -> None:
    data = image_digits()
    x, targets = data.x_train[:70], data.targets(data.y_train[:70])
    network = initialised(small_convolutional(), 0)
    seen: list[tuple[int, ...]] = []

    def augment(samples: Array, rng: np.random.Generator) -> Array:
        seen.append(samples.shape)
        return samples + rng.normal(scale=0.1, size=samples.shape).astype(np.float32)

    settings = Settings(lr=0.05, batch=32, epochs=2, decay_epochs=())
    first, again = (fit(network, "bp", x, targets, settings, 3, augment=augment) for _ in range(2))
    plain = fit(network, "bp", x, targets, settings, 3)
    assert seen[:6] == [(32, 8, 8, 1), (32, 8, 8, 1), (6, 8, 8, 1)] * 2
    assert len(seen) == 12
    assert (first.network["dense"].params["weight"] == again.network["dense"].params["weight"]).all()
    assert (first.network["dense"].params["weight"] != plain.network["dense"].params["weight"]).any()


def test_an_autoencoder_learns_to_reproduce_its_input() -> None:
    network = initialised(structure("fc_ae", input_shape=(20,)), 0)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(600, 2)) @ rng.normal(size=(2, 20))).astype(np.float32)
    found = fit(network, "bp", x, x, Settings(optimiser="adam", lr=2e-3, batch=64, epochs=25, decay_epochs=())).history
    assert found[-1] < 0.25 * found[0]
    assert found[-1] < 0.25 * float(x.var())


def test_scores_of_many_samples_are_those_of_a_few() -> None:
    network = initialised(small_convolutional(), 0)
    run = start(network, BP, BP.settings, 0)
    x = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
    whole = in_batches(BP, run, x)
    for most_bytes in (4 * 3 * sum(int(np.prod(layer.shape)) for layer in network), 1):  # three samples at a time, and one
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edgeff.train.loop.MOST_SAMPLES_BYTES", most_bytes)
            few = in_batches(BP, run, x)
        np.testing.assert_allclose(few, whole, rtol=0, atol=1e-6)  # BLAS chooses its order by the count of rows
    assert MOST_SAMPLES_BYTES > 1 << 20


def test_a_convolutional_run_that_diverges_names_the_layer() -> None:
    data = image_digits()
    with pytest.raises(Diverged, match=r"training with bp diverged in epoch 1, layer '.*': got largest weight "):
        fit(initialised(small_convolutional(), 0), "bp", data.x_train, data.targets(data.y_train), Settings(lr=900.0, epochs=1))


@pytest.mark.slow
def test_ten_steps_of_adam_end_where_keras_ends() -> None:
    tf = pytest.importorskip("tensorflow")
    keras, network = tf.keras.layers, initialised(small_convolutional(), 0)
    pixels = keras.Input((8, 8, 1))
    below = keras.ReLU()(keras.BatchNormalization(momentum=0.9)(keras.Conv2D(12, 3, 2, "same", use_bias=False)(pixels)))
    main = keras.BatchNormalization(momentum=0.9)(keras.Conv2D(12, 3, padding="same", use_bias=False)(below))
    mean = keras.Flatten()(keras.AveragePooling2D(2)(keras.ReLU()(keras.Add()([below, main]))))
    model = tf.keras.Model(pixels, keras.Dense(10, activation="softmax", use_bias=False)(mean))
    order = [network[name].params[part] for name in ("conv", "norm", "deeper", "deeper_norm", "dense") for part in network[name].params]
    assert [weight.shape for weight in model.get_weights()] == [np.moveaxis(value, 0, -1).shape for value in order]
    model.set_weights([np.moveaxis(value, 0, -1) for value in order])
    model.compile(tf.keras.optimizers.Adam(1e-3), "categorical_crossentropy", jit_compile=False)
    data = image_digits()
    run = start(network, BP, Settings(optimiser="adam"), 0)
    optimiser = OPTIMISERS["adam"](run)
    for first in range(0, 320, 32):
        x, t = data.x_train[first : first + 32], data.targets(data.y_train[first : first + 32])
        optimiser.apply(BP.step(run, x, t), 1e-3)
        model.train_on_batch(x, t)
    ours = [np.moveaxis(value, 0, -1) for name in ("conv", "norm", "deeper", "deeper_norm", "dense") for value in run.params[name].values()]
    for mine, theirs in zip(ours, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-4)  # ten steps of at most 1e-3; float32 sums in other orders
