"""Convolutional networks in every execution, to the bit: every operator, networks drawn at random, and MLPerf Tiny's reference models."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from image_networks import Builder, as_int8, inputs_for
from random_networks import random_network
from reference_files import need_reference_model

from edgeff.device.boards import load_board
from edgeff.errors import Unsupported
from edgeff.formats import load
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network
from edgeff.kernels import Arguments, Kernel
from edgeff.kernels.overlap import Clearance
from edgeff.networks import initialised, random_inputs, structure
from edgeff.program.deploy import deploy
from edgeff.program.lower import lower
from edgeff.program.quantize import quantize
from edgeff.verify import BOARDS, HOST, TWIN, Verification, compare, verify
from edgeff.verify.engines import Litert, Process, Tflm
from edgeff.verify.executions import Emulated, Host, Results, twin_results
from edgeff.verify.explain import litert_reference

OWN = {"normalise", "label"}
CORES = tuple(f"C on {name} (emulated {load_board(name).core})" for name in BOARDS)


def quiet() -> None:
    """An execution's progress, told to nobody."""


def image(builder: Builder) -> None:
    """Strides, padding of four sizes, a depth multiplier, both ReLUs, both pools, skips from near and far, all that moves data."""
    builder.window("stem", "conv2d", (3, 2), (2, 1), (1, 0, 2, 1), outputs=5, activation="relu6")
    builder.window("deep", "depthwise_conv2d", (3, 3), (1, 2), (0, 1, 2, 1), multiplier=2, activation="relu")
    builder.window("point", "conv2d", (1, 1), outputs=6, bias=False)
    builder.window("side", "conv2d", (1, 1), (1, 2), (0, 0, 0, 0), outputs=6, inputs=["stem"])
    builder.add("skip", "add", ["side", "point"], activation="relu6")
    builder.window("plain", "depthwise_conv2d", (2, 3), (1, 1), (1, 1, 0, 1), bias=False)
    builder.add("again", "add", ["plain", "skip"], activation="none")
    builder.window("most", "max_pool2d", (3, 2), (1, 2), (1, 0, 1, 1), activation="relu")
    builder.window("mean", "average_pool2d", (2, 2), (1, 1), (0, 0, 1, 1))
    builder.add("bent", "relu", activation="relu")
    builder.add("scaled", "requantise")
    builder.add("turned", "transpose", perm="2,0,1")
    builder.add("rows", "reshape", (), (6, builder.shape("turned")[1] * builder.shape("turned")[2]))
    builder.add("back", "transpose", perm="1,0")
    builder.conv1d("line", 3, 7, 2, (2, 0), "relu6")
    builder.add("grid", "reshape", (), (builder.shape("line")[0], 7, 1))
    builder.window("last", "conv2d", (2, 3), (1, 2), outputs=4, activation="relu")
    builder.add("pooled", "global_average_pool")
    builder.dense("logits", 5)
    builder.add("probabilities", "softmax")


def sequence(builder: Builder) -> None:
    builder.conv1d("c1", 4, 9, 2, (1, 2), "relu")
    builder.conv1d("c2", 3, 9, 1, (2, 0), "none", bias=False)
    builder.add("sum", "add", ["c1", "c2"], activation="relu")
    builder.conv1d("c3", 1, 3)
    builder.dense("logits", 4)


def groups(builder: Builder) -> None:
    """Groups of one channel and of several, of outputs that fill registers and that do not, and a window that pads."""
    builder.window("stem", "conv2d", (3, 3), (2, 1), (1, 1, 0, 1), outputs=12, activation="relu")
    builder.window("two", "conv2d", (3, 2), (1, 2), (1, 0, 1, 1), outputs=14, groups=2, activation="relu6")
    builder.window("point", "conv2d", (1, 1), outputs=21, groups=7, bias=False)
    builder.window("each", "conv2d", (2, 2), outputs=42, groups=21, activation="relu")
    builder.add("pooled", "global_average_pool")
    builder.dense("logits", 5)


RICH: dict[str, tuple[tuple[int, ...], Callable[[Builder], None]]] = {
    "image": ((11, 10, 3), image),
    "sequence": ((17, 4), sequence),
    "groups": ((9, 8, 3), groups),
}


@functools.cache
def rich(name: str) -> Network:
    input_shape, make = RICH[name]
    builder = Builder(input_shape, seed=3)
    make(builder)
    return builder.network(name)


def exact(found: Verification, what: str) -> set[str]:
    """Whom the twin equals to the bit in ``what``."""
    return {row.b for row in found if row.a == TWIN and row.what.startswith(what) and row.allowed == 0 and row.ok}


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("name", RICH)
def test_every_layer_kind_in_int8_is_exact_in_every_execution(name: str, per_channel: bool) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    network = as_int8(rich(name), seed=1, per_channel=per_channel)
    found = verify(network, inputs_for(network, 20), board=None if per_channel else BOARDS[0])
    found.check()
    cores = CORES if per_channel else CORES[:1]
    assert exact(found, "outputs of each of") == {HOST, *cores}
    assert exact(found, "scores") == {HOST, *cores, "TFLM"}
    assert not found.skipped


@pytest.mark.parametrize("name", RICH)
def test_every_layer_kind_in_float_is_exact_in_our_own_executions(name: str) -> None:
    network = rich(name)
    found = verify(network, inputs_for(network, 20))
    found.check()
    assert exact(found, "outputs of each of") == exact(found, "scores") == {HOST, *CORES}


def drawn(seed: int) -> Network:
    """A random network of layers that TFLite knows, float32."""
    networks = (random_network(seed + 1000 * more) for more in range(100))
    return next(network for network in networks if not OWN & {layer.kind for layer in network})


def as_integers(seed: int) -> Network:
    """A random network in int8: calibrated for even seeds, with scales drawn at random for odd ones."""
    network = drawn(seed)
    return as_int8(network, seed) if seed % 2 else quantize(network, inputs_for(network, 40), per_channel=seed % 4 == 0)


def test_random_networks_are_exact_in_tflm_and_explained_in_litert() -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    seen, kinds = 0, set[str]()
    tflm, litert = Process("tflm"), Process("litert")
    for seed in range(150):
        network = as_integers(seed)
        try:
            data = to_tflite(network)
        except Unsupported:  # an average pool with padding of its own
            continue
        x = inputs_for(network, 6, seed).astype(np.int8)
        program = lower(network)
        scores = twin_results(program, x.reshape(len(x), -1), quiet).scores
        np.testing.assert_array_equal(scores, Tflm(data, tflm)(x, quiet).reshape(scores.shape), err_msg=f"seed {seed}, TFLM")
        reference = Litert(data, "BUILTIN_REF", litert)(x, quiet).reshape(scores.shape)
        np.testing.assert_array_equal(litert_reference(program, x.reshape(len(x), -1)), reference, err_msg=f"seed {seed}, LiteRT")
        seen, kinds = seen + 1, kinds | {layer.kind for layer in network}
    assert seen > 100
    every = {"conv2d", "depthwise_conv2d", "conv1d", "average_pool2d", "max_pool2d", "global_average_pool"}
    assert kinds >= every | {"dense", "add", "relu", "requantise", "reshape", "transpose", "softmax"}


def assert_equal_calls(twin: Results, other: Results) -> None:
    for number, (a, b) in enumerate(zip(twin.calls, other.calls, strict=True)):
        row = compare(TWIN, "C", f"call {number}", a, b)
        assert row.ok, row
    assert compare(TWIN, "C", "scores", twin.scores, other.scores).ok
    np.testing.assert_array_equal(twin.classes, other.classes)


def random_program_inputs(seed: int, numeric: str) -> tuple[Network, Array]:
    network = as_integers(seed) if numeric == "int8" else drawn(seed)
    return network, inputs_for(network, 8, seed).reshape(8, -1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("numeric", ["int8", "float32"])
def test_random_networks_are_exact_on_the_host(numeric: str, seed: int) -> None:
    network, x = random_program_inputs(seed, numeric)
    program = lower(network)
    assert_equal_calls(twin_results(program, x, quiet), Host(program, traced=True).results(x, quiet))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 30))
@pytest.mark.parametrize("numeric", ["int8", "float32"])
def test_random_networks_are_exact_on_host_and_cores(numeric: str, seed: int) -> None:
    network, x = random_program_inputs(seed, numeric)
    program = lower(network)
    twin = twin_results(program, x, quiet)
    assert_equal_calls(twin, Host(program, traced=True).results(x, quiet))
    assert_equal_calls(twin, Emulated(program, load_board(BOARDS[seed % 2]), traced=True).results(x, quiet))


REFERENCE = {"kws_dscnn": 12, "ic_resnet8": 4, "vww_mobilenet025": 3, "ad_fcae": 12}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_an_int8_reference_model_is_exact_in_every_execution(name: str) -> None:
    """A few inputs; ``benchmarks/reference_models.py`` takes all of them."""
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    path = need_reference_model(f"{name}_int8.tflite")
    network = load(path)
    x = inputs_for(network, REFERENCE[name])
    found = verify(network, x, board=BOARDS[0], emulated=1)
    found.check()
    assert exact(found, "outputs of each of") == {HOST, CORES[0]}
    assert exact(found, "scores") == {HOST, CORES[0], "TFLM"}
    assert not found.skipped
    explained = next(row for row in found if row.a != TWIN)
    assert (explained.b, explained.differing, explained.allowed) == ("LiteRT reference", 0, 0)
    original, ours = Tflm(path.read_bytes())(x, quiet), Tflm(to_tflite(network))(x, quiet)
    scores = twin_results(deploy(network, numeric="int8").program, x.reshape(len(x), -1), quiet).scores
    np.testing.assert_array_equal(original, ours)
    np.testing.assert_array_equal(original.reshape(scores.shape), scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_a_float_reference_model_is_exact_in_our_own_executions(name: str) -> None:
    network = load(need_reference_model(f"{name}_f32.tflite"))
    found = verify(network, inputs_for(network, 3), board=BOARDS[0], emulated=1)
    found.check()
    assert exact(found, "outputs of each of") == exact(found, "scores") == {HOST, CORES[0]}


def test_a_plan_that_lays_an_output_too_close_to_its_input_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs of each call are read when it has run, so the first call that a plan spoils is the first that differs."""
    network = initialised(structure("ds_cnn"), 0)
    x = random_inputs(network, 0)[:2]
    deployment = deploy(network, x, numeric="int8")
    samples = deployment.inputs(x)
    twin = twin_results(deployment.program, samples, lambda: None).calls
    assert all(
        np.array_equal(a, b) for a, b in zip(twin, Host(deployment.program, traced=True).results(samples, lambda: None).calls, strict=True)
    )
    stated = Kernel.clearances

    def too_close(kernel: Kernel, arguments: Arguments, variant: str = "") -> dict[tuple[str, str], Clearance]:
        anywhere = Clearance(below=-(10**6)) if "depthwise" in kernel.name else None
        return {pair: anywhere or clearance for pair, clearance in stated(kernel, arguments, variant).items()}

    monkeypatch.setattr(Kernel, "clearances", too_close)
    spoiled = Host(deployment.program, traced=True).results(samples, lambda: None).calls
    first = next(call for call, a, b in zip(deployment.program.infer, twin, spoiled, strict=True) if not np.array_equal(a, b))
    assert first.kernel == "eff_depthwise_conv2d_i8"
