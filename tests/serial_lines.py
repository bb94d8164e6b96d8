"""The serial protocol's device side on this computer, with sanitizers, and random and mutated lines for it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.firmware import write_project
from edgeff.device.toolchains.host import host_compiler
from edgeff.ir import Program

SANITISED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")
WORDS = (
    *("name", "profile", "timestamp", "db", "load", "print", "infer", "results", "learn", "save", "state", "init", "help", "m-ready"),
    *("0", "1", "2", "3", "4", "12", "13", "160", "-1", "99999", "1000001", "2147483647", "2147483648", "99999999999999999999", "0x10"),
    *("rate", "0.5", ".", "1."),
    *("00", "ff", "0g", "000102030405060708090a0b", "7f" * 31, "zz", "e-[", "]", "%s%n", "\x1b[2J", "\xff", "\t"),
)


def board_program(program: Program, folder: Path, *, sanitised: bool = True, energy: bool = False, model: str = "kws01") -> Path:
    """``program`` as the firmware of the template ``serial``, compiled for this computer; commands of many runs are refused.

    With ``energy`` in energy mode, whose pulses it writes to its standard error, a ``|`` each.
    """
    source = write_c(program, folder / "c")
    project = write_project(source.folder, load_board("mps2_an386"), folder / "firmware", template="serial", model_name=model)
    sources = [project / "host" / "main.c", project / "protocol.c", *sorted((project / "model").glob("*.c"))]
    flags = ["-std=c99", "-O0", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-DEFF_PROTOCOL_MOST_RUNS=200u", f"-I{project}"]
    flags += ["-DEFF_PROTOCOL_ENERGY=1"] if energy else []
    command = [*host_compiler(), *flags, *(SANITISED if sanitised else ()), *map(str, sources), "-lm", "-o", str(folder / "board")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "board"


def random_commands(seed: int, count: int, input_bytes: int, state: bytes) -> Iterator[bytes]:
    """``count`` commands without their ends: right ones, random ones, and ones that a character or a piece was changed of."""
    rng = random.Random(seed)
    right = [
        *("name", "profile", "timestamp", "results", "state", "save", "db print", "init"),
        *(f"db load {input_bytes}", f"infer {rng.randrange(9)} {rng.randrange(3)}", f"learn {rng.randrange(5)} 2", f"load {len(state)}"),
    ]
    for _ in range(count):
        kind = rng.random()
        if kind < 0.2:
            text = rng.choice(right).encode()
        elif kind < 0.35:
            text = b"db " + rng.randbytes(rng.choice((1, 4, input_bytes, 31, 40))).hex().encode()
        elif kind < 0.45:
            first = rng.randrange(len(state))
            text = b"load " + state[first : first + 31].hex().encode()
        elif kind < 0.65:
            text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(6))).encode("latin-1")
        elif kind < 0.8:
            text = rng.randbytes(rng.choice((0, 1, 5, 78, 79, 80, 81, 200, 4000)))
        else:
            changed = bytearray(rng.choice(right).encode())
            for _ in range(rng.randrange(1, 4)):
                place = rng.randrange(len(changed) + 1)
                changed[place : place + rng.randrange(2)] = rng.randbytes(rng.randrange(2))
            text = bytes(changed)
        yield text.replace(b"%", b"")


def answers(board: Path, commands: Sequence[bytes], limit_s: float = 60.0) -> list[list[str]]:
    """The lines with which a board program answers each command, the first those of its start; each is a whole reply.

    Raises CalledProcessError with what a sanitizer said.
    """
    content = b"".join(command + b"%" for command in commands)
    done = subprocess.run([board], input=content, capture_output=True, timeout=limit_s, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, str(board), done.stdout[-400:], done.stderr)
    replies: list[list[str]] = [[]]
    for line in done.stdout.decode("ascii").split("\r\n"):
        if line == "m-ready":
            replies.append([])
        elif line:
            replies[-1].append(line)
    if replies.pop():
        raise AssertionError("the last reply is cut")
    return replies
