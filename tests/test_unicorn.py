from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_cases import BOARDS, EACH_BUILD, INFER, LEARN, TINY, build_tiny, built, inputs, with_memory
from unicorn import arm_const, unicorn_const

from edgeff.device.boards import load_board
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Board, Region


@pytest.fixture(scope="session")
def host_model(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The small model as a shared library of the host."""
    library = tmp_path_factory.mktemp("host") / "model.so"
    host_shared_library([TINY / name for name in ("model.c", "eff_dense.c", "eff_learn.c")], TINY, library)
    model = ctypes.CDLL(str(library))
    model.eff_input.restype = ctypes.POINTER(ctypes.c_float * 4)
    return model


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_200_learning_steps_leave_the_arena_that_the_host_has(board: str, toolchain: str, host_model: ctypes.CDLL) -> None:
    target = UnicornTarget(built(board, toolchain))
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
def test_the_emulated_core_learns(board: str) -> None:
    target = UnicornTarget(built(board, "zig"))
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


def test_the_output_is_what_numpy_computes() -> None:
    target = UnicornTarget(built("nucleo_l4r5zi", "zig"))
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


def test_saved_state_comes_back_and_leaves_the_stack_figure_alone() -> None:
    target = UnicornTarget(built("nucleo_l4r5zi", "zig"))
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


def test_a_state_that_the_free_ram_does_not_hold_is_neither_saved_nor_restored(tmp_path: Path) -> None:
    """Beside 184 bytes of mailbox and arena and the 2048 of the stack, 88 bytes are too few for the state of 92."""
    target = UnicornTarget(build_tiny(with_memory(load_board("rpi_pico"), 65_536, 184 + 2048 + 88), "zig", tmp_path))
    before = target.read_arena()
    for refused in (target.save, lambda: target.restore(bytes(92))):
        with pytest.raises(EdgeffError, match="the remaining RAM cannot hold the saved state: got 88 bytes; allowed: 92"):
            refused()
    assert target.read_arena() == before
    assert (target.call("save"), target.call("restore")) == (-1, -1)  # the firmware's own check, beside the host's
    assert target.read_arena() == before


@pytest.mark.parametrize(
    "wrong", [np.zeros(4), np.zeros(3, np.float32), np.zeros(5, np.float32), np.zeros(4, np.int8), np.zeros(0, np.float32)]
)
def test_an_input_of_another_shape_or_dtype_is_refused(wrong: Any) -> None:
    with pytest.raises(BadInput, match="allowed: 4 elements of float32"):
        UnicornTarget(built("rpi_pico", "zig")).write_input(wrong)


def test_memory_outside_of_the_board_and_unknown_symbols_are_refused() -> None:
    target = UnicornTarget(built("rpi_pico", "zig"))
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
        target.profile("infer", INFER) if profiled else target.predict()
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


def test_a_core_that_the_emulator_does_not_have_is_refused() -> None:
    whole = built("rpi_pico", "zig")
    values = {name: getattr(whole.board, name) for name in Board.__dataclass_fields__}
    with pytest.raises(Unsupported, match="'cortex-m55'"):
        UnicornTarget(whole, Board(**{**values, "core": "cortex-m55", "fpu": True}))
    huge = (Region("flash", "flash", 0xE0000000, 1 << 28), *whole.board.regions)
    with pytest.raises(EdgeffError, match="cannot be emulated"):
        UnicornTarget(whole, Board(**{**values, "regions": huge}))
