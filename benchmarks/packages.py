"""Every package of the C from a clean folder by the commands of its own README, and two models in one image.

A README's commands are what stands in its backticks and begins with a build tool. A command whose tool is on the search path runs as it is
written, and the CMake one for a board runs for each board of the catalogue. In the place of ``arduino-cli`` stands Arduino's builder of
Debian with Debian's core, on the same sketch for the same board; ``pio`` takes its platform from a checkout of the user's
(``PLATFORM_ATMELAVR=path``, github.com/platformio/platform-atmelavr), the compiler and the core from Debian and SCons from the folder that
``pip install scons`` wrote. The examples of an environment that is not there are compiled for a board against thin declarations of it, and
the row says so. What was built for a Mega 2560 then learns on simavr, driven by ``edgeff run``, to the bytes of the NumPy twin.
``image``: two packages and an application in C++11, linked by CMake and run on QEMU; its scores are the twins'.

``python benchmarks/packages.py`` -> ``benchmarks/results/packages.json``, in five minutes. From Debian: cmake, gcc-arm-none-eabi,
gcc-riscv64-unknown-elf, qemu-system-arm, qemu-system-misc, gcc-avr, avr-libc, arduino-builder, arduino-core-avr, libsimavr-dev, libelf-dev.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.codegen.packages import BoardBuild, load_package
from edgeff.device.boards import load_board
from edgeff.device.builds import board_builds
from edgeff.device.cores import core_of
from edgeff.device.firmware import write_project
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.elf import read_elf
from edgeff.errors import CheckFailed, MissingTool
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.resources import package_names

NETWORK, RULE, TASK, NAME = "64-16-10", "pepita", "digits", "Learner"
"""What the 8 KB of a Mega 2560 hold beside a saved state."""
STEPS, TESTS = 40, 20
TOOLS = ("cmake", "arduino-cli", "pio", "west", "idf.py", "cpackget", "cbuild")
ONTO_A_BOARD = re.compile(r"\b(upload|flash|monitor)\b")
BOARD = "nucleo_l4r5zi"
"""The board that the README of the CMake package names."""
STRICT = ("-Wall", "-Wextra", "-Werror", "-O2", "-c", "-o", os.devnull)
ENVIRONMENTS = Path(__file__).resolve().parents[1] / "tests" / "environments"
THIN = {"zephyr": BOARD, "espidf": "esp32_c3", "cmsis-pack": "mps3_an547"}
"""The board for which the examples of an environment that is not there are compiled."""
MEGA = ("arduino:avr:mega", "arduino:avr:mega:cpu=atmega2560")
DEBIAN = Path("/usr/share/arduino/hardware/arduino/avr")
FLOAT_DIGITS = "-DDECIMAL_DIG=__DECIMAL_DIG__"
"""Debian's core asks for it in C++, where the <float.h> of Debian's compiler does not have it."""
AVR_BOARD = Path(__file__).with_name("avr_board.c")
IMAGES = ("mps2_an386", "qemu_virt_rv32")
MODELS = (("wake_", "64-16-10", "pepita", "int8"), ("word_", "64-12-10", "bp", "float32"))


def commands(package: str, readme: str) -> list[str]:
    """What a README has in backticks that builds: commands of a build tool, without those that need a board."""
    spans = re.findall(r"`([^`]+)`", readme)
    found = [span for span in spans if span.split()[0] in TOOLS and not ONTO_A_BOARD.search(span)]
    if not found:
        raise CheckFailed(f"README of {package}", got="no command that builds", allowed=", ".join(TOOLS))
    return found


def command(text: str, folder: Path, **environment: str) -> str:
    """The output of a command line, which has to succeed, in ``folder``."""
    done = subprocess.run(
        ["bash", "-euc", text], cwd=folder, capture_output=True, text=True, check=False, timeout=600, env=os.environ | environment
    )
    output = done.stdout + done.stderr
    if done.returncode:
        raise CheckFailed(f"`{text}`", got=output[-600:].replace("\n", " | "), allowed="status 0")
    if re.search(rf"{NAME}\S*: warning:", output):
        raise CheckFailed(f"`{text}`", got=output[-2000:], allowed="no warning of the package's own files")
    return output


def edgeff(*arguments: str | Path) -> str:
    return command(shlex.join([sys.executable, "-m", "edgeff", *map(str, arguments)]), Path.cwd())


def exported(kind: str, folder: Path, network: str = NETWORK, rule: str = RULE, numeric: str = "int8", *options: str) -> Path:
    """The package of fresh weights in a folder of its own, with the model file ``m.onnx`` beside it."""
    model, out = folder / "m.onnx", folder / NAME
    edgeff("train", TASK, "--network", network, "--rule", rule, "--epochs", "0", "-o", model)
    edgeff("export", model, "--to", kind, "--with-training", "--numeric", numeric, *options, "-o", out)
    return out


def package(kind: str) -> dict[str, Any]:
    """One package: which commands ran and by what, what was built, and what it did then."""
    with tempfile.TemporaryDirectory(prefix="edgeff-package-") as temporary:
        folder = Path(temporary)
        out = exported(kind, folder)
        texts = commands(kind, (out / "README.md").read_text(encoding="utf-8"))
        row: dict[str, Any] = {"commands": texts, "lacks": None}
        if kind in THIN:
            tool = texts[0].split()[0]
            if shutil.which(tool) is None:
                return row | {"built_by": thin(kind, out), "built": 1, "lacks": f"not by {tool}: it is not installed here"}
            for text in texts:
                command(text, out)
            return row | {"built_by": tool, "built": len(texts)}
        if kind == "cmake":
            return row | cmake(texts, out, board_builds())
        return row | (arduino if kind == "arduino" else platformio)(texts, out, folder)


def thin(kind: str, out: Path) -> str:
    """Compiles the library and the examples of a package against thin declarations; gives the compiler's command."""
    record, build = load_package(kind), next(build for build in board_builds() if build.name == THIN[kind])
    sources = [*(out / record.sources).glob("*.c"), *(out / record.protocol).glob("*.c"), *(out / record.stream).parent.glob("*.c")]
    # Declarations of the environment stand for its C library too, which a compiler of its own would bring.
    library = [f"-I{path}" for path in C_LIBRARIES if build.compiler.startswith("riscv")]
    for source in sources:
        include = [f"-I{ENVIRONMENTS}", f"-I{out / record.sources}", *library]
        command(shlex.join([build.compiler, *build.flags, "-std=c99", *STRICT, *include, str(source)]), out)
    return f"{build.compiler} {' '.join(build.flags)}, thin declarations"


C_LIBRARIES = ("/usr/lib/arm-none-eabi/include",)
"""Newlib's headers of Debian's Arm compiler: its RISC-V compiler comes without any."""


def cmake(texts: list[str], out: Path, boards: Sequence[BoardBuild]) -> dict[str, Any]:
    """The package on a computer, where its check must pass, and its library for the boards."""
    ours = [text for text in texts if BOARD not in text]
    (cross,) = [text for text in texts if BOARD in text]
    for text in ours:
        command(text, out)
    said = command("build/check", out).splitlines()[-1]
    for build in boards:
        command(cross.replace(BOARD, build.name), out)
        board, (archive,) = load_board(build.name), (out / "build" / build.name).glob("lib*.a")
        with tempfile.TemporaryDirectory() as folder:
            command(f"{build.compiler.removesuffix('gcc')}ar x {archive}", Path(folder))
            machines = {read_elf_machine(path) for path in Path(folder).iterdir()}
        if machines != {core_of(board).isa.elf_machine}:
            raise CheckFailed(f"library for {build.name}", got=str(machines), allowed=core_of(board).isa.elf_machine)
    version = command("cmake --version", out).split()[2]
    return {"built_by": f"cmake {version}", "built": len(boards) + 1, "ran": f"build/check: {said}"}


def read_elf_machine(path: Path) -> str:
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        return str(ELFFile(file).get_machine_arch())


def arduino(texts: list[str], out: Path, folder: Path) -> dict[str, Any]:
    """Both sketches by arduino-cli or by Arduino's builder; the protocol's learns on the emulated board."""
    elfs = {}
    for sketch in ("Learn", "Protocol"):
        build = folder / sketch
        build.mkdir()
        (text,) = [text.replace("examples/Learn", f"examples/{sketch}") for text in texts]
        if shutil.which("arduino-cli"):
            command(f"{text} --output-dir {build}", out)
            by = command("arduino-cli version", out).strip()
        else:
            command(shlex.join(builder(text, out, build)), out)
            by = f"arduino-builder {debian('arduino-builder')} with arduino-core-avr {debian('arduino-core-avr')} for {MEGA[0]}"
        elfs[sketch] = next(build.glob("*.elf"))
    return {"built_by": by, "built": 2, "ran": on_simavr(elfs["Protocol"], folder), **size(elfs["Protocol"])}


def builder(text: str, out: Path, build: Path) -> list[str]:
    """Arduino's builder for a call of arduino-cli, whose work it does in an IDE."""
    words = shlex.split(text)
    board, sketch = words[words.index("-b") + 1], out / words[-1]
    if words[:2] != ["arduino-cli", "compile"] or board != MEGA[0] or words[words.index("--library") + 1] != ".":
        raise CheckFailed(f"`{text}`", got=text, allowed="a sketch of this library, for the board of the builder")
    options = ["-fqbn", MEGA[1], "-libraries", str(out.parent), "-build-path", str(build), "-warnings", "all"]
    for folder in (DEBIAN.parents[1], "/usr/share/arduino-builder"):
        options += ["-hardware", str(folder)]
    for value in ("tools.ctags.path=/usr/bin", "tools.ctags.cmd.path=/usr/bin/arduino-ctags", f"compiler.cpp.extra_flags={FLOAT_DIGITS}"):
        options += ["-prefs", value]
    return ["arduino-builder", "-compile", "-tools", "/usr/bin", *options, str(sketch / f"{sketch.name}.ino")]


def debian(name: str) -> str:
    return subprocess.run(["dpkg-query", "-Wf", "${Version}", name], capture_output=True, text=True, check=True).stdout


def size(elf: Path) -> dict[str, int]:
    """Flash and static RAM of an AVR's program."""
    text, data, bss = map(int, command(f"avr-size {elf}", elf.parent).splitlines()[1].split()[:3])
    return {"flash_bytes": text + data, "static_ram_bytes": data + bss}


def platformio(texts: list[str], out: Path, folder: Path) -> dict[str, Any]:
    """The project and its second program by PlatformIO."""
    platform = os.environ.get("PLATFORM_ATMELAVR", "")
    if shutil.which("pio") is None or not platform:
        raise MissingTool(
            "PlatformIO, or its platform", next_step="pip install platformio scons; PLATFORM_ATMELAVR=checkout of platform-atmelavr"
        )
    core = folder / "core"
    stand_ins(core, Path(platform))
    for text in texts:
        command(text, out, PLATFORMIO_CORE_DIR=str(core))
    built = sorted((out / ".pio" / "build").glob("*/firmware.elf"))
    settings = out / "platformio.ini"
    second = re.sub(r"build_src_filter = .*", "build_src_filter = +<protocol/>", settings.read_text(encoding="utf-8"))
    settings.write_text(second, encoding="utf-8")
    for text in texts:
        command(text, out, PLATFORMIO_CORE_DIR=str(core))
    version = command("pio --version", out).split()[-1]
    by = f"PlatformIO {version}, compiler and core of Debian (gcc-avr {debian('gcc-avr')}, arduino-core-avr {debian('arduino-core-avr')})"
    lacks = "the packages of PlatformIO's registry, and so its other environments"
    elf = out / ".pio" / "build" / "mega" / "firmware.elf"
    return {"built_by": by, "built": 2 * len(built), "lacks": lacks, "ran": on_simavr(elf, folder), **size(elf)}


def stand_ins(core: Path, platform: Path) -> None:
    """A folder of PlatformIO's with what its registry would bring, from elsewhere and under its own version."""
    shutil.copytree(platform, core / "platforms" / "atmelavr", ignore=shutil.ignore_patterns(".git", "examples"))
    described = core / "platforms" / "atmelavr" / "platform.json"
    values = json.loads(described.read_text(encoding="utf-8"))
    for needed in values["packages"].values():
        needed["version"] = "*"
    described.write_text(json.dumps(values), encoding="utf-8")
    python = Path(shutil.which("pio") or "").resolve().with_name("python")
    scons = Path(command(f"{python} -c 'import SCons; print(SCons.__file__)'", core).strip()).parent
    major, minor, patch = command(f"{python} -c 'import SCons; print(SCons.__version__)'", core).strip().split(".")
    versions = {"toolchain-atmelavr": "5.4.0", "framework-arduino-avr": "1.8.7", "tool-scons": f"{major}.4{minor}{int(patch):02}.0"}
    for name, version in versions.items():
        folder = core / "packages" / name
        folder.mkdir(parents=True)
        spec = {"owner": "platformio", "id": None, "name": name, "requirements": None, "uri": None}
        (folder / "package.json").write_text(json.dumps({"name": name, "version": version}), encoding="utf-8")
        (folder / ".piopm").write_text(json.dumps({"type": "tool", "name": name, "version": version, "spec": spec}), encoding="utf-8")
    packages = core / "packages"
    (packages / "tool-scons" / "SCons").symlink_to(scons)
    main = "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parent))\nfrom SCons.Script import main\nmain()\n"
    (packages / "tool-scons" / "scons.py").write_text(main, encoding="utf-8")
    for path in DEBIAN.iterdir():
        (packages / "framework-arduino-avr" / path.name).symlink_to(path)
    tools = packages / "toolchain-atmelavr" / "bin"
    tools.mkdir()
    for path in Path("/usr/bin").glob("avr-*"):
        (tools / path.name).symlink_to(path)
    (tools / "avr-g++").unlink()
    (tools / "avr-g++").write_text(f'#!/bin/sh\nexec /usr/bin/avr-g++ {FLOAT_DIGITS} "$@"\n', encoding="utf-8")
    (tools / "avr-g++").chmod(0o755)


@contextmanager
def avr_board(elf: Path, folder: Path) -> Iterator[str]:
    """The serial line of an emulated Mega 2560 with the program ``elf``."""
    program = folder / "avr_board"
    command(f"cc -Wall -Wextra -Werror -O2 {AVR_BOARD} -lsimavr -lelf -o {program}", folder)
    with subprocess.Popen([program, elf], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(line.strip() for line in process.stdout or () if line.startswith("/dev/"))
        finally:
            process.kill()


def on_simavr(elf: Path, folder: Path) -> str:
    """Learns samples of digits over the emulated serial line; the saved state must be the twin's."""
    saved = folder / "state.bin"
    with avr_board(elf, folder) as port:
        options = ("--samples", str(STEPS), "--test-samples", str(TESTS), "--save", saved, "--json")
        result = json.loads(edgeff("run", "learn", TASK, "--port", port, *options))
    deployment, x, labels = deployment_of(NETWORK, RULE, "int8")
    if saved.read_bytes() != learned(deployment, x, labels).save():
        raise CheckFailed(f"{elf.name} on simavr", got="another state than the twin's", allowed="equality")
    return f"simavr: {result['steps']} steps over its serial line, state as the twin's"


def deployment_of(network: str, rule: str, numeric: Any) -> tuple[Deployment, Array, Array]:
    """The program of fresh weights, the first training samples in its number format, and their labels."""
    data: Any = registry.tasks[TASK].load(0)
    deployment = deploy(initialised(structure(network), 0), data.x_train, rule=rule, numeric=numeric)
    return deployment, deployment.inputs(data.x_train[:STEPS]), data.y_train[:STEPS]


def learned(deployment: Deployment, x: Array, labels: Array) -> Interpreter:
    """The twin after every sample."""
    twin = Interpreter(deployment.program)
    for sample, label in zip(x, labels.tolist(), strict=True):
        twin.learn(sample, label)
    return twin


APPLICATION = """// An application of two models, in C++11: each learns {steps} samples; then their scores for the last one.
#include <stdint.h>
#include <wake_model.h>
#include <word_model.h>

static const wake_input_t wake_samples[{steps}][WAKE_INPUTS] = {{{wake_samples}}};
static const word_input_t word_samples[{steps}][WORD_INPUTS] = {{{word_samples}}};
static const int32_t labels[{steps}] = {{{labels}}};

extern "C" uint32_t tell(uint32_t what, const void *where);

template <typename Score> static void show(const char *name, const Score *scores, int32_t count) {{
  tell(4, name);
  const unsigned char *bytes = reinterpret_cast<const unsigned char *>(scores);
  for (uint32_t i = 0; i < count * sizeof(Score); ++i) {{
    const char text[] = {{"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15], 0}};
    tell(4, text);
  }}
  tell(4, "\\n");
}}

int main() {{
  wake_init();
  word_init();
  int refused = 0;
  for (int step = 0; step < {steps}; ++step) {{
    for (int i = 0; i < WAKE_INPUTS; ++i) wake_input()[i] = wake_samples[step][i];
    for (int i = 0; i < WORD_INPUTS; ++i) word_input()[i] = word_samples[step][i];
    refused += wake_learn(labels[step]) != WAKE_OK;
    refused += word_learn(labels[step]) != WORD_OK;
  }}
  for (int i = 0; i < WAKE_INPUTS; ++i) wake_input()[i] = wake_samples[{steps} - 1][i];
  for (int i = 0; i < WORD_INPUTS; ++i) word_input()[i] = word_samples[{steps} - 1][i];
  wake_predict();
  word_predict();
  show("wake ", wake_output(), WAKE_OUTPUTS);
  show("word ", word_output(), WORD_OUTPUTS);
  tell(4, refused ? "refused\\n" : "done\\n");
  tell(0x18, reinterpret_cast<const void *>(0x20026));
  return 0;
}}
"""
"""Semihosting calls 4, write a string, and 0x18, exit, speak to the emulator."""
SEMIHOSTING = {
    "gcc": ".thumb_func; .globl tell; .type tell, %function; tell: bkpt 0xab; bx lr",
    "riscv_gcc": ".globl tell; .balign 16; .option push; .option norvc; tell: slli x0, x0, 0x1f; ebreak; srai x0, x0, 7; ret; .option pop",
}
LISTS = """cmake_minimum_required(VERSION 3.13)
project(two C CXX)
add_subdirectory(wake/Learner wake)
add_subdirectory(word/Learner word)
add_executable(two main.cpp {start_up})
set_target_properties(two PROPERTIES CXX_STANDARD 11 CXX_EXTENSIONS OFF C_STANDARD 99)
target_include_directories(two PRIVATE .)
target_compile_options(two PRIVATE -Wall -Wextra -Werror)
target_link_libraries(two wake word)
target_link_options(two PRIVATE -nostdlib -Wl,--gc-sections -T ${{CMAKE_CURRENT_SOURCE_DIR}}/link.ld)
target_link_libraries(two -lgcc)
"""


def image(board_name: str) -> dict[str, Any]:
    """Two packages with prefixes and a C++ application, in one image that runs on QEMU."""
    board = load_board(board_name)
    compiler = next(name for name in ("gcc", "riscv_gcc") if name in board.toolchains)
    with tempfile.TemporaryDirectory(prefix="edgeff-two-") as temporary:
        folder = Path(temporary)
        twins: dict[str, str] = {}
        words: dict[str, Any] = {"steps": STEPS}
        for prefix, network, rule, numeric in MODELS:
            name = prefix.rstrip("_")
            (folder / name).mkdir()
            out = exported("cmake", folder / name, network, rule, numeric, "--prefix", prefix)
            lists = out / "CMakeLists.txt"
            lists.write_text(lists.read_text(encoding="utf-8").replace("learner", name), encoding="utf-8")
            deployment, x, labels = deployment_of(network, rule, numeric)
            twin = learned(deployment, x, labels)
            twin.predict(x[-1])
            twins[name] = twin.output().tobytes().hex()
            words[f"{name}_samples"] = ", ".join("{" + ", ".join(literal(value) for value in row.reshape(-1)) + "}" for row in x)
            words["labels"] = ", ".join(map(str, labels.tolist()))
        edgeff("export", folder / "wake" / "m.onnx", "--to", "c", "--with-training", "--numeric", "int8", "-o", folder / "c")
        start = write_project(folder / "c", board, folder / "start", TOOLCHAINS[compiler])
        for file in ("startup.c", "memory.c", "string.h", "link.ld"):
            shutil.copyfile(start / file, folder / file)
        (folder / "tell.c").write_text(f'__asm("{SEMIHOSTING[compiler]}");\n', encoding="utf-8")
        (folder / "main.cpp").write_text(APPLICATION.format(**words), encoding="utf-8")
        (folder / "CMakeLists.txt").write_text(LISTS.format(start_up="startup.c memory.c tell.c"), encoding="utf-8")
        command(f"cmake -B build -DCMAKE_TOOLCHAIN_FILE=wake/Learner/boards/{board_name}.cmake && cmake --build build", folder)
        program, *options = core_of(board).emulators["qemu"]
        quiet = ["-no-user-config", "-nodefaults", "-nographic", "-serial", "none", "-monitor", "none", "-semihosting"]
        run = [program, *options, "-M", board.machines["qemu"], *quiet, "-kernel", "build/two"]
        said = dict(re.findall(r"^(wake|word) (\w+)$", command(shlex.join(run), folder), re.MULTILINE))
        if said != twins:
            raise CheckFailed(f"two models on {board_name}", got=str(said), allowed=str(twins))
        elf = read_elf(folder / "build" / "two")
    ram = elf.sections.get(".data", 0) + elf.sections.get(".bss", 0)
    return {"models": len(MODELS), "steps": STEPS, "language": "C++11", "flash_bytes": elf.load_bytes, "static_ram_bytes": ram}


def literal(value: Any) -> str:
    return repr(float(value)) if isinstance(value, np.floating) else str(int(value))


def measure(kind: str, what: str) -> dict[str, Any]:
    """The row of a package, or of an image."""
    return image(what) if kind == "image" else package(what)


if __name__ == "__main__":
    collect("packages", [*(("package", kind) for kind in package_names()), *(("image", board) for board in IMAGES)], measure)
