from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeff.contracts import boards, check_board
from edgeff.contracts.check import Check
from edgeff.device.boards import load_board, load_boards
from edgeff.errors import BadInput, CheckFailed, PassedOver
from edgeff.ir import Board
from edgeff.resources import boards_folder, templates_folder

# With flags of its own, as a board file may have in the place of the core's.
PICO = (
    (boards_folder() / "rpi_pico.toml")
    .read_text(encoding="utf-8")
    .replace(
        "[sources]",
        '[toolchains]\nzig = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"]\n'
        'gcc = ["-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft"]\n\n[sources]\ntoolchains = "Arm DDI 0484"',
    )
)


def test_folders_of_a_checkout_hold_boards_and_templates() -> None:
    assert {"nucleo_l4r5zi", "nucleo_f446re", "rpi_pico"} <= {path.stem for path in boards_folder().glob("*.toml")}
    assert (templates_folder() / "bare_metal" / "template.toml").is_file()


@pytest.mark.parametrize("check", boards.CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", load_boards())
def test_a_board_keeps_its_contract(name: str, check: Check[Board]) -> None:
    assert check.failure(load_board(name)) == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"toolchains": {"acme": ()}}, r"^board rpi_pico: 1 of 3 checks failed; toolchains of board rpi_pico: got acme; allowed: "),
        ({"targets": ("acme",)}, r"^board rpi_pico: 1 of 3 checks failed; targets of board rpi_pico: got acme; allowed: "),
        ({"targets": ("qemu",), "core": "cortex-m3", "machines": {}}, r"got target qemu without a machine"),
        ({"sources": {"clock_hz": " "}}, r"sources of board rpi_pico: got none for clock_hz; allowed: a document and its page$"),
    ],
)
def test_a_board_that_breaks_its_contract_is_named(changes: dict[str, Any], message: str) -> None:
    check_board("rpi_pico")
    with pytest.raises(CheckFailed, match=message):
        check_board(replace(load_board("rpi_pico"), **changes))


@pytest.mark.parametrize(
    ("name", "core", "fpu", "clock_hz", "flash_bytes", "ram_bytes"),
    [
        ("nucleo_l4r5zi", "cortex-m4", True, 120_000_000, 2048 * 1024, 640 * 1024),
        ("nucleo_f446re", "cortex-m4", True, 180_000_000, 512 * 1024, 128 * 1024),
        ("rpi_pico", "cortex-m0plus", False, 133_000_000, 2048 * 1024, 264 * 1024),
    ],
)
def test_the_boards_are_what_their_data_sheets_say(
    name: str, core: str, fpu: bool, clock_hz: int, flash_bytes: int, ram_bytes: int
) -> None:
    board = load_board(name)
    assert (board.core, board.fpu, board.clock_hz, board.flash_bytes, board.ram_bytes) == (core, fpu, clock_hz, flash_bytes, ram_bytes)


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'arduino'; allowed: microbit, .*mps2_an386, .*nucleo_f446re, nucleo_l4r5zi, .*rpi_pico"):
        load_board("arduino")


def test_boards_of_another_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pico.toml").write_text(PICO.replace('name = "rpi_pico"', 'name = "my_pico"'), encoding="utf-8")
    monkeypatch.setenv("EDGEFF_BOARDS_DIR", str(tmp_path))
    assert load_board("my_pico").core == "cortex-m0plus"
    assert load_board(tmp_path / "my_pico.toml") == load_boards()["my_pico"]


def test_a_name_used_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rpi_pico.toml").write_text(PICO, encoding="utf-8")
    monkeypatch.setenv("EDGEFF_BOARDS_DIR", str(tmp_path))
    with pytest.warns(PassedOver, match="used by another board"):
        assert "rpi_pico" in load_boards()
    with pytest.raises(BadInput, match="used by another board"):
        load_board("rpi_pico")


def test_a_bad_file_among_the_boards_is_reported_and_the_others_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pico.toml").write_text(PICO.replace('name = "rpi_pico"', 'name = "my_pico"'), encoding="utf-8")
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "folder.toml").mkdir()
    monkeypatch.setenv("EDGEFF_BOARDS_DIR", str(tmp_path))
    with pytest.warns(PassedOver) as reported:
        assert "my_pico" in load_boards()
    names = ("empty", "pipe", "loop", "folder")
    assert len(reported) == len(names)
    assert all(any(f"board file {tmp_path / name}.toml: got " in str(each.message) for each in reported) for name in names)
    assert load_board("my_pico").name == "my_pico"
    with pytest.raises(BadInput, match=r"^board file .*pipe\.toml: got a device; allowed: a readable TOML file$"):
        load_board("pipe")


def test_a_missing_folder_of_boards_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_BOARDS_DIR", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="EDGEFF_BOARDS_DIR"):
        load_boards()


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_replaced('core = "cortex-m0plus"', 'core = "Avr"'), "core: String should match"),
        (_replaced('core = "cortex-m0plus"', 'core = "avr"'), "unknown core: got 'avr'; allowed: cortex-m0, cortex-m0plus, "),
        (_replaced("fpu = false", "fpu = true"), "fpu: got true; allowed: false: cortex-m0plus has none"),
        (_replaced("[sources]", '[machines]\nqemu = "microbit"\n[sources]\nmachines = "none"'), "a machine for qemu, which is not one of"),
        (_replaced('["unicorn"]', '["unicorn", "qemu"]\nmachines = { qemu = "microbit" }'), "no source for machines"),
        (_replaced('["unicorn"]', '["unicorn", "qemu"]\nmachines = { qemu = "-S" }'), "machines.qemu: String should match"),
        (_replaced('toolchains = "Arm', 'other = "Arm'), "no source for toolchains"),
        (_replaced("fpu = false", 'fpu = "no"'), "fpu: Input should be a valid boolean"),
        (_replaced("133_000_000", "-1"), "clock_hz: Input should be greater than 0"),
        (_replaced("133_000_000", "1.5e8"), "clock_hz: Input should be a valid integer"),
        (_replaced("length_bytes = 270_336", "length_bytes = 0"), "length_bytes: Input should be greater than 0"),
        (_replaced("length_bytes = 270_336", "length_bytes = 999_999_999_992"), "length_bytes: Input should be less than"),
        (_replaced("origin = 0x20000000", "origin = 0x10000000"), "regions flash and sram overlap"),
        (_replaced("origin = 0x20000000", "origin = 0xFFFF0000"), "region sram exceeds the 32-bit address space"),
        (_replaced('name = "sram"', 'name = "flash"'), "two regions have the same name"),
        (_replaced('kind = "ram"', 'kind = "flash"'), "at least one region of kind flash and one of kind ram"),
        (_replaced('name = "sram"', 'name = "sram) : ORIGIN"'), "regions.1.name: String should match"),
        (_replaced('"-mthumb"', '"-fplugin=evil.so"'), "flag '-fplugin=evil.so' is neither"),
        (_replaced('"-mthumb"', '"@file"'), "flag '@file' is neither"),
        (_replaced('"thumb-freestanding-eabi", ', ""), "flag '-mcpu=cortex_m0plus' is neither"),
        (_replaced("flash_wait_states = 0", "flash_wait_states = 0\ncolour = 1"), "colour: Extra inputs are not permitted"),
        (_replaced("fpu = false\n", ""), "fpu: Field required"),
        (_replaced('sram = "RP2040', 'other = "RP2040'), "no source for sram"),
        (_replaced('name = "rpi_pico"', 'name = "pico"'), "the name 'pico'; allowed: the file's own: 'rpi_pico'"),
        (lambda _text: "= = =", "not TOML"),
        (lambda _text: "", "Field required"),
        (lambda _text: "a = " + "[" * 100_000, "not TOML"),
        (lambda text: text + "#" * (1 << 20), "more than 1 MB"),
    ],
)
def test_a_bad_board_file_is_refused_in_one_line(tmp_path: Path, edit: Callable[[str], str], message: str) -> None:
    path = tmp_path / "rpi_pico.toml"
    path.write_text(edit(PICO), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_board(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 10])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not TOML"):
        load_board(path)


def test_a_missing_board_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_board(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(BadInput, match="Is a directory"):
        load_board(tmp_path / "folder.toml")
