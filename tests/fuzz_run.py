"""Runs ``fuzz_worker`` in processes of its own: a range of cases comes in, the outcome of each goes out, those that ended a process too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("fuzz_worker.py")
ROOT = WORKER.parents[1]
GRACE_SECONDS = 30.0
"""For one case before its process is ended: C code hears no timer of Python's."""
START_SECONDS = 600.0
"""For a process to begin, which makes the files that it mutates."""


def outcomes(form: str, first: int, end: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each case from ``first`` to ``end`` - 1 with its outcome; a case that ends or stops its process fails, and the next one goes on."""
    while first < end:
        last = None
        for number, found in _process(form, first, end):
            last = number
            yield number, found
        if last is None:  # the process ended before its first case
            raise RuntimeError(f"the worker for {form} cases from {first} on did not start")
        first = last + 1


def _process(form: str, first: int, end: int) -> Iterator[tuple[int, dict[str, Any]]]:
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(WORKER), form, str(first), str(end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8") as process:
        number, wait = None, START_SECONDS
        while line := _line(process, wait):
            wait = GRACE_SECONDS
            if line.startswith("{"):
                assert number is not None
                yield number, json.loads(line)
                number = None
            else:
                number = int(line)
    if number is not None:
        failure = f"the process ended with status {process.returncode}"
        yield number, {"outcome": "ended", "seconds": GRACE_SECONDS, "mebibytes": 0, "failure": failure}


def _line(process: subprocess.Popen[str], seconds: float) -> str:
    """The process's next line of output, empty at its end; it is ended where none comes in time."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        return process.stdout.readline()
    finally:
        timer.cancel()
