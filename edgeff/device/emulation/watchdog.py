"""Stops a run that takes too long: a time limit and a function that stops it come in.

The emulator has its own time limit, but starts a thread per run (0.3 ms); here one thread watches all runs of the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PERIOD_S = 0.2


@dataclass(slots=True)
class Watch:
    """One watched run; ``expired`` says that it was stopped."""

    deadline_s: float
    stop: Callable[[], object]
    expired: bool = False


_lock = threading.Lock()
_watched: dict[int, Watch] = {}
_work = threading.Event()
_threads: list[threading.Thread] = []


@contextmanager
def limit(seconds: float, stop: Callable[[], object]) -> Iterator[Watch]:
    """A watch that calls ``stop`` once, from another thread, if the block takes longer than ``seconds`` (to within 0.2 s)."""
    watch = Watch(time.monotonic() + seconds, stop)
    with _lock:
        _watched[id(watch)] = watch
        if not _threads or not _threads[0].is_alive():
            _threads[:] = [threading.Thread(target=_patrol, name="edgeff-watchdog", daemon=True)]
            _threads[0].start()
        _work.set()
    try:
        yield watch
    finally:
        with _lock:
            del _watched[id(watch)]


def _patrol() -> None:
    while _work.wait():
        time.sleep(_PERIOD_S)
        with _lock:
            for watch in _watched.values():
                if not watch.expired and time.monotonic() > watch.deadline_s:
                    watch.expired = True
                    watch.stop()
            if not _watched:
                _work.clear()
