"""The source of a benchmark network's weights: a reference model, one trained by edgeff, or, for costs only, fresh ones.

A folder of model files comes in, by default the one that ``EDGEFF_MODELS_DIR`` names; a network in the requested numeric goes out, its
layers named by kind and place. Costs hardly depend on the values of weights; accuracies do, so fresh weights have none.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.formats import load
from edgeff.ir import Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.ops import kind

FOLDER_VARIABLE = "EDGEFF_MODELS_DIR"


@dataclass(frozen=True)
class Benchmark:
    """A task of MLPerf Tiny, its network, and the names of its reference models, by numeric.

    The first name of each is that of this project's copies, the second that of MLCommons' files (github.com/mlcommons/tiny).
    """

    task: str
    network: str
    files: Mapping[str, tuple[str, ...]]


BENCHMARKS = (
    Benchmark("ad", "fc_ae", {"int8": ("ad_fcae_int8.tflite", "ad01_int8.tflite"), "float32": ("ad_fcae_f32.tflite", "ad01_fp32.tflite")}),
    Benchmark(
        "ic",
        "resnet8",
        {
            "int8": ("ic_resnet8_int8.tflite", "pretrainedResnet_quant.tflite"),
            "float32": ("ic_resnet8_f32.tflite", "pretrainedResnet.tflite"),
        },
    ),
    Benchmark(
        "kws",
        "ds_cnn",
        {"int8": ("kws_dscnn_int8.tflite", "kws_ref_model.tflite"), "float32": ("kws_dscnn_f32.tflite", "kws_ref_model_float32.tflite")},
    ),
    Benchmark(
        "vww",
        "mobilenet_v1_025",
        {
            "int8": ("vww_mobilenet025_int8.tflite", "vww_96_int8.tflite"),
            "float32": ("vww_mobilenet025_f32.tflite", "vww_96_float.tflite"),
        },
    ),
)


@dataclass(frozen=True)
class Weights:
    """A network and the source of its weights, in words. ``known``: they were trained, so that an accuracy is meaningful."""

    network: Network
    source: str
    known: bool


def models_folder(given: Path | str | None) -> Path | None:
    """The folder of model files: the given one, else that of the environment, else none. Raises BadInput if it does not exist."""
    chosen = given or os.environ.get(FOLDER_VARIABLE)
    if not chosen:
        return None
    folder = Path(chosen)
    if not folder.is_dir():
        raise BadInput("folder of models", got=f"'{folder}'", allowed=f"an existing folder, by --models or {FOLDER_VARIABLE}")
    return folder


def model_file(benchmark: Benchmark, numeric: Numeric, folder: Path | None) -> Path | None:
    """The file of a benchmark's weights in this numeric: a reference model, or ``NETWORK.NUMERIC.onnx`` as edgeff writes it.

    For a numeric without its own file it is ``NETWORK.onnx``, a float model that is quantised. None if there is no such file.
    """
    if folder is None:
        return None
    names = (*benchmark.files.get(numeric, ()), f"{benchmark.network}.{numeric}.onnx", f"{benchmark.network}.onnx")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def weights(benchmark: Benchmark, numeric: Numeric, folder: Path | None, seed: int) -> Weights:
    """The network of a benchmark with weights: those of its file, else fresh ones from ``seed``. Raises BadInput for a damaged file."""
    file = model_file(benchmark, numeric, folder)
    if file is None:
        fresh = initialised(structure(benchmark.network), seed)
        return Weights(fresh, f"fresh weights, seed {seed}: no model file", known=False)
    network = replace(numbered(load(file)), name=benchmark.network)
    return Weights(network, f"weights of {file.name}", known=True)


def weights_tag(benchmark: Benchmark, numeric: Numeric, folder: Path | None) -> str:
    """A part of a file name that differs for other weights: the beginning of their file's SHA-256, or ``fresh``."""
    file = model_file(benchmark, numeric, folder)
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8] if file else "fresh"


def with_fresh_head(network: Network, seed: int) -> Network:
    """A float ``network`` whose last layer with weights has fresh ones from ``seed``: trained features, and a head that must learn."""
    head = network.trainable[-1]
    shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    op = kind(head).replacing(bias="bias" in head.params) if kind(head).weighted else kind(head)
    params = op.initial(head, tuple(shapes[name] for name in head.inputs), np.random.default_rng([seed, 1]))
    return network.replacing({head.name: replace(head, params=params)})


def numbered(network: Network) -> Network:
    """``network`` with its layers named by kind and place (``conv2d_1``), since converters name them after everything they fused.

    >>> [layer.name for layer in numbered(structure("4-3-2"))]
    ['dense_1', 'dense_2', 'softmax']
    """
    often = Counter(layer.kind for layer in network)
    count: Counter[str] = Counter()
    names = {"input": "input"}
    for layer in network:
        count[layer.kind] += 1
        names[layer.name] = f"{layer.kind}_{count[layer.kind]}" if often[layer.kind] > 1 else layer.kind
    layers = (replace(layer, name=names[layer.name], inputs=tuple(names[name] for name in layer.inputs)) for layer in network)
    return replace(network, layers=tuple(layers))


def benchmark_of(name: str, known: Sequence[Benchmark] = BENCHMARKS) -> Benchmark:
    """The benchmark of the task ``name``. Raises BadInput for any other task."""
    for benchmark in known:
        if benchmark.task == name:
            return benchmark
    raise BadInput("unknown benchmark", got=repr(name), allowed=", ".join(item.task for item in known))
