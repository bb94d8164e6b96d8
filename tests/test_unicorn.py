from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_cases import BOARDS, EACH_BUILD, EACH_TOOLCHAIN, INFER, LEARN, TINY, build_tiny, inputs, with_memory
from unicorn import arm_const, unicorn_const

import edgeff.targets.unicorn as emulated
from edgeff.boards import load_board
from edgeff.errors import BadInput, CheckFailed, EdgeffError, Unsupported
from edgeff.firmware import Firmware, write_project
from edgeff.ir import Board, Region
from edgeff.targets.counting import NativeCounter, PythonCounter
from edgeff.targets.unicorn import UnicornTarget
from edgeff.toolchains import TOOLCHAINS
from edgeff.toolchains.elf import read_elf
from edgeff.toolchains.host import host_shared_library


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function from a board's and a toolchain's name to the small model's firmware, built once."""
    built: dict[tuple[str, str], Firmware] = {}

    def get(board: str, toolchain: str) -> Firmware:
        if (board, toolchain) not in built:
            built[board, toolchain] = build_tiny(board, toolchain, tmp_path_factory.mktemp("firmware"))
        return built[board, toolchain]

    return get


@pytest.fixture(scope="session")
def host_model(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The small model as a shared library of the host."""
    library = tmp_path_factory.mktemp("host") / "model.so"
    host_shared_library([TINY / name for name in ("model.c", "eff_dense.c", "eff_learn.c")], TINY, library)
    model = ctypes.CDLL(str(library))
    model.eff_input.restype = ctypes.POINTER(ctypes.c_float * 4)
    return model


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_200_learning_steps_leave_the_arena_that_the_host_has(board: str, toolchain: str, firmware: Any, host_model: ctypes.CDLL) -> None:
    target = UnicornTarget(firmware(board, toolchain))
    host_model.eff_init()
    arena = (ctypes.c_uint8 * 156).in_dll(host_model, "eff_arena")
    for step, x in enumerate(inputs(200)):
        host_model.eff_input().contents[:] = x.tolist()
        host_model.eff_learn(step % 2)
        target.write_input(x)
        target.learn(step % 2)
        assert bytes(arena) == target.read_arena(), f"step {step}"
    for x in inputs(20):
        host_model.eff_input().contents[:] = x.tolist()
        target.write_input(x)
        assert host_model.eff_predict() == target.predict()


@pytest.mark.parametrize("board", BOARDS)
def test_the_emulated_core_learns(board: str, firmware: Any) -> None:
    target = UnicornTarget(firmware(board, "zig"))
    samples = inputs(300)
    labels = (samples[:, 0] > samples[:, 1]).astype(int)

    def correct() -> int:
        score = 0
        for x, label in zip(samples[200:], labels[200:], strict=True):
            target.write_input(x)
            score += target.predict() == label
        return score

    before = correct()
    for x, label in zip(samples[:200], labels[:200], strict=True):
        target.write_input(x)
        target.learn(int(label))
    after = correct()
    assert after >= 85
    assert after > before
    target.init()
    assert correct() == before


def test_the_output_is_what_numpy_computes(firmware: Any) -> None:
    target = UnicornTarget(firmware("nucleo_l4r5zi", "zig"))
    weights = np.frombuffer(target.read("initial", 92), np.float32)
    w2, b2, w1, b1 = weights[:6].reshape(2, 3), weights[6:8], weights[8:20].reshape(3, 4), weights[20:23]
    for x in inputs(20):
        target.write_input(x)
        best = target.predict()
        hidden = np.maximum(_dense(w1, b1, x), 0)
        expected = _dense(w2, b2, hidden)
        assert target.output().tobytes() == expected.tobytes()
        assert best == int(np.argmax(expected))


def _dense(weight: Any, bias: Any, x: Any) -> Any:
    """In the order of the C: the bias, then one product after the other, each rounded to float32."""
    total = bias.astype(np.float32)
    for column in range(x.size):
        total = total + weight[:, column] * x[column]
    return total


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_counts_add_up_and_are_the_same_in_five_runs(board: str, toolchain: str, firmware: Any) -> None:
    profiles = []
    for _ in range(5):
        target = UnicornTarget(firmware(board, toolchain))
        target.write_input(inputs(1)[0])
        inference = target.profile("predict", INFER)
        target.write_input(inputs(1)[0])
        profiles.append((inference, target.profile("learn", LEARN, label=1)))
    assert all(pair == profiles[0] for pair in profiles)
    for profile, calls in zip(profiles[0], (INFER, LEARN), strict=True):
        assert sum(call.instructions for call in profile.calls) == profile.instructions == sum(profile.functions.values())
        assert sum(call.cycles for call in profile.calls) == profile.cycles == sum(profile.function_cycles.values())
        assert [(call.name, call.kernel, call.stage) for call in profile.calls] == [(c.layer, c.kernel, c.stage) for c in calls]
        assert all(0 < call.instructions <= call.cycles for call in profile.calls)
        assert profile.latency_s == profile.cycles / profile.board.clock_hz
        assert profile.cost(macs=18).latency_s == profile.latency_s


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_the_counter_in_c_counts_what_the_one_in_python_does(
    board: str, toolchain: str, firmware: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for counter in (NativeCounter, PythonCounter):
        monkeypatch.setattr(emulated, "counter", counter)
        target = UnicornTarget(firmware(board, toolchain))
        found.append([target.profile("learn", LEARN), target.profile("predict", INFER)])
    assert found[0] == found[1]


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_counts_equal_a_hook_on_every_instruction_where_that_is_exact(toolchain: str, firmware: Any) -> None:
    """Armv6-M has no IT blocks, so a hook on instructions misses none there."""
    target = UnicornTarget(firmware("rpi_pico", toolchain))
    body = target.firmware.image.symbols["eff_learn_calls"].address
    places: list[int] = []
    returns: list[int] = []

    def on_instruction(machine: Any, address: int, _size: int, _data: Any) -> None:
        if address == body:
            returns.append(machine.reg_read(arm_const.UC_ARM_REG_LR) & ~1)
            places.clear()
        places.append(address)

    target.write_input(inputs(1)[0])
    target._uc.hook_add(unicorn_const.UC_HOOK_CODE, on_instruction)
    target._uc.ctl_flush_tb()
    target.learn(1)
    expected = places.index(returns[0])
    fresh = UnicornTarget(firmware("rpi_pico", toolchain))
    fresh.write_input(inputs(1)[0])
    assert fresh.profile("learn", LEARN, label=1).instructions == expected


@pytest.mark.slow
@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU is not installed: apt-get install qemu-system-arm")
def test_counts_equal_those_of_qemu(toolchain: str, tmp_path: Path) -> None:
    """QEMU logs every instruction of an Armv7E-M core, IT blocks included; its log is cut at the first instruction of no kernel."""
    st = load_board("nucleo_l4r5zi")
    regions = (Region("flash", "flash", 0, 1 << 22), Region("sram", "ram", 0x20000000, 1 << 22))
    values = {name: getattr(st, name) for name in Board.__dataclass_fields__}
    board = Board(**{**values, "name": "mps2_an386", "regions": regions})
    target = UnicornTarget(build_tiny(board, toolchain, tmp_path / "ours"))
    counted = {}
    for what, calls in (("predict", INFER), ("learn", LEARN)):
        target.write_input(np.array([0.5, -1, 0.25, 2], np.float32))
        counted[what] = target.profile(what, calls).instructions  # type: ignore[arg-type]

    project = write_project(TINY, board, tmp_path / "alone", TOOLCHAINS[toolchain])
    (project / "main.c").write_text(
        '#include "model/model.h"\nint main(void) { float *x = eff_input(); eff_init(); x[0] = 0.5f; x[1] = -1; x[2] = 0.25f; x[3] = 2;\n'
        'eff_predict(); eff_learn(0); for (;;) { __asm volatile("wfi"); } }\n',
        encoding="utf-8",
    )
    elf, log = project / "alone.elf", project / "log"
    TOOLCHAINS[toolchain].link(sorted([*project.glob("*.c"), *project.glob("model/*.c")]), project, board, project / "link.ld", elf)
    machine = ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none", "-kernel", str(elf)]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([*machine, "-singlestep", "-d", "exec,nochain", "-D", str(log)], timeout=3, check=False)
    places = [int(place, 16) for place in re.findall(r"^Trace.*?\[[0-9a-f]+/([0-9a-f]+)/", log.read_text(encoding="utf-8"), re.MULTILINE)]
    symbols = read_elf(elf).symbols
    kernels = [s for s in symbols.values() if re.fullmatch(r"eff_(dense|argmax|error|back|update)_f32|eff_\w+_calls", s.name)]
    for what, body in (("predict", "eff_infer_calls"), ("learn", "eff_learn_calls")):
        run = places[places.index(symbols[body].address) :]
        inside = [any(s.address <= place < s.address + s.size_bytes for s in kernels) for place in run]
        assert counted[what] == inside.index(False)


def test_another_number_of_calls_than_the_programs_is_refused(firmware: Any) -> None:
    target = UnicornTarget(firmware("rpi_pico", "zig"))
    with pytest.raises(CheckFailed, match="calls of predict in the firmware: got 3; allowed: 6"):
        target.profile("predict", LEARN)
    assert target.predict() in (0, 1)


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_profiling_changes_no_result(board: str, toolchain: str, firmware: Any) -> None:
    plain, profiled = UnicornTarget(firmware(board, toolchain)), UnicornTarget(firmware(board, toolchain))
    for x in inputs(3):
        plain.write_input(x)
        plain.learn(1)
        profiled.write_input(x)
        profiled.profile("learn", LEARN, label=1)
    assert plain.read_arena() == profiled.read_arena()


@pytest.mark.parametrize("deep", [0, 600])
@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_painting_finds_the_lowest_stack_pointer(board: str, toolchain: str, deep: int, tmp_path: Path) -> None:
    """It may miss what a frame sets aside and never writes: here less than 16 bytes."""
    body = f"volatile uint8_t d[{deep}]; for (int32_t i = 0; i < {deep}; i++) {{ d[i] = 1; }} *best = d[7] - 1;"
    edits = {"eff_dense.c": (r"\*best = 0;", body)} if deep else None
    target = UnicornTarget(build_tiny(board, toolchain, tmp_path, edits))
    lowest = target.firmware.image.symbols["eff_stack_top"].address

    def on_instruction(machine: Any, _address: int, _size: int, _data: Any) -> None:
        nonlocal lowest
        lowest = min(lowest, machine.reg_read(arm_const.UC_ARM_REG_SP))

    target._uc.hook_add(unicorn_const.UC_HOOK_CODE, on_instruction)
    target._uc.ctl_flush_tb()
    target.write_input(inputs(1)[0])
    target.learn(1)
    target.predict()
    used = target.firmware.image.symbols["eff_stack_top"].address - lowest
    assert deep < used < deep + 300
    assert used - 16 < target.stack_bytes <= used


def test_a_stack_that_reaches_the_arena_is_refused(tmp_path: Path) -> None:
    """4096 bytes of RAM: 184 for mailbox and arena, about 80 for the other frames, and an array that leaves less than nothing."""
    body = "volatile uint8_t deep[3860]; for (int32_t i = 0; i < 3860; i++) { deep[i] = 1; } *best = deep[7] - 1;"
    board = with_memory(load_board("rpi_pico"), 65_536, 4096)
    target = UnicornTarget(build_tiny(board, "zig", tmp_path, {"eff_dense.c": (r"\*best = 0;", body)}))
    target.predict()
    with pytest.raises(EdgeffError, match="the stack has run into the arena: got all of 3912 bytes used"):
        _ = target.stack_bytes


def test_saved_state_comes_back_and_leaves_the_stack_figure_alone(firmware: Any) -> None:
    target = UnicornTarget(firmware("nucleo_l4r5zi", "zig"))
    target.write_input(inputs(1)[0])
    target.learn(1)
    state, stack = target.save(), target.stack_bytes
    assert len(state) == 92
    target.init()
    assert target.save() != state
    target.restore(state)
    assert target.save() == state
    assert target.read_arena()[:92] == state
    assert target.stack_bytes == stack < 512
    with pytest.raises(BadInput, match="5 bytes; allowed: 92 bytes"):
        target.restore(b"short")


@pytest.mark.parametrize(
    "wrong", [np.zeros(4), np.zeros(3, np.float32), np.zeros(5, np.float32), np.zeros(4, np.int8), np.zeros(0, np.float32)]
)
def test_an_input_of_another_shape_or_dtype_is_refused(wrong: Any, firmware: Any) -> None:
    with pytest.raises(BadInput, match="allowed: 4 elements of float32"):
        UnicornTarget(firmware("rpi_pico", "zig")).write_input(wrong)


def test_memory_outside_of_the_board_and_unknown_symbols_are_refused(firmware: Any) -> None:
    target = UnicornTarget(firmware("rpi_pico", "zig"))
    assert target.read("eff_arena", 156) == target.read_arena() == target.read(target.firmware.image.symbols["eff_arena"].address, 156)
    with pytest.raises(BadInput, match="unknown symbol"):
        target.read("no_such_symbol", 4)
    with pytest.raises(BadInput, match="the memory of the board"):
        target.read(0x60000000, 4)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("*(volatile int32_t *)0x60000000u = 1;", r"Invalid memory write.* in eff_argmax_f32"),
        ("*best = *(volatile int32_t *)0u;", r"Invalid memory read.* in eff_argmax_f32"),
        ("*(volatile int32_t *)0x10000000u = 1;", r"Write to write-protected memory.* in eff_argmax_f32"),
        ('__asm volatile("udf #0");', r"in eff_argmax_f32"),
        ('__asm volatile("svc 0");', r"supervisor call"),
        ('__asm volatile("bkpt 1");', r"the firmware's own fault handler.* in eff_argmax_f32"),
        ("((void (*)(void))0x60000001u)();", r"at 0x60000000 in no function"),
        ('for (;;) { __asm volatile("nop"); }', r"no end after 0\.5 s.* in eff_argmax_f32"),
    ],
)
@pytest.mark.parametrize("profiled", [False, True])
def test_a_fault_of_the_firmware_is_told_with_its_place(statement: str, message: str, profiled: bool, tmp_path: Path) -> None:
    firmware = build_tiny("rpi_pico", "zig", tmp_path, {"eff_dense.c": (r"\*best = 0;", f"*best = 0; {statement}")})
    target = UnicornTarget(firmware, time_limit_s=0.5)
    with pytest.raises(EdgeffError, match=message) as caught:
        target.profile("predict", INFER) if profiled else target.predict()
    assert "\n" not in str(caught.value)


def test_a_firmware_that_fails_before_it_waits_is_refused(tmp_path: Path) -> None:
    firmware = build_tiny("rpi_pico", "zig", tmp_path, {"model.c": (r"memset\(eff_arena", "memset((uint8_t *)0x60000000u")})
    with pytest.raises(EdgeffError, match="the firmware failed on the emulated rpi_pico"):
        UnicornTarget(firmware)


def test_a_firmware_for_inference_refuses_to_learn(tmp_path: Path) -> None:
    target = UnicornTarget(build_tiny("nucleo_l4r5zi", "zig", tmp_path, {"model.h": ("HAS_LEARN 1", "HAS_LEARN 0")}))
    assert target.predict() in (0, 1)
    for refused in (lambda: target.learn(0), target.save, lambda: target.profile("learn", LEARN)):
        with pytest.raises(Unsupported, match="inference only"):
            refused()
    assert "eff_learn" not in target.firmware.symbol_bytes


def test_a_core_that_the_emulator_does_not_have_is_refused(firmware: Any) -> None:
    built = firmware("rpi_pico", "zig")
    values = {name: getattr(built.board, name) for name in Board.__dataclass_fields__}
    with pytest.raises(Unsupported, match="'cortex-m55'"):
        UnicornTarget(built, Board(**{**values, "core": "cortex-m55"}))
    huge = (Region("flash", "flash", 0xE0000000, 1 << 28), *built.board.regions)
    with pytest.raises(EdgeffError, match="cannot be emulated"):
        UnicornTarget(built, Board(**{**values, "regions": huge}))
