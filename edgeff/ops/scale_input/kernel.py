"""(x - mean) factor, in float32."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32

ChannelsF32 = Annotated[Array, In("float", "channels")]


@kernel(macs="n", overlap=element_by_element("x", written=4, read=4))
def eff_scale_input_f32(y: OutF32, x: VectorF32, mean: ChannelsF32, factor: ChannelsF32, n: Size, channels: Size) -> None:
    """y[i] = (x[i] - mean[i % channels]) factor[i % channels]; n is a multiple of channels."""
    y[:] = ((x.reshape(-1, channels) - mean) * factor).astype(np.float32, copy=False).reshape(-1)
