"""The planner: no two tensors that live at once share a byte, and nothing beats the lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_networks import EVERY_PROGRAM, deployed

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.ir import Call, Line, MemoryPlan, Numeric, Program, Role, Tensor
from edgeff.networks import initialised, random_inputs, reproduces_input, structure
from edgeff.program.cost import cost
from edgeff.program.deploy import deploy
from edgeff.program.memory_map import memory_map
from edgeff.program.plan import ALIGNMENT, ARENA_ALIGNMENT, _place, aligned, plan

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


def alive(program: Program) -> list[set[str]]:
    """The tensors of the scratch part that each call of every line needs, from the definition."""
    found = []
    for line in program.lines.values():
        touched = [{*call.outputs, *call.inputs} for call in line.calls]
        for position in range(len(line.calls)):
            before, after = set().union(*touched[: position + 1]), set().union(*touched[position:])
            needed = before & after
            needed |= {*line.arguments} & after  # the caller writes them before the line begins
            needed |= {*line.results} & before  # the caller reads them after the line has ended
            found.append(needed & {tensor.name for tensor in program.by_role("input", "label", "activation")})
    return found


def check(program: Program, memory: MemoryPlan) -> None:
    sizes = {name: tensor.size_bytes for name, tensor in program.tensors.items()}
    for offset in memory.offsets.values():
        assert offset % ALIGNMENT == 0
    for needed in alive(program):
        for a, b in combinations(sorted(needed), 2):
            first, second = memory.offsets[a], memory.offsets[b]
            assert first + sizes[a] <= second or second + sizes[b] <= first, (a, b)
        assert memory.lower_bound_bytes >= memory.persistent_bytes + sum(aligned(sizes[name]) for name in needed)
    for name, offset in memory.offsets.items():
        persists = program.tensors[name].role in ("variable", "state")
        assert offset + sizes[name] <= (memory.persistent_bytes if persists else memory.arena_bytes)
        assert persists or offset >= memory.persistent_bytes
    for a, b in combinations((t.name for t in program.by_role("variable", "state")), 2):
        assert memory.offsets[a] + sizes[a] <= memory.offsets[b] or memory.offsets[b] + sizes[b] <= memory.offsets[a]
    assert memory.arena_bytes % ARENA_ALIGNMENT == memory.persistent_bytes % ARENA_ALIGNMENT == 0
    assert memory.arena_bytes >= max(memory.lower_bound_bytes, ARENA_ALIGNMENT)
    assert memory.persistent_bytes + max(memory.line_bytes.values()) <= memory.arena_bytes
    assert memory.flash_bytes == sum(t.size_bytes for t in program.by_role("constant", "variable"))


@settings(max_examples=150, deadline=None)
@given(programs())
def test_what_lives_at_once_shares_no_byte(program: Program) -> None:
    check(program, plan(program))


@settings(max_examples=30, deadline=None)
@given(programs())
def test_the_plan_does_not_depend_on_chance(program: Program) -> None:
    assert plan(program) == plan(program)


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_real_programs(rule: str | None, numeric: str) -> None:
    program = deployed(rule, numeric).program  # type: ignore[arg-type]
    memory = plan(program)
    check(program, memory)
    assert memory.offsets.keys() >= {t.name for t in program.by_role("input", "variable", "state")}
    assert memory.persistent_bytes == 0 or program.learn
    assert cost(program).memory == memory


def test_inputs_live_from_the_start_and_the_output_to_the_end() -> None:
    tensors = {name: Tensor(name, (8,), "int8", role) for name, role in (("x", "input"), ("a", "activation"), ("y", "activation"))}  # type: ignore[arg-type]
    calls = (Call("k", ("y",), (), {}, "l"), Call("k", ("a",), ("x",), {}, "l"), Call("k", ("a",), (), {}, "l"))
    memory = plan(Program("p", "", "int8", tensors, {"infer": Line("infer", calls, ("x",), ("y",))}))
    assert memory.lifetimes == {"x": ((0, 1),), "a": ((1, 2),), "y": ((0, 2),)}
    assert memory.arena_bytes == memory.lower_bound_bytes == 24


def test_the_two_lines_share_their_space() -> None:
    tensors = {name: Tensor(name, (16,), "int8", role) for name, role in (("x", "input"), ("y", "activation"), ("d", "activation"))}  # type: ignore[arg-type]
    infer = Line("infer", (Call("k", ("y",), ("x",), {}, "l"),), ("x",), ("y",))
    learn = Line("learn", (Call("k", ("d",), ("x",), {}, "l"),), ("x",))
    program = Program("p", "r", "int8", tensors, {"infer": infer, "learn": learn})
    memory = plan(program)
    assert (memory.arena_bytes, memory.line_bytes) == (32, {"infer": 32, "learn": 32})
    assert memory.offsets["y"] == memory.offsets["d"]


def test_an_empty_program_has_an_arena() -> None:
    program = Program("p", "", "int8", {"x": Tensor("x", (1,), "int8", "input")}, {"infer": Line("infer", (), ("x",), ("x",))})
    assert plan(program).arena_bytes == ARENA_ALIGNMENT


@settings(max_examples=50, deadline=None)
@given(programs())
def test_the_map_shows_every_stay_once(program: Program) -> None:
    memory = plan(program)
    entries = memory_map(program, memory)
    assert {entry["tensor"] for entry in entries} == set(memory.offsets)
    stays = [(entry["tensor"], entry["first"], entry["last"]) for entry in entries if entry["line"] != "persistent"]
    assert sorted(stays) == sorted((name, *span) for name, spans in memory.lifetimes.items() for span in spans)
    assert all(entry["offset"] == memory.offsets[entry["tensor"]] for entry in entries)


def optimum(program: Program) -> int:
    """The smallest scratch part there is: first fit in the order of an optimal plan's offsets finds one, so all orders are tried."""
    scratch = {name for needed in alive(program) for name in needed}
    sizes = {name: aligned(program.tensors[name].size_bytes) for name in scratch}
    conflicts = {name: {other for needed in alive(program) if name in needed for other in needed} - {name} for name in scratch}
    return min((_place(order, sizes, conflicts)[0] for order in permutations(sorted(scratch))), default=0)


@settings(max_examples=100, deadline=None)
@given(programs())
def test_a_small_plan_is_the_best_there_is(program: Program) -> None:
    assume(len(set().union(*alive(program))) <= 6)
    memory = plan(program)
    assert memory.arena_bytes == max(aligned(memory.persistent_bytes + optimum(program), ARENA_ALIGNMENT), ARENA_ALIGNMENT)


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
    memory = plan(program)
    check(program, memory)
    assert memory.arena_bytes == memory.lower_bound_bytes == 32


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
        memory = plan(program)
        assert memory.arena_bytes == memory.lower_bound_bytes, rule
        found.append(rule)
    assert {None, "frozen"} <= set(found)
