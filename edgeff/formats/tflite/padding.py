"""TFLite's PAD and PADV2: zeros (or the lowest number) around an image, which become the padding of the window that reads them, the neutral
label before a vector, or a layer of its own.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Node, Value
from edgeff.ops.label import Label
from edgeff.ops.pad import Pad


def _pad(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    constant = node.constant(values[1], "pads").array
    x, pads = node.activation(values[0]), constant.reshape(-1)[:16].tolist()
    rank = 1 + len(x.shape or ())
    if constant.shape != (rank, 2) or constant.dtype not in (np.int32, np.int64) or rank > 8:
        raise node.bad(f"pads {constant.dtype} {constant.shape} for an input of {rank} axes", f"int32 ({rank}, 2)")
    described = assembly.described.get(node.name)
    if described == Pad.name:
        return assembly.padded(node, x, _sides(pads), _value(node, x, values[2]))
    if (rank == 2 or described == Label.name) and not any(pads[:-2]) and not pads[-1] and not x.integer:
        return assembly.label(node, node.real(x), pads[-2], pads[-1], 0.0 if values[2] is None else node.scalar(values[2], "padding"))
    if any(pads[:2]):
        raise node.unsupported(f"pads {pads}", "none along the batch axis")
    value = _value(node, x, values[2])
    lowest = float(np.finfo(np.float32).min) if x.quant is None else x.quant.least
    if rank not in (3, 4) or any(pads[-2:]) or value not in (0.0, lowest):
        return assembly.padded(node, x, _sides(pads), value)
    return assembly.pad(node, x, (*pads[2:-2:2], *pads[3:-2:2]), lowest=value != 0.0)


def _sides(pads: list[int]) -> list[tuple[int, int]]:
    """The counts (before, after) for each axis without the batch."""
    return list(zip(pads[2::2], pads[3::2], strict=True))


def _value(node: Node, x: Activation, value: Value | None) -> float:
    """The number that the padding holds: 0 where none is given."""
    if value is None:
        return 0.0
    array = node.constant(value, "padding").array
    wanted = "float32" if not x.integer else "int8" if x.quant is None else x.quant.dtype
    if array.size != 1 or array.dtype != wanted:
        raise node.unsupported(f"a padding of {array.dtype} {array.shape}", f"one number of {wanted}")
    number = array.reshape(-1)[0]
    return float(number) if x.quant is None else (int(number) - x.quant.zero_point) * x.quant.scale[0]


_TYPES = schema.BuiltinOptions
READERS = {
    "PAD": Handler(lambda assembly, node, values: _pad(assembly, node, [*values, None]), (2, 2), _TYPES.PadOptions),
    "PADV2": Handler(_pad, (3, 3), _TYPES.PadV2Options),
}
