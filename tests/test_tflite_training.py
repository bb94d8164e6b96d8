"""The learning step as a TFLite file: unmodified LiteRT against the twins, step by step, with variables and with ports."""

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
import pytest
from graph_cases import CONVOLUTIONAL, DENSE, convolutions, dense, deployed, digits, gently
from model_files import session

from edgeff.cli import run
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import load
from edgeff.formats.onnx.training import training_graphs
from edgeff.formats.onnx.writer import write_onnx
from edgeff.formats.tflite.container import Container
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.tflite.training import training_file
from edgeff.graphs import Learner
from edgeff.ir import Array
from edgeff.kernels.arithmetic import GOLDEN
from edgeff.kernels.graph import arithmetic
from edgeff.kernels.records import Step
from edgeff.kernels.updates import FRACTION_I8, rounding_of
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify.comparison import Comparison
from edgeff.verify.engines import LitertStep, Process
from edgeff.verify.training_graph import compare_training_graph, in_litert, in_tflm

ROOT = Path(__file__).resolve().parents[1]
GRAPH, TFLM = "LiteRT, learning graph", "TFLM, learning graph"


@pytest.fixture(scope="module")
def litert() -> Process:
    """LiteRT in a process of its own, for all tests: an integer operator that does not fit aborts it."""
    return Process("litert_step")


def compared(deployment: Deployment, steps: int, process: Process) -> list[Comparison]:
    x = deployment.inputs(digits().x_train[:steps])
    running = partial(in_litert, load=partial(LitertStep, process=process))
    return compare_training_graph(deployment, GRAPH, x, digits().y_train[:steps], load=running)


def assert_equal(deployment: Deployment, steps: int, process: Process) -> None:
    rows = compared(deployment, steps, process)
    assert [row for row in rows if not row.ok] == []
    assert {row.b for row in rows} == {GRAPH}
    assert sum(row.differing for row in rows if "integers" in row.what) == 0


def operators_of(content: bytes) -> set[str]:
    model, names = schema.Model.GetRootAsModel(content, 0), names_of(schema.BuiltinOperator)
    return {names[model.OperatorCodes(number).BuiltinCode()] for number in range(model.OperatorCodesLength())}


# ------------------------------------------------------------------ equal to the twins


@pytest.mark.parametrize(("rule", "numeric"), [pair for pair in DENSE if pair[1] != "int16" or pair[0] == "ff"])  # ONNX Runtime has all
def test_a_dense_step_equals_the_twins(rule: str, numeric: str, litert: Process) -> None:
    assert_equal(deployed(dense(), rule, numeric), 4, litert)


@pytest.mark.parametrize(("rule", "numeric"), [("dfa", "int8"), ("bp", "float32")])
def test_a_step_through_convolutions_equals_the_twins(rule: str, numeric: str, litert: Process) -> None:
    assert_equal(deployed(convolutions(), rule, numeric), 2, litert)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "numeric"), CONVOLUTIONAL)
def test_steps_through_convolutions_equal_the_twins(rule: str, numeric: str, litert: Process) -> None:
    assert_equal(gently(rule, numeric), 3 if numeric == "float32" else 10, litert)


def test_replay_and_a_frozen_backbone_equal_the_twins(litert: Process) -> None:
    assert_equal(deployed(dense(), "frozen:dense_1,bp", "int8", tail_numeric="float32", replay=4), 6, litert)


def test_a_decaying_rate_and_an_anchor_equal_the_twins(litert: Process) -> None:
    assert_equal(deployed(dense("64-10"), "bp", "int8", changes={"decay": 0.5, "decay_steps": 2, "anchor": 2.0**-11}), 5, litert)


def test_a_changed_constant_of_the_generator_is_noticed(monkeypatch: pytest.MonkeyPatch, litert: Process) -> None:
    deployment = deployed(dense("64-10"), "bp", "int8")
    monkeypatch.setattr(arithmetic, "GOLDEN", GOLDEN + 2)
    assert [row.ok for row in compared(deployment, 3, litert) if row.what.startswith("state")] == [False]


@pytest.mark.parametrize(
    ("rule", "numeric"), [("pepita", "int8"), ("dfa", "int8"), ("bp", "int8"), ("local_heads", "int16"), ("bp", "float32")]
)
def test_a_step_in_tflm_equals_the_twins(rule: str, numeric: str) -> None:
    deployment = deployed(dense(), rule, numeric)
    rows = compare_training_graph(deployment, TFLM, deployment.inputs(digits().x_train[:4]), digits().y_train[:4])
    kind = "float32" if numeric == "float32" else "integers"
    assert [(row.ok, row.b, row.what) for row in rows if kind in row.what] == [
        (True, TFLM, f"scores before each step ({kind})"),
        (True, TFLM, f"state after each of 4 steps of {rule} ({kind})"),
    ]


def test_what_tflm_cannot_say_has_its_reason() -> None:
    with pytest.raises(
        Unsupported, match=r"training graph for TFLite Micro: got .* of integers beyond int32, for which it has no operator; use the C"
    ):
        in_tflm(deployed(dense(), "ff", "int8"))


@pytest.mark.parametrize("runtime", ["LiteRT", "ONNX Runtime"])
def test_noise_as_an_input_equals_the_twins(runtime: str, litert: Process) -> None:
    deployment = deployed(dense(), "pepita", "int8")
    program, x = deployment.program, deployment.inputs(digits().x_train[:3])
    twin = Interpreter(program)
    steps = {call.outputs[0]: call.attrs["how"] for call in program.learn if call.kernel == "eff_dense_update_i8"}
    learn: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    if runtime == "LiteRT":
        content = training_file(program, noise="input")
        assert "BITWISE_XOR" in operators_of(training_file(program)) - operators_of(content)
        learn = partial(LitertStep(content, litert), "learn")
    else:
        runs = session(training_graphs(program, noise="input").learn)
        names = [output.name for output in runs.get_outputs()]
        learn = lambda given: dict(zip(names, runs.run(None, dict(given)), strict=True))  # noqa: E731
    for step, sample in enumerate(x):
        given: dict[str, Array] = {tensor.name: twin.tensor(tensor.name) for tensor in program.persistent}
        given |= {"input": sample.reshape(1, 64), "label": np.array([step], np.int32 if runtime == "LiteRT" else np.int64)}
        for name, how in steps.items():
            assert isinstance(how, Step)
            n_out, n_in = program.tensors[name].shape
            added = rounding_of(n_out, n_in, how.key, np.array([step]), FRACTION_I8, 1)
            given[f"{name}.noise"] = ((added >> (FRACTION_I8 - 8)) - 128).astype(np.int8)
        outputs = learn(given)
        twin.learn(sample, step)
        for tensor in program.persistent:
            assert np.array_equal(outputs[f"{tensor.name}.next"], twin.tensor(tensor.name))


def test_a_learner_feeds_noise_by_its_seed(tmp_path: Path) -> None:
    program = deployed(dense("64-10"), "bp", "int8").program
    (tmp_path / "t.tflite").write_bytes(training_file(program, noise="input"))
    weights = []
    for seed in (1, 1, 2):
        learner = Learner(tmp_path / "t.tflite", seed=seed)
        learner.learn(digits().x_train[0], 3)
        weights.append(learner.state["dense_1.weight"])
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


# ------------------------------------------------------------------ the file


def test_the_file_has_signatures_and_plain_operators() -> None:
    deployment = deployed(dense("64-10"), "pepita", "int8")
    program = deployment.program
    content = training_file(program, deployment.settings)
    assert training_file(program, deployment.settings) == content
    assert not {"CUSTOM", "IF", "WHILE", "CALL"} & operators_of(content)
    assert not {"FULLY_CONNECTED", "SOFTMAX", "QUANTIZE"} & operators_of(content)  # in int8 they round otherwise than the C
    model = schema.Model.GetRootAsModel(content, 0)
    signatures = [model.SignatureDefs(number) for number in range(model.SignatureDefsLength())]
    subgraphs = {signature.SignatureKey().decode(): signature.SubgraphIndex() for signature in signatures}
    assert subgraphs == {"infer": 0, "learn": 1, "train": 1, "save": 2, "restore": 3}
    learn = signatures[1]
    assert [learn.Inputs(number).Name() for number in range(learn.InputsLength())] == [b"input", b"label"]
    assert [learn.Outputs(number).Name() for number in range(learn.OutputsLength())] == [b"scores"]
    saved = [signatures[3].Outputs(number).Name().decode() for number in range(signatures[3].OutputsLength())]
    assert saved == [tensor.name for tensor in program.persistent]
    quant = model.Subgraphs(0).Tensors(model.Subgraphs(0).Inputs(0)).Quantization()
    expected = program.tensors["input"].quant
    assert expected is not None
    assert (quant.Scale(0), quant.ZeroPoint(0)) == (expected.scale[0], expected.zero_point)


def test_every_variable_names_its_container() -> None:
    """Readers refuse a handle without one, even an empty one."""
    program = deployed(dense("64-10"), "bp", "int8").program
    model, names = schema.Model.GetRootAsModel(training_file(program), 0), names_of(schema.BuiltinOperator)
    handles = []
    for subgraph in (model.Subgraphs(number) for number in range(model.SubgraphsLength())):
        for operator in (subgraph.Operators(number) for number in range(subgraph.OperatorsLength())):
            if names[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()] == "VAR_HANDLE":
                options = schema.VarHandleOptions()
                options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
                handles.append((options.Container(), options.SharedName().decode()))
    assert {name for _, name in handles} == {tensor.name for tensor in program.persistent}
    assert {container for container, _ in handles} == {b""}


def test_a_file_for_tflm_keeps_nothing() -> None:
    """TFLM's reset() zeroes variables and initialises none again; and it runs the first subgraph alone."""
    program = deployed(dense("64-10"), "bp", "int8").program
    content = training_file(program, runtime="tflm")
    assert not {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"} & operators_of(content)
    assert not {"RIGHT_SHIFT", "BITWISE_XOR", "BITCAST", "RANGE", "SELECT_V2"} & operators_of(content)  # it has none for integers
    first = schema.Model.GetRootAsModel(content, 0).Subgraphs(0)
    assert (first.Name(), first.InputsLength()) == (b"learn", 2 + len(program.persistent))


def test_a_step_in_tflm_sets_every_input_anew() -> None:
    """Its inputs lie in memory that a step uses for other things."""
    deployment = deployed(dense("64-10"), "bp", "int8")
    twin, running = Interpreter(deployment.program), in_tflm(deployment)
    given = {"input": deployment.inputs(digits().x_train[:1]), "label": np.array([3], np.int32)}
    given |= {tensor.name: twin.tensor(tensor.name) for tensor in deployment.program.persistent}
    first, second = (running.learn(given) for _ in range(2))
    assert all(np.array_equal(value, second[name]) for name, value in first.items())


def test_an_operator_that_litert_refuses_ends_its_process_alone() -> None:
    file = Container("invalid")
    subgraph = file.subgraph("learn")
    x = subgraph.input("x", "int32", (2, 2))
    y = subgraph.tensor("y", "int32", (2, 2))
    subgraph.operator("BATCH_MATMUL", [x, x], [y])  # of int32: there is none
    subgraph.output("z", y, "int32", (2, 2))
    file.sign("learn", subgraph)
    with pytest.raises(Unsupported, match=r"LiteRT (refused the model|ended while it ran the model): got .+"):
        LitertStep(file.finish({}))("learn", {"x": np.ones((2, 2), np.int32)})


def test_a_training_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "t.tflite").write_bytes(training_file(deployed(dense("64-10"), "bp", "int8").program))
    with pytest.raises(Unsupported, match="TFLite file: got the file of a learning step; allowed: a model; load the model"):
        load(tmp_path / "t.tflite")


def test_a_program_that_does_not_learn_is_refused() -> None:
    with pytest.raises(BadInput, match="a program for inference only; name a rule"):
        training_file(deploy(dense()).program)


# ------------------------------------------------------------------ the command and the runtime helper


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """t.tflite, written by the command, ports.tflite and t.onnx of the same model."""
    folder = tmp_path_factory.mktemp("graphs")
    write_onnx(replace(dense(), metadata={"task": "digits", "rule": "pepita", "seed": 0}), folder / "m.onnx")
    for form, name, more in (("tflite", "t.tflite", ""), ("tflite", "ports.tflite", "--state ports"), ("onnx", "t.onnx", "")):
        arguments = f"export {folder}/m.onnx --to {form} --with-training --rule pepita --numeric int8 {more} --json -o {folder}/{name}"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert run(arguments.split()) == 0
        told = json.loads(printed.getvalue())
        assert (told["rule"], told["numeric"], told["bytes"]) == ("pepita", "int8", (folder / name).stat().st_size)
    return folder / "t.tflite"


def test_all_learners_learn_the_same(exported: Path, tmp_path: Path) -> None:
    data = digits()
    learners = [Learner(exported.with_name(name)) for name in ("t.tflite", "ports.tflite", "t.onnx")]
    for learner in learners[:2]:
        learner.restore(_saved(learner, tmp_path))  # the first call: what initialises the variables must not come after it
        learner.set_rate(1.0)
    for x, label in zip(data.x_train[:8], data.y_train[:8], strict=True):
        scores = [np.asarray(learner.learn(x, int(label))) for learner in learners]
        assert np.array_equal(scores[0], scores[2])
        assert np.array_equal(scores[1], scores[2])
    expected = learners[2].state
    for learner in learners[:2]:
        assert {name: value.tobytes() for name, value in learner.state.items()} == {n: v.tobytes() for n, v in expected.items()}
        assert np.array_equal(learner.scores(data.x_test[0]), learners[2].scores(data.x_test[0]))
    learners[2].save(tmp_path / "onnx.npz")
    fresh = Learner(exported)
    fresh.restore(tmp_path / "onnx.npz")
    fresh.learn(data.x_test[0], 1)
    learners[0].learn(data.x_test[0], 1)
    assert np.array_equal(fresh.state["dense_1.weight"], learners[0].state["dense_1.weight"])
    assert not np.array_equal(fresh.state["dense_1.weight"], expected["dense_1.weight"])


def _saved(learner: Learner, folder: Path) -> Path:
    learner.save(folder / "first.npz")
    return folder / "first.npz"


def test_a_state_that_is_restored_first_is_not_initialised_over(exported: Path, litert: Process) -> None:
    run_signature = LitertStep(exported.read_bytes(), litert)
    twin = Interpreter(deployed(dense(), "pepita", "int8").program)
    state = {name: np.ones_like(twin.tensor(name)) for name in ("dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias")}
    state |= {name: np.array([7], np.uint32) for name in ("rate", "step")}
    outputs = run_signature("infer", {"input": np.zeros((1, 64), np.int8), **state})
    assert all((outputs[f"{name}.next"] == value).all() for name, value in state.items())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learner: learner.learn(np.zeros(64), 10), r"label: got 10; allowed: 0 to 9"),
        (lambda learner: learner.learn(np.zeros(63), 1), r"sample: got shape \(63,\); allowed: \(64,\)"),
        (lambda learner: setattr(learner, "state", {"rate": np.ones(1)}), r"state, 'rate': got float64 \(1,\); allowed: uint32 \(1,\)"),
    ],
)
def test_a_learner_refuses_in_one_line(exported: Path, call: Callable[[Learner], object], message: str) -> None:
    learner = Learner(exported)
    before = learner.state
    with pytest.raises(BadInput, match=message):
        call(learner)
    assert all(np.array_equal(value, before[name]) for name, value in learner.state.items())


def test_a_learner_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "damaged.tflite").write_bytes(b"\x20\x00\x00\x00TFL3" + bytes(100))
    for name in ("damaged.tflite", "none.tflite"):
        with pytest.raises(EdgeffError, match=r"training graph .*; allowed: t.tflite, written by `edgeff export --to tflite"):
            Learner(tmp_path / name)


def test_a_learner_needs_litert_alone(exported: Path) -> None:
    code = f"import sys; from edgeff.graphs import Learner; Learner({str(exported)!r})"
    code += "; print([m for m in sys.modules if 'edgeff' in m or m in ('onnx', 'onnxruntime', 'tensorflow')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['edgeff.lazy', 'edgeff', 'edgeff.errors', 'edgeff.graphs']"


def test_the_page_learns_without_edgeff(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "training_graphs.md").read_text(encoding="utf-8")
    code = page.split("## Without edgeff, LiteRT")[1].split("```python")[1].split("```")[0]
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
