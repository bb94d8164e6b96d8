"""Keras files in: the same numbers as Keras, its names, and hostile files refused before Keras sees them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras2_files as keras2
import numpy as np
import pytest
from command_line import CommandLine

from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.formats import from_keras, load
from edgeff.formats.keras import conversion as keras_conversion
from edgeff.formats.keras.config import check_configuration
from edgeff.formats.keras.legacy import modern
from edgeff.formats.keras.reader import network_of
from edgeff.ir import Array
from edgeff.ops import forward, parameters

QUICK = 1.0
"""Seconds for a refusal that needs no TensorFlow."""


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow").keras


@pytest.fixture(scope="module")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array, Array]:
    """A folder with one network as a.keras and a.h5, samples, and what Keras makes of them."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    x = keras.Input((12, 10, 3))
    y = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    y = layers.Conv2D(8, 3, strides=2, use_bias=False, name="first")(y)
    y = layers.BatchNormalization()(y)
    short = y = layers.ReLU(6.0)(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="each")(y)
    y = layers.BatchNormalization()(y)
    y = layers.Activation("relu")(y)
    y = layers.Conv2D(8, 1, name="mix")(y)
    y = layers.Add(name="skip")([short, y])
    y = layers.MaxPooling2D(2, name="halve")(y)
    y = layers.SeparableConv2D(4, 2, name="pair", activation="relu")(y)
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    y = layers.Dropout(0.2)(y)
    model = keras.Model(x, layers.Dense(4, activation="softmax", name="head")(y), name="tiny")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2.0, weight.shape) for weight in layer.get_weights()])
    folder = tmp_path_factory.mktemp("keras")
    model.save(folder / "a.keras")
    model.save(folder / "a.h5")
    samples = rng.normal(size=(6, 12, 10, 3)).astype(np.float32)
    return folder, samples, np.asarray(model(samples))


@pytest.mark.slow
def test_a_network_gives_keras_s_numbers_under_keras_s_names(saved: tuple[Path, Array, Array], capfd: pytest.CaptureFixture[str]) -> None:
    folder, x, expected = saved
    capfd.readouterr()
    network = load(folder / "a.keras")
    assert capfd.readouterr() == ("", "")  # TensorFlow talks to itself
    names = ["first", "each", "mix", "skip", "halve", "pair", "pair_conv2d", "mean", "head", "head_softmax"]
    assert [layer.name for layer in network] == names
    assert network.name == "tiny"
    assert network.input_shape == (12, 10, 3)
    assert network.metadata["source"]["format"] == "keras"
    actual = forward(network, parameters(network), x)["head_softmax"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)  # float32 sums in another order, folded weights


@pytest.mark.slow
def test_the_command_line_imports_an_h5_file(saved: tuple[Path, Array, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, x, expected = saved
    cli, out = CommandLine(capsys), tmp_path / "m.onnx"
    found = cli.ok("import", folder / "a.h5", "-o", out, "--json").json
    assert [layer["name"] for layer in found["layers"]][:2] == ["first", "each"]
    network = load(out)
    np.testing.assert_allclose(forward(network, parameters(network), x)["head_softmax"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_an_operator_that_edgeff_has_not_is_named_as_keras_names_it(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="exponential", name="bend")])
    model.save(tmp_path / "a.keras")
    with pytest.raises(Unsupported, match=r"bend.*EXP") as caught:
        load(tmp_path / "a.keras")
    assert "edgeff0" not in str(caught.value)


def archive(configuration: Any, **more: bytes) -> bytes:
    """A .keras file with a configuration and no weights worth the name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("metadata.json", "{}")
        made.writestr("config.json", configuration if isinstance(configuration, str | bytes) else json.dumps(configuration))
        for name, content in ({"model.weights.h5": b""} | more).items():
            made.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def sequential(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}, "registered_name": None} | more


def layer(kind: str, **more: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": "bad", "units": 3}, "registered_name": None} | more


DENSE = layer("Dense")
HOSTILE: dict[str, tuple[type[EdgeffError], str, bytes]] = {
    "a Lambda layer": (Unsupported, "Keras layer 'bad': got class 'Lambda'", archive(sequential(DENSE, layer("Lambda")))),
    "a class of another module": (Unsupported, "of module 'os'", archive(sequential(layer("Dense", module="os")))),
    "a registered class": (
        Unsupported,
        "registered object 'mine>Dense'",
        archive(sequential(layer("Dense", registered_name="mine>Dense"))),
    ),
    "a function": (
        Unsupported,
        "class 'function'",
        archive(
            sequential(layer("Dense", config={"name": "bad", "activation": {"class_name": "function", "config": "system", "module": "os"}}))
        ),
    ),
    "Python code": (
        Unsupported,
        "class '__lambda__'",
        archive(sequential(layer("Dense", config={"activation": {"class_name": "__lambda__"}}))),
    ),
    "a layer in a layer": (
        Unsupported,
        "class 'TimeDistributed'",
        archive(sequential(layer("TimeDistributed", config={"name": "bad", "layer": layer("Lambda")}))),
    ),
    "no model": (Unsupported, "Functional", archive({"class_name": "Dense"})),
    "a list": (BadInput, "list", archive([])),
    "no JSON": (BadInput, "Keras archive", archive(b"\xff\xfe")),
    "deep JSON": (BadInput, "Keras archive", archive("[" * 100_000)),
    "other members": (Unsupported, "members", archive(sequential(DENSE), assets__run_py=b"import os")),
    "a path out of the folder": (Unsupported, "members", archive(sequential(DENSE), **{"..__..__etc__passwd": b"x"})),
    "a bomb": (BadInput, "once unpacked", archive(sequential(DENSE), **{"model.weights.h5": bytes(200 << 20)})),
    "a bomb of JSON": (BadInput, "characters of JSON", archive(b" " * (8 << 20))),
    "no archive": (BadInput, "Keras archive", b"PK\x03\x04config.json" + bytes(64)),
    "a truncated archive": (BadInput, "Keras archive", archive(sequential(DENSE))[:-30]),
    "a truncated .h5": (BadInput, "damaged or truncated", b"\x89HDF\r\n\x1a\n" + bytes(64)),
    "a short .h5": (BadInput, "damaged or truncated", b"\x89HDF\r\n\x1a\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_before_keras_sees_it(name: str) -> None:
    kind, part, data = HOSTILE[name]
    assert len(data) < 1 << 20
    start = time.process_time()
    with pytest.raises(kind) as caught:
        from_keras(data)
    assert time.process_time() - start < QUICK
    assert part in str(caught.value)
    assert str(caught.value).isprintable()


def test_members_that_share_a_name_are_refused() -> None:
    stream = io.BytesIO(archive(sequential(DENSE)))
    with zipfile.ZipFile(stream, "a") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("config.json", json.dumps(sequential(layer("Lambda"))))
    with pytest.raises(Unsupported, match="members"):
        from_keras(stream.getvalue())


def test_an_archive_of_300_000_members_is_refused_before_its_directory_is_read(tmp_path: Path) -> None:
    count, name = 300_000, b"config.json"
    head = struct.pack("<4s4H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    directory = entry * count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(head), 0)
    path = tmp_path / "many.keras"
    path.write_bytes(head + directory + end)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == count  # a true archive, which takes seconds to read
    began = time.process_time()  # of this process alone: others may keep the machine busy
    with pytest.raises(
        Unsupported, match=r"^Keras archive: got 300,000 members; allowed: metadata\.json, config\.json, model\.weights\.h5$"
    ):
        load(path)
    assert time.process_time() - began < 1


def test_a_configuration_of_a_million_values_is_refused() -> None:
    with pytest.raises(BadInput, match="more than 1000000 values"):
        check_configuration(sequential(DENSE, layer("Dense", config={"name": "wide", "units": [0] * 1_000_001})))


def test_other_archives_are_no_keras_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(Unsupported, match=r"not a \.keras file"):
        load(tmp_path / "a.npz")


def test_a_keras_file_without_tensorflow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tensorflow" else find(name, *rest))
    with pytest.raises(MissingTool, match=r"pip install 'edgeff\[tensorflow\]'"):
        from_keras(archive(sequential(DENSE)))


def test_a_file_past_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.keras"
    with path.open("wb") as stream:
        stream.truncate(1 << 32)
    with pytest.raises(BadInput, match="4294967296 bytes"):
        from_keras(path)


def _lambda(h5py: Any, file: Any) -> None:  # noqa: ARG001 - they share one signature
    file.attrs["model_config"] = json.dumps(sequential(layer("Lambda")))


def _weights_alone(h5py: Any, file: Any) -> None:  # noqa: ARG001
    del file.attrs["model_config"]


def _external_data(h5py: Any, file: Any) -> None:  # noqa: ARG001
    file.create_dataset("w", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def _external_link(h5py: Any, file: Any) -> None:
    file["w"] = h5py.ExternalLink("/etc/passwd", "/")


def _terabyte(h5py: Any, file: Any) -> None:  # noqa: ARG001
    file.create_dataset("w", (1 << 38,), "f4", chunks=(1 << 10,))


H5: dict[str, tuple[type[EdgeffError], str, Callable[[Any, Any], None]]] = {
    "a Lambda layer": (Unsupported, "class 'Lambda'", _lambda),
    "weights alone": (Unsupported, "weights without a model", _weights_alone),
    "data in another file": (Unsupported, "HDF5 object '/w': got data in another file", _external_data),
    "a link to another file": (Unsupported, "a link 'w'", _external_link),
    "a terabyte of zeros": (BadInput, "bytes of weights", _terabyte),
}


@pytest.mark.parametrize("name", H5)
def test_a_hostile_h5_file_is_refused_before_keras_sees_it(name: str, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    kind, part, change = H5[name]
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(DENSE))
        change(h5py, file)
    monkeypatch.setattr(keras.models, "load_model", None)
    with pytest.raises(kind) as caught:
        keras_conversion.convert(tmp_path / "model.h5")
    assert part in str(caught.value)


@pytest.mark.slow
def test_a_process_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(BadInput, match="Keras file") as caught:
        from_keras(archive(sequential(DENSE)))  # a model without weights
    assert str(caught.value).isprintable()
    monkeypatch.setattr("edgeff.formats.keras.reader.SECONDS", 0.01)
    with pytest.raises(BadInput, match=r"did not finish within 0\.01 s"):
        from_keras(archive(sequential(DENSE)))


def values(*shape: int) -> Array:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def norm(channels: int) -> dict[str, Array]:
    return {key: np.abs(values(channels, 1 + i)[:, 0]) + 0.5 for i, key in enumerate(("gamma", "beta", "moving_mean", "moving_variance"))}


def pair(kernel: str, *shape: int, outputs: int) -> dict[str, Array]:
    return {kernel: values(*shape), "bias": values(outputs)}


Keras2 = tuple[tuple[int, ...], list[Any], dict[str, dict[str, Array]], Callable[[Any, Any], list[Any]]]
IMAGE = (8, 6, 3)


def depthwise_with_groups() -> Keras2:
    layers = [keras2.input_layer("in", IMAGE), keras2.conv2d("first", 4, 3, strides=[2, 2], padding="same"), keras2.batch_norm("bn", 3)]
    layers += [keras2.plain("Activation", "relu0", activation="relu"), keras2.depthwise_conv2d("each", 3)]
    layers += [keras2.plain("Flatten", "flat", data_format="channels_last"), keras2.dense("head", 3, activation="softmax")]
    weights = {"first": pair("kernel", 3, 3, 3, 4, outputs=4), "bn": norm(4), "each": pair("depthwise_kernel", 3, 3, 4, 1, outputs=4)}
    weights["head"] = pair("kernel", 8, 3, outputs=3)
    return IMAGE, [(layer, None) for layer in layers], weights, lambda k, x: [
        y := k.Conv2D(4, 3, strides=2, padding="same")(x), y := k.BatchNormalization()(y), y := k.ReLU()(y), y := k.DepthwiseConv2D(3)(y),
        k.Dense(3, activation="softmax")(k.Flatten()(y)),
    ]  # fmt: skip


def names_with_slashes() -> Keras2:
    layers = [(keras2.input_layer("in/put", IMAGE), []), (keras2.conv2d("block_1/conv", 4, 3), keras2.call("in/put"))]
    layers += [
        (keras2.batch_norm("block_1/bn", 3), keras2.call("block_1/conv")),
        (keras2.conv2d("block_1_conv", 2, 1), keras2.call("block_1/bn")),
    ]
    layers += [(keras2.plain("GlobalAveragePooling2D", "mean", data_format="channels_last"), keras2.call("block_1_conv"))]
    weights = {
        "block_1/conv": pair("kernel", 3, 3, 3, 4, outputs=4),
        "block_1/bn": norm(4),
        "block_1_conv": pair("kernel", 1, 1, 4, 2, outputs=2),
    }
    return IMAGE, layers, weights, lambda k, x: [
        y := k.Conv2D(4, 3)(x), y := k.BatchNormalization()(y), y := k.Conv2D(2, 1)(y), k.GlobalAveragePooling2D()(y),
    ]  # fmt: skip


def a_shape_without_an_input_layer() -> Keras2:
    first = keras2.dense("first", 6, activation="relu", batch_input_shape=[None, 5])
    weights = {"first": pair("kernel", 5, 6, outputs=6), "head": pair("kernel", 6, 3, outputs=3)}
    return (5,), [(first, None), (keras2.dense("head", 3), None)], weights, lambda k, x: [k.Dense(3)(k.Dense(6, activation="relu")(x))]


def functions_of_tensorflow() -> Keras2:
    """The hard-swish of Keras's MobileNetV3, and a skip connection."""
    layers = [(keras2.input_layer("in", IMAGE), []), (keras2.conv2d("c", 3, 1), keras2.call("in"))]
    layers += [(keras2.function("tf.__operators__.add", "__operators__.add"), [["c", 0, 0, {"y": 3.0, "name": None}]])]
    layers += [(keras2.plain("ReLU", "re_lu", max_value=6.0, negative_slope=0.0, threshold=0.0), keras2.call("tf.__operators__.add"))]
    layers += [(keras2.function("tf.math.multiply", "math.multiply"), [["re_lu", 0, 0, {"y": 0.16666667, "name": None}]])]
    layers += [(keras2.plain("Multiply", "multiply"), keras2.call("c", "tf.math.multiply"))]
    layers += [(keras2.function("tf.__operators__.add_1", "__operators__.add"), [["multiply", 0, 0, {"y": ["in", 0, 0], "name": None}]])]
    layers += [
        (keras2.function("tf.math.subtract", "math.subtract"), [["_CONSTANT_VALUE", -1, 1.0, {"y": ["tf.__operators__.add_1", 0, 0]}]])
    ]
    layers += [(keras2.function("tf.nn.relu", "nn.relu"), [["tf.math.subtract", 0, 0, {"name": None}]])]

    def built(k: Any, x: Any) -> list[Any]:
        c = k.Conv2D(3, 1)(x)
        swish = k.Multiply()([c, k.Rescaling(0.16666667)(k.ReLU(6.0)(k.Rescaling(1.0, 3.0)(c)))])
        return [k.ReLU()(k.Rescaling(-1.0, 1.0)(k.Add()([swish, x])))]

    return IMAGE, layers, {"c": pair("kernel", 1, 1, 3, 3, outputs=3)}, built


def separable_over_time() -> Keras2:
    layers = [(keras2.input_layer("in", (9, 4)), None), (keras2.separable_conv1d("pair", 5, 3, strides=[2]), None)]
    layers += [(keras2.plain("GlobalMaxPooling1D", "largest", data_format="channels_last"), None), (keras2.dense("head", 2), None)]
    weights = {
        "pair": {"depthwise_kernel": values(3, 4, 1)} | pair("pointwise_kernel", 1, 4, 5, outputs=5),
        "head": pair("kernel", 5, 2, outputs=2),
    }
    return (9, 4), layers, weights, lambda k, x: [k.Dense(2)(k.GlobalMaxPooling1D()(k.SeparableConv1D(5, 3, strides=2)(x)))]


def the_largest_of_an_image() -> Keras2:
    layers = [(keras2.input_layer("in", IMAGE), None), (keras2.conv2d("c", 4, 3), None)]
    layers += [(keras2.plain("GlobalMaxPooling2D", "largest", data_format="channels_last"), None), (keras2.dense("head", 2), None)]
    weights = {"c": pair("kernel", 3, 3, 3, 4, outputs=4), "head": pair("kernel", 4, 2, outputs=2)}
    return IMAGE, layers, weights, lambda k, x: [k.Dense(2)(k.GlobalMaxPooling2D()(k.Conv2D(4, 3)(x)))]


KERAS2: tuple[Callable[[], Keras2], ...] = (
    depthwise_with_groups, names_with_slashes, a_shape_without_an_input_layer, functions_of_tensorflow, separable_over_time,
    the_largest_of_an_image,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("made", KERAS2)
def test_a_file_of_keras_2_gives_the_numbers_of_keras_3(
    made: Callable[[], Keras2], keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, layers, weights, built = made()
    keras2.write(tmp_path / "a.h5", layers, weights)
    x = keras.Input(shape)
    model = keras.Model(x, built(keras.layers, x)[-1])
    arrays = [array for own in weights.values() for array in own.values()]
    model.set_weights(
        [arrays.pop(next(i for i, array in enumerate(arrays) if array.shape == given.shape)) for given in model.get_weights()]
    )
    samples = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    monkeypatch.chdir(tmp_path)
    network = network_of(keras_conversion.convert(Path("a.h5")), Path("model.tflite").read_bytes())
    actual = forward(network, parameters(network), samples)[network.layers[-1].name].reshape(6, -1)
    # float32 sums in another order, folded weights
    np.testing.assert_allclose(actual, np.asarray(model(samples)).reshape(6, -1), rtol=1e-5, atol=1e-5)
    assert {layer.name for layer in network} & {"each", "block_1/conv", "first", "tf.__operators__.add_1", "pair", "largest"}


def of_function(name: str, reads: list[Any]) -> dict[str, Any]:
    kind, config = keras2.function("f", name)
    layers = [{"class_name": "InputLayer", "config": {"name": "a"}, "name": "a", "inbound_nodes": []}]
    layers += [{"class_name": kind, "config": config, "name": "f", "inbound_nodes": reads}]
    return {"class_name": "Functional", "config": {"name": "m", "layers": layers, "output_layers": [["f", 0, 0]]}}


@pytest.mark.parametrize(
    ("name", "reads", "kind", "config"),
    [
        ("__operators__.add", ["a", 0, 0, {"y": ["b", 0, 0], "name": None}], "Add", {}),
        ("math.add", ["a", 0, 0, {"y": 2.0}], "Rescaling", {"scale": 1.0, "offset": 2.0}),
        ("__operators__.add", ["_CONSTANT_VALUE", -1, 2.0, {"y": ["a", 0, 0]}], "Rescaling", {"scale": 1.0, "offset": 2.0}),
        ("math.multiply", ["a", 0, 0, {"y": [2.0, 3.0]}], "Rescaling", {"scale": [2.0, 3.0], "offset": 0.0}),
        ("math.multiply", ["a", 0, 0, {"y": ["a", 0, 0]}], "Multiply", {}),
        ("math.subtract", ["a", 0, 0, {"y": 2}], "Rescaling", {"scale": 1.0, "offset": -2}),
        ("math.subtract", ["_CONSTANT_VALUE", -1, 2, {"y": ["a", 0, 0]}], "Rescaling", {"scale": -1.0, "offset": 2}),
        ("math.truediv", ["a", 0, 0, {"y": 4.0}], "Rescaling", {"scale": 0.25, "offset": 0.0}),
        ("math.minimum", ["a", 0, 0, {"y": ["b", 0, 0]}], "Minimum", {}),
        ("nn.relu6", ["a", 0, 0, {"name": None}], "ReLU", {"max_value": 6.0}),
        ("math.sigmoid", ["a", 0, 0, {}], "Activation", {"activation": "sigmoid"}),
    ],
)
def test_a_function_of_tensorflow_is_a_layer_of_keras(name: str, reads: list[Any], kind: str, config: dict[str, Any]) -> None:
    made, _ = modern(of_function(name, [reads]))
    check_configuration(made)
    layer = made["config"]["layers"][1]
    assert (layer["class_name"], layer["config"]) == (kind, {"name": "f"} | config)
    (calls,) = layer["inbound_nodes"]
    named = [part for part in (reads, reads[3].get("y")) if isinstance(part, list) and isinstance(part[0], str) and part[0] in "ab"]
    assert calls == [[part[0], 0, 0, {}] for part in named]


REFUSED2: dict[str, tuple[str, dict[str, Any]]] = {
    "another function": (
        "Keras layer 'f': got TFOpLambda of function 'io.read_file'",
        of_function("io.read_file", [["a", 0, 0, {"y": 1.0}]]),
    ),
    "a number divided": ("function 'math.truediv'", of_function("math.truediv", [["_CONSTANT_VALUE", -1, 1.0, {"y": ["a", 0, 0]}]])),
    "two calls": ("function 'math.add'", of_function("math.add", [["a", 0, 0, {"y": 1.0}], ["a", 0, 0, {"y": 2.0}]])),
    "no calls": ("in an unknown form", of_function("math.add", [])),
    "a text": ("function 'math.add'", of_function("math.add", [["a", 0, 0, {"y": "b"}]])),
    "groups": ("groups 2", sequential(layer("DepthwiseConv2D", config={"name": "bad", "groups": 2}))),
    "an axis": ("axis 1", of_function("nn.softmax", [["a", 0, 0, {"axis": 1}]])),
}


@pytest.mark.parametrize("name", REFUSED2)
def test_what_keras_3_cannot_say_is_refused_by_name(name: str) -> None:
    text, configuration = REFUSED2[name]
    with pytest.raises(Unsupported) as caught:
        modern(configuration)
    assert text in str(caught.value)


def test_models_a_thousand_deep_are_refused() -> None:
    inner: dict[str, Any] = {"class_name": "Dense", "config": {}}
    for _ in range(1000):
        inner = {"class_name": "Sequential", "config": {"name": "s", "layers": [inner]}}
    with pytest.raises(Unsupported, match="models in each other"):
        modern(inner)


def test_a_configuration_that_is_damaged_anywhere_is_read_or_refused() -> None:
    configuration = of_function("math.add", [["a", 0, 0, {"y": ["b/c", 0, 0]}]])
    configuration["config"]["layers"].append(
        {"class_name": "Sequential", "config": [layer("Dense", batch_input_shape=[None, 3])], "name": "b/c"}
    )
    places = list(every_place(configuration))
    for place in places:
        junk: Any
        for junk in (None, 3, "x", [], {}, [[]], [["a", 0, 0]], {"layers": [3]}, [None, "a/b", 1.5]):
            again = json.loads(json.dumps(configuration))
            parent = again
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = junk
            try:
                check_configuration(modern(again)[0])
            except EdgeffError:
                continue
    assert len(places) > 30


def every_place(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value inside."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*place, key)
        yield from every_place(part, (*place, key))
