"""Channel-wise competition as operators of a graph."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.graph.arithmetic import exp_q31, one_hot
from edgeff.kernels.graph.operand import Operand, concat
from edgeff.rules.words.competition import LEAST_ENERGY, spans


def _group_sums(values: Operand, in_c: int, classes: int) -> tuple[Operand, Array]:
    """The sums of values (n, in_c) over each group, and each group's count of channels."""
    every = spans(in_c, classes)
    member = values.nodes.counter(len(every)).equals(_groups(in_c, classes).reshape(-1, 1)).cast(values.dtype)
    return (values.sum(0).reshape(1, in_c) @ member).flat(), np.array([span.stop - span.start for span in every])


def _groups(in_c: int, classes: int) -> Array:
    """The group of each channel."""
    return np.concatenate([np.full(span.stop - span.start, group) for group, span in enumerate(spans(in_c, classes))])


def _goodness_f32(h: Operand, n: int, in_c: int, classes: int) -> tuple[Operand, Operand]:
    """Each group's goodness, and the factor that makes a mean square relative."""
    image = h.reshape(n, in_c)
    sums, channels = _group_sums(image * image, in_c, classes)
    energies = sums / (n * channels).astype(np.float32)
    total = energies.sum()
    factor = (len(channels) / total).where(total >= LEAST_ENERGY, 0)
    return factor * energies, factor


def _written(scores: Operand, goodness: Operand, add: int) -> Operand:
    """The scores of the classes, each that of its group."""
    mine = goodness.take(scores.nodes.constant(np.arange(scores.size) % goodness.size))
    return scores + mine if add else mine


def eff_channel_goodness_f32(scores: Operand, h: Operand, n: int, in_c: int, classes: int, add: int) -> Operand:
    """scores = the goodness of each class's group, or += with ``add``."""
    return _written(scores, _goodness_f32(h, n, in_c, classes)[0], add)


def eff_competitive_delta_f32(h: Operand, label: Operand, n: int, in_c: int, classes: int, sharpness: float) -> tuple[Operand, Operand]:
    """The loss's derivative, and in the scratch memory the goodness and p - t."""
    goodness, factor = _goodness_f32(h, n, in_c, classes)
    groups = goodness.size
    logits = goodness * sharpness
    probabilities = logits.nodes.node("Softmax", (logits,), logits.dtype, logits.shape, axis=-1)
    error = probabilities - one_hot(label % groups, groups).cast("float32")
    mean = (error * goodness).sum() / groups
    sizes = np.array([n * (span.stop - span.start) for span in spans(in_c, classes)], np.float32)
    slope = (factor * (2.0 * sharpness)) * (error - mean) / sizes
    return slope.take(slope.nodes.constant(_groups(in_c, classes))) * h.reshape(n, in_c), concat([goodness, error])


def _goodness_i8(centred: Operand, n: int, in_c: int, classes: int) -> tuple[Operand, Operand]:
    """Each group's goodness in units of 2**-16, and the sum of the mean squares in units of 2**-8 squared steps."""
    sums, channels = _group_sums(centred * centred, in_c, classes)
    energies = (sums * 256) // (n * channels)
    total = energies.sum()
    return (energies * (len(channels) << 16)) // _at_least_one(total), total


def _at_least_one(total: Operand) -> Operand:
    """A divisor: where the total is 0, so is what it divides."""
    return total.clip(1, 2**62)


def eff_channel_goodness_i8(scores: Operand, h: Operand, n: int, in_c: int, classes: int, h_zero: int, add: int) -> Operand:
    """The int8 form."""
    return _written(scores, _goodness_i8(h.reshape(n, in_c) - h_zero, n, in_c, classes)[0], add)


def eff_competitive_delta_i8(
    h: Operand, label: Operand, n: int, in_c: int, classes: int, h_zero: int, sharpness: int
) -> tuple[Operand, Operand]:
    """The int8 form: p - t in Q0.15."""
    image = h.reshape(n, in_c) - h_zero
    goodness, total = _goodness_i8(image, n, in_c, classes)
    groups = goodness.size
    differences = (((goodness - goodness.max()) * sharpness) >> 8).clip(-0x1FFFFF, 0)
    powers = exp_q31(differences * 1024) >> 16
    every = powers.sum()
    error = (powers * 32768 + every // 2) // every - one_hot(label % groups, groups).cast("int64") * 32768
    mean = (error * goodness).sum().towards_zero(groups << 16)
    sizes = np.array([span.stop - span.start for span in spans(in_c, classes)])
    slope = ((error - mean) * (in_c << 20)).towards_zero(_at_least_one(total * sizes)).where(total > 0, 0)
    mine = slope.clip(-(1 << 22), 1 << 22).take(slope.nodes.constant(_groups(in_c, classes)))
    return ((mine * image + (1 << 11)) >> 12).clip(-32767, 32767), concat([goodness, error])
