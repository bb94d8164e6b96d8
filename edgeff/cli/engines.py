"""The ways to run a model: samples come in, the best class of each goes out.

``edgeff`` is the program run by the kernels' NumPy twins, ``c`` the same program as C on this machine. ``onnxruntime``, ``litert`` and
``tflm`` run the exported file. They know layers only: of a model whose rule predicts by probing they run the head, with the label's
entries of the input set to neutral.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeff.cli.models import Model, make_deployment
from edgeff.cli.terminal import Progress
from edgeff.errors import MissingTool, Unsupported

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
    return model.predicts_by_rule and engine not in ("edgeff", "c")


def _edgeff(model: Model, x: Array, progress: Progress) -> list[int]:
    from edgeff.interpreter import Interpreter

    deployment = make_deployment(model, rule=None)
    executor = Interpreter(deployment.program)
    return _one_by_one(executor.predict, deployment.inputs(x), progress)


def _c(model: Model, x: Array, _progress: Progress) -> Array:
    from edgeff.targets.host import HostTarget

    deployment = make_deployment(model, rule=None)
    return HostTarget(deployment.program).predict_many(deployment.inputs(x))[0]


def _onnxruntime(model: Model, x: Array, _progress: Progress) -> Array:
    onnxruntime = _library("onnxruntime", "pip install onnxruntime")
    from edgeff.exporters.onnx import SESSION_ENTRIES, to_onnx

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for key, value in SESSION_ENTRIES.items():
        options.add_session_config_entry(key, value)
    file = to_onnx(model.network).SerializeToString()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    scores: Array = session.run(None, {session.get_inputs()[0].name: _for_layers(model, x)})[0]
    return scores.argmax(axis=1)


def _litert(model: Model, x: Array, progress: Progress) -> list[int]:
    litert = _library("ai_edge_litert.interpreter", "pip install ai-edge-litert")
    from edgeff.exporters.tflite import to_tflite

    resolver = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(model_content=to_tflite(model.network), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def predict(sample: Array) -> int:
        interpreter.set_tensor(source, sample[None])
        interpreter.invoke()
        return int(interpreter.get_tensor(target)[0].argmax())

    return _one_by_one(predict, _for_tflite(model, x), progress)


def _tflm(model: Model, x: Array, progress: Progress) -> list[int]:
    runtime = _library("tflite_micro", "pip install 'edgeff[tflm]'").runtime
    from edgeff.exporters.tflite import to_tflite

    interpreter = runtime.Interpreter.from_bytes(to_tflite(model.network), arena_size=TFLM_ARENA_BYTES)

    def predict(sample: Array) -> int:
        interpreter.set_input(sample[None], 0)
        interpreter.invoke()
        return int(interpreter.get_output(0)[0].argmax())

    return _one_by_one(predict, _for_tflite(model, x), progress)


ENGINES: Mapping[str, Callable[[Model, Any, Progress], Any]] = {
    "edgeff": _edgeff,
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "tflm": _tflm,
    "c": _c,
}


def _one_by_one(predict: Callable[[Array], int], samples: Array, progress: Progress) -> list[int]:
    found = []
    for done, sample in enumerate(samples, 1):
        found.append(predict(sample))
        progress(done, len(samples))
    return found


def _for_layers(model: Model, x: Array) -> Array:
    """The samples as the network's layers want them: where the rule writes a label into the input, a neutral one."""
    if not model.predicts_by_rule or model.rule is None:
        return np.asarray(x, np.float32)
    from edgeff import registry

    settings = {**vars(registry.rules[model.rule].settings), **model.rule_settings(model.rule)}
    if "neutral" not in settings:
        raise Unsupported(f"a model trained by {model.rule}", got="another engine", allowed="edgeff, c", next_step="leave --engine out")
    samples = np.array(x, np.float32)
    samples.reshape(len(samples), -1)[:, : prod(model.network.layers[-1].shape)] = settings["neutral"]
    return samples


def _for_tflite(model: Model, x: Array) -> Array:
    from edgeff.quantize import quantise_array

    samples, quant = _for_layers(model, x), model.network.input_quant
    return samples if quant is None else quantise_array(samples, quant, model.network.numeric)


def _library(name: str, how_to_get: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingTool(f"the engine needs {name.partition('.')[0]}", got=str(error), next_step=how_to_get) from None
