"""MLPerf Tiny "Learn", task `scratch` of docs/learn.md: foreign engines and edgeff's own C through one runner, on one emulated board.

Two engines are built from the user's own checkouts, of which nothing is in this repository: ``AIFES=path`` (github.com/Fraunhofer-IMS/
AIfES_for_Arduino, AGPL) and ``PULP_TRAINLIB=path`` (github.com/pulp-platform/pulp-trainlib, its branch pulp-trainlib-stm32). Each
fills the firmware template ``serial`` by ``engines/NAME.c`` in the place of the generated model: same start-up code, protocol, board,
initial weights, samples and order. All are compiled by gcc at -O2, the engines with Debian's newlib.

Instructions of a step are those of the emulated clock, 32 ns each, between the two laps of ``learn LABEL 1``: the median of all steps, to
a microsecond, with the few thousand that the protocol takes to copy the sample and to tell the first lap. RAM is static RAM and the
deepest stack that the firmware saw.
``AIFES=path PULP_TRAINLIB=path python benchmarks/engines.py`` -> ``benchmarks/results/engines.json``, in about twenty minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from checkouts import checkout, version
from results import collect

from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.firmware import build, write_project
from edgeff.device.serial.emulated import instruction_shift
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.elf import Image, read_elf
from edgeff.device.toolchains.gcc import Gcc
from edgeff.ir import Array, Board
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.registry import tasks

TASK, NETWORK, BOARD = "digits", "64-32-10", "mps2_an386"
ENGINES = Path(__file__).with_name("engines")
RATE = 0.02
"""The rate of back-propagation, by default that of edgeff's: no engine's was chosen by its results."""
OURS = (("pepita", "int8"), ("bp", "int8"))
BUFFERS = ("parameters", "memory")
"""Those of engines/aifes.c."""
CHECKOUTS = {"aifes": ("AIFES", "src/aifes.h"), "trainlib": ("PULP_TRAINLIB", "lib/include/stm32_train.h")}
"""The variable that names an engine's folder, and a file of it."""


class WithLibrary(Gcc):
    """GCC with its C library and the include folders and macros of an engine, by the language and flags that engines are written for."""

    libraries = ("-lm", "-lc", "-lnosys", "-lgcc")

    def __init__(self, *options: str) -> None:
        super().__init__("gcc", "arm-none-eabi-gcc", "gcc-arm-none-eabi")
        self._options = options

    def _flags(self, board: Board) -> tuple[str, ...]:
        return (
            *board.toolchains[self.name],
            "-std=gnu11",
            "-O2",
            "-ffunction-sections",
            "-fdata-sections",
            "-fno-strict-aliasing",
            *self._options,
        )


def folder_of(engine: str) -> Path:
    """The user's checkout of an engine. Ends the program where none is named."""
    variable, file = CHECKOUTS[engine]
    return checkout(variable, file, "see the first lines of engines.py")


def array(name: str, values: Array) -> str:
    numbers = ", ".join(float(value).hex() + "f" for value in values.astype(np.float32).reshape(-1))
    return f"static const float {name}[{values.size}] = {{{numbers}}};\n"


def foreign(engine: str, rate: float, project: Path, board: Board) -> Image:
    """The firmware of an engine in a project of the template ``serial``, whose model it replaces."""
    folder = folder_of(engine)
    network = initialised(structure(NETWORK), 0)
    hidden, output = (layer.params["weight"] for layer in network.layers if layer.params)
    (outputs, width), inputs = output.shape, hidden.shape[1]
    model = project / "model"
    for path in model.iterdir():
        path.unlink()
    # AIfES keeps weights as (inputs, outputs), PULP-TrainLib as (outputs, inputs).
    first, second = (hidden.T, output.T) if engine == "aifes" else (hidden, output)
    sizes = {"INPUTS": inputs, "HIDDEN": width, "OUTPUTS": outputs}
    lines = [f"#define {name} {value}\n" for name, value in sizes.items()]
    lines += [f"#define RATE {rate}f\n", "#define MATMUL 0\n"]
    (model / "initial.h").write_text(
        "".join([*lines, "#ifdef ENGINE\n", array("initial_hidden", first), array("initial_output", second), "#endif\n"]), encoding="utf-8"
    )
    (model / "model.h").write_text((ENGINES / "model.h").read_text(encoding="utf-8"), encoding="utf-8")
    (model / "engine.c").write_text("#define ENGINE\n" + (ENGINES / f"{engine}.c").read_text(encoding="utf-8"), encoding="utf-8")
    names = project / "names.h"
    names.write_text(names.read_text(encoding="utf-8").replace('VENDOR "edgeff"', f'VENDOR "{engine}"'), encoding="utf-8")
    include, sources = (folder / "src", folder / "src") if engine == "aifes" else (folder / "lib" / "include", folder / "lib" / "sources")
    theirs = [path for path in sorted(sources.rglob("*.c")) if not {"avr_pgm", "cmsis", "CMSIS"} & set(path.parts)]
    toolchain = WithLibrary(f"-I{include}", f"-I{model}", "-w")
    elf = project / "firmware" / "firmware.elf"
    toolchain.link(sorted({*project.glob("*.c"), model / "engine.c", *theirs}), project, board, project / "link.ld", elf)
    return read_elf(elf)


def firmware(engine: str, rule: str, numeric: Any, rate: float, folder: Path) -> Image:
    """A firmware in ``folder``, as ``edgeff build`` leaves one: ours, or that of an engine."""
    board, data = load_board(BOARD), tasks[TASK].load(0)
    deployment = deploy(initialised(structure(NETWORK), 0), data.x_train, rule=rule, numeric=numeric)
    with tempfile.TemporaryDirectory(prefix="edgeff-engine-") as temporary:
        source = write_c(deployment.program, Path(temporary) / "c", features=core_of(board).features)
        out = folder / "firmware"
        if engine == "edgeff":
            return build(source.folder, board, out, TOOLCHAINS["gcc"], "serial", "scratch").image
        project = write_project(source.folder, board, folder, TOOLCHAINS["gcc"], "serial", "scratch")
        out.mkdir(exist_ok=True)
        return foreign(engine, rate, project, board)


def learn(folder: Path, *options: str) -> tuple[dict[str, Any], dict[str, int]]:
    """What ``edgeff run learn`` gives, and the last numbers of the firmware's state."""
    log = folder / "run.log"
    command = [sys.executable, "-m", "edgeff", "run", "learn", TASK, "--board", BOARD, "--firmware", str(folder), "--json", "-o", str(log)]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True)
    text = log.read_text(encoding="utf-8")
    return json.loads(done.stdout), {name: int(re.findall(rf"\b{name}=(\d+)", text)[-1]) for name in ("stack", "arena")}


def measure(engine: str, rule: str, numeric: str, rate: float) -> dict[str, Any]:
    """One engine: accuracy before and after, a step's instructions, RAM and flash."""
    with tempfile.TemporaryDirectory(prefix="edgeff-engines-") as temporary:
        folder = Path(temporary)
        image = firmware(engine, rule, numeric, rate, folder)
        result, state = learn(folder)
    board = load_board(BOARD)
    static = image.sections.get(".data", 0) + image.sections.get(".bss", 0)
    if engine == "aifes":  # it says at run time how much of its buffers it takes
        static -= sum(image.symbols[name].size_bytes for name in BUFFERS) - state["arena"]
    return {
        "version": None if engine == "edgeff" else version(folder_of(engine)),
        "toolchain": TOOLCHAINS["gcc"].version(),
        **{name: result[name] for name in ("name", "before", "after", "steps", "refused", "step_us", "samples")},
        "step_instructions": round(1000 * result["step_us"] / (1 << instruction_shift(board))),
        "static_ram_bytes": static,
        "stack_bytes": state["stack"],
        "ram_bytes": static + state["stack"],
        "flash_bytes": image.load_bytes,
    }


if __name__ == "__main__":
    keys = [("edgeff", rule, numeric, 0.0) for rule, numeric in OURS]
    collect("engines", [*keys, *((engine, "bp", "float32", RATE) for engine in CHECKOUTS)], measure)
