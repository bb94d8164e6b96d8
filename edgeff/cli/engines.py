"""The ways to run a model: samples come in, the best class and the outputs of each go out.

``edgeff`` is the program run by the kernels' NumPy twins, ``c`` the same program as C on this machine. ``onnxruntime``, ``litert`` and
``tflm`` run the exported file. They support only layers: for a model whose rule predicts by probing they run the head.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeff.cli.models import Model, make_deployment
from edgeff.cli.terminal import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeff.ir import Array
    from edgeff.program.deploy import Deployment

AT_ONCE = 64


@dataclass(frozen=True)
class Outcome:
    """An engine's result for n samples: the best class of each (n,), and the real outputs (n, outputs)."""

    best: NDArray[np.int64]
    outputs: Array


def outcome(engine: str, model: Model, x: Array, progress: Progress) -> Outcome:
    """The result of ``engine`` for samples x (n, *input shape) float32.

    Raises MissingTool if the engine is not installed, Unsupported if it cannot run the model.
    """
    return ENGINES[engine](model, x, progress)


def predictions(engine: str, model: Model, x: Array, progress: Progress) -> NDArray[np.int64]:
    """The best class (n,) of each sample, as in ``outcome``."""
    return outcome(engine, model, x, progress).best


def runs_head(engine: str, model: Model) -> bool:
    """Whether the engine predicts otherwise than the rule itself."""
    return model.probes and engine not in ("edgeff", "c")


def _edgeff(model: Model, x: Array, progress: Progress) -> Outcome:
    from edgeff.program.interpreter import Interpreter

    deployment = make_deployment(model, rule=None)
    executor, advance = Interpreter(deployment.program), _counted(len(x), progress)
    best, rows = [], []
    for sample in x:
        best.append(executor.predict(deployment.inputs(sample[None])[0]))
        rows.append(executor.output().reshape(-1))
        advance()
    return _of_program(deployment, np.array(best), np.array(rows))


def _c(model: Model, x: Array, progress: Progress) -> Outcome:
    from edgeff.device.targets.host import HostTarget

    deployment = make_deployment(model, rule=None)
    host = HostTarget(deployment.program)
    parts = []
    for first in range(0, max(len(x), 1), AT_ONCE):
        parts.append(host.predict_many(deployment.inputs(x[first : first + AT_ONCE])))
        progress(min(first + AT_ONCE, len(x)), len(x))
    return _of_program(deployment, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _of_program(deployment: Deployment, best: Array, raw: Array) -> Outcome:
    from edgeff.bench.metrics import real_outputs

    return Outcome(np.asarray(best, np.int64), real_outputs(deployment.program, raw))


def _onnxruntime(model: Model, x: Array, _progress: Progress) -> Outcome:
    from edgeff.verify.engines import onnxruntime

    return _of_outputs(onnxruntime(model.network, np.asarray(x, np.float32)))


def _litert(model: Model, x: Array, progress: Progress) -> Outcome:
    from edgeff.formats.tflite.writer import to_tflite
    from edgeff.verify.engines import litert

    raw = litert(to_tflite(model.network), _for_tflite(model, x), "BUILTIN_REF", _counted(len(x), progress))
    return _of_tflite(model, raw)


def _tflm(model: Model, x: Array, progress: Progress) -> Outcome:
    from edgeff.formats.tflite.writer import to_tflite
    from edgeff.verify.engines import tflm

    return _of_tflite(model, tflm(to_tflite(model.network), _for_tflite(model, x), _counted(len(x), progress)))


def _of_tflite(model: Model, raw: Array) -> Outcome:
    """Classes from the raw scores (the first of the largest); real outputs from the last layer's quantisation."""
    quant = model.network.layers[-1].quant.get("output")
    real = raw if quant is None else (np.asarray(raw, np.float64) - quant.zero_point) * quant.scale[0]
    return _of_outputs(np.asarray(real, np.float32))


def _of_outputs(outputs: Array) -> Outcome:
    flat = outputs.reshape(len(outputs), -1)
    return Outcome(flat.argmax(axis=1), flat)


ENGINES: Mapping[str, Callable[[Model, Array, Progress], Outcome]] = {
    "edgeff": _edgeff,
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "tflm": _tflm,
    "c": _c,
}


def _counted(total: int, progress: Progress) -> Callable[[], None]:
    """A function to be called after each sample."""
    count = itertools.count(1)
    return lambda: progress(next(count), total)


def _for_tflite(model: Model, x: Array) -> Array:
    from edgeff.program.quantize import quantise_array

    samples, quant = np.asarray(x, np.float32), model.network.input_quant
    return samples if quant is None or quant.dtype == "float32" else quantise_array(samples, quant)
