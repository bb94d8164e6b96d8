from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from firmware_cases import EACH_BUILD, EACH_TOOLCHAIN, TINY, build_tiny, with_memory

from edgeff.device.boards import load_board
from edgeff.device.firmware import build, load_templates, measure, write_project
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains import TOOLCHAINS, choose
from edgeff.device.toolchains.elf import read_elf
from edgeff.device.toolchains.host import host_shared_library
from edgeff.device.toolchains.protocol import run
from edgeff.device.toolchains.zig import executable
from edgeff.errors import BadInput, DoesNotFit, EdgeffError, MissingTool
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.registry import cores
from edgeff.resources import templates_folder

ARENA_BYTES = 156
TEMPLATE = load_templates()["bare_metal"]


@pytest.mark.parametrize("core", sorted(name for name, core in cores.items() if "dsp" in core.features))
def test_compilers_are_told_of_a_cores_dsp(core: str) -> None:
    """Else the forms for DSP run as the plain C that stands beside their instructions."""
    for flags in (cores[core].toolchains["zig"], cores[core].without_fpu.get("zig", cores[core].toolchains["zig"])):
        macros = run([str(executable()), "cc", *flags, "-dM", "-E", "-x", "c", os.devnull], Path.cwd())
        assert "#define __ARM_FEATURE_DSP 1" in macros
        assert ("#define __ARM_FEATURE_MVE" in macros) == ("mve" in cores[core].features)


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_memory_of_the_elf_is_what_was_planned(board: str, toolchain: str, tmp_path: Path) -> None:
    firmware = build_tiny(board, toolchain, tmp_path)
    assert firmware.arena_bytes == ARENA_BYTES
    assert firmware.static_ram_bytes == ARENA_BYTES + TEMPLATE.ram_bytes
    assert firmware.symbol_bytes["eff_mailbox"] == TEMPLATE.ram_bytes
    assert firmware.symbol_bytes["eff_facts"] == TEMPLATE.constant_bytes
    assert firmware.symbol_bytes["initial"] == 92
    assert firmware.image.sections[".stack"] == TEMPLATE.stack_bytes
    assert 0 <= firmware.flash_bytes - firmware.code_bytes - firmware.constant_bytes < 8
    assert {"eff_infer_calls", "eff_learn_calls", "eff_dense_f32"} <= {f.name for f in firmware.functions}
    assert "memmove" not in firmware.symbol_bytes


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
@pytest.mark.parametrize("ram_bytes", [ARENA_BYTES, 4096, 65_536])
def test_static_ram_is_the_arena_plus_the_template_for_any_arena(board: str, toolchain: str, ram_bytes: int, tmp_path: Path) -> None:
    firmware = build_tiny(board, toolchain, tmp_path, {"model.h": ("156u", f"{ram_bytes + 1}u")})
    assert firmware.static_ram_bytes == ram_bytes + 1 + TEMPLATE.ram_bytes


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_too_small_a_memory_is_refused_by_how_many_bytes(toolchain: str, tmp_path: Path) -> None:
    board = load_board("nucleo_f446re")
    fitting = build_tiny(board, toolchain, tmp_path / "fits")
    needed = -(-fitting.static_ram_bytes // 8) * 8 + TEMPLATE.stack_bytes
    build_tiny(with_memory(board, 65_536, needed), toolchain, tmp_path / "just")
    with pytest.raises(DoesNotFit, match="sram is 8 bytes too small"):
        build_tiny(with_memory(board, 65_536, needed - 8), toolchain, tmp_path / "ram")
    with pytest.raises(DoesNotFit, match=r"flash is \d+ bytes too small"):
        build_tiny(with_memory(board, fitting.flash_bytes // 16 * 8, needed), toolchain, tmp_path / "flash")


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_the_elf_is_the_same_in_every_folder(toolchain: str, tmp_path: Path) -> None:
    first, second = (build_tiny("rpi_pico", toolchain, tmp_path / name).elf.read_bytes() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_the_compilers_first_error_is_told_in_one_line(toolchain: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeffError, match=r"model\.c:\d+.*error") as caught:
        build_tiny("rpi_pico", toolchain, tmp_path, {"model.c": (r"\*LABEL = label;", "*LABEL = no_such_name;")})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
@pytest.mark.parametrize("board", ["nucleo_f446re", "rpi_pico"])
def test_the_template_is_clean_under_strict_warnings(board: str, toolchain: str, tmp_path: Path) -> None:
    project = write_project(TINY, load_board(board), tmp_path, TOOLCHAINS[toolchain])
    tool = TOOLCHAINS[toolchain].command(load_board(board))
    command = [sys.executable, *tool[1:]] if tool[0] == "python3" else list(tool)
    warnings = ["-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror", "-c", "-I."]
    for source in ("startup.c", "main.c", "memory.c"):
        run([*command, *warnings, source, "-o", "x.o"], project)


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: apt-get install make")
def test_the_project_builds_by_hand_to_the_same_memory(toolchain: str, tmp_path: Path) -> None:
    firmware = build_tiny("rpi_pico", toolchain, tmp_path)
    firmware.elf.unlink()
    command = " ".join(TOOLCHAINS[toolchain].command(firmware.board)).replace("python3", sys.executable, 1)
    subprocess.run(["make", f"CC={command}"], cwd=firmware.elf.parent, check=True, capture_output=True)
    by_hand = measure(firmware.elf, firmware.board, toolchain)
    assert (by_hand.code_bytes, by_hand.flash_bytes, by_hand.static_ram_bytes) == (
        firmware.code_bytes,
        firmware.flash_bytes,
        firmware.static_ram_bytes,
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: apt-get install make")
@pytest.mark.skipif(not TOOLCHAINS["gcc"].available(), reason="arm-none-eabi-gcc is not installed: apt-get install gcc-arm-none-eabi")
def test_make_takes_another_toolchain_and_needs_no_python(tmp_path: Path) -> None:
    project = write_project(TINY, load_board("rpi_pico"), tmp_path, TOOLCHAINS["zig"])
    gcc = shutil.which("arm-none-eabi-gcc")
    make = shutil.which("make")
    assert gcc
    assert make
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in (gcc, make, "/bin/sh"):
        (tools / Path(tool).name).symlink_to(tool)
    subprocess.run([make, "TOOLCHAIN=gcc"], cwd=project, check=True, capture_output=True, env={"PATH": str(tools)})
    assert (project / "firmware.elf").is_file()
    refused = subprocess.run([make, "-B", "TOOLCHAIN=armcc"], cwd=project, check=False, capture_output=True, text=True)
    assert "TOOLCHAIN is armcc; allowed: zig, gcc" in refused.stderr


def test_the_project_leaves_the_hosts_example_out_and_holds_no_template_syntax(tmp_path: Path) -> None:
    project = write_project(TINY, load_board("rpi_pico"), tmp_path)
    assert not (project / "model" / "main.c").exists()
    names = {path.name.removesuffix(".j2") for path in (templates_folder() / "bare_metal").iterdir()} - {"template.toml", "startup"}
    assert {path.name for path in project.iterdir()} == {*names, "model", "startup.c"}
    assert not any("{{" in path.read_text(encoding="utf-8") for path in project.glob("*.*"))


def test_a_folder_without_a_model_and_an_unknown_template_are_refused(tmp_path: Path) -> None:
    board = load_board("rpi_pico")
    with pytest.raises(BadInput, match=r"no model\.c and model\.h"):
        build(tmp_path, board, tmp_path / "out")
    with pytest.raises(BadInput, match=r"'\.\./bare_metal'; allowed: bare_metal"):
        build(TINY, board, tmp_path / "out", template="../bare_metal")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="a folder that can be written"):
        build(TINY, board, tmp_path / "file")


def test_a_toolchain_is_chosen_by_name_or_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    board = load_board("rpi_pico")
    assert choose(board).available()
    with pytest.raises(BadInput, match="'armcc'; allowed: zig, gcc"):
        choose(board, "armcc")
    for tool in TOOLCHAINS.values():
        monkeypatch.setattr(type(tool), "available", lambda _self: False)
    with pytest.raises(MissingTool, match="pip install ziglang; or gcc: apt-get install gcc-arm-none-eabi"):
        choose(board)


@pytest.mark.parametrize("toolchain", EACH_TOOLCHAIN)
def test_a_toolchain_tells_its_version(toolchain: str) -> None:
    name, _, number = TOOLCHAINS[toolchain].version().partition(" ")
    assert name == toolchain
    assert number[0].isdigit()


@pytest.mark.parametrize("compiler", ["", "zig"])
def test_the_host_library_runs_the_same_c(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    if compiler:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    library = tmp_path / "model.so"
    host_shared_library([TINY / name for name in ("model.c", "eff_dense.c", "eff_learn.c")], TINY, library)
    model = ctypes.CDLL(str(library))
    model.eff_init()
    assert model.eff_predict() == 1


def test_a_host_compiler_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(MissingTool, match="'no-such-compiler'"):
        host_shared_library([TINY / "eff_dense.c"], TINY, tmp_path / "x.so")


def test_the_users_flags_for_the_host_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 8, 8, 3)).astype(np.float32)
    network = initialised(structure("cnn_small", input_shape=(8, 8, 3), classes=4), 0)
    labels, saved = rng.permutation(40).astype(np.int32) % 4, set()
    for flags in ("", "-O3 -march=native -ffp-contract=fast"):
        monkeypatch.setenv("CFLAGS", flags)
        for numeric in ("float32", "int8"):
            deployment = deploy(network, x, rule="bp", numeric=numeric)
            host = HostTarget(deployment.program)
            host.learn_many(deployment.inputs(x), labels)
            saved.add((numeric, host.save()))
    assert len(saved) == 2


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF" + bytes(range(256)), b"MZ" * 100])
def test_a_file_that_is_no_elf_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.elf"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="ELF"):
        read_elf(path)


def test_an_elf_of_another_machine_is_refused() -> None:
    with pytest.raises(BadInput, match="allowed: 32-bit little-endian Arm"):
        read_elf(Path(sys.executable).resolve())


def test_every_truncation_of_an_elf_is_read_or_refused(tmp_path: Path) -> None:
    whole = build_tiny("rpi_pico", "zig", tmp_path).elf.read_bytes()
    path = tmp_path / "cut.elf"
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput):
            measure(path, load_board("rpi_pico"), "zig")
