"""MLPerf Tiny's reference models in every execution: all KWS and IC inputs of its performance sets, 200 random ones for VWW and AD.

int8: zero differing bits between the NumPy twins, TFLM (the original file and edgeff's of it), the C on the host and on an emulated
Cortex-M4, there in what every kernel call makes; what LiteRT and ONNX Runtime make otherwise is counted. float32: the same in edgeff's own
executions, the others within the tolerance. Files: EDGEFF_MODELS_DIR (../shared/models) and EDGEFF_DATA_DIR (../shared/data).
``python benchmarks/reference_models.py`` -> ``benchmarks/results/reference_models.json``; status 1 where a difference is not allowed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff.formats import from_tflite
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network
from edgeff.program.quantize import dequantise_array
from edgeff.verify import compare, verify
from edgeff.verify.engines import Tflm

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(os.environ.get("EDGEFF_MODELS_DIR") or ROOT.parent / "shared" / "models")
DATA = Path(os.environ.get("EDGEFF_DATA_DIR") or ROOT.parent / "shared" / "data")
NAMES = ("kws_dscnn", "ic_resnet8", "vww_mobilenet025", "ad_fcae")
BOARD, RANDOM = "nucleo_l4r5zi", 200


def inputs(name: str, network: Network) -> tuple[Array, Array | None]:
    """Samples of the network's input type and, where they have them, their classes."""
    if name == "kws_dscnn":
        with np.load(DATA / "mlperf_kws01_mfcc_int8.npz") as data:
            x, y = data["x"].reshape(-1, *network.input_shape), data["y"]
        int8 = from_tflite(MODELS / f"{name}_int8.tflite").input_quant
        return (x, y) if network.input_quant or int8 is None else (dequantise_array(x, int8), y)
    if name == "ic_resnet8":
        with np.load(DATA / "mlperf_ic01.npz") as data:
            pixels, y = data["x"], data["y"]
        return ((pixels.astype(np.int16) - 128).astype(np.int8) if network.input_quant else pixels.astype(np.float32)), y
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (RANDOM, *network.input_shape)).astype(np.int8)
    x[-2], x[-1] = -128, 127
    x[-12:-2] = rng.choice(np.array([-128, 127], np.int8), (10, *network.input_shape))
    return (x if network.input_quant else (x.astype(np.float32) + 128) / 255), None


def measure(name: str, numeric: str) -> dict[str, Any]:
    """Every comparison of one model."""
    data = (MODELS / f"{name}_{numeric}.tflite").read_bytes()
    network = from_tflite(data)
    x, labels = inputs(name, network)
    start = time.perf_counter()
    found = verify(network, x, board=BOARD)
    found.check()
    row: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "samples": len(x), "comparisons": found.to_json()["comparisons"]}
    if network.input_quant is not None:
        original, ours = (Tflm(file)(x, lambda: None) for file in (data, to_tflite(network)))
        again = compare("TFLM, the original file", "TFLM, exported by edgeff", "scores", original, ours)
        row["comparisons"].append(again.to_json())
        if labels is not None:
            row["accuracy"] = float(np.mean(original.reshape(len(x), -1).argmax(1) == labels))
        if not again.ok or found.skipped:
            sys.exit(f"{name}: {again} {found.skipped}")
    return row | {"seconds": round(time.perf_counter() - start, 1)}


if __name__ == "__main__":
    collect("reference_models", [(name, numeric) for numeric in ("int8", "f32") for name in NAMES], measure)
