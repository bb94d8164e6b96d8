"""The test vectors of TFLM's kernels, from a checkout of tensorflow/tflite-micro: its own tests are built, and what they run is recorded.

The vectors lie in C++, so they are taken where they run: each test of a kernel is compiled with TFLM's reference kernels and with
``conformance_tflm.cc`` in the place of its ``kernel_runner.cc``, which writes what a kernel was given and what it made. A case becomes a
TFLite file of one operator: its first input, or where that is refused every input of numbers, is the file's; the others are constants.
int8 must be equal to the bit, float32 within 1e-5 of the largest output. Nothing of it is part of the project.

``git clone https://github.com/tensorflow/tflite-micro; make -C tflite-micro -f tensorflow/lite/micro/tools/make/Makefile
third_party_downloads``, then ``TFLM_DIR=tflite-micro make conformance``. It takes a C++ compiler (``CXX``) and ten minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tflite_files import File

from edgeff.errors import EdgeffError
from edgeff.formats import from_tflite
from edgeff.ir import Array
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

KERNELS, MICRO = "tensorflow/lite/micro/kernels", "tensorflow/lite/micro"
DOWNLOADS = f"{MICRO}/tools/make/downloads"
RECORDER = Path(__file__).with_suffix(".cc")
FLAGS = ("-std=c++17", "-O0", "-w", "-fno-exceptions", "-DTF_LITE_STATIC_MEMORY")
CORE = (
    *(
        f"{MICRO}/{name}.cc"
        for name in (
            "debug_log", "fake_micro_context", "flatbuffer_utils", "memory_helpers", "micro_allocation_info", "micro_allocator",
            "micro_context", "micro_interpreter_context", "micro_interpreter_graph", "micro_log", "micro_op_resolver",
            "micro_resource_variable", "micro_utils", "mock_micro_graph", "system_setup", "test_helpers",
            "arena_allocator/non_persistent_arena_buffer_allocator", "arena_allocator/persistent_arena_buffer_allocator",
            "arena_allocator/single_arena_buffer_allocator", "memory_planner/greedy_memory_planner",
            "memory_planner/linear_memory_planner", "tflite_bridge/flatbuffer_conversions_bridge",
            "tflite_bridge/micro_error_reporter", "kernels/kernel_util",
        )
    ),
    "tensorflow/compiler/mlir/lite/core/api/error_reporter.cc",
    "tensorflow/compiler/mlir/lite/schema/schema_utils.cc",
    *(
        f"tensorflow/lite/{name}.cc"
        for name in (
            "core/api/flatbuffer_conversions", "core/api/tensor_utils", "core/c/common", "kernels/kernel_util",
            "kernels/internal/common", "kernels/internal/portable_tensor_utils", "kernels/internal/quantization_util",
            "kernels/internal/reference/portable_tensor_utils", "kernels/internal/runtime_shape", "kernels/internal/tensor_ctypes",
            "kernels/internal/tensor_utils",
        )
    ),
)  # fmt: skip
WINDOW = ("padding", "stride_width", "stride_height", "activation")
DILATION = ("dilation_width_factor", "dilation_height_factor")


@dataclass(frozen=True)
class Test:
    """A test of TFLM: the operators it runs, the C type of their options with its fields, the schema's name of them, and more sources."""

    operators: tuple[str, ...]
    type: str = ""
    fields: tuple[str, ...] = ()
    options: str = ""
    more: tuple[str, ...] = ()


TESTS = {
    "activations": Test(("RELU", "RELU6")),
    "add": Test(("ADD",), "TfLiteAddParams", ("activation",), "AddOptions"),
    "concatenation": Test(("CONCATENATION",), "TfLiteConcatenationParams", ("axis", "activation"), "ConcatenationOptions"),
    "conv": Test(("CONV_2D",), "TfLiteConvParams", (*WINDOW, *DILATION), "Conv2DOptions", ("conv_test_common", "testdata/conv_test_data")),
    "depthwise_conv": Test(
        ("DEPTHWISE_CONV_2D",), "TfLiteDepthwiseConvParams", (*WINDOW, *DILATION, "depth_multiplier"), "DepthwiseConv2DOptions"
    ),
    "fully_connected": Test(("FULLY_CONNECTED",), "TfLiteFullyConnectedParams", ("activation", "keep_num_dims"), "FullyConnectedOptions"),
    "hard_swish": Test(("HARD_SWISH",)),
    "leaky_relu": Test(("LEAKY_RELU",), "TfLiteLeakyReluParams", ("alpha",), "LeakyReluOptions"),
    "log_softmax": Test(("LOG_SOFTMAX",)),
    "logistic": Test(("LOGISTIC",)),
    "maximum_minimum": Test(("MAXIMUM", "MINIMUM")),
    "mul": Test(("MUL",), "TfLiteMulParams", ("activation",), "MulOptions"),
    "pad": Test(("PAD", "PADV2")),
    "pooling": Test(("AVERAGE_POOL_2D", "MAX_POOL_2D"), "TfLitePoolParams", (*WINDOW, "filter_width", "filter_height"), "Pool2DOptions"),
    "prelu": Test(("PRELU",)),
    "quantize": Test(("QUANTIZE",)),
    "reduce": Test(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"), "TfLiteReducerParams", ("keep_dims",), "ReducerOptions"),
    "resize_bilinear": Test(
        ("RESIZE_BILINEAR",), "TfLiteResizeBilinearParams", ("align_corners", "half_pixel_centers"), "ResizeBilinearOptions"
    ),
    "resize_nearest_neighbor": Test(
        ("RESIZE_NEAREST_NEIGHBOR",),
        "TfLiteResizeNearestNeighborParams",
        ("align_corners", "half_pixel_centers"),
        "ResizeNearestNeighborOptions",
    ),
    "softmax": Test(("SOFTMAX",), "TfLiteSoftmaxParams", ("beta",), "SoftmaxOptions"),
    "split": Test(("SPLIT",), "TfLiteSplitParams", ("num_splits",), "SplitOptions"),
    "strided_slice": Test(
        ("STRIDED_SLICE",),
        "TfLiteStridedSliceParams",
        ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask", "offset"),
        "StridedSliceOptions",
    ),
    "sub": Test(("SUB",), "TfLiteSubParams", ("activation",), "SubOptions"),
    "svdf": Test(("SVDF",), "TfLiteSVDFParams", ("rank", "activation"), "SVDFOptions"),
    "tanh": Test(("TANH",)),
    "transpose_conv": Test(("TRANSPOSE_CONV",), "TfLiteTransposeConvParams", WINDOW, "TransposeConvOptions"),
}
"""What edgeff has layers for; tests of LSTMs do not run their kernel in one call."""
NAMES = {
    "activation": "fusedActivationFunction",
    "stride_width": "strideW",
    "stride_height": "strideH",
    "dilation_width_factor": "dilationWFactor",
    "dilation_height_factor": "dilationHFactor",
}
"""Fields whose names in the schema are not theirs in camel case."""
DTYPES = {1: "float32", 2: "int32", 3: "uint8", 4: "int64", 9: "int8"}
TYPE_NAMES = {6: "bool", 7: "int16", 10: "float16", 18: "int4"}
SAME_PADDING = 1
STATE = {"SVDF": 4}
"""The input that is a state."""
CLOSE = 1e-5


def folder() -> Path | None:
    """The user's checkout."""
    return Path(os.environ["TFLM_DIR"]).resolve() if os.environ.get("TFLM_DIR") else None


def tests() -> list[str]:
    """The tests that can be run here: none without a checkout."""
    home = folder()
    return [name for name in TESTS if home and (home / KERNELS / f"{name}_test.cc").exists()]


@cache
def _objects() -> Path:
    """A folder of objects that all tests share."""
    return Path(tempfile.mkdtemp(prefix="edgeff-tflm-"))


def _compiled(home: Path, source: Path, *defines: str) -> Path:
    out = _objects() / f"{zlib.crc32(repr((source, defines)).encode()):08x}.o"
    if not out.exists():
        includes = [f"-I{home}", *(f"-I{home / DOWNLOADS / name}" for name in ("flatbuffers/include", "gemmlowp", "ruy"))]
        command = [os.environ.get("CXX", "g++"), *FLAGS, *includes, *defines, "-c", str(source), "-o", str(out)]
        subprocess.run(command, check=True, cwd=home)
    return out


def recorded(name: str) -> list[dict[str, Any]]:
    """What a test gave its kernels and what they made of it."""
    home, test = folder(), TESTS[name]
    if home is None:
        return []
    kernels = [f"{name}{end}" for end in ("", "_common")]
    sources = [*CORE, *(f"{KERNELS}/{each}.cc" for each in (*kernels, *test.more, f"{name}_test"))]
    objects = [_compiled(home, home / source) for source in dict.fromkeys(sources) if (home / source).exists()]
    fields, calls = " ".join(f"FIELD({field})" for field in test.fields), " ".join(f"KERNEL({op})" for op in test.operators)
    defines = [f"-DVECTORS_KERNELS={calls}", f"-include{home / KERNELS / 'micro_ops.h'}"]
    defines += [f"-DVECTORS_OPTIONS={test.type}", f"-DVECTORS_FIELDS={fields}"] if test.type else []
    objects.append(_compiled(home, RECORDER, *defines))
    with tempfile.TemporaryDirectory() as temporary:
        program, vectors = Path(temporary) / "test", Path(temporary) / "vectors"
        link = ["-Wl,--gc-sections", "-Wl,--unresolved-symbols=ignore-all"]
        subprocess.run([os.environ.get("CXX", "g++"), *map(str, objects), *link, "-o", str(program)], check=True)
        subprocess.run([str(program)], env={**os.environ, "EDGEFF_VECTORS": str(vectors)}, capture_output=True, check=False)
        return [json.loads(line) for line in vectors.read_text(encoding="utf-8").splitlines()]


def _array(tensor: dict[str, Any]) -> Array:
    return np.frombuffer(bytes.fromhex(tensor["data"]), DTYPES[tensor["type"]]).reshape(tensor["shape"])


def model(case: dict[str, Any], test: Test, inputs: int) -> tuple[bytes, list[Array]]:
    """A TFLite file of a case whose first ``inputs`` inputs of numbers are the file's, and their values."""
    file = File()
    given: list[int] = []
    values: list[Array] = []
    indices: list[int] = []
    for number, tensor in enumerate(case["inputs"]):
        if tensor is None:
            indices.append(-1)
            continue
        shape, dtype, state = tensor["shape"], DTYPES[tensor["type"]], STATE.get(case["op"]) == number
        free = len(given) < inputs and dtype not in ("int32", "int64") and not state
        about = {"scale": tensor["scale"] or None, "zero": int((tensor["zero"] or [0])[0]), "axis": tensor["axis"]}
        index = file.tensor(f"t{number}", shape, dtype, data=None if free or state else _array(tensor), **about)
        file.tensors[index].isVariable = state
        indices.append(index)
        if free:
            given.append(index)
            values.append(_array(tensor))
    outputs = [
        file.tensor(
            f"y{number}", tensor["shape"], DTYPES[tensor["type"]], scale=tensor["scale"] or None, zero=int((tensor["zero"] or [0])[0])
        )
        for number, tensor in enumerate(case["outputs"])
    ]
    options = {}
    for field, value in case["options"].items():
        first, *rest = field.split("_")
        named = NAMES.get(field, first + "".join(part.capitalize() for part in rest))
        options[named] = value if field in ("alpha", "beta") else int(value)
    if "padding" in options:
        options["padding"] -= SAME_PADDING
    file.operator(case["op"], indices, outputs, test.options, **options)
    return file.pack(given, outputs), values


def outcome(case: dict[str, Any], test: Test) -> tuple[str, str]:
    """What became of a case: ok, refused or wrong, and why."""
    every = [tensor for tensor in (*case["inputs"], *case["outputs"]) if tensor]
    if others := [tensor["type"] for tensor in every if tensor["type"] not in DTYPES]:
        return "refused", f"element type {TYPE_NAMES.get(others[0], others[0])}"
    if case["op"] in STATE and any(_array(case["inputs"][STATE[case["op"]]]).ravel()):
        return "refused", "it begins with a state: a stream's first step is the case"
    reason = ""
    for inputs in (1, len(case["inputs"])):
        try:
            data, values = model(case, test, inputs)
            if not values:
                return "refused", "no input of numbers"
            deployment = deploy(from_tflite(data), target="input")
        except EdgeffError as error:
            reason = reason or str(error)
            continue
        twin, rows = Interpreter(deployment.program), []
        x = np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)
        if x.dtype == np.uint8:
            x = (x.astype(np.int16) - 128).astype(np.int8)
        if x.dtype != deployment.program.tensors[deployment.program.input].dtype:
            return "refused", f"inputs of {x.dtype}"
        for sample in x:
            twin.predict(sample)
            rows.append(twin.output().reshape(-1).copy())
        made = np.array(rows)
        expected = np.concatenate([_array(tensor).reshape(len(rows), -1) for tensor in case["outputs"]], axis=1)
        return _compared(made, expected)
    return "refused", reason


def _compared(made: Array, expected: Array) -> tuple[str, str]:
    if made.shape != expected.shape:
        return "wrong", f"outputs {made.shape} in the place of {expected.shape}"
    if expected.dtype == np.uint8:
        expected = (expected.astype(np.int16) - 128).astype(np.int8)
    away = np.abs(made.astype(np.float64) - expected.astype(np.float64))
    allowed = CLOSE * max(1.0, float(np.abs(expected.astype(np.float64)).max())) if expected.dtype == np.float32 else 0.0
    return (
        ("ok", "") if (away <= allowed).all() else ("wrong", f"{int((away > allowed).sum())} of {away.size} outputs, by {away.max():.3g}")
    )


def outcomes(name: str) -> list[tuple[str, str]]:
    """What became of each case of a test, and why."""
    found = [(case["op"], outcome(case, TESTS[name])) for case in recorded(name) if prod(map(len, case["inputs"][:1]))]
    return [(what, f"{op}: {why}" if what == "wrong" else why) for op, (what, why) in found]
