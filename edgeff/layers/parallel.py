"""Work over slices of a batch on all cores: NumPy lets go of the interpreter's lock, so threads do.

Slices are a matter of sizes alone, and sums over them are added in order: results do not depend on the count of cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
_kept = threading.local()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="edgeff")


@cache
def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slices(length: int, most: int) -> list[slice]:
    """``length`` items in slices of at most ``most`` (1 or more), as even as can be.

    >>> slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count = -(-length // max(most, 1))
    step = -(-length // max(count, 1))
    return [slice(first, min(first + step, length)) for first in range(0, length, step or 1)]


def scratch(name: object, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of this thread under ``name``, made of zeros when first asked for in this shape and left as its last user left it after that."""
    kept: dict[Any, NDArray[Any]] = _kept.__dict__
    key = (name, shape, dtype)
    found = kept.get(key)
    if found is None:
        found = kept[key] = np.zeros(shape, dtype)
    return found


def _shares(work: Callable[[slice], T], parts: Sequence[slice]) -> Iterator[T]:
    """``work`` of every slice, in order; each core takes one run of neighbours."""
    if len(parts) < 2 or cores() < 2:
        return map(work, parts)
    runs = [parts[share] for share in slices(len(parts), -(-len(parts) // cores()))]
    done = _pool().map(lambda run: [work(part) for part in run], runs)
    return (made for run in done for made in run)


def each(work: Callable[[slice], None], parts: Sequence[slice]) -> None:
    """Calls ``work`` on every slice."""
    for _ in _shares(work, parts):
        pass


def total(work: Callable[[slice], NDArray[Any]], parts: Sequence[slice]) -> NDArray[Any]:
    """The sum of ``work`` over every slice, added in order."""
    made = _shares(work, parts)
    found = next(made)
    for part in made:
        found = found + part
    return found
