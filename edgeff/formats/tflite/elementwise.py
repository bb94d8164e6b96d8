"""How to read a TFLite operator that becomes an elementwise function of one variable."""

from __future__ import annotations

from collections.abc import Callable

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.operators import Handler, Options, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ops import Operator


def reader(record: Callable[[TfliteNode], Operator], options: str = "", attributes: Options = lambda table: {}) -> Handler:
    """The reader of an operator with one input, whose options table (``"LeakyReluOptions"``) gives ``attributes``."""

    def read(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
        return assembly.elementwise(node, record(node), node.activation(values[0]))

    return Handler(read, (1, 1), getattr(schema.BuiltinOptions, options or "NONE"), attributes)
