"""A learning step that was exported as ONNX, run by ONNX Runtime: load, learn, predict, save.

Needs NumPy and onnxruntime; nothing else of edgeff is imported. docs/training_graphs.md has the same in twenty lines without edgeff.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput, MissingTool

Array = NDArray[Any]
FULL_RATE = 1 << 16
"""The word ``rate`` of the rate that the graph was made with."""
TOO_LARGE = 2.0**48
"""Numbers from here on are refused, as by the C: the square of a few would be infinite."""


class Learner:
    """The two graphs of a learning model, and the state that goes from step to step.

    ``t.onnx`` learns and ``t.infer.onnx`` beside it predicts, both as ``edgeff export --to onnx --with-training`` writes them. Samples are
    float32 in the units of the task, of the network's input shape or flat, or integers in those of the graph. A step's outputs are new
    arrays, so the state before it and after it never share memory.

    Args: ``path``, the file ``t.onnx``; ``threads``, of ONNX Runtime (0: as many as it likes). Raises BadInput for a file that is none of
    these, MissingTool without onnxruntime.
    """

    def __init__(self, path: str | PathLike[str], threads: int = 1) -> None:
        file = Path(path)
        self._learn = _session(file, threads, "learn")
        self._infer = _session(file.with_name(f"{file.stem}.infer.onnx"), threads, "infer")
        self.properties = _properties(self._learn)
        self.pairs: Mapping[str, str] = self.properties["state"]
        """The name of each tensor that stays, and that of its value after a step."""
        entry = self._learn.get_inputs()[0]
        self._input, self._shape = entry.name, tuple(entry.shape)
        self._outputs = [output.name for output in self._learn.get_outputs()]
        self._labelled = any(given.name == "label" for given in self._learn.get_inputs())
        self._read = [given.name for given in self._infer.get_overridable_initializers()]
        self._shapes = {given.name: (tuple(given.shape), _DTYPES[given.type]) for given in self._learn.get_overridable_initializers()}
        self._state: dict[str, Array] = {}

    @property
    def state(self) -> Mapping[str, Array]:
        """What was learned, by name; empty before the first step, for the file holds what a step begins with."""
        return dict(self._state)

    @state.setter
    def state(self, values: Mapping[str, Array]) -> None:
        """Goes on from ``values``, such as a device's. Raises BadInput for those that are not of this graph; nothing is changed then."""
        self._check("state", values)
        self._state = {name: np.asarray(value) for name, value in values.items()}

    def learn(self, x: Array, label: int = 0) -> Array | None:
        """One learning step on one sample; the scores before it (classes,), or None where the step does not compute them.

        Raises BadInput for a sample that does not fit or is not finite, and for a label that is no class; nothing is changed then.
        """
        feed: dict[str, Array] = {self._input: self._sample(x), **self._state}
        if self._labelled:
            if not 0 <= label < self._infer.get_outputs()[0].shape[-1]:
                raise BadInput("label", got=label, allowed=f"0 to {self._infer.get_outputs()[0].shape[-1] - 1}")
            feed["label"] = np.array([label], np.int64)
        outputs = dict(zip(self._outputs, self._learn.run(None, feed), strict=True))
        self._state = {name: outputs[following] for name, following in self.pairs.items()}
        return outputs["scores"][0] if "scores" in outputs else None

    def scores(self, x: Array) -> Array:
        """The scores of one sample, (classes,)."""
        fed = {name: self._state[name] for name in self._read if name in self._state}
        scores: Array = self._infer.run(None, {self._input: self._sample(x), **fed})[0][0]
        return scores

    def predict(self, x: Array) -> int:
        """The best class of one sample."""
        return int(self.scores(x).argmax())

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate relative to the graph's own, 0 to 1. Raises BadInput for another, and for a graph without a rate."""
        if "rate" not in self.pairs or not 0.0 <= rate <= 1.0:
            raise BadInput("learning rate", got=rate, allowed="0 to 1" if "rate" in self.pairs else "none: this graph has no rate")
        self._state["rate"] = np.array([int(float(np.float32(rate)) * FULL_RATE + 0.5)], np.uint32)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes what was learned as .npz, one array for each tensor."""
        np.savez(Path(path), **self._state)  # type: ignore[arg-type]  # its keywords are arrays

    def restore(self, path: str | PathLike[str]) -> None:
        """Goes on from what ``save`` wrote. Raises BadInput for arrays that are not those of this graph; nothing is changed then."""
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                state = {name: np.asarray(arrays[name]) for name in arrays.files}
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"state {str(path)!r}", got=str(error), allowed="a .npz file that Learner.save wrote") from None
        self._check(f"state {str(path)!r}", state)
        self._state = state

    def _check(self, what: str, state: Mapping[str, Array]) -> None:
        """Raises BadInput for arrays that are not those of this graph."""
        for name, array in state.items():
            if (array.shape, array.dtype.name) != self._shapes.get(name):
                allowed = "{1} {0}".format(*self._shapes[name]) if name in self._shapes else ", ".join(self._shapes)
                raise BadInput(f"{what}, {name!r}", got=f"{array.dtype} {array.shape}", allowed=allowed)

    def _sample(self, x: Array) -> Array:
        """One sample as the graph's input: shape (1, ..), quantised where the graph reads integers."""
        values, entry = np.asarray(x), self.properties["input"]
        if values.size != np.prod(self._shape):
            raise BadInput("sample", got=f"shape {values.shape}", allowed=f"{self._shape[1:]}")
        if values.dtype == entry["dtype"] and values.dtype != np.float32:
            return values.reshape(self._shape)
        if not (np.abs(values) < TOO_LARGE).all():
            raise BadInput("sample", got="NaN, infinity or too large a number", allowed="finite numbers below 2**48")
        if "scale" in entry:
            limits = np.iinfo(entry["dtype"])
            low = limits.min + (entry["dtype"] == "int16")  # the kernels' int16 is symmetric
            values = np.clip(np.rint(values.astype(np.float64) / entry["scale"]) + entry["zero_point"], low, limits.max)
        return values.astype(entry["dtype"]).reshape(self._shape)


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
}


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
