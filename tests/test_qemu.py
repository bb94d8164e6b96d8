"""The target QEMU: the results of the host, the counts of Unicorn, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from firmware_cases import INFER, LEARN, build_tiny, inputs
from image_networks import Builder, as_int8, inputs_for
from small_networks import deployed, samples, small

from edgeff.device.boards import load_board, load_boards
from edgeff.device.emulation.qemu_process import package, plugin
from edgeff.device.mailbox import load_target
from edgeff.device.profile import Profile
from edgeff.device.simulate import build_project
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.qemu import QemuTarget
from edgeff.device.toolchains import TOOLCHAINS, Toolchain
from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.ir import Array, Numeric
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.registry import cores
from edgeff.verify.executions import Emulated, twin_learning, twin_results

QEMU_BOARDS = [name for name, board in load_boards().items() if "qemu" in board.targets]
STEPS = 20
M4, RISCV = "mps2_an386", "qemu_virt_rv32"


def needs(*boards: str) -> None:
    """Skips a test, naming the tool that it lacks."""
    for board in boards:
        program = cores[load_board(board).core].emulators["qemu"][0]
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {package(program)}")


def toolchain(board: str, *, own: bool = False) -> Toolchain:
    """The toolchain that comes with edgeff, or with ``own`` the board's other one."""
    name = next(name for name in load_board(board).toolchains if (name != "zig") == own)
    if not TOOLCHAINS[name].available():
        pytest.skip(f"{name} is not installed: {TOOLCHAINS[name].how_to_get}")
    return TOOLCHAINS[name]


def convolution() -> Deployment:
    """Two small convolutions and a dense layer in int8, for inference."""
    build = Builder((9, 8, 3))
    build.window("conv", "conv2d", (3, 3), (2, 2), (1, 1, 1, 1), outputs=6, activation="relu")
    build.window("depthwise", "depthwise_conv2d", (3, 3))
    build.dense("scores", 4)
    return deploy(as_int8(build.network()), numeric="int8")


def one_input(deployment: Deployment) -> Array:
    if deployment.program.learn:
        return deployment.inputs(samples(1))[0]
    return deployment.inputs(inputs_for(deployment.network, 2)[:1])[0]


@pytest.mark.parametrize(
    ("board", "own", "made"),
    [
        (M4, False, lambda: deployed("pepita", "int8")),
        (M4, True, lambda: deployed("bp", "float32")),
        (M4, False, convolution),
        ("mps2_an505", True, lambda: deployed("pepita", "int8")),
    ],
    ids=["inference and step of PEPITA in int8", "step of BP in float32", "convolution in int8", "PEPITA in int8 on a Cortex-M33"],
)
def test_counts_cycles_memory_and_stack_equal_those_of_unicorn(
    board: str, own: bool, made: Callable[[], Deployment], tmp_path: Path
) -> None:
    needs(board)
    deployment = made()
    firmware, _ = build_project(deployment, load_board(board), tmp_path, toolchain=toolchain(board, own=own))
    profiles: list[list[Profile]] = []
    memories = []
    for name in ("unicorn", "qemu"):
        target = load_target(firmware, name=name)
        profiles.append([])
        for line in deployment.program.lines.values():
            for _ in range(2):
                target.write_input(one_input(deployment))
                profiles[-1].append(target.profile(line.name, line.calls, label=1))
        memories.append((target.read_arena(), target.stack_bytes))
    assert profiles[0] == profiles[1]
    assert memories[0] == memories[1]
    for profile in profiles[1]:
        assert sum(call.instructions for call in profile.calls) == profile.instructions == sum(profile.functions.values())


def vectors() -> Deployment:
    """An int8 network of every layer that has a form for Helium: odd numbers of taps, of rows and of outputs, pixels at every border."""
    build = Builder((6, 5, 3))
    build.window("conv", "conv2d", (3, 3), (1, 1), (1, 1, 1, 1), outputs=16, activation="relu")
    build.window("depthwise", "depthwise_conv2d", (3, 3), (1, 1), (1, 1, 1, 1), bias=False)
    build.window("even", "depthwise_conv2d", (2, 3), (2, 1), (0, 1, 1, 1), activation="relu")
    build.window("wide", "conv2d", (1, 1), outputs=64)
    build.window("pointwise", "conv2d", (1, 1), outputs=64, activation="relu6")
    build.window("narrow", "conv2d", (1, 1), (2, 2), outputs=7, bias=False)
    build.dense("scores", 6)
    return deploy(as_int8(build.network()), numeric="int8")


@pytest.mark.parametrize("own", [False, True], ids=["zig", "gcc"])
def test_helium_computes_what_the_twins_do(own: bool) -> None:
    needs("mps3_an547")
    deployment, board = vectors(), load_board("mps3_an547")
    program = select(deployment.program, cores[board.core].features)
    assert [call.variant for call in program.infer][:7] == ["mve"] * 7
    x = deployment.inputs(inputs_for(deployment.network, 4))
    twin = twin_results(deployment.program, x, lambda: None)
    core = Emulated(deployment.program, board, toolchain("mps3_an547", own=own).name, target="qemu", traced=True).results(x, lambda: None)
    for a, b in zip(twin.calls, core.calls, strict=True):
        assert (a == b).all()
    assert len(np.unique(twin.scores)) > 4


def assert_learns_as_the_twins_do(deployment: Deployment, x: Array, board: str, toolchain: str) -> None:
    """The whole state after each step on a sample of x, and the scores after the last one, to the bit."""
    program, labels = deployment.program, np.arange(len(x)) % 4
    twin = twin_learning(program, plan(program), x, labels, x, lambda: None)
    core = Emulated(program, load_board(board), toolchain, target="qemu").learning(x, labels, x, lambda: None)
    assert twin.states.tobytes() == core.states.tobytes()
    assert twin.after.scores.tobytes() == core.after.scores.tobytes()
    assert not np.array_equal(twin.states[0], twin.states[-1])


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["int8", "float32"])
@pytest.mark.parametrize("board", QEMU_BOARDS)
def test_every_core_learns_to_the_bit_as_the_twins_do(board: str, numeric: Numeric) -> None:
    needs(board)
    deployment = deployed("pepita", numeric)
    name = toolchain(board, own=numeric == "int8").name
    assert_learns_as_the_twins_do(deployment, deployment.inputs(samples(STEPS)), board, name)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("board", [name for name in QEMU_BOARDS if "mve" in cores[load_board(name).core].features])
def test_denormals_survive_on_a_core_with_vectors(board: str, own: bool) -> None:
    needs(board)
    network = small("12-4")
    network.layers[0].params["weight"][:] *= np.float32(1e-40)
    deployment = deployed("bp", "float32", network)
    x = deployment.inputs(samples(STEPS) * np.float32(1e-38))
    assert_learns_as_the_twins_do(deployment, x, board, toolchain(board, own=own).name)


@pytest.mark.parametrize("board", ["mps3_an547", RISCV])
def test_every_call_is_watched(board: str) -> None:
    needs(board)
    deployment = convolution()
    x = deployment.inputs(inputs_for(deployment.network, 3))
    expected = twin_results(deployment.program, x, lambda: None)
    core = Emulated(deployment.program, load_board(board), toolchain(board, own=True).name, traced=True)
    actual = core.results(x, lambda: None)
    assert len(actual.calls) == len(expected.calls) > 3
    assert [values.tobytes() for values in actual.calls] == [values.tobytes() for values in expected.calls]
    assert actual.scores.tobytes() == expected.scores.tobytes()


def test_a_core_without_a_cycle_model_has_exact_counts_and_no_cycles(tmp_path: Path) -> None:
    needs("mps3_an547")
    firmware = build_tiny("mps3_an547", toolchain("mps3_an547").name, tmp_path)
    target = load_target(firmware)
    target.write_input(inputs(1)[0])
    profile = target.profile("learn", LEARN, label=1)
    cost = profile.cost(macs=18)
    assert (profile.cycles, profile.latency_s, cost.cycles, cost.latency_s) == (None, None, None, None)
    assert cost.evidence == "exact (emulated)"
    assert cost.instructions == profile.instructions == sum(call.instructions for call in profile.calls) > 100
    assert {call.cycles for call in profile.calls} == set(profile.function_cycles.values()) == {None}


FAULTS = [
    (M4, "*(volatile int32_t *)0x60000000u = 1;", r"data access outside of memory, at .* in eff_argmax_f32"),
    (M4, '__asm volatile("udf #0");', r"undefined instruction, at .* in eff_argmax_f32"),
    (M4, '__asm volatile("svc 0");', r"supervisor call, at .* in eff_argmax_f32"),
    (M4, '__asm volatile("bkpt 1");', r"the firmware's own fault handler, at .* in eff_argmax_f32"),
    (M4, "((void (*)(void))0x60000001u)();", r"instruction fetch outside of memory, at 0x60000000 in no function"),
    (M4, 'for (;;) { __asm volatile("nop"); }', r"no end after 0\.5 s, at .* in eff_argmax_f32"),
    (RISCV, "*(volatile int32_t *)0x90000000u = 1;", r"data access outside of memory, at .* in eff_argmax_f32"),
    (RISCV, '__asm volatile(".word 0xFFFFFFFF");', r"undefined instruction, at .* in eff_argmax_f32"),
]


@pytest.mark.parametrize(("board", "statement", "message"), FAULTS)
def test_a_fault_of_the_firmware_is_told_with_its_place(board: str, statement: str, message: str, tmp_path: Path) -> None:
    needs(board)
    edits = {"eff_dense.c": (r"\*best = 0;", f"*best = 0; {statement}")}
    target = load_target(build_tiny(board, toolchain(board, own=True).name, tmp_path, edits), name="qemu")
    if "for (;;)" in statement:
        target.time_limit_s = 0.5
    with pytest.raises(EdgeffError, match=message) as caught:
        target.predict()
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], QemuTarget]:
    """A fresh target with the small model on a Cortex-M4, built once."""
    needs(M4)
    firmware = build_tiny(M4, toolchain(M4).name, tmp_path_factory.mktemp("tiny"))

    def load() -> QemuTarget:
        target = load_target(firmware, name="qemu")
        assert isinstance(target, QemuTarget)
        return target

    return load


def test_an_emulator_that_dies_ends_in_one_line(tiny: Callable[[], QemuTarget]) -> None:
    target = tiny()
    target.write_input(inputs(1)[0])
    assert target.predict() in (0, 1)
    os.kill(target.process.number, signal.SIGKILL)
    for command in (target.predict, target.read_arena, lambda: target.profile("infer", INFER)):
        with pytest.raises(
            EdgeffError, match=r"the firmware failed on the emulated mps2_an386: got QEMU ended by signal SIGKILL"
        ) as caught:
            command()
        assert "\n" not in str(caught.value)


def test_the_emulator_ends_with_its_target_and_with_the_program(tiny: Callable[[], QemuTarget], tmp_path: Path) -> None:
    target = tiny()
    number = target.process.number
    assert Path(f"/proc/{number}").exists()
    elf = target.firmware.elf
    del target
    assert not Path(f"/proc/{number}").exists()
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from edgeff.device.boards import load_board\nfrom edgeff.device.firmware import measure\n"
        "from edgeff.device.mailbox import load_target\n"
        f"target = load_target(measure(Path({str(elf)!r}), load_board({M4!r}), 'zig'), name='qemu')\n"
        "print(target.process.number, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    place = Path(f"/proc/{killed.stdout.strip()}")
    for _ in range(100):
        if not place.exists() or place.joinpath("stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("QEMU outlives the program that started it")


def test_state_is_saved_restored_and_set_back(tiny: Callable[[], QemuTarget]) -> None:
    target = tiny()
    target.write_input(inputs(1)[0])
    target.learn(1)
    state, stack = target.save(), target.stack_bytes
    target.init()
    assert target.save() != state
    target.restore(state)
    assert target.save() == state
    assert target.stack_bytes == stack
    with pytest.raises(BadInput, match="the memory of the board"):
        target.read(0x60000000, 4)
    with pytest.raises(BadInput, match="the memory of the board"):
        target.write(0x203FFFFC, bytes(8))
    target.write("eff_arena", bytes(range(8)))
    assert target.read("eff_arena", 8) == bytes(range(8))


def test_what_is_missing_is_named_with_its_package(tiny: Callable[[], QemuTarget], monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = tiny().firmware
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("qemu") else found(name))
    with pytest.raises(MissingTool, match=r"^qemu-system-arm is not installed; apt-get install qemu-system-arm$"):
        load_target(firmware, name="qemu")
    assert package("qemu-system-riscv32") == "qemu-system-misc"
    monkeypatch.setattr(shutil, "which", found)
    monkeypatch.setenv("CC", "no-such-compiler")
    plugin.cache_clear()
    with pytest.raises(MissingTool, match="'no-such-compiler'"):
        load_target(firmware, name="qemu")


def test_a_machine_that_qemu_does_not_have_is_told_in_its_words(tiny: Callable[[], QemuTarget]) -> None:
    firmware = tiny().firmware
    board = replace(firmware.board, machines={"qemu": "no-such-machine"})
    with pytest.raises(EdgeffError, match=r"QEMU ended with status 1: .*unsupported machine type"):
        load_target(firmware, board, "qemu")
    with pytest.raises(BadInput, match=r"board mps2_an386 on target qemu: got no machine"):
        load_target(firmware, replace(firmware.board, machines={}), "qemu")


def test_a_target_that_the_board_does_not_list_is_refused(tiny: Callable[[], QemuTarget]) -> None:
    firmware = tiny().firmware
    board = replace(firmware.board, targets=("unicorn",))
    with pytest.raises(Unsupported, match=r"target of board mps2_an386: got 'qemu'; allowed: unicorn"):
        load_target(firmware, board, "qemu")
    with pytest.raises(Unsupported, match=r"target of board mps2_an386: got 'qemu'; allowed: unicorn"):
        QemuTarget(firmware, board)
    with pytest.raises(Unsupported, match="got a target that runs no firmware; allowed: qemu, unicorn"):
        load_target(firmware, replace(firmware.board, targets=("host",)))


def test_the_host_is_a_target_with_the_same_results(tmp_path: Path) -> None:
    needs(M4)
    deployment = deployed("pepita", "int8")
    firmware, source = build_project(deployment, load_board(M4), tmp_path, toolchain=toolchain(M4))
    host, core = HostTarget(deployment.program, source), load_target(firmware, name="qemu")
    place, persistent = host.memory.offsets[deployment.program.input], host.memory.persistent_bytes
    for target in (host, core):
        for label, x in enumerate(deployment.inputs(samples(4))):
            arena = bytearray(target.read("eff_arena", host.memory.arena_bytes))
            arena[place : place + x.nbytes] = x.tobytes()
            target.write("eff_arena", bytes(arena))
            assert target.call("learn", label) == 0
    assert host.read("eff_arena", persistent) == core.read("eff_arena", persistent)
    assert host.call("infer") == core.call("infer")
    core.call("init")
    assert host.read("eff_arena", persistent) != core.read("eff_arena", persistent)
    with pytest.raises(BadInput, match="unknown symbol"):
        host.read("no_such_symbol", 1)
    assert host.counters is None
    assert core.counters is not None
