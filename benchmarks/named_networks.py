"""Networks that people name when they ask for a runtime: imported as they are published, compared to the bit, and profiled on a board.

Of each file: the outputs of NumPy twins and of C on the host, all of whose kernel calls are compared (``own_differing``), the same on an
emulated Cortex-M4 (``emulated_differing``), and those of another runtime on the original file, as in ``public_models``; instructions of one
inference on the emulated nucleo_l4r5zi, flash, arena and RAM in all. Files of public repositories lie in EDGEFF_MODELS_DIR (folder
``public``, with FILES.tsv). Three networks are made here: an autoencoder with tanh by TensorFlow and its converter, trained on
scikit-learn's digits, and an LSTM and a GRU of ONNX with random weights. A network whose file or tool is missing is left out.
``python benchmarks/named_networks.py --fresh`` -> ``benchmarks/results/named_networks.json``; status 1 where outputs differ.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from public_models import FOLDER, files, in_onnx_runtime, in_tflite_runtime
from results import collect

from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.toolchains import choose
from edgeff.formats import load
from edgeff.networks import random_inputs
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify import verify

BOARD, SAMPLES, EMULATED = "nucleo_l4r5zi", 16, 2
PUBLIC = {
    "streaming wake word (MLPerf Tiny 1.3)": ("mlcommons/tiny", "str_ww_ref_model.tflite"),
    "person_detect": ("tensorflow/tflite-micro", "person_detect.tflite"),
    "micro_speech": ("tensorflow/tflite-micro", "micro_speech_quantized.tflite"),
    "magic_wand": ("tum-ei-eda/mlonmcu-models", "magic_wand.tflite"),
    "hello_world": ("tensorflow/tflite-micro", "hello_world_int8.tflite"),
    "okay_nabu (microWakeWord)": ("esphome/micro-wake-word-models", "v2/okay_nabu.tflite"),
    "LSTM over 28 rows (mnist_lstm)": ("tensorflow/tflite-micro", "trained_lstm_int8.tflite"),
    "three GRUs, unrolled (RNNoise)": ("tum-ei-eda/mlonmcu-models", "rnnoise_INT8.tflite"),
}
MADE = ("autoencoder with tanh", "LSTM of ONNX", "GRU of ONNX")
STEPS, N_IN, N_OUT, CLASSES = 20, 12, 24, 6


def public(title: str) -> tuple[Path, str] | None:
    """The file of a public network and where it is from, None where it is missing."""
    repository, end = PUBLIC[title]
    found = [(FOLDER / name, path) for name, (where, path) in files().items() if where == repository and path.endswith(end)]
    return (found[0][0], f"{repository}: {found[0][1]}") if found and found[0][0].exists() else None


def autoencoder() -> bytes:
    """64-24-8-24-64 with tanh, trained on digits, in int8 by TensorFlow's converter."""
    import tensorflow as tf
    from sklearn.datasets import load_digits

    tf.keras.utils.set_random_seed(0)
    x = (load_digits().data / 8 - 1).astype(np.float32)
    inner = [tf.keras.layers.Dense(size, activation="tanh") for size in (24, 8, 24)]
    model = tf.keras.Sequential([tf.keras.Input((64,)), *inner, tf.keras.layers.Dense(64)])
    model.compile("adam", "mse")
    model.fit(x, x, epochs=20, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in x[:200])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def recurrent(operator: str) -> bytes:
    """An ONNX model: the last state of an LSTM or GRU over a sequence with the batch in front, and a layer on it."""
    rng, gates = np.random.default_rng(0), {"LSTM": 4, "GRU": 3}[operator]
    shapes = {"w": (1, gates * N_OUT, N_IN), "r": (1, gates * N_OUT, N_OUT), "b": (1, 2 * gates * N_OUT), "head": (N_OUT, CLASSES)}
    constants = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()} | {"first": np.array([0], np.int64)}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(operator, ["t", "w", "r", "b"], ["", "h"], hidden_size=N_OUT),
        helper.make_node("Squeeze", ["h", "first"], ["s"]),
        helper.make_node("MatMul", ["s", "head"], ["y"]),
    ]
    sizes: dict[str, list[str | int | None]] = {"x": ["N", STEPS, N_IN], "y": ["N", CLASSES]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()]
    if operator == "GRU":
        nodes[1].attribute.append(helper.make_attribute("linear_before_reset", 1))
    graph = helper.make_graph(
        nodes, operator, ends[:1], ends[1:], [numpy_helper.from_array(array, name) for name, array in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def measure(title: str) -> dict[str, Any]:
    """Everything of one network."""
    with tempfile.TemporaryDirectory() as folder:
        if title in PUBLIC:
            found = public(title)
            assert found is not None  # noqa: S101 - those that are missing are left out
            return _measured(*found)
        path = Path(folder) / ("a.tflite" if title == MADE[0] else "a.onnx")
        path.write_bytes(autoencoder() if title == MADE[0] else recurrent(title.split(maxsplit=1)[0]))
        return _measured(path, "made here: " + ("TensorFlow's converter" if title == MADE[0] else "onnx.helper"))


def _measured(path: Path, origin: str) -> dict[str, Any]:
    network = load(path)
    deployment = deploy(network, target="input")
    samples = random_inputs(network, 0, SAMPLES)
    twin, rows = Interpreter(deployment.program), []
    for sample in deployment.inputs(samples):
        twin.predict(sample)
        rows.append(twin.output().reshape(-1))
    made = np.array(rows)
    row: dict[str, Any] = {
        "origin": origin,
        "numeric": "+".join(network.numerics),
        "layers": len(network.layers),
        "elements": int(made.size),
    }
    if path.suffix == ".onnx":
        row |= in_onnx_runtime(path, network, samples, made)
    else:
        row |= in_tflite_runtime(path, network, deployment, samples, made)
    compared = verify(network, samples, board=BOARD, emulated=EMULATED).comparisons
    for key, place in (("own", "C on the host"), ("emulated", f"C on {BOARD}")):
        parts = [item for item in compared if item.b.startswith(place) and item.what != "best class"]
        row |= {f"{key}_elements": sum(item.elements for item in parts), f"{key}_differing": sum(item.differing for item in parts)}
    machine = load_board(BOARD)
    with tempfile.TemporaryDirectory() as folder:
        firmware, _ = build_project(deployment, machine, Path(folder), toolchain=choose(machine, None))
        trace = profile(deployment, machine, firmware, deployment.inputs(samples)[0], 0, "", 0, None)
    cost, memory = trace.line("infer").cost, trace.memory
    row |= {"macs": cost.macs, "instructions": cost.instructions, "latency_s": cost.latency_s}
    return row | {"flash_bytes": memory.flash_bytes, "arena_bytes": memory.arena_bytes, "ram_bytes": memory.total_ram_bytes}


if __name__ == "__main__":
    here = [title for title in PUBLIC if FOLDER.exists() and public(title)]
    here += [title for title in MADE if title != MADE[0] or importlib.util.find_spec("tensorflow")]
    results = collect("named_networks", [(title,) for title in here], measure)
    sys.exit(any(row["outcome"] == "wrong" or row["own_differing"] or row["emulated_differing"] for row in results))
