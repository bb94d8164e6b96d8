"""The planner: no two tensors that live at once share a byte, and nothing beats the lower bound."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import EVERY_PROGRAM, deployed

from edgeff.cost import cost
from edgeff.ir import Call, MemoryPlan, Program, Role, Tensor
from edgeff.memory_map import memory_map
from edgeff.plan import ALIGNMENT, ARENA_ALIGNMENT, aligned, plan

ROLES: tuple[Role, ...] = ("label", "activation", "activation", "activation", "state", "variable", "constant")
DTYPES = ("int8", "int16", "float32")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs of up to fourteen tensors and two lines of up to eight calls; nothing about them makes sense but who touches what."""
    tensors = {
        "x": Tensor("x", (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), "input"),
        "y": Tensor("y", (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), "activation"),
    }
    for index in range(draw(st.integers(0, 12))):
        name = f"t{index}"
        tensors[name] = Tensor(name, (draw(st.integers(1, 40)),), draw(st.sampled_from(DTYPES)), draw(st.sampled_from(ROLES)))
    names = st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3, unique=True)
    lines = [
        tuple(Call("k", tuple(draw(names)), tuple(draw(names)), {}, "layer") for _ in range(draw(st.integers(low, 8)))) for low in (1, 0)
    ]
    return Program("p", "r", "int8", tensors, lines[0], lines[1], "x", "y")


def alive(program: Program) -> list[set[str]]:
    """The tensors of the scratch part that each call of both lines needs, from the definition."""
    found = []
    for line in (program.infer, program.learn):
        touched = [{*call.outputs, *call.inputs} for call in line]
        for position in range(len(line)):
            before, after = set().union(*touched[: position + 1]), set().union(*touched[position:])
            needed = before & after
            for tensor in program.by_role("input", "label"):  # the caller writes them before the line begins
                needed |= {tensor.name} & after
            if line is program.infer:  # the caller reads it after the line has ended
                needed |= {program.output} & before
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
    assert memory.persistent_bytes + max(memory.infer_bytes, memory.learn_bytes) <= memory.arena_bytes
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
    memory = plan(Program("p", "", "int8", tensors, calls, (), "x", "y"))
    assert memory.lifetimes == {"x": ((0, 1),), "a": ((1, 2),), "y": ((0, 2),)}
    assert memory.arena_bytes == memory.lower_bound_bytes == 24


def test_the_two_lines_share_their_space() -> None:
    tensors = {name: Tensor(name, (16,), "int8", role) for name, role in (("x", "input"), ("y", "activation"), ("d", "activation"))}  # type: ignore[arg-type]
    program = Program("p", "r", "int8", tensors, (Call("k", ("y",), ("x",), {}, "l"),), (Call("k", ("d",), ("x",), {}, "l"),), "x", "y")
    memory = plan(program)
    assert (memory.arena_bytes, memory.infer_bytes, memory.learn_bytes) == (32, 32, 32)
    assert memory.offsets["y"] == memory.offsets["d"]


def test_an_empty_program_has_an_arena() -> None:
    program = Program("p", "", "int8", {"x": Tensor("x", (1,), "int8", "input")}, (), (), "x", "x")
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
