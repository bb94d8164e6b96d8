"""A keyword spotter on continuous audio: the reference DS-CNN of MLPerf Tiny, hop by hop, beside the program that reads whole seconds.

Of the benchmark's clips, one after the other, every tenth hop is predicted by the generated C; the scores are compared with those of the
second that ends there. RAM is that of the ELF and the painted stack, cycles are modelled (not validated), for nucleo_l4r5zi.
``EDGEFF_MODELS_DIR=.. EDGEFF_DATA_DIR=.. python benchmarks/stream.py`` -> ``benchmarks/results/stream.json``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.simulate import build_project, profile
from edgeff.device.targets.host import HostTarget
from edgeff.formats.tflite.reader import from_tflite
from edgeff.ops.mfcc import with_features
from edgeff.program.deploy import Deployment, deploy

BOARD, CLIPS, EVERY = "nucleo_l4r5zi", 60, 10
SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL = Path(os.environ.get("EDGEFF_MODELS_DIR", SHARED / "models")) / "kws_dscnn_int8.tflite"
AUDIO = Path(os.environ.get("EDGEFF_DATA_DIR", SHARED / "data")) / "speech_commands_v2_test1000_16k_int16.npz"


def spotter(*, stream: bool) -> Deployment:
    """The reference network behind the task's features."""
    task: Any = registry.tasks["kws"]
    return deploy(with_features(from_tflite(MODEL), task.features, task.samples), numeric="int8", stream=stream)


def measure(what: str) -> dict[str, Any]:
    """The ``cost`` of each program, or the ``scores`` of both."""
    return cost() if what == "cost" else scores()


def cost() -> dict[str, Any]:
    """RAM and cycles of the program that listens and of the one over a second."""
    row: dict[str, Any] = {}
    for name in ("whole", "stream"):
        deployment, board = spotter(stream=name == "stream"), load_board(BOARD)
        size = deployment.program.tensors[deployment.program.input].elements
        with tempfile.TemporaryDirectory() as folder:
            firmware, _ = build_project(deployment, board, Path(folder))
            trace = profile(deployment, board, firmware, np.arange(size, dtype=np.int16))
        row[name] = {"static_ram": firmware.static_ram_bytes, "stack": trace.memory.stack_bytes, "flash": firmware.flash_bytes}
        row[name] |= {line: {"instructions": found.cost.instructions, "cycles": found.cost.cycles} for line, found in trace.lines.items()}
    return row | {"clock_hz": load_board(BOARD).clock_hz, "hops_a_second": 50}


def scores() -> dict[str, Any]:
    """How many scores differ between the stream and the windows that end at the same hop."""
    with np.load(AUDIO) as file:
        audio = np.asarray(file["x"][:CLIPS], np.int16).reshape(-1)
    whole, stream = HostTarget(spotter(stream=False).program), HostTarget(spotter(stream=True).program)
    hop = stream.program.tensors[stream.program.input].elements
    length = whole.program.tensors[whole.program.input].elements
    padded, windows, heard = np.concatenate([np.zeros(length, np.int16), audio]), [], []
    for number in range(len(audio) // hop):
        part = audio[number * hop : (number + 1) * hop]
        if (number + 1) % EVERY:
            stream.line("listen", part)
            continue
        heard.append(stream.line("infer", part)[0].reshape(-1))
        windows.append(padded[(number + 1) * hop :][:length])
    expected = whole.predict_many(np.stack(windows))[1]
    return {"seconds": len(audio) // 16_000, "predictions": len(heard), "differing": int(np.count_nonzero(np.stack(heard) != expected))}


if __name__ == "__main__":
    collect("stream", [("cost",), ("scores",)], measure)
