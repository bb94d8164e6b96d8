"""Power that fails in every operation on the flash, in each of a thousand saves: what a device finds after the reset.

The C of a model learns one step, saves into 2, 4 or 8 slots of a simulated NOR flash, and so on. Every save is tried with the power cut in
each of its operations, an erase or a write of up to 32 bytes, of which none, half or all but one byte is done (a half erase leaves noise).
**lost** counts the cuts after which neither the state before nor the one that was being saved came back.
``python benchmarks/power_cuts.py`` -> ``benchmarks/results/power_cuts.json``, in a minute or two.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff.codegen.folder import write_c
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import CheckFailed
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

HARNESS, NETWORK, SAVES = Path(__file__).with_name("power_cuts.c"), "12-8-4", 1000


def measure(rule: str, numeric: Any, slots: int) -> dict[str, Any]:
    """The counts of one model and number of slots."""
    calibration = np.random.default_rng(2).random((64, 12), np.float32)
    deployment = deploy(initialised(structure(NETWORK), 0), calibration, rule=rule, numeric=numeric)
    x = np.ascontiguousarray(deployment.inputs(calibration))
    with tempfile.TemporaryDirectory(prefix="edgeff-power-") as temporary:
        folder = Path(temporary)
        source = write_c(deployment.program, folder / "c")
        host_shared_library([*source.sources, HARNESS], source.folder, folder / "power.so")
        library: Any = ctypes.CDLL(str(folder / "power.so"))
        counts = np.zeros(5, np.int64)
        places = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, counts)]
        failed = library.power_run(ctypes.c_uint32(slots), ctypes.c_int32(SAVES), places[0], ctypes.c_int32(len(x)), places[1])
    if failed:
        raise CheckFailed(f"save {failed} of {rule} in {numeric}", got="a code other than EFF_STATE_OK")
    names = ("cuts", "lost", "new_came_back", "most_erases_of_a_slot", "operations_of_a_save")
    return {"saves": SAVES, "bytes": source.memory.saved_bytes + 24, **dict(zip(names, counts.tolist(), strict=True))}


if __name__ == "__main__":
    forms = [("bp", "float32"), ("pepita", "int8"), ("scff", "float32")]
    collect("power_cuts", [(*form, slots) for form in forms for slots in (2, 4, 8)], measure)
