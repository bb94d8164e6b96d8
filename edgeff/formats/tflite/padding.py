"""TFLite's PAD and PADV2: zeros (or the lowest number) around an image, which become the padding of the window that reads them, or the
neutral label before a vector.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Node, Value
from edgeff.ir import Array


def _pad(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    constant = node.constant(values[1], "pads").array
    x, pads = node.activation(values[0]), constant.reshape(-1)[:16].tolist()
    rank = 1 + len(x.shape or ())
    if constant.shape != (rank, 2) or constant.dtype not in (np.int32, np.int64) or rank > 8:
        raise node.bad(f"pads {constant.dtype} {constant.shape} for an input of {rank} axes", f"int32 ({rank}, 2)")
    if (rank == 2 or node.name in assembly.described) and not any(pads[:-2]):
        return assembly.label(node, node.real(x), pads[-2], pads[-1], 0.0 if values[2] is None else node.scalar(values[2], "padding"))
    if rank not in (3, 4) or any(pads[:2] + pads[-2:]):
        raise node.unsupported(f"pads {pads}", "zeros around (H, W) of (batch, H, W, C) or L of (batch, L, C)")
    lowest = values[2] is not None and _is_lowest(node, x, node.constant(values[2], "padding").array)
    return assembly.pad(node, x, (*pads[2:-2:2], *pads[3:-2:2]), lowest=lowest)


def _is_lowest(node: Node, x: Activation, value: Array) -> bool:
    """Whether the padding is the lowest number of its type; if not, it must be zero, in int8 the zero point."""
    zero, lowest = (x.quant.zero_point, -128) if x.integer and x.quant is not None else (0, np.finfo(np.float32).min)
    if value.size != 1 or value.dtype != ("int8" if x.integer else "float32") or value.reshape(-1)[0] not in (zero, lowest):
        raise node.unsupported(f"a padding of {value.dtype} {value.reshape(-1)[:4].tolist()}", f"zeros (here {zero}) or {lowest}")
    return bool(value.reshape(-1)[0] != zero)


_TYPES = schema.BuiltinOptions
READERS = {
    "PAD": Handler(lambda assembly, node, values: _pad(assembly, node, [*values, None]), (2, 2), _TYPES.PadOptions),
    "PADV2": Handler(_pad, (3, 3), _TYPES.PadV2Options),
}
