"""``edgeff doctor``: what is installed, what is missing and how to get it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

import click

from edgeff.cli.options import common
from edgeff.cli.terminal import print_json, print_line, print_table
from edgeff.cli.version import version

TIME_LIMIT_S = 20


@dataclass(frozen=True)
class Finding:
    """Something edgeff uses: its version (None if missing), its purpose and how to get it."""

    name: str
    version: str | None
    needed_for: str
    how_to_get: str
    required: bool = True


PACKAGES: Sequence[tuple[str, str, str, bool]] = (
    ("numpy", "everything", "numpy", True),
    ("onnx", "model files", "onnx", True),
    ("onnxruntime", "evaluate --engine onnxruntime, verify", "onnxruntime", True),
    ("ai-edge-litert", "TFLite files, evaluate --engine litert, verify", "ai-edge-litert", True),
    ("tflite-micro", "evaluate --engine tflm, verify", "edgeff[tflm]", False),
    ("tensorflow", "the cross-check with TensorFlow's converter", "edgeff[tensorflow]", False),
    ("unicorn", "profile, simulate, verify: the target unicorn", "unicorn", True),
    ("capstone", "profile: the cycle models", "capstone", True),
    ("ziglang", "build: the compiler that comes with edgeff", "ziglang", True),
    ("pyelftools", "build: the ELF's memory", "pyelftools", True),
    ("scikit-learn", "the task digits", "scikit-learn", True),
    ("jinja2", "build: the firmware templates", "jinja2", True),
    ("pydantic", "board files", "pydantic", True),
    ("plotly", "report", "plotly", True),
    ("pyserial", "run, monitor: boards on a serial port", "pyserial", True),
    ("pillow", "your own data: pictures", "edgeff[data]", False),
    ("soundfile", "your own data: recordings that are no .wav of 16-bit PCM", "edgeff[data]", False),
    ("dask", "bench, fleet: a cluster", "edgeff[dask]", False),
)
HOST_COMPILERS = ("cc", "gcc", "clang")


def programs() -> list[tuple[tuple[str, ...], str, str]]:
    """Programs by their names, with their purpose and how to get them: the host's compiler, and those that the cores need."""
    from edgeff.device.boards import load_boards
    from edgeff.device.emulation.qemu_process import package
    from edgeff.device.flashers import TOOLS
    from edgeff.device.toolchains import TOOLCHAINS
    from edgeff.device.toolchains.gcc import Gcc
    from edgeff.registry import cores

    gccs = [tool for tool in TOOLCHAINS.values() if isinstance(tool, Gcc)]
    served: dict[str, list[str]] = {}
    for name, core in cores.items():
        if options := core.emulators.get("qemu"):
            served.setdefault(options[0], []).append(name)
    flashed: dict[str, list[str]] = {}
    for board in load_boards().values():
        if board.flasher:
            flashed.setdefault(board.flasher.tool, []).append(board.name)
    return [
        (HOST_COMPILERS, "the C on this machine, counting (or ziglang)", "apt-get install gcc"),
        *(((tool.program,), f"build with {tool.name} (or ziglang)", tool.how_to_get) for tool in gccs),
        *(
            ((emulator,), f"the target qemu: {', '.join(names)}", f"apt-get install {package(emulator)}")
            for emulator, names in sorted(served.items())
        ),
        *((tool.programs, f"flash: {', '.join(flashed[name])}", tool.how_to_get) for name, tool in TOOLS.items() if name in flashed),
    ]


@click.command("doctor", epilog="Example: edgeff doctor")
@common
def command(as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Show what is installed, what is missing and how to get it."""
    findings = [Finding("edgeff", version(), "", ""), Finding("python", platform.python_version(), "everything", "")]
    findings += [Finding(name, _package(name), use, f"pip install '{source}'", required) for name, use, source, required in PACKAGES]
    findings += [Finding(names[0], _program(names), use, how, required=False) for names, use, how in programs()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    rows = [[f.name, f.version or "missing", f.needed_for, "" if f.version else f.how_to_get] for f in findings]
    print_table(("name", "version", "needed for", "how to get it"), rows)
    missing = [finding.name for finding in findings if finding.required and finding.version is None]
    print_line(f"missing: {', '.join(missing)}" if missing else "everything that is required is installed")


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown" if importlib.util.find_spec(name.replace("-", "_")) else None


def _program(names: Sequence[str]) -> str | None:
    """The first line of the version output of the first installed program."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return "does not run"
    return (done.stdout or done.stderr).strip().partition("\n")[0] or "unknown"
