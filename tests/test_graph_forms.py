"""Every kernel's graph form in ONNX Runtime and in LiteRT against its NumPy twin, on drawn arguments; or its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from kernel_cases import FILLS, SIZES, Case, Draw, case, run_twin
from model_files import session

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.formats.onnx.nodes_model import nodes_model
from edgeff.formats.onnx.words import WORDS
from edgeff.formats.tflite.container import Container
from edgeff.formats.tflite.micro import MicroArithmetic
from edgeff.formats.tflite.nodes_subgraph import NodesSubgraph
from edgeff.formats.tflite.ranged import Arithmetic
from edgeff.formats.training import Output
from edgeff.ir import Array
from edgeff.kernels import Kernel
from edgeff.kernels.graph import WIDE, apply, form_module, form_of
from edgeff.kernels.graph.operand import Expansions, NodeList, Operand
from edgeff.verify.engines import LitertStep, Process

MFCC = ("eff_mfcc_f32", "eff_mfcc_i16", "eff_mfcc_i8", "eff_mel_push", "eff_mel_mfcc_f32", "eff_mel_mfcc_i16", "eff_mel_mfcc_i8")
REFUSED = dict.fromkeys(MFCC, "its sums run in one order")
REFUSED |= dict.fromkeys(("eff_audio_frontend_f32", "eff_audio_frontend_i8"), "its FFT rounds to 16 bits")
REFUSED |= {"eff_ring_balance": "it looks for the entries of one class"}
REFUSED |= dict.fromkeys(("eff_gru_f32", "eff_lstm_f32", "eff_lstm_i8"), "a loop over the steps of a sequence")
REFUSED |= dict.fromkeys(
    (*(f"eff_recent_{kind}" for kind in ("f32", "i8")), "eff_svdf_f32", "eff_svdf_i8", "eff_svdf_i8x16"),
    "a network that remembers does not learn",
)
REFUSED |= dict.fromkeys(
    (f"eff_softmax_rows_{kind}" for kind in ("f32", "i16", "i8")), "a learning step has the softmax of one vector alone"
)
REFUSED |= {"eff_log_softmax_f32": "no learning step computes it"}
REFUSED |= dict.fromkeys(("eff_resize_bilinear_f32", "eff_resize_bilinear_i8"), "no learning step goes through it")
WIDE_KERNELS = (
    *(f"eff_{name}_i16x8" for name in ("conv2d", "dense", "depthwise_conv2d")),
    *(
        f"eff_{name}_i16"
        for name in ("add_broadcast", "average_pool2d", "concat", "leaky_relu", "logistic", "max_pool2d", "maximum", "mean")
    ),
    *(f"eff_{name}_i16" for name in ("minimum", "mul", "pad", "rescale", "rescale_i8", "sub", "tanh", "upsample2d")),
    "eff_rescale_i16_i8",
)
REFUSED |= dict.fromkeys(WIDE_KERNELS, "in int16 it has no form in plain operators")
REFUSED |= {"eff_softmax_chords_i16": "a learning step has the softmax of one vector alone"}
WITH_FORM = sorted(set(registry.kernels) - set(REFUSED))
CONSTANT = ("multiplier", "shift")
"""The inputs that are constants in every program: forms may read their values."""
IN_TFLM_SOON = ("eff_dense_i8", "eff_dense_update_i8", "eff_softmax_i16", "eff_depthwise_conv2d_i8", "eff_signs_f32", "eff_standardise_i8")
"""Each with arithmetic of its own; the others are slow tests."""
NOT_IN_TFLM = (
    *(f"eff_{name}" for name in ("advance", "argmax_i32", "channel_goodness_i8", "competitive_delta_i8", "ring_place")),
    *(f"eff_{what}_{dtype}" for what in ("normalise", "standardise") for dtype in ("i8", "i16")),
)
"""Integer roots, divisions of integers beyond int32, a rate that decays, the largest of int32."""
WIDEST = {"n": 70, "n_out": 33, "n_in": 70, "n_e": 45, "classes": 12, "places": 3}


class Nodes(NamedTuple):
    """One call as nodes: what is fed, and its outputs by name, each with dtype and shape."""

    nodes: NodeList
    inputs: list[Operand]
    fed: dict[str, Array]
    outputs: dict[str, Output]


def nodes_of(kernel: Kernel, made: Case, expansions: Expansions | None = None) -> Nodes:
    nodes, fed, inputs = NodeList(expansions), {}, []

    def operand(name: str, array: Array) -> Operand:
        wide = WIDE.get(array.dtype.name, array.dtype.name)
        if name in CONSTANT:
            return nodes.constant(array.astype(wide))
        fed[name] = array
        inputs.append(nodes.named(name, array.dtype.name, array.shape))
        return inputs[-1].cast(wide)

    arrays: dict[str, Any] = dict(zip([param.name for param in kernel.pointers], [*made.outputs, *made.inputs], strict=True))
    operands = {name: None if array is None else operand(name, array) for name, array in arrays.items()}
    names = [param.name for param in kernel.pointers if param.role == "output"]
    held: list[Any] = [operands.pop(name) for name in names]
    results = apply(kernel, held, list(operands.values()), made.attrs)
    outputs = {f"{n}.next": Output(value, arrays[n].dtype.name, arrays[n].shape) for n, value in zip(names, results, strict=True)}
    return Nodes(nodes, inputs, fed, outputs)


def in_onnx_runtime(kernel: Kernel, cases: list[Case]) -> list[list[Array]]:
    """The outputs of each case."""
    results = []
    for made in cases:
        nodes, inputs, fed, outputs = nodes_of(kernel, made, WORDS)
        model = nodes_model(kernel.name, nodes, inputs, outputs, {})
        onnx.checker.check_model(model, full_check=True)
        results.append(session(model).run(None, fed))
    return results


@pytest.fixture(scope="module")
def litert() -> Process:
    return Process("litert_step")


def in_litert(kernel: Kernel, cases: list[Case], process: Process, arithmetic: type[Arithmetic] = Arithmetic) -> list[list[Array]]:
    """The outputs of each case, a signature of one file."""
    file, every = Container(kernel.name), [nodes_of(kernel, made) for made in cases]
    for number, (nodes, inputs, _, outputs) in enumerate(every):
        subgraph = file.subgraph(f"case_{number}")
        written = NodesSubgraph(subgraph, nodes, arithmetic)
        for operand in inputs:
            written.feed(operand, subgraph.input(operand.name, operand.dtype, operand.shape), operand.dtype)
        written.give(outputs)
        file.sign(subgraph.name, subgraph)
    run = LitertStep(file.finish({}), process)
    made = [run(f"case_{number}", nodes.fed) for number, nodes in enumerate(every)]
    return [[results[name] for name in nodes.outputs] for results, nodes in zip(made, every, strict=True)]


def moderate(made: Case) -> Case:
    """Floats within +-1 and no deviation of rounding errors alone: then an error relative to 1 says something."""
    floats = [array for array in (*made.outputs, *made.inputs) if array is not None and array.dtype == np.float32]
    for array in floats:
        array[:] = array / max(1.0, float(np.abs(array).max()))
    if "eps" in made.attrs:
        made.attrs["eps"] = 0.125
    return made


def assert_equal(kernel: Kernel, cases: list[Case], results: list[list[Array]]) -> None:
    for made, outputs in zip(cases, results, strict=True):
        for expected, actual in zip(run_twin(kernel, made), outputs, strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            if expected.dtype == np.float32:
                # the order of sums is the runtime's: 70 terms of at most 1, each rounded to 2**-24 of the sum
                assert np.abs(actual - expected).max() <= 1e-6 * max(1.0, float(np.abs(expected).max())), f"{made.attrs}"
            else:
                assert np.array_equal(actual, expected), f"{made.attrs}: {expected}, {actual}"


def cases_of(kernel: Kernel) -> list[Case]:
    cases = []
    for seed, fill in enumerate(FILLS):
        sizes = dict.fromkeys(SIZES, 1) if seed == 0 else {key: 1 + (seed * value) // len(FILLS) for key, value in WIDEST.items()}
        draw = Draw(np.random.default_rng(seed), fill, sizes | {"per_channel": seed % 2})
        cases.append(moderate(case(kernel, draw)))
    return cases


def many_cases_of(kernel: Kernel) -> list[Case]:
    cases = []
    for seed in range(8):
        rng = np.random.default_rng(seed + 100)
        sizes = {key: int(rng.integers(1, value)) for key, value in (WIDEST | {"classes": 40}).items()}
        draw = Draw(rng, FILLS[seed % len(FILLS)], sizes | {"per_channel": seed % 2})
        cases.append(moderate(case(kernel, draw)))
    return cases


@pytest.mark.parametrize("name", WITH_FORM)
def test_a_form_in_onnx_runtime_equals_its_twin(name: str) -> None:
    kernel = registry.kernels[name]
    cases = cases_of(kernel)
    assert_equal(kernel, cases, in_onnx_runtime(kernel, cases))


@pytest.mark.parametrize("name", WITH_FORM)
def test_a_form_in_litert_equals_its_twin(name: str, litert: Process) -> None:
    kernel = registry.kernels[name]
    cases = cases_of(kernel)[::2]  # writing a file costs ten times what it costs to run it
    assert_equal(kernel, cases, in_litert(kernel, cases, litert))


@pytest.mark.parametrize("name", [each if each in IN_TFLM_SOON else pytest.param(each, marks=pytest.mark.slow) for each in WITH_FORM])
def test_a_form_of_tflm_s_operators_equals_its_twin(name: str, litert: Process) -> None:
    """In LiteRT, which has TFLM's operators too, and signatures."""
    kernel = registry.kernels[name]
    cases = cases_of(kernel)[1::2]
    if name in NOT_IN_TFLM:
        with pytest.raises(Unsupported, match=r"training graph for TFLite Micro: got .* has no operator; use the C"):
            in_litert(kernel, cases, litert, MicroArithmetic)
    else:
        assert_equal(kernel, cases, in_litert(kernel, cases, litert, MicroArithmetic))


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_FORM)
def test_a_form_equals_its_twin_many_times(name: str, litert: Process) -> None:
    kernel = registry.kernels[name]
    cases = many_cases_of(kernel)
    assert_equal(kernel, cases, in_onnx_runtime(kernel, cases))
    assert_equal(kernel, cases, in_litert(kernel, cases, litert))


@pytest.mark.parametrize("name", REFUSED)
def test_a_kernel_without_a_form_says_why(name: str) -> None:
    with pytest.raises(Unsupported, match=rf"in a training graph: got {REFUSED[name]}") as refusal:
        form_of(registry.kernels[name])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("module", ["alone", "plug_in.kernel", "json.decoder", "edgeff.ops.relu.kernel"])
def test_a_kernel_of_a_plug_in_may_have_no_form(module: str) -> None:
    kernel = replace(registry.kernels["eff_dense_f32"], name="eff_of_a_plug_in", module=module)
    with pytest.raises(Unsupported, match=r"kernel eff_of_a_plug_in in a training graph: got no form in .*; export to C instead"):
        form_of(kernel)


def test_what_is_reshaped_is_not_changed_for_others(litert: Process) -> None:
    nodes, file = NodeList(), Container("shared")
    x = nodes.named("x", "int32", (4,))
    shared = x.cast("int64") + 1
    outputs = {"first": Output(shared.reshape(2, 2) - 5, "int32", (2, 2)), "second": Output(shared * 2, "int32", (4,))}
    subgraph = file.subgraph("call")
    written = NodesSubgraph(subgraph, nodes)
    written.feed(x, subgraph.input("x", "int32", (4,)), "int32")
    written.give(outputs)
    file.sign("call", subgraph)
    made = LitertStep(file.finish({}), litert)("call", {"x": np.arange(4, dtype=np.int32)})
    assert (made["first"].tolist(), made["second"].tolist()) == ([[-4, -3], [-2, -1]], [2, 4, 6, 8])


def test_a_copy_of_bytes_says_nothing_of_their_numbers() -> None:
    """A range told wrongly makes sums in float32 that are not exact: one element in a thousand steps."""
    nodes = NodeList()
    x, y = (nodes.named(name, "int16", (4,)).cast("int64") for name in "xy")
    apply(registry.kernels["eff_copy"], [y], [x], {"n_bytes": 8})
    assert nodes.limits == {}
    apply(registry.kernels["eff_relu_gate_i16"], [y], [x], {"n": 4})
    assert nodes.limits[x.name] == (-32767, 32767)


def test_every_kernel_has_its_form_beside_it() -> None:
    for name in WITH_FORM:
        kernel = registry.kernels[name]
        assert form_of(kernel).__module__ == form_module(kernel.module), name
