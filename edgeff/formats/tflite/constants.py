"""TFLite operators that make constants: DEQUANTIZE of a weight, and the arithmetic of the shape that a RESHAPE is computed from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, dequantised
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Constant, Value

MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _dequantize(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    if isinstance(values[0], Constant):
        if values[0].array.dtype == np.float16:
            assembly.charge(4 * values[0].array.size)
            return Constant(values[0].array.astype(np.float32))
        return dequantised(assembly, node, values[0])
    x = node.activation(values[0])
    if x.quant is None or not x.integer:
        raise node.bad("a float tensor to dequantise", "int8")
    return assembly.dequantise(node, x, x.quant)


def _shape(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    """The shape of an activation, batch 1, as a constant: converters compute a RESHAPE from it."""
    return Constant(np.array((1, *(node.activation(values[0]).shape or ())), np.int32))


def sliced(node: TfliteNode, values: Values) -> Constant:
    """One element or a run of a constant vector: what a STRIDED_SLICE makes of the sizes of a shape."""
    vector, begin, end, step = (node.constant(value, "vector").array for value in values)
    masks = dict.fromkeys(MASKS, 0) | dict(node.attributes)
    if vector.ndim != 1 or any(array.shape != (1,) or array.dtype != np.int32 for array in (begin, end, step)) or step[0] != 1:
        raise node.unsupported("a slice of anything but a constant vector", "sizes of a RESHAPE")
    if masks["ellipsis_mask"] or masks["new_axis_mask"] or any(mask not in (0, 1) for mask in masks.values()):
        raise node.unsupported("masks of more than one axis", "begin, end and shrink of the one axis")
    first = 0 if masks["begin_mask"] else int(begin[0])
    if masks["shrink_axis_mask"]:
        if not -vector.size <= first < vector.size:
            raise node.bad(f"element {first} of {vector.size}", "an index within it")
        return Constant(vector[first].reshape(()))
    return Constant(vector[first : None if masks["end_mask"] else int(end[0])])


def packed(node: TfliteNode, values: Sequence[Value]) -> Constant:
    """Constant numbers as a vector: a PACK of the sizes of a shape."""
    numbers = [node.constant(value, "number").array for value in values]
    if not numbers or any(number.shape != () or number.dtype != np.int32 for number in numbers) or node.attributes.get("axis"):
        raise node.unsupported("a pack of anything but constant numbers", "sizes of a RESHAPE")
    return Constant(np.array(numbers, np.int32))


def _fill(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    """A constant of one number, as the state that an unrolled network starts from."""
    sizes, number = node.constant(values[0], "shape").array, node.constant(values[1], "number")
    if sizes.tolist() != list(node.output.shape) or number.array.size != 1:
        got = f"{number.array.size} numbers for the shape {sizes.reshape(-1)[:8].tolist()}"
        raise node.bad(got, f"one, for the output's, {node.output.shape}")
    array = np.full(node.output.shape, number.array.reshape(-1)[0])
    assembly.charge(array.nbytes)
    return Constant(array, number.quant, node.name)


_TYPES = schema.BuiltinOptions
READERS = {
    "DEQUANTIZE": Handler(_dequantize, (1, 1), _TYPES.DequantizeOptions),
    "FILL": Handler(_fill, (2, 2), _TYPES.FillOptions),
    "SHAPE": Handler(_shape, (1, 1), _TYPES.ShapeOptions),
}
