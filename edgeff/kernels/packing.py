"""int8 weights -> the words that ``eff_packed.h`` reads: two rows in a word, the zero point in the bias, factors beside the rows.

A layer can be packed if all its constants are known, its weights are -127 to 127, the sums of its odd rows stay below 2**23, and its
requantisation has a multiplier of 2**30 or more (or 0) and a shift of -2 to -31. What cannot be packed keeps the loop it has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeff.ir import Array
from edgeff.kernels import Arguments

Words = NDArray[np.uint32]
WANTED = "constant weights of -127 to 127 with sums below 2**23 in each row, shifts of -2 to -31"
"""What ``packable`` asks, in words."""
INSIDE: Mapping[str, Array | None] = {"b": None, "multiplier": None, "shift": None}
"""What a convolution's packed weights hold themselves."""
LARGEST_ODD_SUM = (1 << 23) // 128
"""The sum of an odd row's absolute weights, times 128, must be below 2**23."""


def shifts_allow(constants: Mapping[str, Array]) -> bool:
    """Whether ``multiplier`` and ``shift`` are constants that ``eff_requantise_i8`` takes."""
    if not {"multiplier", "shift"} <= constants.keys():
        return False
    multiplier, shift = constants["multiplier"], constants["shift"]
    known = (multiplier >= 1 << 30) & (shift <= -2) & (shift >= -31)
    return bool((known | (multiplier == 0)).all())


def packable(constants: Mapping[str, Array], rows: int) -> bool:
    """Whether the weights ``w`` in ``rows`` rows can be packed."""
    if "w" not in constants or not shifts_allow(constants):
        return False
    w = constants["w"].reshape(rows, -1).astype(np.int64)
    return bool(w.min() >= -127 and (np.abs(w).sum(axis=1) < LARGEST_ODD_SUM).all())


def stages(attrs: Arguments, constants: Mapping[str, Array], rows: int) -> tuple[Array, Array, Words, Words]:
    """Weights (rows, K), biases (rows,) with the zero point folded in, and the two factors (rows,) of ``eff_requantise_i8``.

    A row with a multiplier of 0, which gives the zero point whatever its sum, becomes a row of zeros.
    """
    multiplier, shift = (np.broadcast_to(constants[name].astype(np.int64), rows) for name in ("multiplier", "shift"))
    alive = multiplier > 0
    w = constants["w"].reshape(rows, -1).astype(np.int64) * alive[:, None]
    bias = (constants["b"].astype(np.int64) if "b" in constants else np.zeros(rows, np.int64)) * alive
    folded = bias - attrs["output"].x_zero * w.sum(axis=1)
    doubled = np.where(alive, 2 * multiplier, 1 << 31) & 0xFFFFFFFF
    power = np.int64(1) << np.where(alive, 32 + shift, 30)
    return w, folded, doubled.astype(np.uint32), power.astype(np.uint32)


def paired(w: Array) -> Words:
    """Rows w (rows, K), of even number, as words (rows / 2, K / 2): halfwords 256 w[r + 1] + w[r] of (k, k + 2), then of (k + 1, k + 3).

    K is filled up with zeros to a multiple of 8.
    """
    filled = np.pad(w, ((0, 0), (0, -w.shape[1] % 8)))
    halves = (256 * filled[1::2] + filled[::2]).reshape(len(w) // 2, -1, 4) & 0xFFFF
    words = halves[:, :, :2] | halves[:, :, 2:] << 16
    return words.reshape(len(w) // 2, -1).astype(np.uint32)


def as_words(values: Array) -> Words:
    """int32 numbers as words."""
    return (values.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def constant(parts: list[Words]) -> Array:
    """Words one after the other, as the constant of a program."""
    return np.concatenate([part.reshape(-1) for part in parts]).view(np.int32)


def pack_pairs(attrs: Arguments, constants: Mapping[str, Array]) -> Mapping[str, Array | None]:
    """A convolution's filters: for each two the first's bias, the words, the second's bias, and the factors of both."""
    rows = int(attrs["window"].out_c)
    w, bias, doubled, power = stages(attrs, constants, rows)
    bias_words, factors = as_words(bias).reshape(-1, 2), np.stack([doubled, power], axis=1).reshape(-1, 4)
    packed = np.concatenate([bias_words[:, :1], paired(w), bias_words[:, 1:], factors], axis=1)
    return {"w": constant([packed]), **INSIDE}


def pack_columns(attrs: Arguments, constants: Mapping[str, Array]) -> Mapping[str, Array | None]:
    """The 3x3 weights of a depthwise convolution, by channel: for each column x the halves (w[0][x], w[1][x]) and (w[1][x], w[2][x]), then
    the bias and both factors.
    """
    channels = int(attrs["window"].out_c)
    taps = {**constants, "w": np.ascontiguousarray(constants["w"].reshape(9, channels).T)}
    w, bias, doubled, power = stages(attrs, taps, channels)
    rows = w.reshape(channels, 3, 3) & 0xFFFF
    words = np.stack([rows[:, 0] | rows[:, 1] << 16, rows[:, 1] | rows[:, 2] << 16], axis=2).reshape(channels, 6).astype(np.uint32)
    packed = np.concatenate([words, as_words(bias)[:, None], doubled[:, None], power[:, None]], axis=1)
    return {"w": constant([packed]), **INSIDE}


def pack_quads(attrs: Arguments, constants: Mapping[str, Array]) -> Mapping[str, Array | None]:
    """A dense layer's rows: for each four the biases of the even rows, the words of both pairs in turn and the biases of the odd rows;
    then, for each row that is left, its bias and its bytes. ``multiplier`` holds both factors of each row, or once for any four.
    """
    rows = int(attrs["size"].n_out)
    w, bias, doubled, power = stages(attrs, constants, rows)
    whole = rows // 4 * 4
    bias_words, factors = as_words(bias), np.stack([doubled, power], axis=1)
    parts: list[Words] = []
    if whole:
        pairs = paired(w[:whole]).reshape(whole // 4, 2, -1).transpose(0, 2, 1).reshape(whole // 4, -1)
        quads = bias_words[:whole].reshape(-1, 4)
        parts.append(np.concatenate([quads[:, ::2], pairs, quads[:, 1::2]], axis=1))
    for row in range(whole, rows):
        plain = np.pad(w[row], (0, -w.shape[1] % 4)).astype(np.int8)
        parts += [bias_words[row : row + 1], plain.view(np.uint32)]
    shared = np.repeat(factors[:1], 4, axis=0)
    both = constant([factors if attrs["output"].per_channel else shared])
    return {"w": constant(parts), "b": None, "multiplier": both, "shift": None}


def vectors_allow(constants: Mapping[str, Array]) -> bool:
    """Whether the constants are known and the shifts are those of a rounding shift: -31 to -1 (``eff_mve.h``)."""
    known = {"w", "multiplier", "shift"} <= constants.keys()
    return known and bool(((constants["shift"] >= -31) & (constants["shift"] <= -1)).all()) and bool(constants["w"].min() >= -127)


VECTORS_WANT = "constant weights of -127 to 127, shifts of -1 to -31"
"""What ``vectors_allow`` asks, in words."""


def folded_bias(attrs: Arguments, constants: Mapping[str, Array], taps: Array) -> Array:
    """The bias with the zero point of the input folded in: ``b - x_zero * sum(taps)``, taps (outputs, taps of each)."""
    sums = taps.astype(np.int64).sum(axis=1)
    return np.asarray(constants.get("b", 0) - attrs["output"].x_zero * sums, np.int32)
