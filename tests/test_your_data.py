"""The guide docs/your_data.md: each of its roads, command by command, on small data of the kind it describes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOT, CommandLine
from own_files import write_csv, write_npz, write_pictures, write_sounds

GUIDE = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8")


def tables(folder: Path) -> None:
    write_csv(folder / "sensor.csv")
    write_csv(folder / "later.csv", seed=1, count=30)
    (folder / "new.csv").write_text("pressure;temp;still\n101325;23;7\n", encoding="utf-8")


DATA: dict[str, Callable[[Path], object]] = {
    "A table": tables,
    "Recordings": lambda folder: write_sounds(folder / "tones"),
    "Pictures": lambda folder: write_pictures(folder / "shapes"),
    "Arrays": lambda folder: write_npz(folder / "swings.npz"),
}


def commands(title: str) -> list[list[str]]:
    section = GUIDE.split(f"### {title}\n")[1].split("\n### ")[0]
    (block,) = re.findall(r"```sh\n(.+?)\n```", section, re.DOTALL)
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("title", DATA)
def test_a_road_of_the_guide_ends_on_a_board_that_learns(
    title: str, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    DATA[title](tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in commands(title):
        ended = cli.ok(*words, "--json")
        if words[0] == "train":
            assert ended.json["accuracy"]["test"] > 0.85  # the classes are far apart
        elif words[0] == "simulate":
            assert ended.json["accuracy"]["before"] > 0.85
            assert ended.json["accuracy"]["after"] > 0.85
        elif words[0] == "predict":
            assert ended.json[0]["class"] in {"idle", "low", "left", "3"}
    assert [words[0] for words in commands(title)][-4:] == ["predict", "verify", "export", "simulate"]
