"""Compares a rule's two forms: how each parameter changes in the lowered program, and how it changes by ``step``.

Every execution runs the same program, so none of them detects a program that learns the wrong thing; the oracle (``edgeff.verify.oracle``)
is independent of it. float32: every change of every step, to the rounding of float32. Integers: a change is rounded at random to whole
steps of a parameter, so the changes of many steps are compared, as the ratio ``sum(change * expected) / sum(expected ** 2)``, which should
be 1: for each parameter as a whole, and for each index of each of its axes (the row of an output, the column of an input). There all steps
start from the same parameters, at a rate so high that a change is many times its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from math import floor, log2, sqrt
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Call, Program, Tensor
from edgeff.program.cost import call_costs
from edgeff.program.deploy import Deployment
from edgeff.program.interpreter import Interpreter
from edgeff.rules import Rule
from edgeff.verify.comparison import Comparison
from edgeff.verify.libraries import TWIN
from edgeff.verify.oracle import Oracle, Real

EXACT = 2e-3
"""Share of a tensor's largest change: the program computes in float32, where PEPITA's difference of activations keeps four digits."""
ROUNDING = {"int8": 0.05, "int16": 0.01}
"""How far a ratio may be from 1 because activations and errors are rounded: twice what any rule shows in the contracts' small networks.

In other networks it grows with the root of the number of layers: each rounds on its own, and switches off the ReLUs whose output rounds to
0.
"""
DEVIATIONS, DEVIATIONS_OF_PART = 4.0, 6.0
"""Standard deviations by which a ratio may deviate further, for a whole tensor and for one of its many rows and columns."""
LEAST_STEPS = 10
"""A row or column whose expected changes come from fewer steps than this is not judged on its own."""
UNDECIDED = 0.5
"""An allowance so wide that a half would pass for a whole: no verdict."""
MODULATES = {"eff_feedback_add_i8": 1.0, "eff_feedback_add_i16": 1.0}
MODULATES |= {name.replace("add", "table_add"): 127.0 / sqrt(3.0) for name in MODULATES}
"""Kernels that change an input, with the root mean square of the entries that they multiply errors by."""
MODULATION = 2.0
"""Changes of the input of fewer steps than this on average, rounded, are up to twice as large as they should be, or nothing."""
RESOLUTION, SATURATED = 4.0, 0.01
"""Errors that are smaller than this, in steps of their format on average, or saturate more often than this, change a parameter by less."""
LARGEST = {"int8": 32.0, "int16": 4096.0}
"""The largest change of a weight, in its own steps, to which the rate is raised."""
MOST_RATE = 1 << 12
LIMIT = {"int8": 127, "int16": 32767, "int32": 0x3FFFFFFF, "float32": float(np.finfo(np.float32).max)}
"""The largest value of a parameter, and of an error."""
STILL = "no step changes it"
STEPS, FEWEST_STEPS = 100, 4
MACS = 1 << 27
"""The most multiply-accumulates of the learning steps that run by default: a second or two."""


def steps_for(program: Program) -> int:
    """How many steps are compared by default: STEPS, fewer if they would take more than MACS, but at least FEWEST_STEPS."""
    macs = sum(call.macs for call in call_costs(program, program.learn))
    return max(min(MACS // max(macs, 1), STEPS), FEWEST_STEPS)


Pairs = Sequence[tuple[Array, int | Array]]


def compare_step(
    deployment: Deployment,
    rule: Rule,
    samples: Array,
    labels: Array,
    *,
    strict: bool = False,
    steps: int | None = None,
    advance: Callable[[], object] = tuple,
) -> list[Comparison]:
    """One comparison for each parameter that the program learns, and one for each that only ``step`` changes although the scores depend on
    it.

    A ratio explained by errors too small or too large for their format is counted but not forbidden, and its note says so.

    Args:
        deployment: of the rule, float32 or integers.
        rule: whose ``step`` is the oracle.
        samples: (n, inputs) in the program's input dtype, taken in turn.
        labels: (n,), their classes, or (n, outputs), values in the format of the target; unused if the target is the input.
        strict: for the contracts' small networks: rows and columns are judged on their own, and nothing is excused.
        steps: how many learning steps; by default as many as ``steps_for`` says.
        advance: is called after each step.

    Raises: Unsupported if every sample leaves the ranges of an integer network, so that there is nothing to compare.
    """
    program, oracle = deployment.program, Oracle(deployment, rule)
    steps = steps or steps_for(program)
    usable = (number for number, x in enumerate(samples) if program.numeric == "float32" or oracle.stays_in_range(x))
    first = list(islice(usable, steps))
    if not first:
        raise Unsupported(
            f"step of rule {rule.name}",
            got=f"{len(samples)} samples that all leave the calibrated ranges",
            allowed="samples like those of the calibration",
        )
    pairs: Pairs = [(samples[number], labels[number] if program.target else int(labels[number])) for number in islice(cycle(first), steps)]
    learned = [tensor for tensor in program.by_role("variable") if oracle.has(tensor.name)]
    name, directions = f"step of {rule.name}", Oracle(deployment, rule).changes(*pairs[0], 0)
    if program.numeric == "float32":
        rows = _each_change(name, deployment, rule, learned, pairs, advance, strict=strict)
    else:
        rows = _ratios(name, deployment, rule, learned, pairs, advance, strict=strict)
    for tensor in sorted(directions.keys() - {tensor.name for tensor in learned}):
        size = directions[tensor].size
        if directions[tensor].any() and not oracle.predicts_without(tensor, pairs[0][0]):
            rows.append(Comparison(TWIN, name, f"change of {tensor}", size, size, None, 0, "step changes it, the program does not"))
    return rows


class Watched(Interpreter):
    """The twins, which record the size of the errors that change each tensor, the first input of the kernels that update it, and that of
    what modulates the input.
    """

    def __init__(self, program: Program, tensors: Sequence[Tensor]) -> None:
        super().__init__(program)
        self._errors = {tensor.name: np.zeros(3) for tensor in tensors}
        self._modulation = np.zeros(2)
        self._last = tensors[-1].name.partition(".")[0] if tensors else ""

    def run(self, call: Call) -> None:
        if call.kernel in MODULATES:
            how: Any = call.attrs["how"]
            errors = np.abs(self.tensor(call.inputs[0]).astype(np.float64))
            # Of a sum of errors with random signs, the root mean square: in steps of the input.
            self._modulation += [
                1.0,
                float(np.sqrt((errors**2).sum())) * MODULATES[call.kernel] * how.multiplier * 2.0 ** (-31 + how.shift),
            ]
        if call.outputs[0] in self._errors and call.inputs[0] and (errors := self.tensor(call.inputs[0])).dtype == np.int16:
            sizes = np.abs(errors[errors != 0].astype(np.float64))
            self._errors[call.outputs[0]] += [errors.size, sizes.sum(), np.count_nonzero(sizes == LIMIT["int16"])]
        super().run(call)

    def limits(self, tensor: str) -> tuple[str, float]:
        """The reason why the changes of a tensor are not what they should be, or an empty string; how many times as large they may be."""
        calls, steps = self._modulation
        if tensor.partition(".")[0] != self._last and steps < MODULATION * calls:
            return f"the input is modulated by {steps / calls:.2g} of its steps on average, and these are whole", 2.0
        return self._small(tensor), 1.0

    def _small(self, tensor: str) -> str:
        """The reason why the changes of a tensor are small, or an empty string."""
        count, total, saturated = self._errors[tensor]
        if saturated > SATURATED * count:
            return f"{saturated / count:.0%} of its errors saturate"
        return f"its errors are {total / count:.2g} steps of their format on average" if total < RESOLUTION * count else ""


def _each_change(
    name: str, deployment: Deployment, rule: Rule, learned: Sequence[Tensor], pairs: Pairs, advance: Callable[[], object], *, strict: bool
) -> list[Comparison]:
    """Every change of every step, with the schedule of the rate; ``strict``: from the program's state each time, else from the start's."""
    twin, oracle, settings = Interpreter(deployment.program), Oracle(deployment, rule), deployment.settings
    start = {tensor.name: twin.tensor(tensor.name) for tensor in learned}
    wrong, worst, notes = dict.fromkeys(start, 0), dict.fromkeys(start, 0.0), dict.fromkeys(start, "")
    moves = dict.fromkeys(start, not strict)
    for number, pair in enumerate(pairs):
        oracle.lr = settings.lr * (settings.decay ** (number // settings.decay_steps) if settings.decay_steps else 1.0)
        expected = oracle.changes(*pair, number)
        twin.learn(*pair)
        for tensor, values in start.items():
            change = twin.tensor(tensor).astype(np.float64) - values
            predicted = expected.get(tensor, np.zeros(values.shape))
            # float32 parameters change by no less than their own rounding.
            error = np.maximum(np.abs(change - predicted) - 2.0**-23 * np.abs(values).max(), 0.0)
            error[~np.isfinite(change)] = np.inf
            largest = float(np.abs(predicted).max())
            moves[tensor] |= largest > 0.0
            wrong[tensor] += int(np.count_nonzero(error > EXACT * largest))
            relative = float(error.max()) / largest if largest else np.inf * bool(error.any())
            if relative > worst[tensor]:
                worst[tensor] = relative
                notes[tensor] = f"in step {number + 1} it changes by up to {np.abs(change).max():.3g}, and by {largest:.3g} as step says"
            if strict:
                start[tensor] = twin.tensor(tensor)
                oracle.put(tensor, start[tensor].astype(np.float64))
            else:
                twin.put(tensor, values)
        advance()
    for tensor in (tensor for tensor, moved in moves.items() if not moved):
        wrong[tensor], worst[tensor], notes[tensor] = 1, np.inf, STILL
    return [
        Comparison(
            TWIN,
            name,
            f"{tensor.name}, change in each of {len(pairs)} steps (relative)",
            tensor.elements * len(pairs),
            wrong[tensor.name],
            worst[tensor.name] if np.isfinite(worst[tensor.name]) else None,
            EXACT,
            notes[tensor.name] if wrong[tensor.name] else "",
        )
        for tensor in learned
    ]


def _ratios(
    name: str, deployment: Deployment, rule: Rule, learned: Sequence[Tensor], pairs: Pairs, advance: Callable[[], object], *, strict: bool
) -> list[Comparison]:
    """The changes of many steps from the same parameters, as ratios."""
    twin, oracle = Watched(deployment.program, learned), Oracle(deployment, rule)
    start = {tensor.name: twin.tensor(tensor.name) for tensor in learned}
    rate = _rate(deployment, rule, learned, pairs)
    oracle.lr *= rate
    word = twin.tensor("rate") * np.uint32(rate)
    ratios = {tensor.name: Ratios(tensor.shape, parts=strict, rounding=0.0 if tensor.dtype == "float32" else 0.5) for tensor in learned}
    for number, pair in enumerate(pairs):
        twin.put("rate", word)
        expected = oracle.changes(*pair, number)
        twin.learn(*pair)
        for tensor in learned:
            values = start[tensor.name].astype(np.float64)
            change = twin.tensor(tensor.name) - values
            predicted = expected.get(tensor.name, np.zeros(tensor.shape)) / _scale(tensor)
            # Elements that twice the change might bring to a limit of their range are left out.
            inside = np.abs(values) + 2.0 * np.abs(predicted) + 1.0 <= LIMIT[tensor.dtype]
            ratios[tensor.name].add(change * inside, predicted * inside)
            twin.put(tensor.name, start[tensor.name])
        advance()
    rounding = max(ROUNDING.get(numeric, 0.0) for numeric in deployment.network.numerics)
    rounding *= 1.0 if strict else sqrt(len(deployment.network.trainable))
    what = f"change in {len(pairs)} steps (ratio to that of step, less 1)"
    rows = []
    for tensor in learned:
        limits, most = twin.limits(tensor.name)
        rows.append(ratios[tensor.name].comparison(name, f"{tensor.name}, {what}", rounding, strict=strict, limits=limits, most=most))
    return rows


def _rate(deployment: Deployment, rule: Rule, learned: Sequence[Tensor], pairs: Pairs) -> int:
    """The power of two by which the rate is raised, so that no weight changes by more than LARGEST of its steps."""
    oracle, most = Oracle(deployment, rule), float(MOST_RATE)
    weights = [tensor for tensor in learned if tensor.dtype in LARGEST]
    for number, pair in enumerate(pairs[:FEWEST_STEPS]):
        changes = oracle.changes(*pair, number)
        for tensor in weights:
            largest = float(np.abs(changes.get(tensor.name, 0.0)).max()) / _scale(tensor)
            most = min(most, LARGEST[tensor.dtype] / largest) if largest else most
    return int(2 ** floor(log2(max(most, 1.0))))


def _scale(tensor: Tensor) -> float:
    """The real value of one step of a learned parameter: it has one scale, since a parameter with a scale per channel does not learn."""
    return tensor.quant.scale[0] if tensor.quant else 1.0


class Ratios:
    """``sum(change * expected) / sum(expected ** 2)`` over the added steps, for a tensor and, with ``parts``, for each index of its axes.

    ``rounding``: the largest standard deviation of rounding a change at random to whole steps.
    """

    def __init__(self, shape: tuple[int, ...], *, parts: bool, rounding: float) -> None:
        axes = [axis for axis, length in enumerate(shape) if parts and length > 1]
        self._others = [tuple(other for other in range(len(shape)) if other != axis) for axis in axes]
        self._parts = ["it", *(_index(axis, i, len(shape)) for axis in axes for i in range(shape[axis]))]
        self._sums = np.zeros((5, len(self._parts)))
        self._changed, self._rounding = False, rounding

    def add(self, change: Real, expected: Real) -> None:
        """Adds one step's change and the expected one, in steps of the tensor."""
        a, b = (
            np.concatenate([[values.sum()], *(values.sum(axis=others) for others in self._others)])
            for values in (change * expected, expected * expected)
        )
        self._sums += np.stack([a, b, a * a, a * b, b * b])
        self._changed |= bool(change.any())

    def comparison(self, name: str, what: str, rounding: float, *, strict: bool, limits: str, most: float = 1.0) -> Comparison:
        """The part whose ratio is furthest from 1 relative to its allowance; ``elements`` counts the parts that are judged.

        ``limits`` is the reason why changes are small, which excuses a ratio between 0 and ``most`` unless ``strict``. With ``strict`` a
        ratio must not spread so far that nothing is decided.
        """
        a, b, aa, ab, bb = self._sums
        if not b[0]:
            wrong, note = int(self._changed or strict), "step does not change it, the program does" if self._changed else STILL
            return Comparison(TWIN, name, what, 1, wrong, None if wrong else 0.0, rounding, note if wrong else "")
        with np.errstate(all="ignore"):
            ratio, steps = a / b, b * b / bb
            # The variance of a quotient of sums over steps, and of rounding each element.
            deviation = np.sqrt(np.maximum(aa - 2.0 * ratio * ab + ratio**2 * bb, 0.0)) / b + self._rounding / np.sqrt(b)
        allowed = 2.0 * rounding + DEVIATIONS_OF_PART * deviation
        allowed[0] = rounding + DEVIATIONS * deviation[0]
        judged = steps >= LEAST_STEPS
        judged[0] = True
        off = np.where(judged, np.abs(ratio - 1.0) / allowed, 0.0)
        worst, wrong = int(off.argmax()), int(np.count_nonzero(off > 1.0))
        size, times = float(abs(ratio[worst] - 1.0)), f"{self._parts[worst]} changes {ratio[worst]:.3g} times as much as step says"
        spread = DEVIATIONS * float(deviation[0])
        if not wrong and allowed[0] >= UNDECIDED:
            note = "; ".join(filter(None, (f"undecided: {times}, give or take {spread:.2f}", limits)))
            return Comparison(TWIN, name, what, 1, int(strict), size, 0.0 if strict else None, note)
        if wrong and limits and not strict and -spread <= ratio[0] <= most + spread:
            return Comparison(TWIN, name, what, 1, 1, size, None, f"{times}: {limits}")
        return Comparison(TWIN, name, what, int(np.count_nonzero(judged)), wrong, size, float(allowed[worst]), times if wrong else "")


def _index(axis: int, index: int, axes: int) -> str:
    """How NumPy writes one index of an axis.

    >>> _index(1, 5, 3)
    '[:, 5, :]'
    """
    return f"[{', '.join(str(index) if other == axis else ':' for other in range(axes))}]"
