"""The ways to run a model: samples come in, the best class of each goes out.

``edgeff`` is the program run by the kernels' NumPy twins, ``c`` the same program as C on this machine. ``onnxruntime``, ``litert`` and
``tflm`` run the exported file. They know layers only: of a model whose rule predicts by probing they run the head.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeff.cli.models import Model, make_deployment
from edgeff.cli.terminal import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeff.ir import Array

TFLM_ARENA_BYTES = 8 << 20


def predictions(engine: str, model: Model, x: Array, progress: Progress) -> NDArray[np.int64]:
    """The best class (n,) of each sample x (n, *input shape) float32.

    Raises MissingTool when the engine is not installed, Unsupported when it cannot run the model.
    """
    return np.asarray(ENGINES[engine](model, x, progress), np.int64)


def runs_head(engine: str, model: Model) -> bool:
    """Whether the engine runs another reading of the model than the rule's own."""
    return model.probes and engine not in ("edgeff", "c")


def _edgeff(model: Model, x: Array, progress: Progress) -> list[int]:
    from edgeff.interpreter import Interpreter

    deployment = make_deployment(model, rule=None)
    executor, advance = Interpreter(deployment.program), _counted(len(x), progress)
    found = []
    for sample in deployment.inputs(x):
        found.append(executor.predict(sample))
        advance()
    return found


def _c(model: Model, x: Array, _progress: Progress) -> Array:
    from edgeff.targets.host import HostTarget

    deployment = make_deployment(model, rule=None)
    return HostTarget(deployment.program).predict_many(deployment.inputs(x))[0]


def _onnxruntime(model: Model, x: Array, _progress: Progress) -> Array:
    from edgeff.verify.engines import onnxruntime

    return onnxruntime(model.network, np.asarray(x, np.float32)).argmax(axis=1)


def _litert(model: Model, x: Array, progress: Progress) -> Array:
    from edgeff.exporters.tflite import to_tflite
    from edgeff.verify.engines import litert

    return litert(to_tflite(model.network), _for_tflite(model, x), "BUILTIN_REF", _counted(len(x), progress)).argmax(axis=1)


def _tflm(model: Model, x: Array, progress: Progress) -> Array:
    from edgeff.exporters.tflite import to_tflite
    from edgeff.verify.engines import tflm

    return tflm(to_tflite(model.network), _for_tflite(model, x), _counted(len(x), progress)).argmax(axis=1)


ENGINES: Mapping[str, Callable[[Model, Array, Progress], Array | list[int]]] = {
    "edgeff": _edgeff,
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "tflm": _tflm,
    "c": _c,
}


def _counted(total: int, progress: Progress) -> Callable[[], None]:
    """A function that is called after each sample."""
    count = itertools.count(1)
    return lambda: progress(next(count), total)


def _for_tflite(model: Model, x: Array) -> Array:
    from edgeff.quantize import quantise_array

    samples, quant = np.asarray(x, np.float32), model.network.input_quant
    return samples if quant is None else quantise_array(samples, quant, model.network.numeric)
