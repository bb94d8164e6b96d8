"""The planner: no two tensors that live at once share a byte but an output and an input it may lie over; nothing beats the lower bound."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_networks import EVERY_PROGRAM, deployed

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.ir import Call, Line, MemoryPlan, Numeric, Program, Role, Tensor
from edgeff.kernels.overlap import Clearance
from edgeff.networks import initialised, random_inputs, reproduces_input, structure
from edgeff.program.cost import cost
from edgeff.program.deploy import deploy
from edgeff.program.distances import Overlaps, _least_bytes, distances, kernel_overlaps
from edgeff.program.memory_map import memory_map
from edgeff.program.placing import Forbidden, first_fit
from edgeff.program.plan import ALIGNMENT, ARENA_ALIGNMENT, aligned, lifetimes, plan
from edgeff.program.select import select

ROLES: tuple[Role, ...] = ("label", "activation", "activation", "activation", "state", "variable", "constant")
DTYPES = ("int8", "int16", "float32")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs of up to fourteen tensors and up to three lines of eight calls; nothing about them makes sense but who touches what."""
    tensors = {
        "x": Tensor("x", (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), "input"),
        "y": Tensor("y", (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), "activation"),
    }
    for index in range(draw(st.integers(0, 12))):
        name = f"t{index}"
        tensors[name] = Tensor(name, (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), draw(st.sampled_from(ROLES)))
    names = st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3, unique=True)
    caller = {name for name, tensor in tensors.items() if tensor.role in ("input", "label")}
    lines = {}
    for name, low in (("infer", 1), ("learn", 0), ("further", 0))[: draw(st.integers(1, 3))]:
        calls = tuple(Call("k", tuple(draw(names)), tuple(draw(names)), {}, "layer") for _ in range(draw(st.integers(low, 8))))
        results = ("y",) if name == "infer" else tuple(draw(st.lists(st.sampled_from(sorted(tensors)), max_size=2, unique=True)))
        lines[name] = Line(name, calls, ("x", *sorted(caller - {"x"})), results)
    return Program("p", "r", "int8", tensors, lines)


def all_apart(_: Call) -> Mapping[tuple[str, str], Clearance]:
    """Every kernel keeps its outputs apart from its inputs."""
    return {}


def by_chance(seed: int) -> Overlaps:
    """Every output of every call may lie over every input, at distances drawn from the call."""

    def overlaps(call: Call) -> Mapping[tuple[str, str], Clearance]:
        rng = np.random.default_rng((seed, zlib.crc32(repr(call).encode())))
        sides = [None, *range(-40, 41)]
        pairs = [pair for pair in product(call.outputs, call.inputs) if rng.random() < 0.8]
        return {pair: Clearance(rng.choice(sides), rng.choice(sides), bool(rng.random() < 0.3)) for pair in pairs}

    return overlaps


Pair = tuple[str, str]


def alive(program: Program) -> list[tuple[set[str], set[Pair]]]:
    """For each call, from the definition: the tensors of the scratch part that it needs, and the pairs (output, input) that may share."""
    scratch = {tensor.name for tensor in program.by_role("input", "label", "activation")}
    calls = []
    for line in program.lines.values():
        touched = [{*call.outputs, *call.inputs} for call in line.calls]
        for position, call in enumerate(line.calls):
            before, after = set().union(*touched[: position + 1]), set().union(*touched[position:])
            needed = before & after
            needed |= {*line.arguments} & after  # the caller writes them before the line begins
            needed |= {*line.results} & before  # the caller reads them after the line has ended
            begin = {*call.outputs} - {*line.arguments} - set().union(*touched[:position])
            end = {*call.inputs} - {*call.outputs} - {*line.results} - set().union(*touched[position + 1 :])
            calls.append((needed & scratch, {pair for pair in product(begin, end) if scratch >= {*pair}}))
    return calls


def check(program: Program, memory: MemoryPlan, overlaps: Overlaps = kernel_overlaps) -> set[Pair]:
    """The pairs (output, input) that share bytes in a plan that breaks no promise."""
    sizes = {name: tensor.size_bytes for name, tensor in program.tensors.items()}
    sharing: set[Pair] = set()
    for offset in memory.offsets.values():
        assert offset % ALIGNMENT == 0
    for call, (needed, pairs) in zip(program.calls, alive(program), strict=True):
        for a, b in combinations(sorted(needed), 2):
            if memory.offsets[a] < memory.offsets[b] + sizes[b] and memory.offsets[b] < memory.offsets[a] + sizes[a]:
                output, input_ = (a, b) if (a, b) in pairs else (b, a)
                assert (output, input_) in pairs, (a, b)
                clearance, above = overlaps(call)[output, input_], memory.offsets[output] - memory.offsets[input_]
                assert (clearance.same and above == 0) or any(
                    side is not None and side <= distance for side, distance in ((clearance.below, -above), (clearance.above, above))
                )
                sharing.add((output, input_))
    for name, offset in memory.offsets.items():
        persists = program.tensors[name].role in ("variable", "state")
        assert offset + sizes[name] <= (memory.persistent_bytes if persists else memory.arena_bytes)
        assert persists or offset >= memory.persistent_bytes
    for a, b in combinations((t.name for t in program.by_role("variable", "state")), 2):
        assert memory.offsets[a] + sizes[a] <= memory.offsets[b] or memory.offsets[b] + sizes[b] <= memory.offsets[a]
    assert memory.arena_bytes % ARENA_ALIGNMENT == memory.persistent_bytes % ARENA_ALIGNMENT == 0
    assert memory.arena_bytes >= max(memory.lower_bound_bytes, ARENA_ALIGNMENT)
    assert memory.persistent_bytes + max(memory.line_bytes.values()) <= memory.arena_bytes
    assert memory.flash_bytes == sum(t.size_bytes for t in program.by_role("constant", "variable") if t.data is not None)
    return sharing


@settings(max_examples=150, deadline=None)
@given(programs())
def test_what_lives_at_once_shares_no_byte(program: Program) -> None:
    memory = plan(program, all_apart)
    assert not check(program, memory, all_apart)
    most = max((sum(aligned(program.tensors[name].size_bytes) for name in needed) for needed, _ in alive(program)), default=0)
    assert memory.lower_bound_bytes == aligned(memory.persistent_bytes + most, ARENA_ALIGNMENT)


@settings(max_examples=300, deadline=None)
@given(programs(), st.integers(0, 2**16))
def test_only_an_output_lies_over_an_input_that_nothing_needs_any_more(program: Program, seed: int) -> None:
    memory = plan(program, by_chance(seed))
    check(program, memory, by_chance(seed))
    assert memory.lower_bound_bytes <= plan(program, all_apart).lower_bound_bytes


@settings(max_examples=30, deadline=None)
@given(programs(), st.integers(0, 2**16))
def test_the_plan_does_not_depend_on_chance(program: Program, seed: int) -> None:
    assert plan(program, by_chance(seed)) == plan(program, by_chance(seed))


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_real_programs(rule: str | None, numeric: str) -> None:
    program = select(deployed(rule, numeric).program)  # type: ignore[arg-type]
    memory = plan(program)
    check(program, memory)
    assert memory.offsets.keys() >= {t.name for t in program.by_role("input", "variable", "state")}
    assert memory.persistent_bytes == 0 or program.learn
    assert cost(program).memory == memory


def test_inputs_live_from_the_start_and_the_output_to_the_end() -> None:
    tensors = {name: Tensor(name, (8,), "int8", role) for name, role in (("x", "input"), ("a", "activation"), ("y", "activation"))}  # type: ignore[arg-type]
    calls = (Call("k", ("y",), (), {}, "l"), Call("k", ("a",), ("x",), {}, "l"), Call("k", ("a",), (), {}, "l"))
    memory = plan(Program("p", "", "int8", tensors, {"infer": Line("infer", calls, ("x",), ("y",))}), all_apart)
    assert memory.lifetimes == {"x": ((0, 1),), "a": ((1, 2),), "y": ((0, 2),)}
    assert memory.arena_bytes == memory.lower_bound_bytes == 24


def test_the_two_lines_share_their_space() -> None:
    tensors = {name: Tensor(name, (16,), "int8", role) for name, role in (("x", "input"), ("y", "activation"), ("d", "activation"))}  # type: ignore[arg-type]
    infer = Line("infer", (Call("k", ("y",), ("x",), {}, "l"),), ("x",), ("y",))
    learn = Line("learn", (Call("k", ("d",), ("x",), {}, "l"),), ("x",))
    program = Program("p", "r", "int8", tensors, {"infer": infer, "learn": learn})
    memory = plan(program, all_apart)
    assert (memory.arena_bytes, memory.line_bytes) == (32, {"infer": 32, "learn": 32})
    assert memory.offsets["y"] == memory.offsets["d"]


def test_an_empty_program_has_an_arena() -> None:
    program = Program("p", "", "int8", {"x": Tensor("x", (1,), "int8", "input")}, {"infer": Line("infer", (), ("x",), ("x",))})
    assert plan(program).arena_bytes == ARENA_ALIGNMENT


@settings(max_examples=50, deadline=None)
@given(programs())
def test_the_map_shows_every_stay_once(program: Program) -> None:
    memory = plan(program, all_apart)
    entries = memory_map(program, memory)
    assert {entry["tensor"] for entry in entries} == set(memory.offsets)
    stays = [(entry["tensor"], entry["first"], entry["last"]) for entry in entries if entry["line"] != "persistent"]
    assert sorted(stays) == sorted((name, *span) for name, spans in memory.lifetimes.items() for span in spans)
    assert all(entry["offset"] == memory.offsets[entry["tensor"]] for entry in entries)


def optimum(program: Program) -> int:
    """The smallest scratch part there is: first fit in the order of an optimal plan's offsets finds one, so all orders are tried."""
    spans = {name: value for name, value in lifetimes(program).items() if value}
    problem, _ = distances(program, spans, all_apart)
    return min((first_fit(order, problem)[0] for order in permutations(range(len(spans)))), default=0)


@settings(max_examples=100, deadline=None)
@given(programs())
def test_a_small_plan_is_the_best_there_is(program: Program) -> None:
    assume(len(set().union(*(needed for needed, _ in alive(program)))) <= 6)
    memory = plan(program, all_apart)
    assert memory.arena_bytes == max(aligned(memory.persistent_bytes + optimum(program), ARENA_ALIGNMENT), ARENA_ALIGNMENT)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.data())
def test_the_least_bytes_of_one_call_are_the_least_of_all_offsets(sizes: list[int], data: st.DataObject) -> None:
    pairs: list[tuple[int, int, Forbidden]] = []
    for i, j in combinations(range(len(sizes)), 2):
        if data.draw(st.booleans()):
            low = data.draw(st.integers(-sizes[i], sizes[j]))
            high = data.draw(st.integers(max(low, -sizes[i]), sizes[j]))
            at = data.draw(st.integers(low, high))
            pairs.append((i, j, ((low, at), (at, high)) if data.draw(st.booleans()) else ((low, high),)))
    rules = {(i, j): ((-sizes[i], sizes[j]),) for i, j in combinations(range(len(sizes)), 2)} | {(i, j): ranges for i, j, ranges in pairs}
    fitting = (
        max(start + size for start, size in zip(starts, sizes, strict=True))
        for starts in product(range(sum(sizes) + 1), repeat=len(sizes))
        if not any(low < starts[i] - starts[j] < high for (i, j), ranges in rules.items() for low, high in ranges)
    )
    assert _least_bytes(tuple(sizes), tuple(pairs)) == min(fitting)


def over(output: str, *inputs: str) -> Overlaps:
    """Calls that make ``output`` may begin it anywhere over ``inputs``."""
    return lambda call: {(output, name): Clearance(below=-1000) for name in inputs if output in call.outputs and name in call.inputs}


def three(*calls: tuple[tuple[str, ...], tuple[str, ...]], results: tuple[str, ...] = ("y",)) -> Program:
    """A line of calls (outputs, inputs) over x, a, b and y, of 16 bytes each."""
    tensors = {name: Tensor(name, (16,), "int8", "input" if name == "x" else "activation") for name in "xaby"}
    return Program("p", "", "int8", tensors, {"infer": Line("infer", tuple(Call("k", *c, {}, "l") for c in calls), ("x",), results)})


def test_an_output_takes_the_place_of_an_input_that_is_used_up() -> None:
    program = three((("a",), ("x",)), (("y",), ("a",)))
    memory = plan(program, over("y", "a"))
    assert check(program, memory, over("y", "a")) == {("y", "a")}
    assert (memory.arena_bytes, memory.offsets["y"]) == (32, memory.offsets["a"])


def test_an_input_that_a_later_call_reads_keeps_its_bytes() -> None:
    """A skip connection: a is read again behind y."""
    program = three((("a",), ("x",)), (("b",), ("a",)), (("y",), ("a", "b")))
    assert check(program, plan(program, over("b", "a")), over("b", "a")) == set()
    assert check(program, plan(program, over("y", "a")), over("y", "a")) == {("y", "a")}


def test_what_the_caller_reads_after_the_line_keeps_its_bytes() -> None:
    """The scores, of which the last call makes the best class."""
    program = three((("a",), ("x",)), (("y",), ("a",)), results=("a", "y"))
    assert check(program, plan(program, over("y", "a")), over("y", "a")) == set()


def test_what_the_caller_writes_before_the_line_is_not_made_by_its_first_call() -> None:
    tensors = {name: Tensor(name, (16,), "int8", "input") for name in "xy"}
    program = Program("p", "", "int8", tensors, {"infer": Line("infer", (Call("k", ("y",), ("x",), {}, "l"),), ("x", "y"), ("y",))})
    assert check(program, plan(program, over("y", "x")), over("y", "x")) == set()


def test_two_lines_share_bytes_only_where_both_allow_it() -> None:
    tensors = {name: Tensor(name, (16,), "int8", "input" if name == "x" else "activation") for name in "xay"}
    first = Line("infer", (Call("k", ("y",), ("x",), {}, "l"),), ("x",), ("y",))
    again = Line("learn", (Call("k", ("y",), ("x",), {}, "l"), Call("k", ("a",), ("x", "y"), {}, "l")), ("x",))
    program = Program("p", "r", "int8", tensors, {"infer": first, "learn": again})
    assert check(program, plan(program, over("y", "x")), over("y", "x")) == set()


@pytest.mark.parametrize("stricter", ["infer", "learn"])
def test_two_lines_keep_the_farther_of_their_distances(stricter: str) -> None:
    tensors = {name: Tensor(name, (16,), "int8", "input" if name == "x" else "activation") for name in "xy"}
    lines = {name: Line(name, (Call("k", ("y",), ("x",), {}, name),), ("x",), ("y",)) for name in ("infer", "learn")}
    program = Program("p", "r", "int8", tensors, lines)

    def overlaps(call: Call) -> Mapping[tuple[str, str], Clearance]:
        return {("y", "x"): Clearance(below=8 if call.layer == stricter else -16)}

    memory = plan(program, overlaps)
    assert check(program, memory, overlaps) == {("y", "x")}
    assert (memory.arena_bytes, memory.offsets) == (24, {"x": 8, "y": 0})


def test_a_learning_step_keeps_the_activations_that_it_reads_again() -> None:
    """Back-propagation: each layer's input and output are read again after the layer above; the input only by the first update."""
    program = select(deployed("bp", "float32").program)
    shared = check(program, plan(program))
    calls = program.lines["learn"].calls
    layers = {call.outputs[0] for call in calls if call.kernel == "eff_dense_f32"}
    assert layers
    assert not any(other in layers for output, other in shared if output in layers)
    assert any(output.startswith("learn.") for output, _ in shared), "the step shares nothing: the test proves nothing"


def test_the_work_grows_with_the_length_of_a_chain() -> None:
    """Four thousand additions, each of the last two results: three tensors are alive at once, and nothing counts pairs that are not."""
    count = 4000
    tensors = {f"t{i}": Tensor(f"t{i}", (10,), "float32", "activation" if i else "input") for i in range(count + 1)}
    calls = tuple(
        Call("eff_add_f32", (f"t{i}",), (f"t{i - 1}", f"t{max(i - 2, 0)}"), {"n": 10, "relu": 0}, "l") for i in range(1, count + 1)
    )
    program = Program("p", "", "float32", tensors, {"infer": Line("infer", calls, ("t0",), (f"t{count}",))})
    problem, bound = distances(program, lifetimes(program), kernel_overlaps)
    assert sum(map(len, problem.apart)) + sum(map(len, problem.over)) <= 4 * (count + 1)
    assert (bound, plan(program).arena_bytes) == (80, 80)


def chain(sizes: Sequence[int], stays: Sequence[tuple[int, int]]) -> Program:
    """Activations of the given bytes, each alive from one call to another."""
    tensors = {f"t{i}": Tensor(f"t{i}", (size,), "int8", "activation") for i, size in enumerate(sizes)}
    tensors |= {"x": Tensor("x", (4,), "int8", "input")}
    used: list[list[str]] = [[] for _ in range(1 + max(last for _, last in stays))]
    for i, (first, last) in enumerate(stays):
        for call in range(first, last + 1):
            used[call].append(f"t{i}")
    calls = tuple(Call("k", tuple(names) or ("x",), (), {}, "l") for names in used)
    return Program("p", "", "int8", tensors, {"infer": Line("infer", calls, ("x",), ("x",))})


def test_a_plan_that_no_greedy_order_finds_is_found() -> None:
    """Two readings of each layer, and a difference twice as large between them: the pattern of MEMPEPITA on a convolutional network."""
    sizes = [size for _ in range(8) for size in (8, 8, 16)]
    stays = [stay for i in range(8) for stay in ((3 * i, 3 * i + 3), (3 * i + 1, 3 * i + 4), (3 * i + 2, 3 * i + 2))]
    program = chain(sizes, stays)
    memory = plan(program, all_apart)
    check(program, memory, all_apart)
    assert memory.arena_bytes == memory.lower_bound_bytes == 32


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["int8", "float32"])
@pytest.mark.parametrize("name", ["ds_cnn", "fc_ae", "mobilenet_v1_025", "resnet8"])
def test_the_arena_of_a_reference_network_is_the_lower_bound(name: str, numeric: Numeric) -> None:
    network = initialised(structure(name), 0)
    target = "input" if reproduces_input(network) else "class"
    found = []
    for rule in (None, *registry.rules):
        try:
            program = deploy(network, random_inputs(network, 0), rule=rule, numeric=numeric, target=target).program
        except Unsupported:
            continue
        memory = plan(select(program))
        assert memory.arena_bytes == memory.lower_bound_bytes, rule
        found.append(rule)
    assert {None, "frozen"} <= set(found)
