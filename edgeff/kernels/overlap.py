"""How far a kernel's output may reach into the memory of its input, from the order in which the C reads and writes.

A loop is a sequence of steps, each of which reads and then writes. It is safe in one buffer if no byte is written before the last step
that reads it. C lets only objects of one type, and those of one byte, share memory: kernels of two wider types state nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from edgeff.ir import Array


@dataclass(frozen=True, slots=True)
class Clearance:
    """Where an output may begin: at least ``below`` bytes below the start of the input, or at least ``above`` bytes above it.

    A negative number allows it to begin on the other side of that start. None: on that side the two must not overlap. ``same``: it may
    begin exactly where the input begins.
    """

    below: int | None = None
    above: int | None = None
    same: bool = False

    def farther(self, other: Clearance) -> Clearance:
        """The clearance that satisfies both."""
        below = None if self.below is None or other.below is None else max(self.below, other.below)
        above = None if self.above is None or other.above is None else max(self.above, other.above)
        return Clearance(below, above, self.same and other.same)


Overlap = Callable[[Mapping[str, Any]], Mapping[tuple[str, str], Clearance]]
"""From a call's attributes: the clearance of each pair (output, input) of parameters that may share memory."""
Spans = tuple[Array, Array]
"""For each pixel that is written, in order, the first pixel that is read for it and the one after the last."""
Chunk = tuple[int, int, int, int]
"""A window kernel's work for one pixel at a time: the channels first..end - 1 that it writes, and those that it reads for them."""


def nothing_shared(_: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
    """No output overlaps an input."""
    return {}


def element_by_element(*inputs: str, output: str = "y", sizes: tuple[str, ...] = ("n",), written: int, read: int) -> Overlap:
    """For a kernel that reads element k of each of ``inputs``, for the last time, before it writes element k of ``output``, k going up.

    The product of ``sizes``, attributes, is the number of elements; ``written`` and ``read`` are their sizes in bytes.
    """

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        # After step k < n - 1 the output reaches up to (k + 1) * written, and the input is still needed from (k + 1) * read on.
        n, growth = prod(int(attrs[name]) for name in sizes), written - read
        clearance = Clearance(below=max(growth, (n - 1) * growth) if n > 1 else -read)
        return {(output, name): clearance for name in inputs}

    return overlap


def after_every_read(output: str, input_: str, elements: str, read: int) -> Overlap:
    """For a kernel that writes ``output`` after it has read all of ``input_``, of ``elements`` elements: any overlap."""
    return lambda attrs: {(output, input_): Clearance(below=-int(attrs[elements]) * read)}


def row_by_row(lanes: int, size: int) -> Overlap:
    """For ``y = w x``: each row reads all of x. ``lanes`` rows at a time are written together, then the rest one by one."""

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        n_out, n_in = int(attrs["n_out"]), int(attrs["n_in"])
        before_last = n_out - (1 if n_out % lanes else lanes)
        return {("y", "x"): Clearance(below=(before_last or -n_in) * size)}

    return overlap


def channel_by_channel(size: int) -> Overlap:
    """For a mean over n positions: channel c is read at every position, then written."""

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        n, channels = int(attrs["n"]), int(attrs["in_c"])
        return {("y", "x"): Clearance(below=0 if channels > 1 else -n * size)}

    return overlap


def channel_planes(_: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
    """For a kernel of images with as many channels in as out that reads all of a channel before it writes any of it: in place."""
    return {("y", "x"): Clearance(same=True)}


def pixel_by_pixel(chunks: Callable[[Mapping[str, Any]], Iterable[Chunk]], size: int) -> Overlap:
    """For a kernel that slides a window over an image and computes each pixel of its output in ``chunks``, with ``size`` bytes per element.

    The pixels are visited from the first to the last, or, if the output begins above the input, from the last to the first.
    """

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        window = tuple(int(attrs[f"{name}_{axis}"]) for axis in "hw" for name in ("in", "out", "k", "stride", "pad"))
        return {("y", "x"): _of_windows(window, int(attrs["in_c"]), tuple(chunks(attrs)), size)}

    return overlap


def pixel_by_pixel_back(chunks: Callable[[Mapping[str, Any]], Iterable[Chunk]], size: int) -> Overlap:
    """For the gradient ``d`` of a window kernel's input from ``delta``: each pixel of the image in ``chunks``, from the first to the last,
    from the pixels of delta whose windows hold it; ``size`` bytes per element. None for one that is added onto d.
    """

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        if attrs.get("add"):
            return {}
        window = tuple(int(attrs[f"{name}_{axis}"]) for axis in "hw" for name in ("in", "out", "k", "stride", "pad"))
        below = _of_reads(_taken(window), int(attrs["out_c"]), tuple(chunks(attrs)), size, forwards=True).below
        return {("d", "delta"): Clearance(below=below)}

    return overlap


def single_channels(attrs: Mapping[str, Any]) -> list[Chunk]:
    """A pool's chunks: each channel from itself."""
    return [(c, c + 1, c, c + 1) for c in range(int(attrs["in_c"]))]


def runs(channels: int, lanes: int) -> list[tuple[int, int]]:
    """``lanes`` channels at a time, then the rest one by one: first and end of each."""
    whole = channels // lanes * lanes
    return [(c, c + lanes) for c in range(0, whole, lanes)] + [(c, c + 1) for c in range(whole, channels)]


def _of_windows(window: tuple[int, ...], in_c: int, chunks: tuple[Chunk, ...], size: int) -> Clearance:
    """The clearance of a window kernel."""
    return _of_reads(_taps(window), in_c, chunks, size)


@lru_cache(maxsize=4096)
def _cleared(first: bytes, end: bytes, read_c: int, chunks: tuple[Chunk, ...], size: int, forwards: bool) -> Clearance:
    return _clearance(np.frombuffer(first, np.int64), np.frombuffer(end, np.int64), read_c, chunks, size, forwards=forwards)


def _of_reads(spans: Spans, read_c: int, chunks: tuple[Chunk, ...], size: int, *, forwards: bool = False) -> Clearance:
    """``below`` for the visit from the first pixel to the last, ``above`` for the other; pixel i reads those of ``spans``, of ``read_c``
    channels. ``forwards``: the first pixel is the first wherever the output lies.
    """
    first, end = spans
    return _cleared(first.tobytes(), end.tobytes(), read_c, chunks, size, forwards)


def _clearance(first: Array, end: Array, read_c: int, chunks: tuple[Chunk, ...], size: int, *, forwards: bool) -> Clearance:
    written_c = max(chunk[1] for chunk in chunks)
    pixels, written = len(first), written_c * np.arange(len(first))
    read_first, read_end = first * read_c, (end - 1) * read_c  # for channel 0, at the first and at the last pixel read
    reading = end > 0
    if not reading.any():
        return Clearance()
    reach_below, reach_above = int(np.max((written - read_first)[reading])), int(np.max((read_end - written)[reading]))
    # Where the side determines the order of the visit, neither distance reaches to the other side; if both begin together the first pixel
    # is the first.
    below, above = [-int(end.max()) * read_c if forwards else 0], [1]
    later_first, later_end = read_c, 0
    for at, (_, _, channel, last) in reversed(list(enumerate(chunks))):
        later_first, later_end = min(later_first, channel), max(later_end, last)
        if at:  # the previous chunk is written while this one and those after it have not been read
            below.append(reach_below + chunks[at - 1][1] - later_first)
            above.append(reach_above + later_end - chunks[at - 1][0])
    if pixels > 1:
        needed_first = np.minimum.accumulate(read_first[::-1])[::-1][1:]
        needed_end = np.maximum.accumulate(read_end)[:-1]
        later = np.maximum.accumulate(reading[::-1])[::-1][1:]  # as long as a later pixel reads anything
        below += [int(np.max((written[1:] - needed_first)[later])) - later_first] if later.any() else []
        above.append(int(np.max(needed_end - written[1:])) + later_end)
    return Clearance(size * max(below), size * max(above))


def _taken(window: tuple[int, ...]) -> Spans:
    """For each pixel of the image the first pixel of the output whose window holds it, and the one after the last."""
    spans = []
    for size, out, taps, stride, pad in (window[:5], window[5:]):
        place = np.arange(size, dtype=np.int64) + pad
        spans.append((np.maximum(-((taps - 1 - place) // stride), 0), np.minimum(place // stride + 1, out)))
    return _within(spans, window[1], window[6])


def _taps(window: tuple[int, ...]) -> Spans:
    """For each pixel of the output the first pixel of the image that its window reads, and the one after the last."""
    spans = []
    for size, out, taps, stride, pad in (window[:5], window[5:]):
        start = stride * np.arange(out, dtype=np.int64) - pad
        spans.append((np.maximum(start, 0), np.minimum(start + taps, size)))
    return _within(spans, window[0], window[5])


def _within(spans: Sequence[Spans], height: int, width: int) -> Spans:
    """Rows and columns that are read, as runs of the pixels of an image; a pixel that reads nothing has a run that counts for nothing."""
    (top, bottom), (left, right) = spans
    reads = ((bottom > top)[:, None] & (right > left)).reshape(-1)
    first = (top[:, None] * width + left).reshape(-1)
    end = ((bottom - 1)[:, None] * width + right).reshape(-1)
    return np.where(reads, first, height * width), np.where(reads, end, 0)
