"""Keras networks through TensorFlow's converter, float, int8 and hybrid: read, run and written again, no bit changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from image_networks import inputs_for
from model_files import assert_same_network, run_litert, run_tflm
from test_tflite_convolutions import executed

from edgeff.formats import from_tflite
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network

pytestmark = pytest.mark.slow


def convolutional(layers: Any, x: Any) -> Any:
    """Explicit zero padding, batch normalisations, ReLU6, a skip connection, a padded maximum, a separable convolution, a global mean."""
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(x)))
    skip = x
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(x), skip]))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    x = layers.SeparableConv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu6")(x)
    return layers.Softmax()(layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def sequential(layers: Any, x: Any) -> Any:
    """1-D convolutions, one of them causal, a 1-D maximum and a 1-D mean."""
    x = layers.Conv1D(4, 3, padding="causal", activation="relu")(x)
    x = layers.ReLU()(layers.Conv1D(4, 3, strides=2, padding="same")(x))
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.MaxPooling1D(2)(x)))


def reshaping(layers: Any, x: Any) -> Any:
    """Shapes computed at run time from the batch, a permutation, an average with SAME padding, a softmax over (1, 1, n)."""
    x = layers.Conv2D(4, 3, padding="same")(layers.Reshape((4, 4, 3))(x))
    x = layers.AveragePooling2D(3, 2, padding="same")(layers.Permute((3, 1, 2))(x))
    return layers.Flatten()(layers.Softmax()(layers.Conv2D(6, 2)(x)))


NETWORKS: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], list[str]]] = {
    "convolutional": (
        convolutional,
        (16, 16, 3),
        [
            *("conv2d", "depthwise_conv2d", "conv2d", "add", "max_pool2d", "depthwise_conv2d", "conv2d", "conv2d"),
            *("global_average_pool", "dense", "softmax"),
        ],
    ),
    "sequential": (sequential, (20, 3), ["conv1d", "conv1d", "reshape", "max_pool2d", "reshape", "global_average_pool", "dense"]),
    "reshaping": (reshaping, (48,), ["reshape", "conv2d", "transpose", "average_pool2d", "conv2d", "reshape", "softmax"]),
}


def converted(make: Callable[[Any, Any], Any], shape: tuple[int, ...], numeric: str) -> bytes:
    tf = pytest.importorskip("tensorflow")
    tf.keras.utils.set_random_seed(3)
    x = tf.keras.Input(shape)
    model = tf.keras.Model(x, make(tf.keras.layers, x))
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    samples = rng.normal(size=(50, *shape)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if numeric != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if numeric.startswith("int8"):
        converter.representative_dataset = lambda: ([row[None]] for row in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if numeric == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def versions(data: bytes) -> dict[str, int]:
    names = names_of(schema.BuiltinOperator)
    return {names[code.builtinCode]: code.version for code in schema.ModelT.InitFromPackedBuf(data, 0).operatorCodes}


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["float32", "int8", "int8 inside", "hybrid"])
@pytest.mark.parametrize("name", NETWORKS)
def test_converted_networks_are_read_run_and_written_again(name: str, numeric: str) -> None:
    make, shape, kinds = NETWORKS[name]
    theirs = converted(make, shape, numeric)
    network = from_tflite(theirs)
    assert ([layer.kind for layer in network], network.input_shape) == (kinds, shape)
    ours = to_tflite(network)
    assert_same_network(network, from_tflite(ours))
    compare(network, theirs, ours, numeric)
    if numeric in ("float32", "int8"):
        written, converted_to = versions(ours), versions(theirs)
        assert {key: written[key] for key in written.keys() & converted_to.keys()} == {
            key: converted_to[key] for key in written.keys() & converted_to.keys()
        }


def compare(network: Network, theirs: bytes, ours: bytes, numeric: str) -> None:
    x: Array = inputs_for(network, 10)
    if numeric == "hybrid":
        # The converter leaves small weights float32.
        assert network.metadata["source"].get("dequantised_weights", 0) == int8_tensors(theirs) == (network.parameters > 2000)
        # LiteRT rounds the activations of a hybrid model to 8 bits; ours are float.
        np.testing.assert_allclose(run_litert(ours, x), run_litert(theirs, x), atol=0.03)
        return
    if numeric == "int8 inside":
        assert network.input_quant is not None
        real = ((x.astype(np.float32) - np.float32(network.input_quant.zero_point)) * np.float32(network.input_quant.scale[0])).astype(
            np.float32
        )
        quant = network.layers[-1].quant["output"]
        expected = (executed(network, x).astype(np.float32) - np.float32(quant.zero_point)) * np.float32(quant.scale[0])
        np.testing.assert_array_equal(run_tflm(theirs, real).reshape(expected.shape), expected)
        return
    for run in (run_tflm, run_litert):
        np.testing.assert_array_equal(run(ours, x), run(theirs, x))
    if numeric == "int8":
        np.testing.assert_array_equal(executed(network, x), run_tflm(theirs, x).reshape(len(x), *network.layers[-1].shape))


def int8_tensors(data: bytes) -> int:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    return sum(tensor.type == schema.TensorType.INT8 for tensor in model.subgraphs[0].tensors)


def test_a_batch_normalisation_behind_a_relu_is_a_product_and_a_sum() -> None:
    """It cannot be folded into the layer before the ReLU."""

    def make(layers: Any, x: Any) -> Any:
        return layers.Dense(3)(layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))))

    x = np.random.default_rng(0).standard_normal((5, 6, 6, 2)).astype(np.float32)
    data = converted(make, (6, 6, 2), "float32")
    network = from_tflite(data)
    assert "mul" in [layer.kind for layer in network]
    np.testing.assert_allclose(executed(network, x), run_tflm(data, x).reshape(5, 3), rtol=1e-5, atol=1e-5)
    assert "mul" in [layer.kind for layer in from_tflite(converted(make, (6, 6, 2), "int8"))]
