"""An activation function alone, and the gate of its gradient."""

from __future__ import annotations

from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import activate
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Relu, Size, Zero


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_relu_f32(
    y: Annotated[Array, Out("float", "n")],
    x: Annotated[Array, In("float", "n")],
    n: Size,
    relu: Relu,
) -> None:
    """The activation function alone."""
    y[:] = activate(x, relu)


@kernel()
def eff_relu_gate_f32(
    d: Annotated[Array, Out("float", "n", also_read=True)],
    h: Annotated[Array, In("float", "n")],
    n: Size,
) -> None:
    """d = 0 where h <= 0; d is also read."""
    d[~(h > 0)] = 0


@kernel()
def eff_relu_gate_i8(
    d: Annotated[Array, Out("int16_t", "n", also_read=True)],
    h: Annotated[Array, In("int8_t", "n")],
    n: Size,
    h_zero: Zero,
) -> None:
    """d = 0 where h is not above its zero point."""
    d[h <= h_zero] = 0


@kernel()
def eff_relu_gate_i16(
    d: Annotated[Array, Out("int16_t", "n", also_read=True)],
    h: Annotated[Array, In("int16_t", "n")],
    n: Size,
) -> None:
    """d = 0 where h <= 0."""
    d[h <= 0] = 0
