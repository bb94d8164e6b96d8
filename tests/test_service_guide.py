"""The guide docs/service.md: every command, and what it prints but for the numbers, on small data of the kind it describes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOT, CommandLine
from own_files import write_barometers, write_sounds, write_words

GUIDE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def words(folder: Path) -> None:
    write_sounds(folder / "words")
    write_words(folder / "later")


def barometers(folder: Path) -> None:
    write_barometers(folder / "factory.csv", range(20), 20)
    write_barometers(folder / "later.csv", range(24, 25), 200)


DATA: dict[str, Callable[[Path], None]] = {
    "Teach a deployed keyword spotter a new word": words,
    "Calibrate a drifting sensor": barometers,
}


def steps(title: str) -> list[tuple[list[str], str]]:
    """The commands of a section, each with what the guide says that it prints."""
    section = GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.+?)\n```\n\n```text\n(.*?)```", section, re.DOTALL)
    return [(shlex.split(command)[1:], printed) for command, printed in blocks]


def without_numbers(text: str) -> str:
    """Words and lines; every number is one sign, as figures of a compiler or a core may change."""
    return " ".join(re.sub(r"[─\s]+", " ", re.sub(r"\d[\d.,e+-]*", "#", text)).split())


@pytest.mark.slow
@pytest.mark.parametrize("title", DATA)
def test_the_guide_prints_what_it_says(title: str, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    DATA[title](tmp_path)
    monkeypatch.chdir(tmp_path)
    for command, printed in steps(title):
        assert without_numbers(cli.ok(*command).out) == without_numbers(printed), command
    assert len(steps(title)) >= 4
