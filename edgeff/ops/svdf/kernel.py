"""Rank-constrained filters over time: in float32, and in int8 with a memory of int8 or int16, as TFLite's SVDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import Int, requantise, saturate32
from edgeff.kernels.records import Record, Relu, Requant, Size, Zero

F = np.float32
MACS = "units * rank * (n_in + memory)"
FILTERS = "units * rank"
OutputI8 = Annotated[Array, Out("int8_t", "units")]
InputI8 = Annotated[Array, In("int8_t", "n_in")]
FeaturesI8 = Annotated[Array, In("int8_t", FILTERS, "n_in", low=-127, high=127)]
BiasesI32 = Annotated[Array, In("int32_t", "units", low=-(2**30) + 1, high=2**30 - 1)]


@dataclass(frozen=True, slots=True)
class SvdfSize(Record):
    """units outputs, each of the sum of rank filters, over n_in inputs and the last ``memory`` of their products."""

    units: Size
    rank: Size
    n_in: Size
    memory: Size


@dataclass(frozen=True, slots=True)
class SvdfScales(Record):
    """The factors from a product with the input to the memory and from a filter's sum to the output, zero points, the output's limits."""

    feature: Requant
    filter: Requant
    x_zero: Zero
    state_zero: Zero
    y_zero: Zero
    y_min: Zero
    y_max: Zero


def _shifted(state: Array, size: SvdfSize) -> Array:
    """The memory, (filters, memory), one place further: the last column is to be filled."""
    rows = state.reshape(-1, size.memory)
    rows[:, :-1] = rows[:, 1:].copy()
    return rows


@kernel(macs=MACS)
def eff_svdf_f32(
    y: Annotated[Array, Out("float", "units")],
    state: Annotated[Array, Out("float", FILTERS, "memory", also_read=True)],
    x: Annotated[Array, In("float", "n_in")],
    features: Annotated[Array, In("float", FILTERS, "n_in")],
    time: Annotated[Array, In("float", FILTERS, "memory")],
    biases: Annotated[Array, In("float", "units")],
    size: SvdfSize,
    relu: Relu,
) -> None:
    """state, each row one place to the left, gets features x on its right; y = activation(biases + the rank rows of state times time)."""
    rows, w, past = _shifted(state, size), features.reshape(-1, size.n_in), time.reshape(-1, size.memory)
    now = np.zeros(len(rows), np.float32)
    for k in range(size.n_in):
        now = now + w[:, k] * x[k]
    rows[:, -1] = now
    filtered = np.zeros(len(rows), np.float32)
    for t in range(size.memory):
        filtered = filtered + past[:, t] * rows[:, t]
    sums = biases.copy()
    for r in range(size.rank):
        sums = sums + filtered.reshape(-1, size.rank)[:, r]
    y[:] = activate(sums, relu)


def _feature(x: Array, features: Array, how: SvdfScales) -> Int:
    sums = features.reshape(-1, len(x)).astype(np.int64) @ (x.astype(np.int64) - how.x_zero)
    return requantise(sums, how.feature.multiplier, how.feature.shift)


def _output(rows: Int, time: Array, biases: Array, size: SvdfSize, how: SvdfScales) -> Array:
    """The outputs from the memory, its zero point taken away."""
    sums = (time.reshape(-1, size.memory).astype(np.int64) * rows).sum(axis=1)
    whole = saturate32(sums.reshape(-1, size.rank).sum(axis=1) + biases)
    scaled = requantise(whole, how.filter.multiplier, how.filter.shift)
    return np.clip(np.clip(scaled, -1024, 1024) + how.y_zero, how.y_min, how.y_max)


@kernel(macs=MACS)
def eff_svdf_i8(
    y: OutputI8,
    state: Annotated[Array, Out("int8_t", FILTERS, "memory", also_read=True)],
    x: InputI8,
    features: FeaturesI8,
    time: Annotated[Array, In("int8_t", FILTERS, "memory", low=-127, high=127)],
    biases: BiasesI32,
    size: SvdfSize,
    how: SvdfScales,
) -> None:
    """As eff_svdf_f32, what TFLM computes bit for bit: a product is limited to int8 before its zero point is added, and wraps then. n_in
    and rank * memory at most 32,768, and |bias| + 255 sum |time| below 2^31.
    """
    rows = _shifted(state, size)
    now = np.clip(_feature(x, features, how), -128, 127) + how.state_zero
    rows[:, -1] = ((now + 128) & 255) - 128
    y[:] = _output(rows.astype(np.int64) - how.state_zero, time, biases, size, how)


@kernel(macs=MACS)
def eff_svdf_i8x16(
    y: OutputI8,
    state: Annotated[Array, Out("int16_t", FILTERS, "memory", low=-32768, also_read=True)],
    x: InputI8,
    features: FeaturesI8,
    time: Annotated[Array, In("int16_t", FILTERS, "memory")],
    biases: BiasesI32,
    size: SvdfSize,
    how: SvdfScales,
) -> None:
    """As eff_svdf_i8 with a memory of 16 bits, without a zero point: the sum over time has 64 bits and is limited to 32, which TFLM's
    exceeds unseen. n_in at most 32,768.
    """
    rows = _shifted(state, size)
    rows[:, -1] = np.clip(_feature(x, features, how), -32768, 32767)
    y[:] = _output(rows.astype(np.int64), time, biases, size, how)
