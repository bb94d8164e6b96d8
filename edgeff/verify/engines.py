"""Runs an exported model in the libraries that others run it in: TFLM, LiteRT and ONNX Runtime; samples come in, their outputs go out.

Each is optional at run time: MissingTool says how to get it. A library that refuses a model gives Unsupported with the library's own words.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from edgeff.errors import MissingTool, Unsupported
from edgeff.exporters.onnx import SESSION_ENTRIES, to_onnx
from edgeff.ir import Array, Network

Advance = Callable[[], None]
ARENA_SLACK_BYTES = 1 << 20
_REFUSALS = (RuntimeError, ValueError, TypeError, KeyError, NotImplementedError)


def tflm(model: bytes, x: Array, advance: Advance) -> Array:
    """The outputs (n, outputs) of TFLite Micro's interpreter for x (n, *input shape) in the model's input dtype."""
    try:
        from tflite_micro import runtime
    except ImportError:
        raise MissingTool("tflite_micro is not installed", next_step="pip install tflite-micro") from None
    with _refusing("TFLM"):
        with _quiet():
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=ARENA_SLACK_BYTES + 4 * len(model))
        rows = []
        for sample in x:
            interpreter.set_input(sample[None], 0)
            interpreter.invoke()
            rows.append(np.array(interpreter.get_output(0)[0]))
            advance()
    return np.array(rows)


def litert(model: bytes, x: Array, resolver: str, advance: Advance) -> Array:
    """The outputs (n, outputs) of LiteRT with the kernels of ``resolver``.

    ``BUILTIN_REF`` are the reference kernels, ``BUILTIN`` what an application gets: the optimised ones and the XNNPACK delegate.
    """
    try:
        from ai_edge_litert import interpreter as library
    except ImportError:
        raise MissingTool("ai_edge_litert is not installed", next_step="pip install ai-edge-litert") from None
    with _refusing("LiteRT"):
        with _quiet():
            interpreter = library.Interpreter(model_content=model, experimental_op_resolver_type=library.OpResolverType[resolver])
            interpreter.allocate_tensors()
        source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        rows = []
        for sample in x:
            interpreter.set_tensor(source, sample[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(target)[0].copy())
            advance()
    return np.array(rows)


def onnxruntime(network: Network, x: Array) -> Array:
    """The float32 outputs (n, *output shape) of ONNX Runtime on the network's ONNX form for x (n, *input shape) float32."""
    try:
        import onnxruntime as library
    except ImportError:
        raise MissingTool("onnxruntime is not installed", next_step="pip install onnxruntime") from None
    model = to_onnx(network).SerializeToString()
    state = library.capi.onnxruntime_pybind11_state
    names = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
    with _refusing("ONNX Runtime", *(getattr(state, name) for name in names)):
        options = library.SessionOptions()
        for key, value in SESSION_ENTRIES.items():
            options.add_session_config_entry(key, value)
        session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


@contextmanager
def _refusing(name: str, *more: type[Exception]) -> Iterator[None]:
    """Turns a library's own exceptions into one line."""
    refusals: tuple[type[Exception], ...] = (*_REFUSALS, *more)
    try:
        yield
    except refusals as error:
        raise Unsupported(f"{name} refused the model", got=str(error) or type(error).__name__) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what native code writes to the process's standard error (banners of delegates) off the terminal."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
