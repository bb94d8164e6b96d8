"""Runs an exported model in other libraries, TFLM, LiteRT and ONNX Runtime: samples come in, their outputs go out.

Each runs in its own process (``native``), at the cost of starting it: a library that aborts on a model, as TFLM and LiteRT do on some
softmax layers, takes that process down and nothing else. Each is optional at run time: MissingTool says how to get it. A library that
refuses a model, or crashes on it, gives Unsupported with the library's own words.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgeff.errors import MissingTool, Unsupported
from edgeff.formats.onnx.writer import SESSION_ENTRIES, to_onnx
from edgeff.ir import Array, Network

Advance = Callable[[], None]
SCRIPT = Path(__file__).with_name("native.py")
PACKAGES: Mapping[str, tuple[str, str, str]] = {
    "tflm": ("TFLM", "tflite_micro", "tflite-micro"),
    "litert": ("LiteRT", "ai_edge_litert", "ai-edge-litert"),
    "onnxruntime": ("ONNX Runtime", "onnxruntime", "onnxruntime"),
    "onnxruntime_step": ("ONNX Runtime", "onnxruntime", "onnxruntime"),
    "litert_step": ("LiteRT", "ai_edge_litert", "ai-edge-litert"),
    "tflm_step": ("TFLM", "tflite_micro", "tflite-micro"),
}
"""For each library: its name for people, for Python's import and for pip."""


class Process:
    """A library in its own process, which ends with this object. Raises MissingTool if it is not installed."""

    def __init__(self, library: str) -> None:
        self.name, module, package = PACKAGES[library]
        self._missing = MissingTool(f"{module} is not installed", next_step=f"pip install {package}")
        if find_spec(module) is None:
            raise self._missing
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - the finalizer closes it
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        self.close = weakref.finalize(self, _end, self._process, self._said)
        self._send(sys.path)

    def load(self, *arguments: object) -> int:
        """Loads a model into the library and returns its number."""
        return int(self._ask(("load", *arguments), lambda: None))

    def run(self, number: int, x: object, advance: Advance) -> Array:
        """The library's outputs for x by that model; ``advance`` is called for each sample."""
        return np.asarray(self._ask(("run", number, x), advance))

    def run_step(self, number: int, what: object) -> Mapping[str, Array]:
        """Every output of that model by name, for what its library takes."""
        outputs: Mapping[str, Array] = self._ask(("run", number, what), lambda: None)
        return outputs

    def _ask(self, command: tuple[object, ...], advance: Advance) -> Any:
        """The answer to one command. Raises Unsupported if the library refuses the model or crashes on it."""
        self._send(command)
        while True:
            try:
                kind, value = pickle.load(self._pipe(self._process.stdout))  # noqa: S301 - a process of ours
            except (EOFError, pickle.UnpicklingError):
                raise self._ended() from None
            if kind == "done":
                return value
            if kind == "advance":
                for _ in range(value):
                    advance()
            elif kind == "missing":
                raise self._missing
            elif kind == "refused":
                raise Unsupported(f"{self.name} refused the model", got=value)
            else:
                raise RuntimeError(f"the process of {self.name} failed:\n{value}")

    def _send(self, what: object) -> None:
        pipe = self._pipe(self._process.stdin)
        try:
            pickle.dump(what, pipe, pickle.HIGHEST_PROTOCOL)
            pipe.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> Unsupported:
        """How the process ended, with the last line that the library wrote."""
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Unsupported(
            f"{self.name} ended while it ran the model",
            got=f"{how}{f', {last}' if last else ''}",
            next_step=f"this is a fault of {self.name}: use another engine for this model",
        )

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise ValueError("a process without pipes")
        return pipe


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, stderr):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:  # the process ended before it read everything
                continue


class Tflm:
    """A .tflite model in TFLite Micro's interpreter; ``process``: shared with other models; ``fresh``: each sample begins with its
    variables at zero.
    """

    def __init__(self, model: bytes, process: Process | None = None, *, outputs: int = 1, fresh: bool = False) -> None:
        self._process = process or Process("tflm")
        self._number = self._process.load(model, outputs, fresh)

    def __call__(self, x: Array | list[Array], advance: Advance) -> Array:
        """The outputs (n, *output shape) for x (n, *input shape) in the model's input dtype; x is a list where there are several inputs,
        and of several ``outputs`` the rows (n, numbers) are all of them in turn.
        """
        return self._process.run(self._number, x, advance)


class Litert:
    """A .tflite model in LiteRT with the kernels of ``resolver``.

    ``BUILTIN_REF`` are the reference kernels, ``BUILTIN`` the default of an application: the optimised ones and the XNNPACK delegate.
    ``process`` and ``fresh`` as for ``Tflm``.
    """

    def __init__(self, model: bytes, resolver: str, process: Process | None = None, *, fresh: bool = False) -> None:
        self._process = process or Process("litert")
        self._number = self._process.load(model, resolver, fresh)

    def __call__(self, x: Array | list[Array], advance: Advance) -> Array:
        """The outputs for x, as ``Tflm`` has them."""
        return self._process.run(self._number, x, advance)


class OnnxRuntime:
    """An ONNX model (its bytes) in ONNX Runtime on the CPU, with exact int8 products; ``process``: shared with other models."""

    def __init__(self, model: bytes, process: Process | None = None) -> None:
        self._process = process or Process("onnxruntime")
        self._number = self._process.load(model, dict(SESSION_ENTRIES))

    def __call__(self, inputs: Mapping[str, Array]) -> Array:
        """The output (n, *output shape), of several the rows of all of them, for the inputs by name, each (n, ..)."""
        return self._process.run(self._number, dict(inputs), lambda: None)


class OnnxRuntimeStep:
    """An ONNX model (its bytes) of a learning step in ONNX Runtime on the CPU, as it comes from the package."""

    def __init__(self, model: bytes) -> None:
        self._process = Process("onnxruntime_step")
        self._number = self._process.load(model)

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name for the inputs by name."""
        return self._process.run_step(self._number, dict(inputs))


class LitertStep:
    """A .tflite model of a learning step in LiteRT, as it comes from the package; ``process``: shared with other models."""

    def __init__(self, model: bytes, process: Process | None = None) -> None:
        self._process = process or Process("litert_step")
        self._number = self._process.load(model)

    def __call__(self, signature: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name of a signature, and the state after it, for its inputs and the state before it by name."""
        return self._process.run_step(self._number, (signature, dict(inputs)))


class TflmStep:
    """A .tflite model of a learning step with ports in TFLite Micro's interpreter; ``process``: shared with other models."""

    def __init__(self, model: bytes, inputs: list[str], outputs: list[str], process: Process | None = None) -> None:
        self._process = process or Process("tflm_step")
        self._number = self._process.load(model, inputs, outputs)

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name for the inputs by name."""
        return self._process.run_step(self._number, dict(inputs))


def tflm(model: bytes, x: Array, advance: Advance) -> Array:
    """The outputs of TFLite Micro's interpreter, once: see ``Tflm``."""
    return Tflm(model)(x, advance)


def litert(model: bytes, x: Array, resolver: str, advance: Advance) -> Array:
    """The outputs of LiteRT, once: see ``Litert``."""
    return Litert(model, resolver)(x, advance)


def onnxruntime(network: Network, x: Array) -> Array:
    """The float32 outputs of ONNX Runtime on the network's ONNX form for x (n, *input shape) float32."""
    return OnnxRuntime(to_onnx(network).SerializeToString())({"input": x})
