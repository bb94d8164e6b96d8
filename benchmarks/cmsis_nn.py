"""Modelled latency of CMSIS-NN on MLPerf Tiny's networks beside what was published for it on two boards.

The user's own checkout of github.com/ARM-software/CMSIS-NN is compiled, nothing of it is in this repository:
``CMSIS_NN=path python benchmarks/cmsis_nn.py`` -> ``benchmarks/results/cmsis_nn.json``. The reference models (EDGEFF_MODELS_DIR) are
exported as C, whose kernels ``cmsis_nn.c`` has by calls of CMSIS-NN; their scores must be those of edgeff's own C.

Instructions are exact. Cycles are modelled by the Cortex-M4's table at zero wait states, on the Cortex-M33 too, which has none: there they
are an estimate. Where the board's file has wait states of the flash, they are added once for each line of constants, the least that reading
them can cost. The published medians are of microTVM with CMSIS-NN, submitted to MLPerf Tiny 1.0 (OctoML): another compiler, code from flash
and a runtime are in them.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from checkouts import checkout, version
from mlperf_tiny import deployed
from results import collect

from edgeff.bench.models import BENCHMARKS, benchmark_of
from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.firmware import measure, write_project
from edgeff.device.mailbox import load_target
from edgeff.device.simulate import COUNTING_LIMIT_S
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.gcc import Gcc
from edgeff.errors import CheckFailed
from edgeff.ir import Board
from edgeff.program.select import select
from edgeff.registry import cores

PUBLISHED_MS = {
    "nucleo_l4r5zi": {"ad": 8.6, "ic": 389.6, "kws": 99.8, "vww": 300.8},
    "nrf5340_dk": {"ad": 6.29, "ic": 317.9, "kws": 76.5, "vww": 233.3},
}
"""Milliseconds of an inference by microTVM with CMSIS-NN, MLPerf Tiny 1.0."""
FLASH_LINE_BYTES = 16
"""The widest read of the flash of either board."""
TABLE = "cortex-m4"
SHIM = Path(__file__).with_suffix(".c")
ROOMS = (
    "ActivationFunctions",
    "BasicMathFunctions",
    "ConvolutionFunctions",
    "FullyConnectedFunctions",
    "NNSupportFunctions",
    "PoolingFunctions",
    "SoftmaxFunctions",
)
REPLACED = ("eff_add", "eff_average_pool2d", "eff_conv2d", "eff_dense", "eff_depthwise_conv2d", "eff_softmax")
"""Files of edgeff's kernels in whose place ``cmsis_nn.c`` stands."""
_TENSOR = re.compile(r"^#define (t_infer_\w+) +\(\((\w+) \*\)EFF_AT\(\d+\)\) +/\* ([\d,]+) bytes.*$", re.MULTILINE)


class WithBuiltins(Gcc):
    """GCC that replaces memcpy by instructions, as CMSIS-NN counts on; without a C library that is off by default."""

    def _flags(self, board: Board) -> tuple[str, ...]:
        return (*super()._flags(board), "-fbuiltin")


def apart(text: str) -> str:
    """A model's C with each tensor of its inference in memory of its own: CMSIS-NN does not write over its inputs."""

    def own(found: re.Match[str]) -> str:
        name, ctype, size = found[1], found[2], int(found[3].replace(",", ""))
        return f"static uint64_t m_{name}[{-(-size // 8)}];\n#define {name} (({ctype} *)(void *)m_{name})"

    return _TENSOR.sub(own, text)


def inference(task: str, board_name: str) -> dict[str, Any]:
    """One network on one board's core: instructions and modelled cycles, by layer, and their ratio to the published median."""
    folder = checkout("CMSIS_NN", "Include/arm_nnfunctions.h", "git clone https://github.com/ARM-software/CMSIS-NN, then CMSIS_NN=path")
    board, toolchain = load_board(board_name), WithBuiltins("gcc", "arm-none-eabi-gcc", "gcc-arm-none-eabi")
    deployment = deployed(benchmark_of(task), "int8")
    program = select(deployment.program)
    tensor = program.tensors[program.input]
    x = np.random.default_rng(0).integers(-128, 128, tensor.elements).astype(tensor.dtype)
    with tempfile.TemporaryDirectory(prefix="edgeff-cmsis-") as temporary:
        source = write_c(deployment.program, Path(temporary) / "c")
        model = source.folder / "model.c"
        model.write_text(apart(model.read_text(encoding="utf-8")), encoding="utf-8")
        project = write_project(source.folder, board, Path(temporary) / "fw", toolchain)
        kernels = (project / "model" / "eff_kernels.h").read_text(encoding="utf-8")
        has = "".join(f"#define HAS_{name}\n" for name in re.findall(r"\nvoid (\w+)\(", kernels))
        (project / "shim.c").write_text(has + SHIM.read_text(encoding="utf-8"), encoding="utf-8")
        (project / "Internal").mkdir()
        for header in (*(folder / "Include").glob("*.h"), *(folder / "Include" / "Internal").glob("*.h")):
            (project / header.relative_to(folder / "Include")).write_bytes(header.read_bytes())
        theirs = [
            path
            for room in ROOMS
            for path in sorted((folder / "Source" / room).glob("*.c"))
            if "f16" not in path.name and "f32" not in path.name
        ]
        ours = [*(path for path in (project / "model").glob("*.c") if not path.name.startswith(REPLACED)), *project.glob("*.c")]
        elf = project / "firmware.elf"
        toolchain.link(sorted({*ours, *theirs}), project, board, project / "link.ld", elf)
        firmware = measure(elf, board, toolchain.name)
        target = load_target(firmware, time_limit_s=COUNTING_LIMIT_S)
        target.core = replace(target.core, cycles=cores[TABLE].cycles)
        target.write_input(x)
        profile = target.profile("infer", program.infer)
        scores = target.output()
    host = HostTarget(deployment.program)
    _, expected = host.predict_many(x[None])
    if not np.array_equal(scores, expected[0]):
        raise CheckFailed(f"CMSIS-NN on {task}", got=f"{np.count_nonzero(scores != expected[0])} other scores", allowed="0")
    cycles, published = profile.cycles or 0, PUBLISHED_MS[board_name][task]
    waits = (board.flash_wait_states or 0) * -(-firmware.constant_bytes // FLASH_LINE_BYTES)
    own = target.core.name == TABLE
    modelled_ms, with_waits_ms = (1000 * count / board.clock_hz for count in (cycles, cycles + waits))
    return {
        "toolchain": toolchain.version(),
        "cmsis_nn": version(folder),
        "instructions": profile.instructions,
        "cycles": cycles,
        "evidence": "modelled, zero wait states" if own else f"estimated by the table of the {TABLE}, zero wait states",
        "constant_bytes": firmware.constant_bytes,
        "code": firmware.code_bytes,
        "flash_wait_cycles": waits if board.flash_wait_states else None,
        "ms": round(modelled_ms, 3),
        "ms_with_flash": round(with_waits_ms, 3) if board.flash_wait_states else None,
        "published_ms": published,
        "difference": round(modelled_ms / published - 1, 4),
        "difference_with_flash": round(with_waits_ms / published - 1, 4) if board.flash_wait_states else None,
        "calls": [[call.name, call.kernel, call.instructions, call.cycles] for call in profile.calls],
    }


if __name__ == "__main__":
    collect("cmsis_nn", [(benchmark.task, board) for board in PUBLISHED_MS for benchmark in BENCHMARKS], inference)
