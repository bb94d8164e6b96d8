"""(x - mean) factor, in float32."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size

RowsF32 = Annotated[Array, In("float", "rows", "channels")]
OutRowsF32 = Annotated[Array, Out("float", "rows", "channels")]
ChannelsF32 = Annotated[Array, In("float", "channels")]


@kernel(macs="rows * channels", overlap=element_by_element("x", sizes=("rows", "channels"), written=4, read=4))
def eff_scale_input_f32(y: OutRowsF32, x: RowsF32, mean: ChannelsF32, factor: ChannelsF32, rows: Size, channels: Size) -> None:
    """y[r][c] = (x[r][c] - mean[c]) factor[c]."""
    y[:] = ((x.reshape(-1, channels) - mean) * factor).astype(np.float32, copy=False).reshape(-1)
