"""The end of a learning step."""

from __future__ import annotations

from edgeff.ir import Array
from edgeff.kernels import kernel


@kernel()
def eff_advance(step: Array, rate: Array, period: int, factor: int) -> None:
    """step += 1; after every ``period`` steps rate *= factor / 2**16 (period 0: never)."""
    step[0] = (int(step[0]) + 1) & 0xFFFFFFFF
    if period and int(step[0]) % period == 0:
        rate[0] = (int(rate[0]) * factor + 0x8000) >> 16
