"""MLPerf Tiny's serial protocol: lines that a device must survive, and runs on an emulated board over its UART.

``lines``: 100,000 random and mutated commands through the device side built for this computer with AddressSanitizer and
UndefinedBehaviorSanitizer, in processes of 5,000; each is answered, and the board then serves on. ``accuracy``, ``performance`` and
``learn``: the runs of ``edgeff run`` on a Cortex-M4 that QEMU emulates, whose times are so many nanoseconds per instruction and no
measurement. ``python benchmarks/serial_protocol.py`` -> ``benchmarks/results/serial_protocol.json``, in about ten minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from serial_lines import answers, board_program, random_commands

from edgeff.bench.models import benchmark_of, model_file
from edgeff.errors import CheckFailed, MissingTool
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

BOARD, COMMANDS, AT_ONCE = "mps2_an386", 100_000, 5_000
EDGEFF = (sys.executable, "-m", "edgeff")


def lines(rule: str, numeric: Any, model: str = "kws01") -> dict[str, Any]:
    """The counts of one device's answers; one called ``ad01`` takes float32 and does not learn."""
    network, sample_bytes = ("12-4-12", 4 * 12) if model == "ad01" else ("12-8-4", 0)
    calibration = np.random.default_rng(2).random((64, 12), np.float32)
    deployment = deploy(initialised(structure(network, softmax=not sample_bytes), 0), calibration, rule=rule or None, numeric=numeric)
    program = deployment.program
    state = Interpreter(program).save() if rule else bytes(160)
    sample_bytes = sample_bytes or program.tensors[program.input].size_bytes
    answered, refused, longest = 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="edgeff-lines-") as folder:
        board = board_program(program, Path(folder), model=model)
        for seed in range(COMMANDS // AT_ONCE):
            commands = [*random_commands(seed, AT_ONCE, sample_bytes, state), b"name"]
            replies = answers(board, commands)[1:]
            if len(replies) != len(commands) or replies[-1] != ["m-name-dut-[edgeff]"]:
                raise CheckFailed(f"seed {seed}", got=f"{len(replies)} replies", allowed=f"{len(commands)}")
            answered += len(replies) - 1
            refused += sum(any(line.startswith("e-") for line in reply) for reply in replies)
            longest = max(longest, *map(len, commands))
    return {"commands": COMMANDS, "answered": answered, "refused_with_an_error": refused, "longest_command": longest}


def run(kind: str, task: str, rule: str) -> dict[str, Any]:
    """One run of ``edgeff run``: of the reference model of a task, or of a small network that learns."""
    with tempfile.TemporaryDirectory(prefix="edgeff-run-") as temporary:
        folder = Path(temporary)
        learns: tuple[str, ...]
        if rule:
            model = folder / "trained.onnx"
            _edgeff("train", task, "--network", "64-32-10", "--rule", rule, "--epochs", "0", "-o", str(model))
            learns = ("--rule", rule, "--numeric", "int8")
        else:
            file = model_file(benchmark_of(task), "int8", Path(os.environ["EDGEFF_MODELS_DIR"]))
            if file is None:
                raise MissingTool(f"the reference model of {task}", next_step="name its folder: EDGEFF_MODELS_DIR")
            model, learns = file, ()
        _edgeff(
            "build", str(model), "--board", BOARD, "--template", "serial", "--model-name", f"{task}01", *learns, "-o", str(folder / "fw")
        )
        log = folder / "log"
        result = json.loads(_edgeff("run", kind, task, "--board", BOARD, "--firmware", str(folder / "fw"), "--json", "-o", str(log)))
        words = [line.split()[1] for line in log.read_text(encoding="utf-8").splitlines()]
        sent, noise = words.count("host:"), words.count("noise:")
        digest = hashlib.sha256((folder / "fw" / "firmware" / "firmware.elf").read_bytes()).hexdigest()
    return {"board": BOARD, **result, "commands": sent, "noise": noise, "elf_sha256": digest}


def _edgeff(*arguments: str) -> str:
    return subprocess.run([*EDGEFF, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(kind: str, *what: str) -> dict[str, Any]:
    """The row of a kind."""
    return lines(*what) if kind == "lines" else run(kind, *what)


if __name__ == "__main__":
    keys = [("lines", "pepita", "int8"), ("lines", "bp", "float32"), ("lines", "", "int8", "ad01")]
    collect("serial_protocol", [*keys, ("performance", "kws", ""), ("learn", "digits", "pepita"), ("accuracy", "kws", "")], measure)
