"""Work over slices of a batch on all cores: NumPy releases the interpreter's lock, so threads suffice.

Slices depend only on sizes, and sums over them are added in one order, so results do not depend on the number of cores.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from math import prod
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Work = Callable[[slice], None]
CACHED_BYTES = 1 << 20
GROUPS = 8
"""The most runs of slices of a sum or a product: more cores than this do not help."""
SHARES, BLOCK = 4, 32
MOST_KEPT = 512
SMALLEST_PRODUCT = 1 << 22
SMALLEST_RECYCLED_BYTES = 1 << 14


class _Kept(threading.local):
    """What a thread keeps between calls: its workspaces, and memory to reuse if requested."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}
        self.workspaces: dict[Any, NDArray[Any]] = {}
        self.recycled: dict[int, list[NDArray[np.uint8]]] | None = None


_kept = _Kept()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="edgeff")


@cache
def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slices(length: int, most: int) -> list[slice]:
    """``length`` items in slices of at most ``most`` (1 or more), as even as possible.

    >>> slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count = -(-length // max(most, 1))
    step = -(-length // max(count, 1))
    return [slice(first, min(first + step, length)) for first in range(0, length, step or 1)]


def cached(*batches: NDArray[Any]) -> list[slice]:
    """Slices along the first axis of arrays of one length that stay in the cache."""
    return slices(len(batches[0]), CACHED_BYTES // max(sum(x.nbytes for x in batches) // max(len(batches[0]), 1), 1))


def kept(key: Any, make: Callable[[], T]) -> T:
    """The result of ``make`` in this thread, computed once per ``key``; only the latest few hundred are kept."""
    value = _kept.made.get(key)
    if value is None:
        if len(_kept.made) >= MOST_KEPT:
            _kept.made.clear()
        value = _kept.made[key] = make()
    return cast(T, value)


def workspace(name: object, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A scratch array of this thread: all of one ``name`` share the memory of the largest, so it is valid until the next call."""
    size = prod(shape)
    memory = _kept.workspaces.get((name, dtype))
    if memory is None or memory.size < size:
        memory = _kept.workspaces[name, dtype] = np.empty(size, dtype)
    return memory[:size].reshape(shape)


def _references(arrays: Sequence[object], index: int) -> int:
    return sys.getrefcount(arrays[index])


_UNUSED = _references([object()], 0)


@contextmanager
def recycling() -> Iterator[None]:
    """Within it ``empty`` of this thread reuses memory that is no longer referenced: fresh memory costs a page fault every 4 KB."""
    before = _kept.recycled
    _kept.recycled = {} if before is None else before
    try:
        yield
    finally:
        _kept.recycled = before


def empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An uninitialised array."""
    size_bytes = prod(shape) * np.dtype(dtype).itemsize
    if _kept.recycled is None or size_bytes < SMALLEST_RECYCLED_BYTES:
        return np.empty(shape, dtype)
    blocks = _kept.recycled.setdefault(size_bytes, [])
    for index in range(len(blocks)):
        if _references(blocks, index) == _UNUSED:
            return blocks[index].view(dtype).reshape(shape)
    blocks.append(np.empty(size_bytes, np.uint8))
    return blocks[-1].view(dtype).reshape(shape)


def _run(work: Callable[[Any], None], shares: Sequence[Any]) -> None:
    """Runs ``work`` on every share, each on its own core; its errors are raised here."""
    rest = [_pool().submit(copy_context().run, work, share) for share in shares[1:]]
    try:
        work(shares[0])
    finally:
        for future in rest:
            future.result()


def each(work: Work, parts: Sequence[slice]) -> None:
    """Calls ``work`` on every slice; each core takes one run of neighbours."""

    def share(run: Sequence[slice]) -> None:
        for part in run:
            work(part)

    if parts:
        _run(share, [parts[run] for run in slices(len(parts), -(-len(parts) // cores()))])


def total(work: Callable[[slice], NDArray[Any]], parts: Sequence[slice]) -> NDArray[Any]:
    """The sum of ``work`` over one or more slices: sums over runs of neighbours, added in order."""
    groups = [parts[run] for run in slices(len(parts), -(-len(parts) // GROUPS))]
    sums: list[Any] = [None] * len(groups)

    def share(run: slice) -> None:
        for index in range(run.start, run.stop):
            partial = work(groups[index][0])
            for part in groups[index][1:]:
                partial += work(part)
            sums[index] = partial

    _run(share, slices(len(groups), -(-len(groups) // cores())))
    for partial in sums[1:]:
        sums[0] += partial
    return np.asarray(sums[0])


def row_sum(rows: NDArray[Any]) -> NDArray[Any]:
    """The sum (K,) of rows (N, K), by BLAS."""
    return np.asarray(np.ones(len(rows), rows.dtype) @ rows)


def column_sums(x: NDArray[Any]) -> NDArray[Any]:
    """The sums over all axes but the last (C,), by BLAS over whole rows."""
    width = x.shape[-2] if x.ndim > 2 else 1
    return np.asarray(row_sum(x.reshape(-1, width * x.shape[-1])).reshape(width, -1).sum(axis=0))


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The matrix product of a (N, K) and b (K, M); if large, by rows of ``a`` or columns of ``b`` on all cores."""
    (rows, inner), columns = a.shape, b.shape[1]
    parts = shares(max(rows, columns), rows * inner * columns)
    if len(parts) < 2:
        return np.asarray(a @ b)
    y = empty((rows, columns), np.result_type(a, b))

    def work(part: slice) -> None:
        if rows >= columns:
            np.matmul(a[part], b, out=y[part])
        else:
            np.matmul(a, b[:, part], out=y[:, part])

    each(work, parts)
    return y


def outer_sum(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """a^T b (K, M) of a (N, K) and b (N, M); if large, by columns of ``a`` or ``b`` on all cores."""
    return product(a.T, b)


def shares(length: int, products: int) -> list[slice]:
    """``length`` items in at most ``SHARES`` slices, few enough that each has its share of ``products`` worth a thread.

    Slices are whole ``BLOCK``s, except the last: BLAS works in blocks and is slow at their borders.
    """
    most = -(-length // min(max(products // SMALLEST_PRODUCT, 1), SHARES))
    step = -(-most // BLOCK) * BLOCK
    return [slice(first, min(first + step, length)) for first in range(0, length, step)]
