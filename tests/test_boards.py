from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from firmware_cases import build_tiny

from edgeff.contracts import boards, check_board
from edgeff.contracts.check import Check
from edgeff.device.boards import load_board, load_boards
from edgeff.device.flashers import TOOLS
from edgeff.device.mailbox import choose_target
from edgeff.errors import BadInput, CheckFailed, PassedOver, Unsupported
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
        ({"targets": ("acme",)}, r"^board rpi_pico: 1 of 3 checks failed; targets of board rpi_pico: got acme; allowed: unicorn, serial"),
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
        ("nucleo_h743zi", "cortex-m7", True, 480_000_000, 2048 * 1024, 512 * 1024),
        ("arduino_nano_33_ble", "cortex-m4", True, 64_000_000, 960 * 1024, 256 * 1024),
        ("esp32_c3", "rv32imc", False, 160_000_000, 4096 * 1024, 320 * 1024),
        ("in_sensor_8k", "cortex-m0plus", False, 10_000_000, 32 * 1024, 8 * 1024),
    ],
)
def test_the_boards_are_what_their_data_sheets_say(
    name: str, core: str, fpu: bool, clock_hz: int, flash_bytes: int, ram_bytes: int
) -> None:
    board = load_board(name)
    assert (board.core, board.fpu, board.clock_hz, board.flash_bytes, board.ram_bytes) == (core, fpu, clock_hz, flash_bytes, ram_bytes)


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        BadInput, match=r"'arduino'; allowed: arduino_nano_33_ble, .*microbit, .*mps2_an386, .*nucleo_f446re, .*nucleo_l4r5zi, .*rpi_pico"
    ):
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
        (_replaced("fpu = false\n", ""), "got no fpu; allowed: fpu = true; begin from another board: edgeff board new NAME --like OTHER"),
        (_replaced("length_bytes = 270_336", ""), "got no regions.1.length_bytes; allowed: [[regions]] with name ="),
        (
            _replaced("[sources]", '[uart]\nkind = "nrf"\nbase = 0x40002000\nclock_hz = 16_000_000\n[sources]'),
            "uart: kind nrf needs tx_pin and rx_pin",
        ),
        (
            _replaced("flasher = {", "power = { microamps_per_mhz = -1.0, supply_v = 3.3 }\nflasher = {"),
            "power.microamps_per_mhz: Input should be",
        ),
        (_replaced("flasher = {", "power = { microamps_per_mhz = 9.0, supply_v = 3.3 }\nflasher = {"), "no source for power"),
        (_replaced('tool = "picotool"', 'tool = "stlink"'), "flasher.tool: Input should be 'openocd', "),
        (_replaced('tool = "picotool"', 'tool = "openocd", argument = "-c evil"'), "flasher.argument: String should match"),
        (_replaced('sram = "RP2040', 'other = "RP2040'), "no source for sram"),
        (_replaced('name = "rpi_pico"', 'name = "pico"'), "the name 'pico'; allowed: the file's own: 'rpi_pico'"),
        (lambda _text: "= = =", "not TOML"),
        (lambda _text: "", "got no name, no summary, no core, no fpu, no clock_hz, no targets, no regions, no sources; allowed: name = "),
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


def test_a_new_board_begins_as_another_with_its_sources_to_be_replaced(cli: CommandLine, tmp_path: Path) -> None:
    made = cli.ok("board", "new", "acme_one", "--like", "nucleo_l4r5zi", "-o", tmp_path / "boards", "--json").json
    board, other = load_board(made["file"]), load_board("nucleo_l4r5zi")
    assert (board.name, board.regions, board.clock_hz) == ("acme_one", other.regions, other.clock_hz)
    assert board.sources == {key: f"TO DO, of nucleo_l4r5zi: {text}" for key, text in other.sources.items()}
    assert cli("check", "board", made["file"]).status == 0
    cli.ok("cost", "64-32-10", "--board", made["file"])
    for arguments, message in [
        (("acme_one", "--like", "nucleo_l4r5zi", "-o", tmp_path / "boards"), "got a file that is there"),
        (("Acme", "--like", "nucleo_l4r5zi"), "name of a board: got 'Acme'"),
        (("rpi_pico", "--like", "nucleo_l4r5zi", "-o", tmp_path), "got 'rpi_pico', which there is already"),
        (("acme", "--like", "none"), "unknown board: got 'none'; allowed: "),
    ]:
        refused = cli("board", "new", *arguments)
        assert refused.status == 2
        assert message in refused.err


@pytest.mark.parametrize("tool", TOOLS)
def test_a_board_is_flashed_by_its_own_tool(tool: str, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that writes down how it was called stands in."""
    board = next(name for name, board in load_boards().items() if board.flasher and board.flasher.tool == tool)
    port = ("--port", "/dev/ttyACM7") if TOOLS[tool].port_option else ()
    elf = build_tiny("nucleo_l4r5zi", "zig", tmp_path / "build").elf
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = cli("flash", elf, "--board", board)
    assert missing.status == 2
    assert missing.err.startswith(f"error: {tool}, which flashes {board}, is not installed; {TOOLS[tool].how_to_get}")
    shown = cli.ok("flash", elf, "--board", board, *port, "--dry-run").out
    program = tmp_path / TOOLS[tool].programs[0]
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/calls\n', encoding="utf-8")
    program.chmod(0o755)
    cli.ok("flash", elf, "--board", board, *port)
    words = (tmp_path / "calls").read_text(encoding="utf-8")
    assert board in ("rpi_pico", "arduino_nano_33_ble") or load_board(board).flasher.argument in words  # type: ignore[union-attr]
    assert str(elf) in words or "firmware.bin" in words
    assert not port or "--port=/dev/ttyACM7" in words
    assert len(shown.splitlines()) == words.count("--chip") or tool in ("openocd", "picotool", "bossac")
    program.write_text("#!/bin/sh\necho Error: no board >&2\nexit 3\n", encoding="utf-8")
    failed = cli("flash", elf, "--board", board)
    assert failed.status == 2
    assert f"error: {tool} failed: got Error: no board; is the board connected" in failed.err


def test_a_board_that_nothing_emulates_names_one_with_its_core() -> None:
    with pytest.raises(
        Unsupported, match=r"target serial of board esp32_c3: .*; drive it by .*, or emulate its core: --board qemu_virt_rv32$"
    ):
        choose_target(load_board("esp32_c3"))


def test_a_board_without_a_tool_is_not_flashed(cli: CommandLine, tmp_path: Path) -> None:
    elf = build_tiny("nucleo_l4r5zi", "zig", tmp_path).elf
    refused = cli("flash", elf, "--board", "sparkfun_edge")
    assert "flashing sparkfun_edge: got no tool in the board's file; allowed: flasher = { tool = ... }, one of openocd" in refused.err
    refused = cli("flash", elf, "--board", "nucleo_l4r5zi", "--port", "COM3")
    assert "option --port: got 'COM3'; allowed: none: openocd finds the board by itself" in refused.err
