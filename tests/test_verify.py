"""The verdict of ``verify``: it sees a wrong bit wherever one is made, names it, and never leaves anything out without saying so."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from exact_cases import digits, float_classifier, int8_classifier, learner

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.errors import BadInput, CheckFailed, DoesNotFit, MissingTool, Unsupported
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Attr, Board, Layer, Network, Numeric, Quant, Region
from edgeff.networks import initialised, structure
from edgeff.ops import make
from edgeff.ops.dense import Dense
from edgeff.ops.mfcc import with_features
from edgeff.ops.requantise import Requantise
from edgeff.program.deploy import deploy
from edgeff.program.quantize import quantize
from edgeff.rules import Gradients, Run
from edgeff.rules.dfa import DirectFeedbackAlignment
from edgeff.tasks.kws import OFFICIAL
from edgeff.verify import HOST, TWIN, Comparison, Skipped, Verification, compare, engines, step, verify
from edgeff.verify.executions import Emulated
from edgeff.verify.step import Watched
from edgeff.verify.training_graph import GRAPHS

M4 = "nucleo_l4r5zi"
SAMPLES = digits().x_test[:12]
SAMPLES_I8 = np.arange(-64, 64, dtype=np.int8).reshape(2, 64)


@pytest.fixture
def wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that makes the twin of a kernel change one element of its first output."""

    def spoil(name: str) -> None:
        honest = registry.kernels[name]

        def run(*arguments: Any, **attrs: Any) -> None:
            honest.run(*arguments, **attrs)
            arguments[0].reshape(-1)[-1] += 1

        monkeypatch.setitem(registry.kernels._items, name, replace(honest, run=run))

    return spoil  # type: ignore[return-value]


def test_a_wrong_step_in_int8_fails_against_every_exact_execution(wrong_kernel: Any) -> None:
    network = int8_classifier(True, False)
    wrong_kernel("eff_dense_i8")
    found = verify(network, SAMPLES, board=M4)
    assert not found.ok
    assert {row.b for row in found if not row.ok} >= {HOST, f"C on {M4} (emulated cortex-m4)", "TFLM"}
    with pytest.raises(
        CheckFailed, match=r"comparisons failed; NumPy twin against C on the host, scores: got \d+ of 120 differ by up to"
    ) as raised:
        found.check()
    assert raised.value.exit_code == 1


def test_one_bit_in_float_fails(wrong_kernel: Any) -> None:
    network = float_classifier(True)
    wrong_kernel("eff_softmax_f32")
    failed = [row for row in verify(network, SAMPLES, board=M4) if not row.ok]
    assert {row.b for row in failed} >= {HOST, "TFLM"}
    assert all(row.max_difference == pytest.approx(1, abs=1e-3) for row in failed if row.what == "scores")


def test_a_wrong_value_that_later_layers_hide_is_seen_and_named(wrong_kernel: Any) -> None:
    """Two layers on, a step of 100 swallows the difference: the scores are equal, the calls are not."""
    weight = np.eye(4, dtype=np.int8) * np.int8(100)
    quant = {"weight": Quant((0.01,)), "output": Quant((1.0,), 0)}
    dense = Layer("dense_1", Dense(), ("input",), (4,), {"weight": weight}, quant)
    coarse = Layer("coarse", Requantise(), ("dense_1",), (4,), quant={"output": Quant((100.0,), 0)})
    network = Network("hidden", (4,), (dense, coarse), Quant((1.0,), 0))
    x = np.arange(12, dtype=np.int8).reshape(3, 4)
    assert verify(network, x, board=M4).ok
    wrong_kernel("eff_dense_i8")
    rows = {(row.b, row.what): row for row in verify(network, x, board=M4)}
    for name in (HOST, f"C on {M4} (emulated cortex-m4)"):
        assert rows[name, "scores"].ok
        calls = rows[name, "outputs of each of 2 calls"]
        assert (calls.elements, calls.differing, calls.note, calls.ok) == (24, 3, "first in layer dense_1, eff_dense_i8", False)


def test_a_firmware_with_another_count_of_calls_is_refused() -> None:
    program = deploy(int8_classifier(True, False), numeric="int8").program
    core = Emulated(program, load_board(M4))
    for calls in (2, 6):
        trace = core._target.trace([[(0, 4)]] * calls)
        core._target.write_input(SAMPLES_I8[0])
        with pytest.raises(CheckFailed, match=rf"calls in the firmware: got [34]; allowed: {calls}, as in the program"):
            trace.run(core._target.predict)


def test_an_emulated_core_runs_part_of_the_samples_and_says_so() -> None:
    network = int8_classifier(True, False)
    found = verify(network, SAMPLES, board=M4, emulated=3)
    rows = [row for row in found if row.b == f"C on {M4} (emulated cortex-m4)"]
    assert [(row.what, row.elements) for row in rows] == [
        ("scores", 30),
        ("best class", 3),
        ("outputs of each of 4 calls", 3 * (32 + 10 + 10 + 1)),
    ]
    assert {row.note for row in rows} == {"the first 3 of 12 samples"}
    with pytest.raises(BadInput, match="samples on an emulated core: got 0; allowed: 1 or more"):
        verify(network, SAMPLES, board=M4, emulated=0)


def test_samples_in_blocks_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    network = int8_classifier(True, True)
    whole = verify(network, SAMPLES, board=M4, emulated=7)
    monkeypatch.setattr("edgeff.verify.BLOCK_BYTES", 5 * (32 + 10 + 10 + 4))
    assert verify(network, SAMPLES, board=M4, emulated=7) == whole


def test_an_autoencoder_has_no_best_class() -> None:
    network = quantize(initialised(structure("12-3-12", softmax=False), 0), digits().x_train.reshape(-1, 64)[:50, :12])
    found = verify(network, digits().x_test.reshape(-1, 64)[:5, :12], board=M4)
    found.check()
    assert {row.what for row in found if row.b != "ONNX Runtime"} == {"scores", "outputs of each of 2 calls"}


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_network_that_starts_from_audio_is_exact_and_has_no_form_in_files(numeric: Numeric) -> None:
    window: dict[str, Attr] = {"kernel_h": 49, "kernel_w": 10, "stride_h": 1, "stride_w": 1, "activation": "relu", "bias": True}
    window |= {f"pad_{side}": 0 for side in ("top", "left", "bottom", "right")}
    layers = (
        Layer("conv", make("conv2d", window), ("input",), (1, 1, 4)),
        Layer("dense_1", Dense(), ("conv",), (3,)),
    )
    network = initialised(Network("words", (49, 10, 1), layers), 0)
    if numeric == "int8":
        network = quantize(network, np.random.default_rng(0).normal(size=(9, 49, 10, 1)).astype(np.float32))
    audio = (np.random.default_rng(1).normal(size=(3, 16_000)) * 3000).astype(np.int16)
    found = verify(with_features(network, OFFICIAL, 16_000), audio, board=M4)
    found.check()
    calls = [row for row in found if row.what == "outputs of each of 4 calls"]
    assert [row.b for row in calls] == [HOST, f"C on {M4} (emulated cortex-m4)"]
    assert min(row.elements for row in calls) >= 3 * (490 + 4 + 3 + 1)
    assert {item.name for item in found.skipped} == {"TFLM", "LiteRT reference", "LiteRT default", "ONNX Runtime"}


def test_a_wrong_update_is_named_by_step_and_tensor(wrong_kernel: Any) -> None:
    network = learner("bp", "int8").network
    wrong_kernel("eff_dense_update_i8")
    rows = [row for row in verify(network, SAMPLES, board=M4, rule="bp") if "state" in row.what]
    assert [row.ok for row in rows] == [False] * (2 + len(GRAPHS))
    assert [row.b for row in rows][2:] == list(GRAPHS)
    assert {row.note for row in rows} == {"first in step 1, dense_2.weight"} or {row.note for row in rows} == {
        "first in step 1, dense_1.weight"
    }


def test_learning_is_compared_when_there_is_a_rule() -> None:
    network = learner("mempepita", "int8").network
    found = verify(network, SAMPLES, board=M4, rule="mempepita", steps=7, seed=5)
    found.check()
    names = [HOST, f"C on {M4} (emulated cortex-m4)"]
    assert [row.b for row in found if row.what == "state after each of 7 steps of mempepita (bytes)"] == names
    assert [row.b for row in found if row.what == "scores after 7 steps of mempepita"] == names
    what = "state after each of 7 steps of mempepita (integers)"
    assert {row.b: (row.differing, row.allowed) for row in found if row.what == what} == dict.fromkeys(GRAPHS, (0, 0))


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_rule_whose_step_and_program_disagree_fails_by_layer_and_parameter(monkeypatch: pytest.MonkeyPatch, numeric: Numeric) -> None:
    """A copy of dfa that halves the error of the hidden layers: all executions agree with each other."""

    class HalfError(DirectFeedbackAlignment):
        name = "half_error"

        def step(self, run: Run, x: Array, t: Array) -> Gradients:
            own = super().step(run, x, t)
            return own | {"dense_1": {name: 0.5 * value for name, value in own["dense_1"].items()}}

    rule = HalfError()
    list(registry.rules)
    monkeypatch.setitem(registry.rules._items, rule.name, rule)
    network = learner("dfa", numeric, bias=True).network
    assert verify(network, SAMPLES, board=M4, rule="dfa").ok
    found = verify(network, SAMPLES, board=M4, rule="half_error")
    failed = {(row.a, row.b, row.what.partition(",")[0]) for row in found if not row.ok}
    assert failed == {(TWIN, "step of half_error", f"dense_1.{name}") for name in ("weight", "bias")}
    if numeric == "float32":  # the program goes twice as far as step says
        assert [row.max_difference for row in found if not row.ok] == [pytest.approx(1.0, rel=1e-4)] * 2
    with pytest.raises(
        CheckFailed, match=r"^2 of \d+ comparisons failed; NumPy twin against step of half_error, dense_1\.\w+, change in "
    ) as raised:
        found.check()
    assert raised.value.exit_code == 1


def test_samples_that_leave_the_calibrated_ranges_say_nothing_of_a_step() -> None:
    """The input that drives one hidden unit furthest: it saturates in integers and not in ``step``."""
    network = learner("dfa", "int8").network
    x = (127 * np.sign(network["dense_1"].params["weight"][:1])).astype(np.int8)
    found = verify(network, x, board=M4, rule="dfa", steps=2)
    assert found.ok
    assert {item.name: item.reason for item in found.skipped}["step of dfa"] == (
        "step of rule dfa: got 1 samples that all leave the calibrated ranges; allowed: samples like those of the calibration"
    )


def test_small_and_saturated_errors_are_told_from_those_that_reach_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors that the update of dense_1.weight reads, counted at the kernel itself."""
    deployment = learner("dfa", "int8")
    program, (x, label) = deployment.program, (SAMPLES_I8[0], 3)
    watched = Watched(program, program.by_role("variable"))
    sizes: list[Array] = []
    for name in {call.kernel for call in program.lines["learn"].calls if "dense_1.weight" in call.outputs}:
        honest = registry.kernels[name]

        def run(weight: Array, delta: Array, *others: Any, honest: Any = honest, **attrs: Any) -> None:
            if weight.size == 64 * 32:
                sizes.append(np.abs(delta.astype(np.float64)))
            honest.run(weight, delta, *others, **attrs)

        monkeypatch.setitem(registry.kernels._items, name, replace(honest, run=run))
    watched.learn(x, label)
    (errors,) = sizes
    assert errors.any()
    monkeypatch.setattr(step, "RESOLUTION", np.inf)
    assert watched.limits("dense_1.weight") == (f"its errors are {errors.mean():.2g} steps of their format on average", 1.0)
    monkeypatch.setattr(step, "SATURATED", -1.0)
    assert watched.limits("dense_1.weight") == (f"{np.mean(errors == 32767):.0%} of its errors saturate", 1.0)


def test_json_has_the_published_fields() -> None:
    found = verify(int8_classifier(False, True), SAMPLES, board=M4)
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert text["ok"] is True
    assert text["skipped"] == []
    assert {"a", "b", "what", "elements", "differing", "max_difference", "allowed"} <= text["comparisons"][0].keys()
    assert {row["allowed"] for row in text["comparisons"]} == {0, 1, None}
    assert len(text["comparisons"]) == len(found) == len(list(found))
    assert found[0] == found.comparisons[0]
    assert found[:2] == found.comparisons[:2]


@pytest.mark.parametrize(
    ("module", "name"), [("tflite_micro", "TFLM"), ("ai_edge_litert", "LiteRT reference"), ("onnxruntime", "ONNX Runtime")]
)
def test_a_missing_library_is_listed_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = verify(int8_classifier(True, False), SAMPLES, board=M4)
    assert found.ok
    reasons = {item.name: item.reason for item in found.skipped}
    assert reasons[name] == f"{module} is not installed; pip install {module.replace('_', '-')}"
    assert not any(row.b == name for row in found)


def test_a_missing_compiler_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    found = verify(float_classifier(False), SAMPLES, board=M4)
    assert found.skipped[0].name == HOST
    assert "/no/such/compiler" in found.skipped[0].reason


def test_int16_has_no_form_in_model_files_and_says_so() -> None:
    network = quantize(float_classifier(True), digits().x_train[:100], "int16")
    found = verify(network, SAMPLES, board=M4)
    found.check()
    assert {item.name for item in found.skipped} == {"TFLM", "LiteRT reference", "LiteRT default", "ONNX Runtime"}
    assert {row.b for row in found} == {HOST, f"C on {M4} (emulated cortex-m4)"}


def test_integer_inputs_are_taken_as_they_are() -> None:
    network = int8_classifier(True, False)
    x = np.full((3, 64), -128, np.int8)
    assert verify(network, x, board=M4).ok


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((0, 64), np.float32), r"inputs: got shape \(0, 64\)"),
        (np.zeros((3, 63), np.float32), r"inputs: got shape \(3, 63\); allowed: \(n, 64\)"),
        (np.full((2, 64), np.nan, np.float32), "inputs: got float32 with values that are not finite"),
        (np.array([["a"] * 64]), "inputs: got <U1 with values"),
        (np.float32(1), r"inputs: got shape \(\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        verify(float_classifier(True), inputs)


def test_no_learning_steps_are_refused() -> None:
    with pytest.raises(BadInput, match="learning steps: got 0"):
        verify(float_classifier(True), SAMPLES, rule="bp", steps=0)


def small(board: Board) -> Board:
    regions = tuple(Region(r.name, r.kind, r.origin, 4096 if r.kind == "flash" else r.length_bytes) for r in board.regions)
    return replace(board, regions=regions)


def test_a_named_board_that_is_too_small_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="bytes too small"):
        verify(float_classifier(True), SAMPLES, board=small(load_board("rpi_pico")))


def test_the_usual_boards_may_be_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeff.device.boards.load_board", lambda name: small(load_board(name)))
    found = verify(float_classifier(True), SAMPLES)
    assert [item.name for item in found.skipped] == [
        "C on nucleo_l4r5zi (emulated cortex-m4)",
        "C on rpi_pico (emulated cortex-m0plus)",
    ]
    assert all("bytes too small" in item.reason for item in found.skipped)
    assert found.ok


def test_progress_is_told_of_each_execution() -> None:
    told: list[tuple[str, int, int]] = []
    verify(int8_classifier(True, False), SAMPLES, board=M4, progress=lambda *news: told.append(news))
    assert {what for what, done, total in told if done == total} >= {TWIN, HOST, "TFLM", "LiteRT reference", "LiteRT default"}
    assert all(0 <= done <= total for _, done, total in told)
    assert [done for what, done, _ in told if what == HOST] == list(range(len(SAMPLES) + 1))


def test_equal_numbers_with_other_bits_differ() -> None:
    found = compare("a", "b", "x", np.array([0.0, 1.0], np.float32), np.array([-0.0, 1.0], np.float32))
    assert (found.differing, found.max_difference, found.ok) == (1, 0.0, False)
    nan = np.array([np.nan, 1.0], np.float32)
    assert compare("a", "b", "x", nan, nan).ok
    assert compare("a", "b", "x", nan, nan + np.float32(1)).max_difference == 1.0
    assert compare("a", "b", "x", np.array([np.inf], np.float32), np.array([1], np.float32), 5.0).max_difference is None
    assert not compare("a", "b", "x", np.array([np.inf], np.float32), np.array([1], np.float32), 5.0).ok


def test_a_difference_of_the_whole_range_is_counted_without_overflow() -> None:
    found = compare("a", "b", "x", np.array([-128, 3], np.int8), np.array([127, 3], np.int8), 1)
    assert (found.elements, found.differing, found.max_difference, found.ok) == (2, 1, 255, False)
    assert compare("a", "b", "x", np.array([4], np.int8), np.array([3], np.int8), 1).ok
    assert compare("a", "b", "x", np.array([-128], np.int8), np.array([127], np.int8), None).ok


def test_other_shapes_are_a_failed_check() -> None:
    with pytest.raises(CheckFailed, match=r"a against b, x: got int8 \(3,\); allowed: int8 \(2,\)"):
        compare("a", "b", "x", np.zeros(2, np.int8), np.zeros(3, np.int8))


def test_an_empty_verdict_passes_and_a_failed_one_says_how_many() -> None:
    assert Verification((), (Skipped("a", "b"),)).ok
    row = Comparison("a", "b", "x", 10, 3, 7, 1)
    with pytest.raises(CheckFailed, match="2 of 3 comparisons failed; a against b, x: got 3 of 10 differ by up to 7; allowed: up to 1"):
        Verification((row, row, replace(row, allowed=None))).check()


def test_a_library_that_refuses_a_model_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    litert = engines.Litert
    monkeypatch.setattr(
        "edgeff.verify.libraries.Litert", lambda _model, resolver, fresh: litert(b"no model of TFLite", resolver, fresh=fresh)
    )
    found = verify(int8_classifier(True, False), SAMPLES, board=M4)
    assert [item.name for item in found.skipped] == ["LiteRT reference", "LiteRT default"]
    assert found.skipped[0].reason.startswith("LiteRT refused the model: got The model is not a valid Flatbuffer buffer")


ABORTS = (("8-4095", 1.0), ("8-10", 1e-6))
"""int8 networks on whose softmax TFLM and LiteRT's reference kernels abort: a wide one with near-equal logits, and one with tiny logits."""


def int8_network(name: str, size: float) -> Network:
    network = initialised(structure(name), 0)
    for layer in network.trainable:
        layer.params["weight"][:] *= np.float32(size)
    return quantize(network, np.random.default_rng(0).random((20, 8), np.float32))


@pytest.mark.parametrize(("name", "size"), ABORTS)
def test_a_library_that_aborts_takes_no_part_and_the_others_do(name: str, size: float) -> None:
    network = int8_network(name, size)
    found = verify(network, np.random.default_rng(0).random((4, 8), np.float32), board=M4)
    reasons = {item.name: item.reason for item in found.skipped}
    assert reasons == {
        party: f"{library} ended while it ran the model: got SIGABRT; this is a fault of {library}: use another engine for this model"
        for party, library in (("TFLM", "TFLM"), ("LiteRT reference", "LiteRT"))
    }
    assert {row.b for row in found} >= {HOST, "LiteRT default", "ONNX Runtime"}
    assert found.ok


def test_an_engine_that_aborts_is_named_and_the_next_one_runs() -> None:
    model = to_tflite(int8_network(*ABORTS[1]))
    for _ in range(2):
        with pytest.raises(Unsupported, match=r"^TFLM ended while it ran the model: got SIGABRT; this is a fault of TFLM"):
            engines.tflm(model, np.zeros((1, 8), np.int8), lambda: None)
    assert engines.litert(model, np.zeros((1, 8), np.int8), "BUILTIN", lambda: None).shape == (1, 10)


def test_every_sample_is_told_and_a_process_serves_several_models() -> None:
    process = engines.Process("tflm")
    pid = process._process.pid
    for name in ("8-10", "8-7"):
        told = itertools.count()
        run = engines.Tflm(to_tflite(int8_network(name, 1.0)), process)
        assert run(np.zeros((300, 8), np.int8), partial(next, told)).shape == (300, int(name[2:]))
        assert next(told) == 300
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_banner_of_a_delegate_stays_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    verify(int8_classifier(True, False), SAMPLES, board=M4)
    assert capfd.readouterr().err == ""


def test_a_missing_engine_raises_when_it_is_called_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(MissingTool, match="tflite_micro is not installed; pip install tflite-micro"):
        engines.tflm(b"", np.zeros((1, 1), np.int8), lambda: None)
