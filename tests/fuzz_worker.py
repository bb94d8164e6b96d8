"""Reads mutated model files, one line of JSON a file: what became of it, in how many seconds, and what was wrong with that.

``python fuzz_worker.py FORM FIRST END`` takes the cases FIRST to END - 1 of FORM (tflite, onnx); a case's number and SEED say all about it.
Each file must be read or refused in one line within SECONDS and BYTES beyond what the process takes without one; what is read must go
through lowering, cost and memory plan, and a small network through one inference, or be refused in one line.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import fuzz_onnx
import fuzz_tflite
import numpy as np
from fuzz_corpus import corpus
from fuzz_values import Draw

from edgeff.errors import EdgeffError
from edgeff.formats import load
from edgeff.program.cost import cost
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

FORMS: dict[str, Callable[[bytes, Draw], bytes]] = {"tflite": fuzz_tflite.mutated, "onnx": fuzz_onnx.mutated}
SEED = 3
SECONDS = 5.0
BYTES = 1 << 30
LONGEST_LINE = 600
RUN_MACS = 200_000


class OverTime(BaseException):
    """The time for one file is over; no handler of exceptions swallows it."""


def mutation(form: str, number: int) -> bytes:
    """The file of case ``number``."""
    draw = Draw((SEED, sorted(FORMS).index(form), number))
    groups = corpus(form)
    return FORMS[form](draw.pick(draw.pick(groups)), draw)


def outcome(data: bytes, path: Path) -> dict[str, Any]:
    """``{"outcome", "seconds", "mebibytes", "failure"}`` of the file ``data``.

    The outcome is "lowered", or "refused" (by the reader) or "loaded" (and refused by what comes after it) with the name of the error. The
    memory is the most that was resident beyond what was before. The failure is "" where nothing is wrong.
    """
    path.write_bytes(data)
    resident = _resident()
    start, stage, failure = time.process_time(), "refused", ""
    try:
        with _in_time():
            network = load(path)
            stage = "loaded"
            program = deploy(network, numeric=network.numeric).program
            if cost(program).macs("infer") <= RUN_MACS and prod(network.input_shape) <= RUN_MACS:
                entry = program.tensors[program.input]
                Interpreter(program).predict(np.zeros(entry.elements, entry.dtype))
            stage = "lowered"
    except EdgeffError as error:
        stage = f"{stage}: {type(error).__name__}"
        if not str(error).isprintable() or not 0 < len(str(error)) <= LONGEST_LINE:
            failure = f"a refusal that is no line: {str(error)[:200]!r}"
    except OverTime:
        failure = f"more than {SECONDS:g} s"
    except BaseException as error:  # noqa: BLE001 - whatever comes out is what this looks for
        place = traceback.extract_tb(error.__traceback__)[-1]
        failure = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"
    seconds = round(time.process_time() - start, 4)
    return {"outcome": stage, "seconds": seconds, "mebibytes": max(_peak() - resident, 0) >> 10, "failure": failure}


def _resident() -> int:
    """The resident memory now, in KiB; from here on ``_peak`` counts anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


@contextmanager
def _in_time() -> Iterator[None]:
    def over(_signal: int, _frame: Any) -> None:
        raise OverTime

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory() -> None:
    """Allows the process BYTES of addresses more than it has now."""
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + BYTES, taken + BYTES))


def main(form: str, first: int, end: int) -> None:
    """Writes the number of each case before it is read and its outcome after, so that a crash has a name."""
    corpus(form)
    with tempfile.TemporaryDirectory(prefix="edgeff-fuzz-") as folder:
        outcome(mutation(form, first), Path(folder) / "model")  # the first time imports what is imported late
        limit_memory()
        for number in range(first, end):
            data = mutation(form, number)
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            sys.stdout.write(json.dumps(outcome(data, Path(folder) / "model")) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
