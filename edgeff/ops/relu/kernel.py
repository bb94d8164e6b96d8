"""An activation function alone, and the gate of its gradient."""

from __future__ import annotations

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate
from edgeff.kernels.overlap import element_by_element


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_relu_f32(y: Array, x: Array, n: int, relu: int) -> None:
    """The activation function alone."""
    y[:] = activate(x, relu)


@kernel()
def eff_relu_gate_f32(d: Array, h: Array, n: int) -> None:
    """d = 0 where h <= 0; d is also read."""
    d[~(h > 0)] = 0


@kernel()
def eff_relu_gate_i8(d: Array, h: Array, n: int, h_zero: int) -> None:
    """d = 0 where h is not above its zero point."""
    d[h <= h_zero] = 0


@kernel()
def eff_relu_gate_i16(d: Array, h: Array, n: int) -> None:
    """d = 0 where h <= 0."""
    d[h <= 0] = 0
