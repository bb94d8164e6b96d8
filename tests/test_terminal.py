"""What a terminal of 80 columns shows: whole words and numbers, and a command's name at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from edgeff.cli import run, terminal
from edgeff.cli.terminal import print_table

BOARDS = [
    ["arduino_nano_33_ble", "a board with a long description of what it has", "cortex-m4", 64_000_000, 983_040, 262_144, "unicorn, qemu"]
]
HEADINGS = ["name", "summary", "core", "clock hz", "flash bytes", "ram bytes", "targets"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns without colours."""
    for name, value in (("COLUMNS", "80"), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    return Terminal()


@contextmanager
def on(screen: Terminal) -> Iterator[None]:
    """Both streams go to ``screen``."""
    with redirect_stdout(screen), redirect_stderr(screen):
        yield


@pytest.mark.parametrize("columns", [2, 4, 7])
def test_a_table_breaks_no_word_and_no_number(columns: int, screen: Terminal) -> None:
    with on(screen):
        print_table(HEADINGS[:columns], [row[:columns] for row in BOARDS])
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for value in BOARDS[0][:columns]:
        for word in terminal.cell(value).split():
            assert word in text.split()


def test_a_row_without_room_for_its_columns_is_a_block(screen: Terminal) -> None:
    with on(screen):
        print_table(HEADINGS, [*BOARDS, ["uno", "", "avr", 16_000_000, None, 2048, "serial"]])
    assert "  clock hz: 64,000,000\n" in screen.getvalue()
    assert screen.getvalue().endswith(
        "\n\nuno\n  core: avr\n  clock hz: 16,000,000\n  flash bytes: -\n  ram bytes: 2,048\n  targets: serial\n\n"
    )


def test_a_long_command_is_named_at_once_and_the_name_goes(screen: Terminal) -> None:
    with on(screen):
        assert run(["train", "nothing.csv", "--network", "4-2", "--rule", "bp", "-o", "m.onnx"]) == 2
    name, cleared, rest = screen.getvalue().partition("\x1b[2K\r")
    assert (name, bool(cleared)) == ("edgeff train ..\r", True)
    assert rest.startswith("error: data 'nothing.csv'")


def test_a_bar_has_a_name_before_its_first_step(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with on(screen), terminal.progress("pepita on digits"):
        pass
    assert "pepita on digits" in screen.getvalue()
