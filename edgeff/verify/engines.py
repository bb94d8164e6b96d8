"""Runs an exported model in the libraries that others run it in: TFLM, LiteRT and ONNX Runtime; samples come in, their outputs go out.

Each is optional at run time: MissingTool says how to get it. A library that refuses a model gives Unsupported with the library's own words.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgeff.errors import MissingTool, Unsupported
from edgeff.formats.onnx.writer import SESSION_ENTRIES, to_onnx
from edgeff.ir import Array, Network

Advance = Callable[[], None]
ARENA_BYTES = (1 << 20, 1 << 24, 1 << 28)
"""TFLM's arena beyond four times the model: the next is tried where it refuses a model with one of them."""
_REFUSALS = (RuntimeError, ValueError, TypeError, KeyError, NotImplementedError)


class Tflm:
    """A .tflite model in TFLite Micro's interpreter."""

    def __init__(self, model: bytes) -> None:
        try:
            from tflite_micro import runtime
        except ImportError:
            raise MissingTool("tflite_micro is not installed", next_step="pip install tflite-micro") from None
        with _refusing("TFLM"), _quiet():
            for arena_bytes in ARENA_BYTES:
                try:
                    self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes + 4 * len(model))
                    break
                except RuntimeError:
                    if arena_bytes == ARENA_BYTES[-1]:
                        raise

    def __call__(self, x: Array, advance: Advance) -> Array:
        """The outputs (n, *output shape) for x (n, *input shape) in the model's input dtype."""
        rows = []
        with _refusing("TFLM"):
            for sample in x:
                self._interpreter.set_input(sample[None], 0)
                self._interpreter.invoke()
                rows.append(np.array(self._interpreter.get_output(0)[0]))
                advance()
        return np.array(rows)


class Litert:
    """A .tflite model in LiteRT with the kernels of ``resolver``.

    ``BUILTIN_REF`` are the reference kernels, ``BUILTIN`` what an application gets: the optimised ones and the XNNPACK delegate.
    """

    def __init__(self, model: bytes, resolver: str) -> None:
        try:
            from ai_edge_litert import interpreter as library
        except ImportError:
            raise MissingTool("ai_edge_litert is not installed", next_step="pip install ai-edge-litert") from None
        with _refusing("LiteRT"), _quiet():
            self._interpreter = library.Interpreter(model_content=model, experimental_op_resolver_type=library.OpResolverType[resolver])
            self._interpreter.allocate_tensors()
            self._source = self._interpreter.get_input_details()[0]["index"]
            self._target = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, x: Array, advance: Advance) -> Array:
        """The outputs (n, *output shape) for x (n, *input shape) in the model's input dtype."""
        rows = []
        with _refusing("LiteRT"):
            for sample in x:
                self._interpreter.set_tensor(self._source, sample[None])
                self._interpreter.invoke()
                rows.append(self._interpreter.get_tensor(self._target)[0].copy())
                advance()
        return np.array(rows)


class OnnxRuntime:
    """An ONNX model (its bytes) in ONNX Runtime on the CPU, its int8 kernels held to exact products."""

    def __init__(self, model: bytes) -> None:
        try:
            import onnxruntime as library
        except ImportError:
            raise MissingTool("onnxruntime is not installed", next_step="pip install onnxruntime") from None
        state = library.capi.onnxruntime_pybind11_state
        self._refusals = tuple(
            getattr(state, name) for name in ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
        )
        with _refusing("ONNX Runtime", *self._refusals), _quiet():
            options = library.SessionOptions()
            for key, value in SESSION_ENTRIES.items():
                options.add_session_config_entry(key, value)
            self._session: Any = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Mapping[str, Array]) -> Array:
        """The first output (n, *output shape) for the inputs by name, each (n, ..)."""
        with _refusing("ONNX Runtime", *self._refusals):
            return np.asarray(self._session.run(None, dict(inputs))[0])


def tflm(model: bytes, x: Array, advance: Advance) -> Array:
    """The outputs of TFLite Micro's interpreter, once: see ``Tflm``."""
    return Tflm(model)(x, advance)


def litert(model: bytes, x: Array, resolver: str, advance: Advance) -> Array:
    """The outputs of LiteRT, once: see ``Litert``."""
    return Litert(model, resolver)(x, advance)


def onnxruntime(network: Network, x: Array) -> Array:
    """The float32 outputs of ONNX Runtime on the network's ONNX form for x (n, *input shape) float32."""
    return OnnxRuntime(to_onnx(network).SerializeToString())({"input": x})


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
