from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_cases import EACH_BUILD, EACH_TOOLCHAIN, INFER, LEARN, TINY, build_tiny, built, inputs
from unicorn import arm_const, unicorn_const

import edgeff.device.targets.unicorn as emulated
from edgeff.device.boards import load_board
from edgeff.device.emulation.block_hooks import NativeCounter, PythonCounter
from edgeff.device.firmware import write_project
from edgeff.device.simulate import build_project
from edgeff.device.simulate import profile as profile_of
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.elf import read_elf
from edgeff.errors import CheckFailed
from edgeff.ir import Board, Layer, Network, Region
from edgeff.ops.add import Add
from edgeff.ops.input import Input
from edgeff.ops.tanh import Tanh
from edgeff.program.deploy import deploy


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_counts_add_up_and_are_the_same_in_five_runs(board: str, toolchain: str) -> None:
    profiles = []
    for _ in range(5):
        target = UnicornTarget(built(board, toolchain))
        target.write_input(inputs(1)[0])
        inference = target.profile("infer", INFER)
        target.write_input(inputs(1)[0])
        profiles.append((inference, target.profile("learn", LEARN, label=1)))
    assert all(pair == profiles[0] for pair in profiles)
    for profile, calls in zip(profiles[0], (INFER, LEARN), strict=True):
        assert sum(call.instructions for call in profile.calls) == profile.instructions == sum(profile.functions.values())
        cycles = [call.cycles for call in profile.calls if call.cycles is not None]
        assert sum(cycles) == profile.cycles == sum(spent for spent in profile.function_cycles.values() if spent is not None)
        assert [(call.name, call.kernel, call.stage) for call in profile.calls] == [(c.layer, c.kernel, c.stage) for c in calls]
        assert all(0 < call.instructions <= spent for call, spent in zip(profile.calls, cycles, strict=True))
        assert profile.latency_s == sum(cycles) / profile.board.clock_hz
        assert profile.cost(macs=18).latency_s == profile.latency_s
        current = {"nucleo_l4r5zi": 110e-6 * 3.3, "microbit": 275e-6 * 3.0}.get(board)  # watts per MHz
        assert profile.energy_j == (None if current is None else pytest.approx(sum(cycles) * current / 1e6))
        assert profile.cost(macs=18).energy_j == profile.energy_j


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_the_counter_in_c_counts_what_the_one_in_python_does(board: str, toolchain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for counter in (NativeCounter, PythonCounter):
        monkeypatch.setattr(emulated, "counter", counter)
        target = UnicornTarget(built(board, toolchain))
        found.append([target.profile("learn", LEARN), target.profile("infer", INFER)])
    assert found[0] == found[1]


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_counts_equal_a_hook_on_every_instruction_where_that_is_exact(toolchain: str) -> None:
    """Armv6-M has no IT blocks, so a hook on instructions misses none there."""
    target = UnicornTarget(built("rpi_pico", toolchain))
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
    fresh = UnicornTarget(built("rpi_pico", toolchain))
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
    for what, calls in (("infer", INFER), ("learn", LEARN)):
        target.write_input(np.array([0.5, -1, 0.25, 2], np.float32))
        counted[what] = target.profile(what, calls).instructions

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
    for what, body in (("infer", "eff_infer_calls"), ("learn", "eff_learn_calls")):
        run = places[places.index(symbols[body].address) :]
        inside = [any(s.address <= place < s.address + s.size_bytes for s in kernels) for place in run]
        assert counted[what] == inside.index(False)


def test_another_number_of_calls_than_the_programs_is_refused() -> None:
    target = UnicornTarget(built("rpi_pico", "zig"))
    with pytest.raises(CheckFailed, match="calls of infer in the firmware: got 3; allowed: 6"):
        target.profile("infer", LEARN)
    assert target.predict() in (0, 1)


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_profiling_changes_no_result(board: str, toolchain: str) -> None:
    plain, profiled = UnicornTarget(built(board, toolchain)), UnicornTarget(built(board, toolchain))
    for x in inputs(3):
        plain.write_input(x)
        plain.learn(1)
        profiled.write_input(x)
        profiled.profile("learn", LEARN, label=1)
    assert plain.read_arena() == profiled.read_arena()


def test_every_input_of_a_network_is_written_before_it_is_counted(tmp_path: Path) -> None:
    other = Layer("other", Input(), (), (6,))
    network = Network("two", (6,), (other, Layer("bent", Tanh(), ("other",), (6,)), Layer("sum", Add(), ("input", "bent"), (6,))))
    board, counts = load_board("nucleo_l4r5zi"), []
    deployment = deploy(network, target="input")
    firmware, _ = build_project(deployment, board, tmp_path)
    for value in (0.1, 2.0):  # the hyperbolic tangent takes another path for each
        sample = np.r_[np.zeros(6), np.full(6, value)].astype(np.float32)
        counts.append(profile_of(deployment, board, firmware, sample).line("infer").cost.instructions)
    assert len(set(counts)) == 2
