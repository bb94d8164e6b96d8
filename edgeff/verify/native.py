"""Runs one native library in its own process: ``python native.py LIBRARY``, started by ``edgeff.verify.engines``.

Pickled tuples come in on stdin: first the list to import from (``sys.path``), then ``("load", model, ..)`` and ``("run", number, x)``.
Answers go out on stdout: ``("advance", count)`` while samples are run, then one of ``("done", value)``, ``("missing", text)``,
``("refused", text)`` and ``("broken", traceback)``. The output of native code goes to stderr. Imports nothing from edgeff, so that a start
costs no more than the library's.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any

Advance = Callable[[], None]
Run = Callable[[Any, Advance], Any]
ARENA_BYTES = (1 << 20, 1 << 24, 1 << 28)
"""Sizes of TFLM's arena beyond four times the model: if it refuses a model with one, the next is tried."""
REFUSALS = (RuntimeError, ValueError, TypeError, KeyError, NotImplementedError)
SECONDS_BETWEEN_ADVANCES = 0.05


def tflm_interpreter(model: bytes) -> Any:
    """TFLite Micro's interpreter of a .tflite model, with the least of ARENA_BYTES that it takes."""
    from tflite_micro import runtime

    for arena_bytes in ARENA_BYTES:
        try:
            return runtime.Interpreter.from_bytes(model, arena_size=arena_bytes + 4 * len(model))
        except RuntimeError:
            if arena_bytes == ARENA_BYTES[-1]:
                raise
    raise ValueError(ARENA_BYTES)


def load_tflm(model: bytes, outputs: int = 1, fresh: bool = False) -> Run:
    """A .tflite model in TFLite Micro's interpreter: outputs (n, *shape) for x (n, *input shape) in the model's input dtype.

    x is a list of them where the model has several inputs; of several ``outputs`` the rows (n, numbers) are all of them in turn. Variables
    start at zero with the first sample and go on from one to the next, unless each is to be ``fresh``.
    """
    import numpy as np

    interpreter = tflm_interpreter(model)

    def run(x: Any, advance: Advance) -> Any:
        rows = []
        interpreter.reset()
        for samples in zip(*(x if isinstance(x, list) else [x]), strict=True):
            for number, sample in enumerate(samples):
                interpreter.set_input(sample[None], number)
            if fresh:
                interpreter.reset()
            interpreter.invoke()
            made = [np.array(interpreter.get_output(number)) for number in range(outputs)]
            made = [part[0] if part.shape[:1] == (1,) else part for part in made]  # features of a front end have no batch axis
            rows.append(made[0] if outputs == 1 else np.concatenate([part.reshape(-1) for part in made]))
            advance()
        return np.array(rows)

    return run


def load_litert(model: bytes, resolver: str, fresh: bool = False) -> Run:
    """A .tflite model in LiteRT with the kernels of ``resolver``: outputs (n, *shape) for x (n, *input shape); ``fresh`` as for TFLM."""
    import numpy as np
    from ai_edge_litert import interpreter as library

    interpreter = library.Interpreter(model_content=model, experimental_op_resolver_type=library.OpResolverType[resolver])
    interpreter.allocate_tensors()
    sources, targets = ([entry["index"] for entry in each] for each in (interpreter.get_input_details(), interpreter.get_output_details()))

    def run(x: Any, advance: Advance) -> Any:
        rows = []
        interpreter.reset_all_variables()
        for samples in zip(*(x if isinstance(x, list) else [x]), strict=True):
            for source, sample in zip(sources, samples, strict=True):
                interpreter.set_tensor(source, sample[None])
            if fresh:
                interpreter.reset_all_variables()
            interpreter.invoke()
            made = [interpreter.get_tensor(target)[0].copy() for target in targets]
            rows.append(made[0] if len(made) == 1 else np.concatenate([part.reshape(-1) for part in made]))
            advance()
        return np.array(rows)

    return run


def load_onnxruntime(model: bytes, entries: Mapping[str, str]) -> Run:
    """An ONNX model in ONNX Runtime on the CPU: its output, or the rows of all outputs, for inputs by name. ``entries`` configure it."""
    import numpy as np
    import onnxruntime as library

    options = library.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(inputs: Any, _advance: Advance) -> Any:
        made = session.run(None, dict(inputs))
        return made[0] if len(made) == 1 else np.concatenate([part.reshape(len(part), -1) for part in made], axis=1)

    return run


def load_onnxruntime_step(model: bytes) -> Run:
    """An ONNX model of a learning step in ONNX Runtime on the CPU: all of its outputs by name for the inputs by name."""
    import onnxruntime as library

    options = library.SessionOptions()
    options.intra_op_num_threads = 1  # hundreds of small nodes: threads cost more than they give
    options.log_severity_level = 3
    session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs, _advance: dict(zip(names, session.run(None, dict(inputs)), strict=True))


def load_litert_step(model: bytes) -> Run:
    """A .tflite model of a learning step in LiteRT, as it comes from the package: all outputs by name of a signature for inputs by name.

    The state is among the inputs and, after a learning step, the outputs, whether the file has variables or ports.
    """
    from ai_edge_litert import interpreter as library

    interpreter = library.Interpreter(model_content=model)
    takes = {key: signature["inputs"] for key, signature in interpreter.get_signature_list().items()}
    runners = {key: interpreter.get_signature_runner(key) for key in takes}

    def call(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return dict(runners[key](**{name: given[name] for name in takes[key]}))

    def run(x: Any, _advance: Advance) -> Any:
        key, given = x
        if "restore" not in runners:
            return call(key, given)
        call("restore", given)
        outputs = call(key, given)
        return outputs | {f"{name}.next": value for name, value in call("save", {}).items()}

    return run


def load_tflm_step(model: bytes, inputs: list[str], outputs: list[str]) -> Run:
    """A .tflite model of a learning step in TFLM, which runs the first subgraph: its outputs by name for its inputs by name."""
    import numpy as np

    interpreter = tflm_interpreter(model)

    def run(x: Any, _advance: Advance) -> Any:
        for number, name in enumerate(inputs):  # all of them each time: an input's memory is used again
            interpreter.set_input(x[name], number)
        interpreter.invoke()
        return {name: np.array(interpreter.get_output(number)) for number, name in enumerate(outputs)}

    return run


LIBRARIES: Mapping[str, Callable[..., Run]] = {
    "tflm": load_tflm,
    "litert": load_litert,
    "onnxruntime": load_onnxruntime,
    "onnxruntime_step": load_onnxruntime_step,
    "litert_step": load_litert_step,
    "tflm_step": load_tflm_step,
}


def refusals(library: str) -> tuple[type[BaseException], ...]:
    """The exceptions by which a library refuses a model."""
    if not library.startswith("onnxruntime"):
        return REFUSALS
    import onnxruntime

    state = onnxruntime.capi.onnxruntime_pybind11_state
    own = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
    return (*REFUSALS, *(getattr(state, name) for name in own))


def serve(library: str, commands: IO[bytes], answers: IO[bytes]) -> None:
    """Answers commands until there are none left."""

    def answer(*what: object) -> None:
        pickle.dump(what, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    count, reported = 0, time.monotonic()

    def advance() -> None:
        nonlocal count, reported
        count += 1
        if time.monotonic() - reported > SECONDS_BETWEEN_ADVANCES:
            answer("advance", count)
            count, reported = 0, time.monotonic()

    sys.path[:] = pickle.load(commands)  # noqa: S301 - from the parent
    models: list[Run] = []
    while True:
        try:
            what, *arguments = pickle.load(commands)  # noqa: S301
        except EOFError:
            return
        try:
            if what == "load":
                models.append(LIBRARIES[library](*arguments))
                answer("done", len(models) - 1)
            else:
                number, x = arguments
                value = models[number](x, advance)
                answer("advance", count)
                count = 0
                answer("done", value)
        except ImportError as error:
            answer("missing", str(error))
        except Exception as error:  # noqa: BLE001 - the parent says which it was
            refused = isinstance(error, refusals(library))
            answer(*(("refused", str(error) or type(error).__name__) if refused else ("broken", traceback.format_exc())))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin.buffer, channel)
