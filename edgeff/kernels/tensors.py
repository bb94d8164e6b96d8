"""The tensors and numbers that many kernels take, as annotations of their twins' parameters."""

from __future__ import annotations

from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out
from edgeff.kernels.records import Range
from edgeff.kernels.updates import BIAS_LIMIT
from edgeff.kernels.wide import BIAS_LIMIT_I64, MOST_SHIFT

VectorF32 = Annotated[Array, In("float", "n")]
VectorI8 = Annotated[Array, In("int8_t", "n")]
VectorI16 = Annotated[Array, In("int16_t", "n")]
OutF32 = Annotated[Array, Out("float", "n")]
OutI8 = Annotated[Array, Out("int8_t", "n")]
OutI16 = Annotated[Array, Out("int16_t", "n")]
AnyI16 = Annotated[Array, In("int16_t", "n", low=-32768)]
OutAnyI16 = Annotated[Array, Out("int16_t", "n", low=-32768)]
InPlaceF32 = Annotated[Array, Out("float", "n", also_read=True)]
InPlaceI16 = Annotated[Array, Out("int16_t", "n", also_read=True)]
InPlaceI8 = Annotated[Array, Out("int8_t", "n", also_read=True)]
Rate = Annotated[Array, In("uint32_t", "1", low=0, high=1 << 16)]
StepCount = Annotated[Array, In("uint32_t", "1")]
OneI32 = Annotated[Array, Out("int32_t", "1")]
ImageF32 = Annotated[Array, In("float", "in_h", "in_w", "in_c")]
ImageI8 = Annotated[Array, In("int8_t", "in_h", "in_w", "in_c")]
ImageI16 = Annotated[Array, In("int16_t", "in_h", "in_w", "in_c", low=-32768)]
OutImageF32 = Annotated[Array, Out("float", "out_h", "out_w", "out_c")]
OutImageI8 = Annotated[Array, Out("int8_t", "out_h", "out_w", "out_c")]
OutImageI16 = Annotated[Array, Out("int16_t", "out_h", "out_w", "out_c", low=-32768)]
DeltaImageF32 = Annotated[Array, In("float", "out_h", "out_w", "out_c")]
DeltaImageI16 = Annotated[Array, In("int16_t", "out_h", "out_w", "out_c")]
GradientImageF32 = Annotated[Array, Out("float", "in_h", "in_w", "in_c")]
GradientImageI16 = Annotated[Array, Out("int16_t", "in_h", "in_w", "in_c")]
GradientOntoI16 = Annotated[Array, Out("int16_t", "in_h", "in_w", "in_c", also_read=True)]
Label = Annotated[Array, In("int32_t", "1", low=0, high="classes - 1")]
LabelOfN = Annotated[Array, In("int32_t", "1", low=0, high="n - 1")]
ChannelBiasF32 = Annotated[Array | None, In("float", "out_c")]
ChannelBiasI32 = Annotated[Array | None, In("int32_t", "out_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)]
ChannelBiasI64 = Annotated[Array | None, In("int64_t", "out_c", low=-BIAS_LIMIT_I64, high=BIAS_LIMIT_I64)]
ChannelMultipliers = Annotated[Array, In("int32_t", "out_c if per_channel else 1", low=0, high=2**31 - 1)]
ChannelShifts = Annotated[Array, In("int32_t", "out_c if per_channel else 1", low=-31, high=30)]
ChannelShiftsI16 = Annotated[Array, In("int32_t", "out_c if per_channel else 1", low=-31, high=MOST_SHIFT)]
Sign = Annotated[int, Range(-1, 1)]
PreShift = Annotated[int, Range(0, 31)]
