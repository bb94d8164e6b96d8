"""The end of a learning step."""

from __future__ import annotations

from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import Out, kernel
from edgeff.kernels.records import Key


@kernel()
def eff_advance(
    step: Annotated[Array, Out("uint32_t", "1", also_read=True)],
    rate: Annotated[Array, Out("uint32_t", "1", low=0, high=1 << 16, also_read=True)],
    period: Key,
    factor: Key,
) -> None:
    """step += 1; after every ``period`` steps rate *= factor / 2**16 (period 0: never)."""
    step[0] = (int(step[0]) + 1) & 0xFFFFFFFF
    if period and int(step[0]) % period == 0:
        rate[0] = (int(rate[0]) * factor + 0x8000) >> 16
