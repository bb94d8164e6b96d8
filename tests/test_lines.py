"""Lines as data: a line beside ``infer`` and ``learn`` is planned, costed, written as C, and runs alike in every execution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_networks import deployed, samples, small

from edgeff.codegen.folder import write_c
from edgeff.codegen.lines import accessors
from edgeff.device.boards import load_board
from edgeff.device.firmware import build
from edgeff.device.simulate import profile
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.errors import BadInput
from edgeff.ir import NUMERICS, Array, Line, Numeric, Program
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import Builder
from edgeff.program.memory_map import memory_map
from edgeff.program.plan import plan
from edgeff.rules import find_rule


def with_lines(rule: str | None, numeric: Numeric) -> Deployment:
    """The small network with two lines more: ``embed`` gives the hidden layer's output, ``blame`` the error against a label."""
    made = deployed(rule, numeric)
    build = Builder(made.network, rule, made.settings, 0, "class", True)
    output = build.run(build.x)[made.network.layers[-1].name]
    if rule:
        build.begin("learn")
        find_rule(rule).lower(build)
    build.begin("embed")
    hidden = made.network.layers[0]
    build.result(build.forward(hidden, build.x))
    build.begin("blame")
    build.result(build.error(build.run(build.x)[made.network.layers[-1].name]))
    return replace(made, program=build.program(output, classes=True))


def arguments(program: Program, line: str, sample: Array, label: int) -> list[Array]:
    given = {"input": sample, "label": np.array([label], np.int32)}
    return [given[program.tensors[name].role] for name in program.lines[line].arguments]


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize("rule", [None, "bp"])
def test_a_further_line_runs_alike_in_the_twins_on_the_host_and_on_the_core(rule: str | None, numeric: Numeric, tmp_path: Path) -> None:
    deployment = with_lines(rule, numeric)
    program = deployment.program
    assert program.lines["embed"].arguments == ("input",)
    assert program.lines["blame"].arguments == ("input", "label")
    twin, host = Interpreter(program), HostTarget(program)
    board = load_board("nucleo_l4r5zi")
    source = write_c(program, tmp_path / "c")
    core = UnicornTarget(build(source.folder, board, tmp_path / "project"))
    offsets = source.memory.offsets
    for number, sample in enumerate(deployment.inputs(samples(6))):
        label = number % 4
        for line in program.lines:
            given = arguments(program, line, sample, label)
            expected = twin.line(line, *given)
            for ours, theirs in zip(expected, host.line(line, *given), strict=True):
                assert ours.tobytes() == theirs.tobytes()
            core.write_input(sample)
            assert core.line(line, label) == (expected[1][0] if line == "infer" else 0)
            for name, ours in zip(program.lines[line].results, expected, strict=True):
                raw = core.read_arena()[offsets[name] : offsets[name] + ours.nbytes]
                assert raw == ours.tobytes(), (line, name)
    assert twin.line("embed", deployment.inputs(samples(1))[0])[0].any()
    persistent = source.memory.persistent_bytes
    assert core.read_arena()[:persistent] == host.arena()[:persistent].tobytes()


def test_a_label_that_is_no_class_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    program = with_lines("bp", "float32").program
    sample = samples(1)[0]
    for run in (Interpreter(program), HostTarget(program)):
        before = run.line("blame", sample, np.array([3], np.int32))
        for label in (-1, 4):
            with pytest.raises(BadInput, match="labels: got"):
                run.line("blame", sample, np.array([label], np.int32))
        assert run.line("blame", sample, np.array([3], np.int32))[0].tobytes() == before[0].tobytes()
    source = write_c(program, tmp_path / "c")
    core = UnicornTarget(build(source.folder, load_board("rpi_pico"), tmp_path / "project"))
    core.write_input(sample)
    assert [core.line("blame", label) for label in (-1, 4, 0)] == [-1, -1, 0]
    with pytest.raises(BadInput, match="line: got 'replay'; allowed: infer, learn, blame, embed"):
        core.line("replay")


def test_arguments_that_do_not_fit_are_refused() -> None:
    program = with_lines("bp", "float32").program
    for run in (Interpreter(program), HostTarget(program)):
        with pytest.raises(BadInput, match="a line of '12-8-4': got 'replay'; allowed: infer, learn, embed, blame"):
            run.line("replay")
        with pytest.raises(BadInput, match="arguments of line 'embed': got 0; allowed: 1"):
            run.line("embed")
        with pytest.raises(BadInput, match="input: got float64 of 12; allowed: float32 of 12"):
            run.line("embed", np.zeros(12))


def test_a_further_line_is_planned_costed_and_counted(tmp_path: Path) -> None:
    deployment = with_lines("bp", "int8")
    program = deployment.program
    memory = plan(program)
    assert set(memory.line_bytes) == {"infer", "learn", "embed", "blame"}
    assert {stay["line"] for stay in memory_map(program, memory)} == {"persistent", *memory.line_bytes}
    known = cost(program)
    assert known.macs("embed") == 12 * 8
    assert known.macs("blame") == known.macs("infer") == 12 * 8 + 8 * 4
    board = load_board("nucleo_l4r5zi")
    source = write_c(program, tmp_path / "c")
    trace = profile(deployment, board, build(source.folder, board, tmp_path / "project"), deployment.inputs(samples(1))[0], 1)
    assert {name: line.cost.macs for name, line in trace.lines.items()} == {name: known.macs(name) for name in program.lines}
    assert trace.line("infer").calls[0].instructions == trace.line("blame").calls[0].instructions
    assert sum(call.instructions or 0 for call in trace.line("blame").calls) == trace.line("blame").cost.instructions


def test_the_header_declares_further_lines_alone(tmp_path: Path) -> None:
    program = with_lines("bp", "int8").program
    header = (write_c(program, tmp_path).folder / "model.h").read_text(encoding="utf-8")
    for declaration in (
        "int eff_embed(void);",
        "int eff_blame(int32_t label);",
        "const int8_t *eff_embed_dense_1(void);",
        "const int16_t *eff_blame_error(void);",
        "#define EFF_FURTHER_LINES(X, label) X(0, eff_blame(label)) X(1, eff_embed())",
    ):
        assert declaration in header
    plain = (write_c(deployed("bp", "int8").program, tmp_path).folder / "model.h").read_text(encoding="utf-8")
    assert "FURTHER" not in plain


@pytest.mark.parametrize("name", ["save", "input", "dense_i8", "infer_calls", "Embed", "2d", "a-b", "", "x" * 40, "copy"])
def test_a_name_that_is_taken_or_no_identifier_is_refused(name: str, tmp_path: Path) -> None:
    program = deployed(None, "int8").program
    lines = dict(program.lines) | {name: Line(name, program.infer, ("input",), ())}
    with pytest.raises(BadInput, match="a line of '12-8-4': got"):
        write_c(replace(program, lines=lines), tmp_path)


def test_two_lines_may_not_claim_one_function(tmp_path: Path) -> None:
    program = with_lines(None, "int8").program
    (getter,) = accessors(program, program.lines["embed"]).values()
    name = getter.removeprefix("eff_")
    with pytest.raises(BadInput, match=f"got '{name}'"):
        write_c(replace(program, lines=dict(program.lines) | {name: Line(name, program.infer, ("input",))}), tmp_path)


def test_an_argument_of_a_line_lives_from_its_start() -> None:
    program = deploy(small()).program
    calls = program.infer
    line = Line("twice", (*calls, *calls), ("input",), (program.output,))
    memory = plan(replace(program, lines={"infer": program.lines["infer"], "twice": line}))
    first, last = len(calls), 3 * len(calls) - 1
    assert memory.lifetimes["input"][1] == (first, first + len(calls))
    assert memory.lifetimes[program.output][1][1] == last
