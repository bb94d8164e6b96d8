"""An activation function alone, and the gate of its gradient."""

from __future__ import annotations

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate, opens_i8
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Relu, Size, Zero
from edgeff.kernels.tensors import InPlaceF32, InPlaceI16, OutF32, VectorF32, VectorI8, VectorI16


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_relu_f32(y: OutF32, x: VectorF32, n: Size, relu: Relu) -> None:
    """The activation function alone."""
    y[:] = activate(x, relu)


@kernel()
def eff_relu_gate_f32(d: InPlaceF32, h: VectorF32, n: Size) -> None:
    """d = 0 where h <= 0; d is also read."""
    d[~(h > 0)] = 0


@kernel()
def eff_relu_gate_i8(d: InPlaceI16, h: VectorI8, n: Size, h_zero: Zero) -> None:
    """d = 0 where h is not above its zero point, or saturated."""
    d[~opens_i8(h, h_zero)] = 0


@kernel()
def eff_relu_gate_i16(d: InPlaceI16, h: VectorI16, n: Size) -> None:
    """d = 0 where h <= 0, or saturated."""
    d[(h <= 0) | (h == 32767)] = 0
