"""Channel-wise competitive Forward-Forward (Papachristodoulou et al., AAAI 2024): each class's share of an activation's energy.

An activation h (n positions, in_c channels) is cut along its channels into K = min(classes, in_c) groups, the first in_c % K one channel
larger; class c belongs to group c % K. With G_j the mean square of group j, its goodness is r_j = K G_j / sum(G), independent of
scale, and the loss of a sample is the cross-entropy of softmax(sharpness r) and its group.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import exp_f32, exp_q31, sum_in_order
from edgeff.kernels.records import Flag, Range, Size, Zero
from edgeff.kernels.tensors import Label

ActivationsF32 = Annotated[Array, In("float", "n", "in_c")]
ActivationsI8 = Annotated[Array, In("int8_t", "n", "in_c")]
Width = Annotated[int, Range(1, 33_000)]
Classes = Annotated[int, Range(1, 2_047)]


LEAST_ENERGY = 2.0**-100
"""Below this an activation counts as silent: no goodness and no gradient."""


MOST_SQUARES = 33_000
"""This many squares of int8 numbers without their zero point can be summed in 32 bits."""


MOST_GROUPS = 2_047


def spans(in_c: int, classes: int) -> list[slice]:
    """The channels of each group.

    >>> spans(5, 3)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    groups = min(in_c, classes)
    ends = np.cumsum(in_c // groups + (np.arange(groups) < in_c % groups)).tolist()
    return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def _energies_f32(h: Array, n: int, in_c: int, classes: int) -> tuple[Array, np.float32]:
    """Each group's mean square, and the factor that makes it relative."""
    parts = [h.reshape(n, in_c)[:, span].reshape(-1) for span in spans(in_c, classes)]
    energies = np.array([sum_in_order(part * part) / np.float32(part.size) for part in parts], np.float32)
    total = sum_in_order(energies)
    return energies, np.float32(len(parts)) / total if total >= np.float32(LEAST_ENERGY) else np.float32(0.0)


def _write(scores: Array, goodness: Array, add: int) -> None:
    mine = goodness[np.arange(len(scores)) % len(goodness)]
    scores[:] = scores + mine if add else mine


@kernel(macs="2 * n * in_c")
def eff_channel_goodness_f32(
    scores: Annotated[Array, Out("float", "classes", also_read=True)],
    h: ActivationsF32,
    n: Size,
    in_c: Size,
    classes: Size,
    add: Flag,
) -> None:
    """scores (classes,) = the goodness of each class's group, or += with ``add``."""
    energies, factor = _energies_f32(h, n, in_c, classes)
    _write(scores, factor * energies, add)


@kernel(macs="2 * n * in_c")
def eff_competitive_delta_f32(
    d: Annotated[Array, Out("float", "n", "in_c")],
    scratch: Annotated[Array, Out("float", "2 * min(in_c, classes)")],
    h: ActivationsF32,
    label: Label,
    n: Size,
    in_c: Size,
    classes: Size,
    sharpness: float,
) -> None:
    """d (n, in_c) = d loss / d h = 2 sharpness / (n size_j m) (p_j - t_j - sum((p - t) r) / K) h with m the mean of the mean squares.

    scratch (2 K,) afterwards holds r, then p - t.
    """
    f = np.float32
    energies, factor = _energies_f32(h, n, in_c, classes)
    goodness, groups = factor * energies, len(energies)
    logits = f(sharpness) * goodness
    powers = exp_f32(logits - logits.max())
    error = powers / sum_in_order(powers)
    error[label[0] % groups] -= f(1.0)
    mean = sum_in_order(error * goodness) / f(groups)
    scale = f(2.0) * f(sharpness) * factor
    for j, span in enumerate(spans(in_c, classes)):
        slope = scale * (error[j] - mean) / f(n * (span.stop - span.start))
        d.reshape(n, in_c)[:, span] = slope * h.reshape(n, in_c)[:, span]
    scratch[: 2 * groups] = np.concatenate([goodness, error])


def _goodness_i8(h: Array, n: int, in_c: int, classes: int, h_zero: int) -> tuple[list[int], int]:
    """Each group's goodness in units of 2**-16, and the sum of the mean squares in units of 2**-8 squared steps."""
    squares = (h.reshape(n, in_c).astype(np.int64) - h_zero) ** 2
    parts = [squares[:, span] for span in spans(in_c, classes)]
    energies = [(int(part.sum()) << 8) // part.size for part in parts]
    total = sum(energies)
    return [(energy * len(parts) << 16) // total if total else 0 for energy in energies], total


def _towards_zero(a: int, b: int) -> int:
    """a / b rounded towards zero, as C divides; b > 0."""
    return a // b if a >= 0 else -(-a // b)


@kernel(macs="2 * n * in_c")
def eff_channel_goodness_i8(
    scores: Annotated[Array, Out("int32_t", "classes", low=0, high=15 << 26, also_read=True)],
    h: ActivationsI8,
    n: Width,
    in_c: Size,
    classes: Classes,
    h_zero: Zero,
    add: Flag,
) -> None:
    """The int8 form, scores int32 in units of 2**-16; at most 16 layers, 2,047 groups and 33,000 values per group."""
    _write(scores, np.array(_goodness_i8(h, n, in_c, classes, h_zero)[0]), add)


@kernel(macs="2 * n * in_c")
def eff_competitive_delta_i8(
    d: Annotated[Array, Out("int16_t", "n", "in_c")],
    scratch: Annotated[Array, Out("int32_t", "2 * min(in_c, classes)")],
    h: ActivationsI8,
    label: Label,
    n: Width,
    in_c: Size,
    classes: Classes,
    h_zero: Zero,
    sharpness: Annotated[int, Range(1, 1 << 15)],
) -> None:
    """The int8 form: d int16 in steps of 2 sharpness K / (n in_c 2**15 s_h), p - t in Q0.15, ``sharpness`` in units of 2**-8.

    It is divided by the mean square, so the steps of d follow from s_h alone.
    """
    goodness, total = _goodness_i8(h, n, in_c, classes, h_zero)
    groups, largest = len(goodness), max(goodness)
    differences = [max((r - largest) * sharpness >> 8, -0x1FFFFF) for r in goodness]
    powers = [int(power) >> 16 for power in exp_q31(np.array(differences, np.int64) * 1024)]
    error = [(power * 32768 + sum(powers) // 2) // sum(powers) for power in powers]
    error[int(label[0]) % groups] -= 32768
    mean = _towards_zero(sum(e * r for e, r in zip(error, goodness, strict=True)), groups << 16)
    image, d_image = h.reshape(n, in_c).astype(np.int64) - h_zero, d.reshape(n, in_c)
    for j, span in enumerate(spans(in_c, classes)):
        slope = _towards_zero((error[j] - mean) * in_c << 20, total * (span.stop - span.start)) if total else 0
        d_image[:, span] = np.clip((min(max(slope, -(1 << 22)), 1 << 22) * image[:, span] + (1 << 11)) >> 12, -32767, 32767)
    scratch[: 2 * groups] = goodness + error
