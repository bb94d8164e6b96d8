"""Keras files in: the same numbers as Keras, its names, and hostile files refused before Keras sees them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine

from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.formats import from_keras, load
from edgeff.formats.keras import conversion as keras_conversion
from edgeff.formats.keras.config import check_configuration
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
