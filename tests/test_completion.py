"""Shell completion, as docs/commands.md sets it up: a shell gets its script, and commands, options and names for the tab key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest


def asked(instruction: str, words: str = "") -> list[str]:
    """The lines that a shell gets for the cursor at the end of ``words``."""
    environment = os.environ | {"_EDGEFF_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "from edgeff.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ("edgeff tra", ["train"]),
        ("edgeff train digits --netw", ["--network"]),
        ("edgeff train dig", ["digits"]),
        ("edgeff train digits --rule pep", ["pepita"]),
        ("edgeff export m.onnx --to ard", ["arduino"]),
        ("edgeff build m.onnx --board nucleo_l", ["nucleo_l4r5zi"]),
        ("edgeff board n", ["new"]),
        ("edgeff train digits --rule nothing", []),
    ],
)
def test_a_shell_is_told_how_a_line_goes_on(words: str, answers: list[str]) -> None:
    assert asked("bash_complete", words) == [f"plain,{answer}" for answer in answers]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_reads(shell: str) -> None:
    script = "\n".join(asked(f"{shell}_source"))
    assert "_EDGEFF_COMPLETE" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True, timeout=60)
