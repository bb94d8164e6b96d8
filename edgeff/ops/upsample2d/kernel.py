"""An image in more pixels: each repeated, or others of one value between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Flag, Record, Size, StepI16, Zero

_SHAPE = ("(in_h - 1) * factor_h + (1 if zeros else factor_h)", "(in_w - 1) * factor_w + (1 if zeros else factor_w)", "channels")


@dataclass(frozen=True, slots=True)
class MorePixels(Record):
    """An image [in_h][in_w][channels], factor_h times as high and factor_w times as wide; ``zeros``: instead of repeated, a pixel stands
    alone, that many places from the next one, with a value between them and none after the last.
    """

    in_h: Size
    in_w: Size
    channels: Size
    factor_h: Size
    factor_w: Size
    zeros: Flag


def origins(how: MorePixels) -> Array:
    """The element of the input that each element of the output is, in C order; one past the last for the value between pixels."""
    last = 1 if how.zeros else 0
    rows = np.arange((how.in_h - 1) * how.factor_h + (last or how.factor_h))
    columns = np.arange((how.in_w - 1) * how.factor_w + (last or how.factor_w))
    pixels = (rows // how.factor_h)[:, None] * how.in_w + (columns // how.factor_w)[None, :]
    places = pixels[:, :, None] * how.channels + np.arange(how.channels)
    between = (rows % how.factor_h > 0)[:, None] | (columns % how.factor_w > 0)[None, :]
    if how.zeros:
        places = np.where(between[:, :, None], how.in_h * how.in_w * how.channels, places)
    return np.asarray(places.reshape(-1))


@kernel()
def eff_upsample2d_f32(
    y: Annotated[Array, Out("float", *_SHAPE)], x: Annotated[Array, In("float", "in_h", "in_w", "channels")], how: MorePixels, value: float
) -> None:
    """x in more pixels, with ``value`` between them if they are not repeated."""
    y[:] = np.append(x, np.float32(value))[origins(how)]


@kernel()
def eff_upsample2d_i8(
    y: Annotated[Array, Out("int8_t", *_SHAPE)], x: Annotated[Array, In("int8_t", "in_h", "in_w", "channels")], how: MorePixels, value: Zero
) -> None:
    """x in more pixels, with ``value`` between them if they are not repeated."""
    y[:] = np.append(x, np.int8(value))[origins(how)]


@kernel()
def eff_upsample2d_i16(
    y: Annotated[Array, Out("int16_t", *_SHAPE, low=-32768)],
    x: Annotated[Array, In("int16_t", "in_h", "in_w", "channels", low=-32768)],
    how: MorePixels,
    value: StepI16,
) -> None:
    """x in more pixels, with ``value`` between them if they are not repeated."""
    y[:] = np.append(x, np.int16(value))[origins(how)]
