"""MLPerf Tiny: the reference models answer as TFLM does, in the task's metric; the comparison over boards says what it does not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_files import FOLDER, need_reference_model
from sklearn.metrics import roc_auc_score

from edgeff import registry
from edgeff.bench.metrics import auc, measured
from edgeff.bench.mlperf_tiny import Point, points
from edgeff.bench.models import BENCHMARKS, benchmark_of, models_folder, numbered, weights, weights_tag, with_fresh_head
from edgeff.cli.engines import outcome
from edgeff.cli.models import load_model
from edgeff.device.boards import load_boards
from edgeff.errors import BadInput
from edgeff.formats import load
from edgeff.ir import Array, Network
from edgeff.networks import initialised, random_inputs, structure
from edgeff.ops import forward, parameters
from edgeff.program.deploy import deploy
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.tasks import Data
from edgeff.verify.engines import tflm

MODELS = {"kws": "kws_dscnn_int8.tflite", "ic": "ic_resnet8_int8.tflite"}
DATA = {"kws": "mlperf_kws01_mfcc_int8.npz", "ic": "mlperf_ic01.npz"}
ACCURACIES = {"kws": 0.901, "ic": 0.875}


@pytest.fixture
def data_of(reference_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Data]:
    """A task's data from the folder of reference data."""

    def load_data(task: str) -> Data:
        monkeypatch.setenv("EDGEFF_DATA_DIR", str(reference_data(DATA[task]).parent))
        return registry.tasks[task].load(0)

    return load_data


def quiet(_done: int, _total: int) -> None:
    return


# ---------------------------------------------------------------- evaluate


@pytest.mark.slow
@pytest.mark.parametrize("task", MODELS)
def test_every_sample_gets_the_scores_that_tflm_gives_it(task: str, data_of: Callable[[str], Data]) -> None:
    pytest.importorskip("tflite_micro")
    file, data = need_reference_model(MODELS[task]), data_of(task)
    model = load_model(file)
    raw = deploy(model.network, numeric="int8").inputs(data.x_test).reshape(data.x_test.shape)
    theirs = tflm(file.read_bytes(), raw, lambda: None)
    quant = model.network.layers[-1].quant["output"]
    found = outcome("c", model, data.x_test, quiet)
    assert np.array_equal(found.outputs, np.float32((theirs.astype(np.float64) - quant.zero_point) * quant.scale[0]))
    assert np.array_equal(found.best, theirs.argmax(axis=1))
    twin = outcome("edgeff", model, data.x_test[:10], quiet)
    assert np.array_equal(twin.outputs, found.outputs[:10])
    assert np.array_equal(outcome("tflm", model, data.x_test[:50], quiet).outputs, found.outputs[:50])


@pytest.mark.parametrize("task", MODELS)
@pytest.mark.usefixtures("folder")
def test_evaluate_a_reference_model(task: str, cli: CommandLine, data_of: Callable[[str], Data]) -> None:
    cli.ok("import", need_reference_model(MODELS[task]), "-o", "m.onnx")
    samples = len(data_of(task).x_test)
    found = cli.ok("evaluate", "m.onnx", task, "--engine", "c", "--json").json
    expected = {"task": task, "metric": "accuracy", "value": pytest.approx(ACCURACIES[task]), "samples": samples, "engine": "c"}
    assert {name: found[name] for name in expected} == expected
    assert sum(each["samples"] for each in found["classes"]) == samples


def test_features_that_are_int8_already_come_back_as_they_were(
    data_of: Callable[[str], Data], reference_data: Callable[[str], Path]
) -> None:
    network = load(need_reference_model(MODELS["kws"]))
    with np.load(reference_data(DATA["kws"])) as file:
        features = file["x"]
    assert np.array_equal(deploy(network, numeric="int8").inputs(data_of("kws").x_test), features.reshape(len(features), -1))


def test_pixels_are_shifted_by_128(data_of: Callable[[str], Data], reference_data: Callable[[str], Path]) -> None:
    network = load(need_reference_model(MODELS["ic"]))
    with np.load(reference_data(DATA["ic"])) as file:
        pixels = file["x"].astype(np.int16)
    assert np.array_equal(deploy(network, numeric="int8").inputs(data_of("ic").x_test), (pixels - 128).reshape(len(pixels), -1))


# ---------------------------------------------------------------- metrics

CLASSIFIER = structure("4-3-2")
AUTOENCODER = structure("4-2-4", softmax=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_that_of_scikit_learn_ties_included(pairs: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([float(s) for s, _ in pairs]), np.array([p for _, p in pairs])
    if positive.all() or not positive.any():
        with pytest.raises(BadInput, match="samples of one class"):
            auc(scores, positive)
        return
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_an_autoencoder_is_measured_by_its_error_over_recordings() -> None:
    x = np.zeros((6, 4), np.float32)
    outputs = np.repeat(np.array([0.0, 0.6, 0.3, 0.1, 0.2, 0.4], np.float32)[:, None], 4, axis=1)
    labels, files = np.array([0, 0, 1, 1, 1, 1]), np.array([7, 7, 8, 8, 9, 9])
    windows = (outputs**2).mean(axis=1)
    assert measured("auc", AUTOENCODER, x, outputs, labels) == pytest.approx(roc_auc_score(labels == 1, windows))
    means = [windows[files == file].mean() for file in (7, 8, 9)]
    assert measured("auc", AUTOENCODER, x, outputs, labels, files) == pytest.approx(roc_auc_score([0, 1, 1], means))
    assert measured("mse", AUTOENCODER, x, outputs, labels) == pytest.approx(windows.mean())


def test_a_classifier_tells_faults_by_what_it_gives_the_other_class() -> None:
    outputs = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], np.float32)
    assert measured("auc", CLASSIFIER, np.zeros((4, 4)), outputs, np.array([0, 0, 1, 1])) == 0.75
    assert measured("accuracy", CLASSIFIER, np.zeros((4, 4)), outputs, np.array([0, 0, 1, 1])) == 0.5


def test_nothing_is_measured_without_samples() -> None:
    with pytest.raises(BadInput, match="got no samples"):
        measured("accuracy", CLASSIFIER, np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0))


# ---------------------------------------------------------------- where weights come from


def outputs(network: Network, x: Array) -> Array:
    return forward(network, parameters(network), x)[network.layers[-1].name]


def test_numbered_layers_compute_the_same() -> None:
    network = initialised(structure("resnet8"), 0)
    again = numbered(network)
    assert [layer.kind for layer in again] == [layer.kind for layer in network]
    assert {layer.name for layer in again} >= {"conv2d_1", "conv2d_9", "add_3", "dense", "softmax"}
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    assert np.array_equal(outputs(again, x), outputs(network, x))


def test_a_fresh_head_leaves_the_other_layers_alone() -> None:
    network = initialised(structure("64-32-10", bias=True), 0)
    changed = with_fresh_head(network, 1)
    assert changed["dense_1"] is network["dense_1"]
    assert changed["dense_2"].params.keys() == network["dense_2"].params.keys() == {"weight", "bias"}
    assert not np.array_equal(changed["dense_2"].params["weight"], network["dense_2"].params["weight"])
    assert np.array_equal(changed["dense_2"].params["weight"], with_fresh_head(network, 1)["dense_2"].params["weight"])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("task", [benchmark.task for benchmark in BENCHMARKS])
def test_random_inputs_of_a_quantised_model_fill_its_range(task: str) -> None:
    """Its integer weights are no weights of a float network: run as such, they leave the range of floats."""
    network = load(need_reference_model(benchmark_of(task).files["int8"][0]))
    raw = deploy(network, numeric="int8").inputs(random_inputs(network, 0, 16))
    assert (raw.min(), raw.max(), len(np.unique(raw))) == (-128, 127, 256)


def test_other_weights_are_another_configuration(tmp_path: Path) -> None:
    benchmark = benchmark_of("kws")
    assert weights_tag(benchmark, "int8", tmp_path) == weights_tag(benchmark, "int8", None) == "fresh"
    (tmp_path / "kws_dscnn_int8.tflite").write_bytes(b"one")
    first = Point("kws", "", "int8", "rpi_pico", models=str(tmp_path)).name
    (tmp_path / "kws_dscnn_int8.tflite").write_bytes(b"another")
    second = Point("kws", "", "int8", "rpi_pico", models=str(tmp_path)).name
    assert len({first, second, Point("kws", "", "int8", "rpi_pico").name}) == 3


def test_a_float_model_of_edgeff_stands_for_a_missing_reference(cli: CommandLine, tmp_path: Path) -> None:
    network = initialised(structure("64-8-10"), 0)
    made = replace(benchmark_of("kws"), network="64-8-10")
    cli.ok("train", "digits", "--network", "64-8-10", "--rule", "bp", "--epochs", "1", "-o", tmp_path / "64-8-10.onnx")
    found = weights(made, "int8", tmp_path, 0)
    assert (found.known, found.source, found.network.numeric) == (True, "weights of 64-8-10.onnx", "float32")
    assert not weights(made, "int8", None, 0).known
    assert [layer.shape for layer in weights(made, "int8", None, 0).network] == [layer.shape for layer in network]


@pytest.mark.parametrize("numeric", ["int8", "float32"])
@pytest.mark.parametrize("task", [benchmark.task for benchmark in BENCHMARKS])
def test_every_reference_model_is_found(task: str, numeric: str) -> None:
    benchmark = benchmark_of(task)
    need_reference_model(benchmark.files[numeric][0])
    found = weights(benchmark, numeric, models_folder(FOLDER), 0)  # type: ignore[arg-type]
    assert (found.known, found.network.name, found.network.numeric) == (True, benchmark.network, numeric)
    assert all(re.fullmatch(r"[a-z_]+[a-z0-9]*(_\d+)?", layer.name) for layer in found.network)


# ---------------------------------------------------------------- the arena beside TFLM's

RECORDING = """
import sys
import numpy as np
from tflite_micro import runtime
interpreter = runtime.Interpreter.from_bytes(open(sys.argv[1], "rb").read(), arena_size=4 << 20)
details = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


ARENA_BYTES = {"kws": 8_384, "ic": 33_312, "vww": 36_872, "ad": 768}
"""With outputs over the inputs they use up. TFLM's activations: 16,000, 49,152, 73,728 and 768 bytes."""


@pytest.mark.parametrize("task", [benchmark.task for benchmark in BENCHMARKS])
def test_the_arena_is_smaller_than_the_activations_of_tflm_or_as_small(task: str) -> None:
    pytest.importorskip("tflite_micro")
    file = need_reference_model(benchmark_of(task).files["int8"][0])
    printed = subprocess.run([sys.executable, "-c", RECORDING, str(file)], capture_output=True, text=True, check=True).stderr
    recorded = {name: int(size) for name, size in re.findall(r"Arena allocation (total|head) (\d+) bytes", printed)}
    target = "input" if task == "ad" else "class"
    memory = plan(select(deploy(load(file), numeric="int8", target=target).program))
    assert memory.lower_bound_bytes == memory.arena_bytes == ARENA_BYTES[task] <= recorded["head"] < recorded["total"]


# ---------------------------------------------------------------- the comparison


def test_the_suite_is_every_network_rule_numeric_and_board_whose_cycles_are_modelled() -> None:
    found = points(None, 3)
    assert {point.board for point in found} == {"mps2_an386", "nucleo_f446re", "nucleo_l4r5zi", "rpi_pico"}
    assert len(found) == len({point.name for point in found}) == 4 * (1 + len(registry.rules)) * 2 * 4
    assert {point.seed for point in found} == {3}


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_comparison_of_the_keyword_models(cli: CommandLine, data_of: Callable[[str], Data]) -> None:
    need_reference_model(MODELS["kws"])
    need_reference_model("kws_dscnn_f32.tflite")
    data_of("kws")
    patterns = (
        "kws-*-inference-int8-[nr]*",
        "kws-*-frozen-*-int8-nucleo_l4r5zi-*",
        "kws-*-phyll-*-int8-*",
        "vww-*-inference-float32-*f446re*",
    )
    command = ["bench", "mlperf-tiny", "--models", FOLDER, *(word for pattern in patterns for word in ("--only", pattern))]
    runs = cli.ok(*command, "--json").json
    by = {(run["task"], run["rule"], run["board"]): run for run in runs}
    for board, arena_bytes in (("nucleo_l4r5zi", 8_584), ("rpi_pico", 8_384)):
        run = by["kws", "none", board]
        assert run["accuracy"] == {"float": None, "quantized": pytest.approx(0.901), "before": None, "after": None}
        assert (run["memory"]["arena_bytes"], run["infer"]["macs"], run["refused"]) == (arena_bytes, 2_656_768, None)
        assert run["infer"]["instructions"] > 2_656_768
        assert run["infer"]["evidence"].startswith("instructions exact (emulated), cycles modelled")
        assert run["infer"]["latency_s"] == run["infer"]["cycles"] / load_boards()[board].clock_hz
        assert run["remarks"][0] == "weights of kws_dscnn_int8.tflite"
    learns = by["kws", "frozen", "nucleo_l4r5zi"]
    assert learns["learn"]["instructions"] > learns["infer"]["instructions"]
    assert learns["accuracy"] == dict.fromkeys(("float", "quantized", "before", "after"))
    assert "learned accuracy is not known: there are no training samples" in learns["remarks"]
    refused = by["kws", "phyll", "nucleo_l4r5zi"]
    assert refused["refused"].startswith("rule phyll on a device in int8: got ")
    assert refused["infer"]["macs"] is None
    large = by["vww", "none", "nucleo_f446re"]
    assert large["refused"] == "does not fit nucleo_f446re: 18,472 bytes of RAM too few and 319,112 bytes of flash too few"
    assert (large["memory"]["arena_bytes"], large["memory"]["flash_bytes"], large["infer"]["instructions"]) == (147_472, None, None)
    again = cli.ok(*command)
    assert again.err.endswith(f"{len(runs)} of {len(runs)} configurations were already finished, 0 to run\n")
    assert json.loads(Path("runs/mlperf-tiny/report.json").read_text(encoding="utf-8"))["runs"] == runs
    assert re.search(r"kws +ds_cnn +int8 +90\.1 ", again.out)
    assert "18,472 RAM, 319,112 flash" in again.out
    assert "ds_cnn (kws), phyll, int8, every board: rule phyll on a device in int8: got" in again.out


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_without_models_and_data_the_accuracy_is_unknown(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEFF_MODELS_DIR", raising=False)
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path))
    command = ("bench", "mlperf-tiny", "--only", "ad-*-inference-int8-nucleo_l4r5zi*", "--only", "ad-*-bp-*-int8-mps2*")
    infer, learn = cli.ok(*command, "--json").json
    for run in (infer, learn):
        assert run["accuracy"] == dict.fromkeys(("float", "quantized", "before", "after"))
        assert run["remarks"][0] == "fresh weights, seed 0: no model file"
        assert run["remarks"][1].startswith("accuracy is not known: ")
    assert (infer["memory"]["arena_bytes"], infer["infer"]["macs"]) == (1_920, 264_192)
    assert learn["learn"]["instructions"] > learn["learn"]["macs"] > 264_192
