"""Every core is one record: it compiles the kernels without a warning, and a core or target of somebody else's is one file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from kernel_sources import write_kernels

from edgeff.device.boards import load_board
from edgeff.device.cores import Core, core_of
from edgeff.device.isa.riscv import RISCV
from edgeff.device.isa.thumb import THUMB
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.gcc import Gcc
from edgeff.device.toolchains.protocol import run
from edgeff.errors import BadInput
from edgeff.registry import cores, targets
from edgeff.resources import templates_folder

FEATURES = {"dsp", "fpu", "mve"}
STRICT = ["-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
_FOLDER = tempfile.TemporaryDirectory(prefix="edgeff-tests-cores-")


@cache
def kernels() -> tuple[Path, list[str]]:
    folder = Path(_FOLDER.name) / "kernels"
    return folder, write_kernels(folder)


@pytest.mark.slow
@pytest.mark.parametrize("core", cores.values(), ids=list(cores))
def test_the_record_of_a_core_is_whole_and_the_kernels_compile_without_a_warning(core: Core) -> None:
    """By its GCC; zig goes through one front end for every core, and other tests build with it."""
    assert core.features <= FEATURES
    assert core.without_fpu.keys() <= core.toolchains.keys() <= TOOLCHAINS.keys()
    assert core.emulators.keys() <= set(targets)
    assert (templates_folder() / "bare_metal" / "startup" / f"{core.startup}.c.j2").is_file()
    folder, sources = kernels()
    name = next(name for name in core.toolchains if name != "zig")
    tool = TOOLCHAINS[name]
    assert isinstance(tool, Gcc)
    if not tool.available():
        pytest.skip(f"{name} is not installed: {tool.how_to_get}")
    run([tool.program, *core.toolchains[name], *STRICT, *sources], folder)


def test_a_board_has_the_core_with_or_without_fpu() -> None:
    board = load_board("nucleo_l4r5zi")
    without = core_of(replace(board, fpu=False))
    assert core_of(board).features - without.features == {"fpu"}
    assert without.toolchains["gcc"][-1] == "-mfloat-abi=soft"
    assert without.built(fpu=False) == without
    with pytest.raises(BadInput, match="fpu: got true; allowed: false: cortex-m3 has none"):
        core_of(replace(load_board("mps2_an385"), fpu=True))
    with pytest.raises(BadInput, match="fpu: got false; allowed: true: cortex-m55 always has one"):
        core_of(replace(load_board("mps3_an547"), fpu=False))


CORE = """
from edgeff.device.cores import Core, register
from edgeff.registry import cores

m4 = cores["cortex-m4"]
register(Core(name="my-core", summary="a Cortex-M4 without cycles", arch=m4.arch, features=m4.features, isa=m4.isa, startup=m4.startup,
              toolchains=m4.toolchains, emulators=m4.emulators | {"my_target": m4.emulators["unicorn"]}))
"""
TARGET = """
from edgeff.device.targets import register
from edgeff.device.targets.unicorn import UnicornTarget


@register
class MyTarget(UnicornTarget):
    name = "my_target"
    summary = "Unicorn, under another name"
"""


def test_a_core_and_a_target_from_outside_are_one_file_each(tmp_path: Path) -> None:
    plugins, boards = tmp_path / "plugins", tmp_path / "boards"
    for folder in (plugins, boards):
        folder.mkdir()
    (plugins / "my_core.py").write_text(CORE, encoding="utf-8")
    (plugins / "my_target.py").write_text(TARGET, encoding="utf-8")
    board = (Path(__file__).parents[1] / "boards" / "nucleo_l4r5zi.toml").read_text(encoding="utf-8")
    for old, new in (("nucleo_l4r5zi", "my_board"), ("cortex-m4", "my-core"), ('["unicorn"]', '["my_target"]')):
        assert old in board
        board = board.replace(old, new)
    (boards / "my_board.toml").write_text(board, encoding="utf-8")
    environment = os.environ | {"EDGEFF_PLUGIN_DIR": str(plugins), "EDGEFF_BOARDS_DIR": str(boards)}
    for what, expected in (
        (["list", "cores"], "a Cortex-M4 without cycles"),
        (["list", "targets"], "Unicorn, under another name"),
        (["profile", "12-4", "--board", "my_board", "--json"], '"evidence": "exact (emulated)"'),
    ):
        command = [sys.executable, "-m", "edgeff", *what]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert '"target": "my_target"' in done.stdout
    assert '"cycles": null' in done.stdout


# Encodings by the manuals, checked against objdump: instructions at 0x1000, and where the call that comes next returns to.
STRAIGHT = [
    (THUMB, "00bf fff7feff", 0x1006, "nop; bl"),
    (THUMB, "8847", 0x1002, "blx r1"),
    (THUMB, "01e0 0000 0000 00bf 8847", 0x100A, "b past two halfwords that are no code; nop; blx r1"),
    (THUMB, "00f002b8 00000000 8847", 0x100A, "b.w past a word; blx r1"),
    (THUMB, "7047 8847", None, "bx lr"),
    (THUMB, "30bd 8847", None, "pop {r4, r5, pc}"),
    (THUMB, "00f000b9 8847", None, "b.w out of the function"),
    (THUMB, "fff7febf 8847", None, "b.w to itself"),
    (RISCV, "0100 ef008000", 0x1006, "c.nop; jal ra, .+8"),
    (RISCV, "97000000 e7800000", 0x1008, "auipc ra, 0; jalr ra"),
    (RISCV, "8290", 0x1002, "c.jalr ra"),
    (RISCV, "11a0 0000 8290", 0x1006, "c.j .+4; two bytes that are no code; c.jalr"),
    (RISCV, "6f00a000 ffff ffff ffff 8290", 0x100C, "j .+10 past bytes that are no code; c.jalr"),
    (RISCV, "8280 8290", None, "ret"),
    (RISCV, "67800000 8290", None, "jr ra"),
]


@pytest.mark.parametrize(("isa", "code", "expected", "text"), STRAIGHT, ids=[case[3] for case in STRAIGHT])
def test_the_next_call_is_found_past_constants_in_the_code(isa: object, code: str, expected: int | None, text: str) -> None:
    assert isa in (THUMB, RISCV), text
    assert (THUMB if isa is THUMB else RISCV).next_return(bytes.fromhex(code), 0x1000, 0x1000) == expected
