"""The learning step as an ONNX graph: unmodified ONNX Runtime against the twins, step by step, for every rule that runs on a device."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graph_cases import CONVOLUTIONAL, DENSE, convolutions, dense, deployed, digits, gently
from model_files import session
from onnxruntime import OrtValue

from edgeff.cli import run
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import load
from edgeff.formats.onnx.training import infer_path, training_graphs, write_model
from edgeff.formats.onnx.writer import write_onnx
from edgeff.graphs import Learner
from edgeff.ir import Array, Layer, Network
from edgeff.kernels.arithmetic import GOLDEN
from edgeff.kernels.graph import arithmetic
from edgeff.networks import initialised, structure
from edgeff.ops import make
from edgeff.ops.dense import Dense
from edgeff.ops.mfcc import with_features
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.state import restored, saved
from edgeff.tasks.kws import OFFICIAL
from edgeff.verify.comparison import Comparison
from edgeff.verify.training_graph import compare_training_graph, in_onnx_runtime

ROOT = Path(__file__).resolve().parents[1]
SCORELESS = ("ff", "block_ff", "zeroth_order")
GRAPH = "ONNX Runtime, learning graph"


def in_this_process(model: bytes) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
    runs = session(onnx.load_from_string(model))
    names = [output.name for output in runs.get_outputs()]
    return lambda inputs: dict(zip(names, runs.run(None, dict(inputs)), strict=True))


def compared(deployment: Deployment, steps: int) -> list[Comparison]:
    x = deployment.inputs(digits().x_train[:steps])
    return compare_training_graph(deployment, GRAPH, x, digits().y_train[:steps], load=partial(in_onnx_runtime, load=in_this_process))


def assert_equal(deployment: Deployment, steps: int, rule: str) -> None:
    rows = compared(deployment, steps)
    assert [row for row in rows if not row.ok] == []
    assert any(row.what.startswith("scores before") for row in rows) == (rule not in SCORELESS)
    assert sum(row.differing for row in rows if "integers" in row.what) == 0


# ------------------------------------------------------------------ equal to the twins


@pytest.mark.parametrize(("rule", "numeric"), DENSE)
def test_a_dense_step_equals_the_twins(rule: str, numeric: str) -> None:
    assert_equal(deployed(dense(), rule, numeric), 20, rule)


@pytest.mark.parametrize(("rule", "numeric"), [("pepita", "int8"), ("bp", "float32"), ("local_heads", "int8")])
def test_a_step_through_convolutions_equals_the_twins(rule: str, numeric: str) -> None:
    assert_equal(deployed(convolutions(), rule, numeric), 2, rule)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "numeric"), CONVOLUTIONAL)
def test_steps_through_convolutions_equal_the_twins(rule: str, numeric: str) -> None:
    assert_equal(gently(rule, numeric), 4 if numeric == "float32" else 15, rule)


def test_replay_and_a_frozen_backbone_equal_the_twins() -> None:
    backbone = "frozen:dense_1,bp"
    assert_equal(deployed(dense(), backbone, "int8", tail_numeric="float32", replay=4), 6, backbone)


def test_a_decaying_rate_and_an_anchor_equal_the_twins() -> None:
    assert_equal(deployed(dense("64-10"), "bp", "int8", changes={"decay": 0.5, "decay_steps": 2, "anchor": 2.0**-11}), 5, "bp")


def test_an_autoencoder_has_no_label() -> None:
    deployment = deployed(initialised(structure("64-8-64", softmax=False), 0), "bp", "int8", target="input")
    assert_equal(deployment, 4, "bp")
    assert "label" not in [given.name for given in training_graphs(deployment.program).learn.graph.input]


def test_a_changed_constant_of_the_generator_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = deployed(dense(), "bp", "int8")
    monkeypatch.setattr(arithmetic, "GOLDEN", GOLDEN + 2)
    rows = compared(deployment, 5)
    assert [row.ok for row in rows if row.what.startswith("state")] == [False]
    assert next(row for row in rows if not row.ok).note.startswith("first in step 1, dense")


def test_steps_are_compared_from_the_same_state() -> None:
    """A runtime that errs by 5e-7 at each step stays within 1e-6 after 40: its errors do not add up, as they would from its own state."""
    deployment = deployed(dense("64-10"), "bp", "float32")
    real = in_onnx_runtime(deployment, in_this_process)

    def learn(given: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: value + np.float32(5e-7) if value.dtype == np.float32 else value for name, value in real.learn(given).items()}

    x, labels = digits().x_train[:40], digits().y_train[:40]
    rows = compare_training_graph(deployment, GRAPH, x, labels, load=lambda _: replace(real, learn=learn))
    (state,) = (row for row in rows if row.what == "state after each of 40 steps of bp (float32)")
    assert state.ok
    assert state.max_difference is not None
    assert state.max_difference > 3e-7


def test_bound_buffers_take_turns(exported: Path) -> None:
    """With S and S.next in one buffer ONNX Runtime may read what it has just written; two are right."""
    learner, runs = Learner(exported), session(onnx.load(exported))
    learner.learn(digits().x_train[0], 1)
    pairs = dict(learner.pairs)
    buffers = [{name: OrtValue.ortvalue_from_numpy(value.copy()) for name, value in learner.state.items()} for _ in range(2)]
    x = deployed(dense(), "pepita", "int8").inputs(digits().x_train[1:5])
    for number, sample in enumerate(x):
        learner.learn(sample, 2)
        binding = runs.io_binding()
        binding.bind_cpu_input("input", sample.reshape(1, 64))
        binding.bind_cpu_input("label", np.array([2], np.int64))
        for name, following in pairs.items():
            binding.bind_ortvalue_input(name, buffers[number % 2][name])
            binding.bind_ortvalue_output(following, buffers[(number + 1) % 2][name])
        binding.bind_output("scores")
        runs.run_with_iobinding(binding)
    assert all(np.array_equal(buffers[len(x) % 2][name].numpy(), value) for name, value in learner.state.items())


def test_a_state_shares_no_memory_with_the_one_before(exported: Path) -> None:
    learner = Learner(exported)
    learner.learn(digits().x_train[0], 1)
    before = learner.state
    learner.learn(digits().x_train[1], 2)
    assert not any(np.shares_memory(value, learner.state[name]) for name, value in before.items())


# ------------------------------------------------------------------ the files


@pytest.mark.parametrize("rule", ["bp", "pepita"])
def test_constants_do_not_rival_the_weights(rule: str) -> None:
    """Counters and the indices of windows are made in the graph."""
    deployment = deployed(convolutions(), rule, "int8")
    model = training_graphs(deployment.program).learn
    state = {tensor.name for tensor in deployment.program.persistent}
    largest = sorted(np.prod(tensor.dims) for tensor in model.graph.initializer if tensor.name not in state)
    weights = sum(tensor.elements for tensor in deployment.program.persistent)
    assert sum(largest) < weights / 20, largest[-5:]


@pytest.mark.parametrize(("network", "rule", "numeric"), [(dense(), "pepita", "int8"), (convolutions(), "bp", "float32")])
def test_the_models_are_clean_and_plain(network: Network, rule: str, numeric: str) -> None:
    deployment = deployed(network, rule, numeric)
    graphs = training_graphs(deployment.program, deployment.settings)
    for model in (graphs.learn, graphs.infer):
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions
        assert not {"If", "Loop", "Scan", "MatMulInteger", "RandomUniform"} & {node.op_type for node in model.graph.node}
        assert len({node.output[0] for node in model.graph.node}) == len(model.graph.node)
    again = training_graphs(deployment.program, deployment.settings)
    assert again.learn.SerializeToString(deterministic=True) == graphs.learn.SerializeToString(deterministic=True)


def test_the_learn_model_says_what_it_is() -> None:
    deployment = deployed(dense(), "pepita", "int8")
    program, model = deployment.program, training_graphs(deployment.program, deployment.settings).learn
    told = {entry.key: entry.value for entry in model.metadata_props}
    state = [tensor.name for tensor in program.persistent]
    assert (told["edgeff.graph"], told["edgeff.rule"]) == ("learn", "pepita")
    assert json.loads(told["edgeff.state"]) == {name: f"{name}.next" for name in state}
    assert json.loads(told["edgeff.settings"])["lr"] == deployment.settings.lr
    quant = program.tensors["input"].quant
    assert quant is not None
    assert json.loads(told["edgeff.input"]) == {"dtype": "int8", "scale": quant.scale[0], "zero_point": quant.zero_point}
    assert [given.name for given in model.graph.input] == ["input", "label", *state]
    assert [given.name for given in model.graph.output] == ["scores", *(f"{name}.next" for name in state)]
    assert {"rate", "step"} < set(state)
    assert {(entry.key, entry.value) for entry in model.training_info[0].update_binding} == {(name, f"{name}.next") for name in state}
    label = model.graph.input[1].type.tensor_type
    assert (label.elem_type, [size.dim_value for size in label.shape.dim]) == (onnx.TensorProto.INT64, [1])


def test_the_first_step_needs_no_state() -> None:
    deployment = deployed(dense(), "dfa", "int8")
    runs = session(training_graphs(deployment.program).learn)
    given = {"input": deployment.inputs(digits().x_train[:1]), "label": digits().y_train[:1].astype(np.int64)}
    twin = Interpreter(deployment.program)
    state = {tensor.name: twin.tensor(tensor.name) for tensor in deployment.program.persistent}
    for without, fed in zip(runs.run(None, given), runs.run(None, given | state), strict=True):
        assert np.array_equal(without, fed)


def test_a_sample_of_another_shape_is_refused_by_the_runtime() -> None:
    deployment = deployed(convolutions(), "pepita", "int8")
    runs = session(training_graphs(deployment.program).learn)
    with pytest.raises(Exception, match="Invalid rank for input"):
        runs.run(None, {"input": np.zeros((1, 64), np.int8), "label": np.zeros(1, np.int64)})


# ------------------------------------------------------------------ refusals


def test_kernels_without_a_form_are_refused_in_one_line() -> None:
    layers = (Layer("flat", make("reshape", {}), ("input",), (490,)), Layer("dense", Dense(), ("flat",), (3,)))
    network = with_features(initialised(Network("words", (49, 10, 1), layers), 0), OFFICIAL, 16_000)
    deployment = deploy(network, rule="bp", numeric="float32")
    with pytest.raises(Unsupported, match=r"training graph of 'words': got eff_mfcc_f32: its sums run .*; export to C") as refusal:
        training_graphs(deployment.program)
    assert "\n" not in str(refusal.value)


def test_a_program_that_does_not_learn_is_refused() -> None:
    with pytest.raises(BadInput, match="a program for inference only; name a rule"):
        training_graphs(deploy(dense()).program)


def test_a_training_graph_is_no_model(tmp_path: Path) -> None:
    graphs = training_graphs(deployed(dense("64-10"), "bp", "int8").program)
    for model in (graphs.learn, graphs.infer):
        with pytest.raises(Unsupported, match="ONNX file: got the graph of a learning step; allowed: a model; load the model"):
            load(write_model(model, tmp_path / "t.onnx"))


# ------------------------------------------------------------------ the command and the runtime helper


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """t.onnx and t.infer.onnx, written by the command."""
    folder = tmp_path_factory.mktemp("graphs")
    write_onnx(replace(dense(), metadata={"task": "digits", "rule": "pepita", "seed": 0}), folder / "m.onnx")
    arguments = f"export {folder}/m.onnx --to onnx --with-training --rule pepita --numeric int8 --json -o {folder}/t.onnx"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run(arguments.split()) == 0
    told = json.loads(printed.getvalue())
    assert (told["rule"], told["numeric"], told["bytes"]) == ("pepita", "int8", (folder / "t.onnx").stat().st_size)
    return folder / "t.onnx"


def test_a_learner_learns_what_the_twins_learn(exported: Path, tmp_path: Path) -> None:
    deployment = deployed(dense(), "pepita", "int8")
    learner, twin = Learner(exported), Interpreter(deployment.program)
    x, labels = digits().x_train[:40], digits().y_train[:40]
    for sample, values, label in zip(x, deployment.inputs(x), labels, strict=True):
        scores = learner.learn(sample, label)
        twin.predict(values)
        assert scores is not None
        assert np.array_equal(scores, twin.output())
        twin.learn(values, int(label))
    for tensor in deployment.program.persistent:
        assert np.array_equal(learner.state[tensor.name], twin.tensor(tensor.name)), tensor.name
    learner.save(tmp_path / "state.npz")
    other = Learner(exported)
    assert not other.state
    other.restore(tmp_path / "state.npz")
    for sample, values in zip(x, deployment.inputs(x), strict=True):
        assert learner.predict(sample) == other.predict(sample) == other.predict(values) == twin.predict(values)


def test_a_state_goes_from_a_device_to_the_graph_and_back(exported: Path) -> None:
    deployment, memory = deployed(dense(), "pepita", "int8"), plan(deployed(dense(), "pepita", "int8").program)
    program, x = deployment.program, deployment.inputs(digits().x_train[:6])
    device, learner = Interpreter(program), Learner(exported)
    for values in x[:3]:
        device.learn(values, 1)
    learner.state = restored(program, memory, device.save())
    for values in x[3:]:
        learner.learn(values, 2)
        device.learn(values, 2)
    assert saved(program, memory, learner.state) == device.save()
    with pytest.raises(BadInput, match=r"state, 'rate': got int64 \(1,\); allowed: uint32 \(1,\)"):
        learner.state = {"rate": np.ones(1, np.int64)}


def test_a_state_in_inputs_alone_learns_the_same(exported: Path, tmp_path: Path) -> None:
    """For runtimes that cannot feed initialisers, such as onnxruntime-web."""
    arguments = f"export {exported.parent}/m.onnx --to onnx --with-training --rule pepita --numeric int8 --state ports -o {tmp_path}/p.onnx"
    assert run(arguments.split()) == 0
    learners = [Learner(exported), Learner(tmp_path / "p.onnx")]
    state = learners[1].state
    model = onnx.load(tmp_path / "p.onnx")
    assert {"input", "label", *state} == {given.name for given in model.graph.input}
    assert not {given.name for given in model.graph.input} & {tensor.name for tensor in model.graph.initializer}
    for x, label in zip(digits().x_train[:3], digits().y_train[:3], strict=True):
        scores = [np.asarray(learner.learn(x, int(label))) for learner in learners]
        assert np.array_equal(scores[0], scores[1])
    assert all(np.array_equal(value, learners[1].state[name]) for name, value in learners[0].state.items())
    assert learners[0].predict(digits().x_test[0]) == learners[1].predict(digits().x_test[0])


def test_a_rate_of_zero_learns_nothing(exported: Path) -> None:
    learner = Learner(exported)
    learner.learn(digits().x_train[0], 3)
    before = learner.state
    learner.set_rate(0.0)
    learner.learn(digits().x_train[1], 4)
    assert np.abs(learner.state["dense_1.weight"].astype(int) - before["dense_1.weight"]).max() <= 1  # stochastic rounding alone
    assert learner.state["step"][0] == 2
    with pytest.raises(BadInput, match=r"learning rate: got 1\.5; allowed: 0 to 1"):
        learner.set_rate(1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learner: learner.learn(np.zeros(64), 10), r"label: got 10; allowed: 0 to 9"),
        (lambda learner: learner.learn(np.zeros(63), 1), r"sample: got shape \(63,\); allowed: \(64,\)"),
        (lambda learner: learner.learn(np.full(64, np.nan), 1), r"sample: got NaN, infinity or too large a number; .*"),
        (lambda learner: learner.restore("nowhere.npz"), r"state 'nowhere.npz': got .*No such file.*"),
    ],
)
def test_a_learner_refuses_in_one_line(exported: Path, call: Callable[[Learner], object], message: str) -> None:
    learner = Learner(exported)
    with pytest.raises(BadInput, match=message):
        call(learner)
    assert not learner.state


def test_a_learner_refuses_other_files(exported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", step=np.zeros(1, np.int64))
    with pytest.raises(BadInput, match=r"'step': got int64 \(1,\); allowed: uint32 \(1,\)"):
        Learner(exported).restore(tmp_path / "other.npz")
    for file in (exported.with_name("m.onnx"), infer_path(exported), tmp_path / "none.onnx"):
        with pytest.raises(EdgeffError, match=r"training graph .*; allowed: t.onnx and t.infer.onnx, written by"):
            Learner(file)


def test_a_learner_needs_onnxruntime_alone(exported: Path) -> None:
    code = f"import sys; from edgeff.graphs import Learner; Learner({str(exported)!r}); print([m for m in sys.modules if 'edgeff' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['edgeff.lazy', 'edgeff', 'edgeff.errors', 'edgeff.graphs']"


def test_the_page_learns_without_edgeff(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "training_graphs.md").read_text(encoding="utf-8")
    code = page.split("## Without edgeff")[1].split("```python")[1].split("```")[0]
    assert "edgeff." in code
    assert "import edgeff" not in code
    data = digits()
    monkeypatch.chdir(exported.parent)
    names: dict[str, Any] = {"x_train": data.x_train[:30], "y_train": data.y_train[:30], "x_test": data.x_test}
    exec(code, names)  # noqa: S102 - the page's own lines
    learner = Learner(exported)
    for x, label in zip(data.x_train[:30], data.y_train[:30], strict=True):
        learner.learn(x, label)
    assert np.array_equal(names["scores"][0], learner.scores(data.x_test[0]))
    learner.restore("state.npz")


def test_the_comparison_runs_in_a_process_of_its_own() -> None:
    deployment = deployed(dense("64-10"), "bp", "int8")
    rows = compare_training_graph(deployment, GRAPH, deployment.inputs(digits().x_test[:4]), digits().y_test[:4])
    assert [(row.b, row.what, row.differing, row.elements) for row in rows] == [
        (GRAPH, "scores before each step (integers)", 0, 40),
        (GRAPH, "state after each of 4 steps of bp (integers)", 0, 4 * (640 + 10 + 2)),
        (GRAPH, "scores after 4 steps (integers)", 0, 40),
    ]
