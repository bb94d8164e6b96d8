"""Learning steps in edgeff's own executions: all state after each step, and the scores after the last, equal to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from edgeff.codegen.lines import further_lines
from edgeff.ir import Array, Program
from edgeff.program.deploy import Deployment
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.program.unit import centre_of, spread_of
from edgeff.verify.comparison import Comparison, compare
from edgeff.verify.executions import Advance, Emulated, Host, Learned, Results, twin_learning
from edgeff.verify.libraries import TWIN

SAMPLES_AFTER = 20


def learning(
    deployment: Deployment,
    rule: str,
    samples: Array,
    steps: int,
    seed: int,
    executions: Mapping[str, Callable[[Program], Host | Emulated]],
    advance: Callable[[str, int], Advance],
) -> Iterator[tuple[str, Callable[[], list[Comparison]]]]:
    """For each of ``executions``, by name, its name and a function that returns its comparisons with the twins.

    ``steps`` steps of the rule run on samples (n, inputs) in turn, with labels drawn by ``seed``; ``advance(name, total)`` returns
    the function that is called after each step and prediction.
    """
    program = deployment.program
    x = samples[np.arange(steps) % len(samples)]
    labels = drawn_truths(program, seed, steps)
    after = samples[:SAMPLES_AFTER]
    total = steps + len(after)
    offsets = plan(select(program))
    twin = twin_learning(program, offsets, x, labels, after, advance(f"{TWIN} learning", total))

    def rows(name: str, make: Callable[[Program], Host | Emulated]) -> list[Comparison]:
        other = make(program).learning(x, labels, after, advance(f"{name} learning", total))
        what = f"state after each of {steps} steps of {rule} (bytes)"
        states = compare(TWIN, name, what, twin.states, other.states, note=_where(program, offsets.offsets, twin, other))
        comparisons = [states, *compare_results(TWIN, name, f" after {steps} steps of {rule}", twin.after, other.after)]
        if len(twin.further):
            lines = ", ".join(line.name for line in further_lines(program))
            comparisons.append(
                compare(TWIN, name, f"state and results after each of {steps} runs of {lines} (bytes)", twin.further, other.further)
            )
        return comparisons

    for name, make in executions.items():
        yield f"{name} learning", partial(rows, name, make)


def drawn_truths(program: Program, seed: int, count: int) -> Array:
    """Classes (count,), or where values are learned targets (count, outputs) in their format, spread as what it learned."""
    rng = np.random.default_rng(seed)
    if program.target is None:
        return rng.integers(0, max(program.classes, 1), count)
    tensor = program.tensors[program.target]
    size = (count, tensor.elements)
    if tensor.quant is None:
        return (centre_of(program.metadata) + rng.standard_normal(size) * (spread_of(program.metadata) or 1.0)).astype(np.float32)
    half = 64 if tensor.dtype == "int8" else 8192
    return rng.integers(-half, half, size).astype(tensor.dtype)


def compare_results(a: str, b: str, when: str, x: Results, y: Results) -> list[Comparison]:
    """Scores, and best classes if there are classes, to the bit."""
    comparisons = [compare(a, b, f"scores{when}", x.scores, y.scores)]
    if x.classes.max(initial=-1) >= 0:
        comparisons.append(compare(a, b, f"best class{when}", x.classes, y.classes))
    return comparisons


def _where(program: Program, offsets: Mapping[str, int], twin: Learned, other: Learned) -> str:
    """The first step and the tensor in which two states differ; empty if they do not."""
    differing = np.argwhere(twin.states != other.states)
    if not len(differing):
        return ""
    step, byte = (int(v) for v in differing[0])
    inside = [t.name for t in program.persistent if offsets[t.name] <= byte < offsets[t.name] + t.size_bytes]
    return f"first in step {step + 1}, {inside[0] if inside else f'byte {byte}'}"
