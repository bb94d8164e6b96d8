"""Self-contrastive Forward-Forward (Chen et al. 2025): pairs of samples, the local loss."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import exp_f32, requantise, sigmoid_q15
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Range, Size, Squares
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, Sign, VectorF32, VectorI8, VectorI16

GradientI16 = Annotated[Array, Out("int16_t", "positions", "channels")]
Channels = Annotated[int, Range(1, 33_000)]
Sparsity = Annotated[int, Range(0, 32_767)]


@kernel(macs="n", overlap=element_by_element("a", "c", written=4, read=4))
def eff_pair_f32(y: OutF32, a: VectorF32, c: VectorF32, n: Size) -> None:
    """y = (a + c) / 2: the input that the tied halves of a layer see of a pair, except for a factor of 2."""
    y[:] = (a + c) * np.float32(0.5)


def _pair(y: Array, a: Array, c: Array) -> None:
    y[:] = (a.astype(np.int64) + c.astype(np.int64) + 1) >> 1


@kernel(macs="n", overlap=element_by_element("a", "c", written=1, read=1))
def eff_pair_i8(y: OutI8, a: VectorI8, c: VectorI8, n: Size) -> None:
    """The int8 form, all with one scale and zero point; ties upwards."""
    _pair(y, a, c)


@kernel(macs="n", overlap=element_by_element("a", "c", written=2, read=2))
def eff_pair_i16(y: OutI16, a: VectorI16, c: VectorI16, n: Size) -> None:
    """The int16 form."""
    _pair(y, a, c)


@kernel(macs="2 * positions * channels", overlap=element_by_element("h", output="d", sizes=("positions", "channels"), written=4, read=4))
def eff_scff_delta_f32(
    d: Annotated[Array, Out("float", "positions", "channels")],
    h: Annotated[Array, In("float", "positions", "channels")],
    positions: Size,
    channels: Size,
    theta: float,
    sign: Sign,
    sparsity: float,
) -> None:
    """channels / 8 times d loss / d h for G = 4 mean(h^2) at each position.

    The loss is softplus(theta - G) + sparsity G (sign 1) or softplus(G - theta) (sign -1).
    """
    f = np.float32
    image = h.reshape(positions, channels)
    sums = np.add.accumulate(image * image, axis=1, dtype=f)[:, -1]
    goodness = f(4.0) * sums / f(channels)
    s = f(-1.0 if sign < 0 else 1.0)
    slope = f(1.0) / (f(1.0) + exp_f32(s * (goodness - f(theta))))
    factor = slope if sign < 0 else f(sparsity) - slope
    d[:] = (factor[:, None] * image).reshape(-1)


def _factors(squares: Array, multiplier: int, shift: int, theta: int, sign: int, sparsity: int) -> Array:
    """In Q0.15, one per position."""
    goodness = np.clip(requantise(squares, multiplier, shift), 0, 1 << 30)
    slope = sigmoid_q15(goodness - theta if sign < 0 else theta - goodness)
    return np.asarray(slope if sign < 0 else sparsity - slope)[:, None]


@kernel(macs="2 * positions * channels", overlap=element_by_element("h", output="d", sizes=("positions", "channels"), written=2, read=1))
def eff_scff_delta_i8(
    d: GradientI16,
    h: Annotated[Array, In("int8_t", "positions", "channels")],
    positions: Size,
    channels: Channels,
    squares: Squares,
    theta: int,
    sign: Sign,
    sparsity: Sparsity,
) -> None:
    """The int8 form, d in int16 with the scale s_h / 128; G and theta in units of 2**-16, sparsity in Q0.15. channels <= 33,000."""
    image = h.astype(np.int64).reshape(positions, channels) - squares.h_zero
    factors = _factors((image * image).sum(axis=1), squares.multiplier, squares.shift, theta, sign, sparsity)
    d[:] = ((factors * image + 128) >> 8).reshape(-1)


@kernel(macs="2 * positions * channels", overlap=element_by_element("h", output="d", sizes=("positions", "channels"), written=2, read=2))
def eff_scff_delta_i16(
    d: GradientI16,
    h: Annotated[Array, In("int16_t", "positions", "channels")],
    positions: Size,
    channels: Channels,
    squares: Squares,
    theta: int,
    sign: Sign,
    sparsity: Sparsity,
) -> None:
    """The int16 form, d with the scale s_h; the sum of squares enters in units of 2**16."""
    image = h.astype(np.int64).reshape(positions, channels)
    factors = _factors((image * image).sum(axis=1) >> 16, squares.multiplier, squares.shift, theta, sign, sparsity)
    d[:] = ((factors * image + (1 << 14)) >> 15).reshape(-1)
