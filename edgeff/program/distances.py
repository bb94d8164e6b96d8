"""Lifetimes -> distances: which tensors of a program must not overlap, which may share bytes and how, and the lower bound of any plan.

Tensors that are alive in one call do not overlap. The exception: in the call that makes it, an output may overlap an input that no later
call of the line reads, as far as the kernel says (``kernels.overlap``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, count, pairwise, product

from edgeff import registry
from edgeff.ir import Call, Program
from edgeff.kernels import Kernel
from edgeff.kernels.overlap import Clearance
from edgeff.program.placing import Forbidden, Problem

ALIGNMENT = 4
Intervals = tuple[tuple[int, int], ...]
Overlaps = Callable[[Call], Mapping[tuple[str, str], Clearance]]
"""For a call: the clearance of each pair (output, input) of its tensors that may share memory."""
Pairs = dict[tuple[int, int], Forbidden]


def aligned(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    """``size_bytes`` rounded up to the alignment.

    >>> aligned(5)
    8
    """
    return -(-size_bytes // alignment) * alignment


def kernel_overlaps(call: Call) -> dict[tuple[str, str], Clearance]:
    """The kernel's clearances for the call, by its variant and its tensors' names. A tensor that it reads twice obeys both distances."""
    kernel: Kernel = registry.kernels[call.kernel]
    tensors: dict[str, str] = {}
    for role, names in (("output", call.outputs), ("input", call.inputs)):  # a variant's scratch memory has no parameter of the kernel
        tensors |= zip((param.name for param in kernel.pointers if param.role == role), names, strict=False)
    stated: dict[tuple[str, str], Clearance] = {}
    for (output, input_), clearance in kernel.clearances(call.attrs, call.variant).items():
        pair = tensors[output], tensors[input_]
        stated[pair] = clearance.farther(stated[pair]) if pair in stated else clearance
    return stated


def distances(program: Program, spans: Mapping[str, Intervals], overlaps: Overlaps) -> tuple[Problem, int]:
    """The tensors to be placed, in the order of ``spans``, and the most bytes that any one call needs.

    Takes time and memory in proportion to the pairs of tensors that are alive at once.
    """
    names = [*spans]
    sizes = [aligned(program.tensors[name].size_bytes) for name in names]
    allowed = _allowed(program, {name: i for i, name in enumerate(names)}, spans, sizes, overlaps)
    apart: list[list[int]] = [[] for _ in names]
    over: list[dict[int, Forbidden]] = [{} for _ in names]
    change: dict[int, int] = {}  # of the bytes that are alive, from one call to the next
    living: list[tuple[int, int]] = []  # the last call and the number of each tensor
    for first, last, i in sorted((*span, i) for i, name in enumerate(names) for span in spans[name]):
        change[first] = change.get(first, 0) + sizes[i]
        change[last + 1] = change.get(last + 1, 0) - sizes[i]
        living = [stay for stay in living if stay[0] >= first]
        pairs = allowed.get(first, {})
        for _, j in living:
            if (i, j) in pairs or (j, i) in pairs:
                output, input_ = (i, j) if (i, j) in pairs else (j, i)
                _allow(over, output, input_, pairs[output, input_])
            else:
                apart[i].append(j)
                apart[j].append(i)
        living.append((last, i))
    most = total = 0
    for position in sorted(change):
        total += change[position]
        most = max(most, total - _most_saved(allowed.get(position, {}), sizes))
    return Problem(sizes, apart, over), most


def call_bytes(program: Program, spans: Mapping[str, Intervals], overlaps: Overlaps = kernel_overlaps) -> dict[int, int]:
    """The bytes that each call needs of what shares the scratch space, its outputs over its inputs as far as ``overlaps`` says."""
    names = [*spans]
    sizes = [aligned(program.tensors[name].size_bytes) for name in names]
    allowed = _allowed(program, {name: i for i, name in enumerate(names)}, spans, sizes, overlaps)
    needed = {position: -_most_saved(pairs, sizes) for position, pairs in allowed.items()}
    for name, size in zip(names, sizes, strict=True):
        for first, last in spans[name]:
            for position in range(first, last + 1):
                needed[position] = needed.get(position, 0) + size
    return needed


def _allowed(
    program: Program, number: Mapping[str, int], spans: Mapping[str, Intervals], sizes: Sequence[int], overlaps: Overlaps
) -> dict[int, Pairs]:
    """For each call the pairs (output, input) that may share bytes.

    The call is the first of its line that touches the output, and the last that touches the input; the caller of the line neither writes
    the one before it nor reads the other after it.
    """
    allowed: dict[int, Pairs] = {}
    place = count()
    for line in program.lines.values():
        for call, position in zip(line.calls, place, strict=False):
            begin = {name for name in call.outputs if any(first == position for first, _ in spans.get(name, ()))} - {*line.arguments}
            end = {name for name in call.inputs if any(last == position for _, last in spans.get(name, ()))} - {*line.results}
            for (output, input_), clearance in (overlaps(call) if begin and end else {}).items():
                if output in begin and input_ in end and input_ not in call.outputs:
                    i, j = number[output], number[input_]
                    below = sizes[i] if clearance.below is None else min(aligned(clearance.below), sizes[i])
                    above = sizes[j] if clearance.above is None else min(aligned(clearance.above), sizes[j])
                    ranges = ((-below, 0), (0, above)) if clearance.same and -below < 0 < above else ((-below, above),)
                    allowed.setdefault(position, {})[i, j] = ranges
    return allowed


def _allow(over: list[dict[int, Forbidden]], i: int, j: int, forbidden: Forbidden) -> None:
    """Lets tensors i and j begin anywhere outside ``forbidden`` and the ranges that other calls forbid."""
    over[i][j] = tuple(sorted({*over[i].get(j, ()), *forbidden}))
    over[j][i] = tuple((-high, -low) for low, high in over[i][j])


def _most_saved(pairs: Pairs, sizes: Sequence[int]) -> int:
    """The number of bytes that the tensors of ``pairs`` can save by sharing, whatever else is alive."""
    if not pairs:
        return 0
    members = sorted({i for pair in pairs for i in pair})
    renamed = {i: place for place, i in enumerate(members)}
    own = tuple(sizes[i] for i in members)
    return sum(own) - _least_bytes(own, tuple((renamed[i], renamed[j], forbidden) for (i, j), forbidden in sorted(pairs.items())))


@lru_cache(maxsize=4096)
def _least_bytes(sizes: tuple[int, ...], pairs: tuple[tuple[int, int, Forbidden], ...]) -> int:
    """The lowest highest end of a few tensors, of which the pairs (i, j, ranges) may share bytes: every choice of sides is tried."""
    rules: dict[tuple[int, int], Forbidden] = {(i, j): ((-sizes[i], sizes[j]),) for i, j in combinations(range(len(sizes)), 2)}
    rules = {pair: rule for pair, rule in rules.items() if pair[::-1] not in {(i, j) for i, j, _ in pairs}}
    rules |= {(i, j): ranges for i, j, ranges in pairs}
    least = sum(sizes)
    for choice in product(*(_sides(i, j, ranges) for (i, j), ranges in rules.items())):
        steps = [step for side in choice for step in side]
        starts = [0] * len(sizes)
        for _ in sizes:
            for i, j, distance in steps:
                starts[i] = max(starts[i], starts[j] + distance)
        if all(starts[i] >= starts[j] + distance for i, j, distance in steps):
            least = min(least, max(start + size for start, size in zip(starts, sizes, strict=True)))
    return least


def _sides(i: int, j: int, ranges: Forbidden) -> list[list[tuple[int, int, int]]]:
    """Where i may begin, below, between and above ``ranges``: each as steps (a, b, d), a begins at least d above b."""
    between = [[(i, j, high), (j, i, -low)] for (_, high), (low, _) in pairwise(ranges)]
    return [[(j, i, -ranges[0][0])], *between, [(i, j, ranges[-1][1])]]
