"""A learning step that was exported as ONNX or TFLite, run by ONNX Runtime or LiteRT: load, learn, predict, save.

Needs NumPy and the one runtime; nothing else of edgeff is imported. docs/training_graphs.md has the same in twenty lines without edgeff.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput, MissingTool

Array = NDArray[Any]
FULL_RATE = 1 << 16
"""The word ``rate`` of the rate that the graph was made with."""
TOO_LARGE = 2.0**48
"""Numbers from here on are refused, as by the C: the square of a few would be infinite."""


class Learner:
    """A learning model in the runtime of its file, and the state that goes from step to step.

    ``t.onnx`` learns and ``t.infer.onnx`` beside it predicts, as ``edgeff export --to onnx --with-training`` writes them; a file
    ``t.tflite`` does both, with its state in variables or in ports. Samples are float32 in the units of the task, of the network's input
    shape or flat, or integers in those of the graph. A step's outputs are new arrays, so the state before it and after it never share
    memory.

    Args: ``path``, the file ``t.onnx`` or ``t.tflite``; ``threads``, of the runtime (0: as many as it likes); ``seed`` of the random bits
    that a file exported with ``--noise input`` is fed. Raises BadInput for a file
    that is none of these, MissingTool without onnxruntime or ai-edge-litert.
    """

    def __init__(self, path: str | PathLike[str], threads: int = 1, seed: int = 0) -> None:
        file = Path(path)
        self._random = np.random.default_rng(seed)
        self._runtime: _Runtime = _Litert(file, threads) if file.suffix == ".tflite" else _OnnxRuntime(file, threads)
        self.properties = self._runtime.properties
        self.pairs: Mapping[str, str] = self.properties["state"]
        """The name of each tensor that stays, and that of its value after a step."""

    @property
    def state(self) -> Mapping[str, Array]:
        """What was learned, by name. ONNX: empty before the first step, for the file holds what a step begins with."""
        return self._runtime.state()

    @state.setter
    def state(self, values: Mapping[str, Array]) -> None:
        """Goes on from ``values``, such as a device's. Raises BadInput for those that are not of this graph; nothing is changed then."""
        self._check("state", values)
        self._runtime.restore({name: np.asarray(value) for name, value in values.items()})

    def learn(self, x: Array, label: int | Array = 0) -> Array | None:
        """One learning step on one sample and its class; the scores before it, or None where the step does not compute them.

        A graph that learns values takes them in place of the class, as many as there are scores, in the same units or integers. Raises
        BadInput for a sample or values that do not fit or are not finite, and for a label that is no class; nothing is changed then.
        """
        feed: dict[str, Array] = {self._runtime.input: self._sample(x)}
        if "target" in self.properties:
            feed["target"] = self._numbers("values to learn", np.asarray(label), self.properties["target"], (1, self._runtime.classes))
        elif self._runtime.labelled:
            if not 0 <= label < self._runtime.classes:
                raise BadInput("label", got=label, allowed=f"0 to {self._runtime.classes - 1}")
            feed["label"] = np.array([label], np.int64)
        for name, shape in self.properties["noise"].items():
            feed[name] = self._random.integers(-128, 128, shape, np.int8)
        scores = self._runtime.learn(feed)
        return None if scores is None else scores[0]

    def scores(self, x: Array) -> Array:
        """The scores of one sample, (classes,)."""
        scores: Array = self._runtime.scores({self._runtime.input: self._sample(x)})[0]
        return scores

    def predict(self, x: Array) -> int:
        """The best class of one sample."""
        return int(self.scores(x).argmax())

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate relative to the graph's own, 0 to 1. Raises BadInput for another, and for a graph without a rate."""
        if "rate" not in self.pairs or not 0.0 <= rate <= 1.0:
            raise BadInput("learning rate", got=rate, allowed="0 to 1" if "rate" in self.pairs else "none: this graph has no rate")
        word = np.array([int(float(np.float32(rate)) * FULL_RATE + 0.5)], np.uint32)
        self._runtime.restore({**self.state, "rate": word})

    def save(self, path: str | PathLike[str]) -> None:
        """Writes what was learned as .npz, one array for each tensor."""
        np.savez(Path(path), **self.state)  # type: ignore[arg-type]  # its keywords are arrays

    def restore(self, path: str | PathLike[str]) -> None:
        """Goes on from what ``save`` wrote, in either runtime.

        Raises BadInput for arrays that are not those of this graph; nothing is changed then.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                state = {name: np.asarray(arrays[name]) for name in arrays.files}
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"state {str(path)!r}", got=str(error), allowed="a .npz file that Learner.save wrote") from None
        self._check(f"state {str(path)!r}", state)
        self._runtime.restore(state)

    def _check(self, what: str, state: Mapping[str, Array]) -> None:
        """Raises BadInput for arrays that are not those of this graph."""
        shapes = self._runtime.state_shapes
        for name, array in state.items():
            if (array.shape, array.dtype.name) != shapes.get(name):
                allowed = "{1} {0}".format(*shapes[name]) if name in shapes else ", ".join(shapes)
                raise BadInput(f"{what}, {name!r}", got=f"{array.dtype} {array.shape}", allowed=allowed)

    def _sample(self, x: Array) -> Array:
        """One sample as the graph's input: shape (1, ..), quantised where the graph reads integers."""
        return self._numbers("sample", np.asarray(x), self.properties["input"], self._runtime.shape)

    def _numbers(self, what: str, values: Array, entry: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
        """Numbers in the form that ``entry`` says, of ``shape``."""
        if values.size != np.prod(shape):
            raise BadInput(what, got=f"shape {values.shape}", allowed=f"{shape[1:]}")
        if values.dtype == entry["dtype"] and values.dtype != np.float32:
            return values.reshape(shape)
        if not (np.abs(values) < TOO_LARGE).all():
            raise BadInput(what, got="NaN, infinity or too large a number", allowed="finite numbers below 2**48")
        if "scale" in entry:
            limits = np.iinfo(entry["dtype"])
            low = limits.min + (entry["dtype"] == "int16")  # the kernels' int16 is symmetric
            values = np.clip(np.rint(values.astype(np.float64) / entry["scale"]) + entry["zero_point"], low, limits.max)
        return values.astype(entry["dtype"]).reshape(shape)


class _Runtime(Protocol):
    """What the runtimes have in common. ``shape`` is that of the input, ``state_shapes`` the shape and dtype of each state tensor."""

    properties: Mapping[str, Any]
    input: str
    shape: tuple[int, ...]
    classes: int
    labelled: bool
    state_shapes: Mapping[str, tuple[tuple[int, ...], str]]

    def learn(self, feed: Mapping[str, Array]) -> Array | None: ...

    def scores(self, feed: Mapping[str, Array]) -> Array: ...

    def state(self) -> Mapping[str, Array]: ...

    def restore(self, state: Mapping[str, Array]) -> None: ...


class _OnnxRuntime:
    """Two sessions, neither with a state: it is fed, and comes back."""

    def __init__(self, file: Path, threads: int) -> None:
        self._learn = _session(file, threads, "learn")
        self._infer = _session(file.with_name(f"{file.stem}.infer.onnx"), threads, "infer")
        self.properties = _properties(self._learn)
        entry = self._learn.get_inputs()[0]
        self.input, self.shape = entry.name, tuple(entry.shape)
        self.classes = self._infer.get_outputs()[0].shape[-1]
        self.labelled = any(given.name == "label" for given in self._learn.get_inputs())
        every = {given.name: given for given in (*self._learn.get_inputs(), *self._learn.get_overridable_initializers())}
        self.state_shapes: Mapping[str, tuple[tuple[int, ...], str]] = {
            name: (tuple(every[name].shape), _DTYPES[every[name].type]) for name in self.properties["state"]
        }
        self._outputs = [output.name for output in self._learn.get_outputs()]
        self._read = [given.name for given in (*self._infer.get_inputs(), *self._infer.get_overridable_initializers())]
        self._state: dict[str, Array] = {}
        if not self._learn.get_overridable_initializers():  # exported with --state ports
            start = _session(file.with_name(f"{file.stem}.initial.onnx"), threads, "initial")
            self._state = dict(zip([output.name for output in start.get_outputs()], start.run(None, {}), strict=True))

    def learn(self, feed: Mapping[str, Array]) -> Array | None:
        outputs = dict(zip(self._outputs, self._learn.run(None, {**feed, **self._state}), strict=True))
        self._state = {name: outputs[following] for name, following in self.properties["state"].items()}
        return outputs.get("scores")

    def scores(self, feed: Mapping[str, Array]) -> Array:
        read = {name: self._state[name] for name in self._read if name in self._state}
        scores: Array = self._infer.run(None, {**feed, **read})[0]
        return scores

    def state(self) -> Mapping[str, Array]:
        return dict(self._state)

    def restore(self, state: Mapping[str, Array]) -> None:
        self._state |= state


class _Litert:
    """The signatures of a file whose state is in variables, or goes in and out by ports."""

    def __init__(self, file: Path, threads: int) -> None:
        what, allowed = f"training graph '{file}'", "t.tflite, written by `edgeff export --to tflite --with-training`"
        content = _content(file, what, allowed)
        try:
            from ai_edge_litert import interpreter as library
            from ai_edge_litert import schema_py_generated as schema
        except ImportError:
            raise MissingTool("ai-edge-litert is not installed", next_step="pip install ai-edge-litert") from None
        try:
            told = _metadata(schema.Model.GetRootAsModel(content, 0))
            interpreter = library.Interpreter(model_content=content, num_threads=threads or None) if told else None
        except Exception as error:  # noqa: BLE001 - what flatbuffers and LiteRT raise for damaged files has no common base
            raise BadInput(what, got=str(error), allowed=allowed) from None
        if interpreter is None or "infer" not in interpreter.get_signature_list():  # one for TFLM has the step alone
            raise BadInput(what, got="another model", allowed=allowed)
        self.properties = told
        self._run = {key: interpreter.get_signature_runner(key) for key in interpreter.get_signature_list()}
        entry = self._run["infer"].get_input_details()["input"]
        self.input, self.shape = "input", tuple(int(size) for size in entry["shape"])
        self.classes = int(self._run["infer"].get_output_details()["scores"]["shape"][-1])
        self._takes = {key: runner.get_input_details() for key, runner in self._run.items()}
        self.labelled = "label" in self._takes["learn"]
        start = self._run["save" if "save" in self._run else "initial"]()
        self.state_shapes: Mapping[str, tuple[tuple[int, ...], str]] = {
            name: (value.shape, value.dtype.name) for name, value in start.items()
        }
        self._ports = None if "save" in self._run else dict(start)

    def learn(self, feed: Mapping[str, Array]) -> Array | None:
        outputs = self._call("learn", feed)
        if self._ports is not None:
            self._ports = {name: outputs[following] for name, following in self.properties["state"].items()}
        return outputs.get("scores")

    def scores(self, feed: Mapping[str, Array]) -> Array:
        return self._call("infer", feed)["scores"]

    def state(self) -> Mapping[str, Array]:
        return dict(self._run["save"]() if self._ports is None else self._ports)

    def restore(self, state: Mapping[str, Array]) -> None:
        every = {**self.state(), **state}
        if self._ports is None:
            self._run["restore"](**every)
        else:
            self._ports = every

    def _call(self, key: str, feed: Mapping[str, Array]) -> dict[str, Array]:
        given = {**(self._ports or {}), **feed}
        return dict(self._run[key](**{name: given[name].astype(details["dtype"]) for name, details in self._takes[key].items()}))


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
}


def _content(file: Path, what: str, allowed: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise BadInput(what, got="no such file", allowed=allowed) from None


def _metadata(model: Any) -> Mapping[str, Any]:
    """What the metadata of a TFLite file say of the learning step; nothing for a model that has none."""
    entries = (model.Metadata(number) for number in range(model.MetadataLength()))
    buffer = next((entry.Buffer() for entry in entries if entry.Name() == b"edgeff.training"), None)
    told: Mapping[str, Any] = {} if buffer is None else json.loads(model.Buffers(buffer).DataAsNumpy().tobytes())
    return told


def _session(file: Path, threads: int, graph: str) -> Any:
    """ONNX Runtime's session of one of the two files. Raises BadInput for any other file."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingTool("onnxruntime is not installed", next_step="pip install onnxruntime") from None
    what, allowed = f"training graph '{file}'", "t.onnx and t.infer.onnx, written by `edgeff export --to onnx --with-training`"
    if not file.is_file():
        raise BadInput(what, got="no such file", allowed=allowed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        found = _properties(session).get("graph")
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own classes have no common base
        raise BadInput(what, got=str(error), allowed=allowed) from None
    if found != graph:
        raise BadInput(what, got=f"a {found} graph" if found else "another model", allowed=allowed)
    return session


def _properties(session: Any) -> Mapping[str, Any]:
    """What the metadata of a graph say, without their prefix."""
    texts = session.get_modelmeta().custom_metadata_map
    told = {key.removeprefix("edgeff."): text for key, text in texts.items() if key.startswith("edgeff.")}
    return {key: json.loads(text) if text[:1] == "{" else text for key, text in told.items()}
