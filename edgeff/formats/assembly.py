"""Puts a Network together from the nodes of a foreign graph, whatever the format.

In go activations and constants, node by node in topological order; out comes a Network that keeps the conventions. A graph uses several
nodes for one layer: MatMul, Add and Relu are one ``dense``; a Pad and a Conv one ``conv2d``; five nodes of arithmetic are one
``normalise``; a Reshape is none if its reader does not need the shape. Whatever cannot be expressed exactly is refused with the node's
name, never approximated. Layers with weights are in ``weighted``, windows in ``windows``, scales, shapes and ReLUs in ``drafts``.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgeff.formats import conventions
from edgeff.formats.values import Activation, Moment, Node, Value
from edgeff.formats.windows import Windows
from edgeff.ops.add import Add
from edgeff.ops.label import Label
from edgeff.ops.normalise import Normalise
from edgeff.ops.softmax import Softmax
from edgeff.ops.standardise import Standardise
from edgeff.ops.transpose import Transpose


class Assembly(Windows):
    """Collects layers; the methods return the Activation that a node makes, ``finish`` the Network."""

    def add(self, node: Node, a: Activation, b: Activation) -> Activation:
        """The sum of two activations of one shape."""
        if a.shape is None or a.shape != b.shape:
            raise node.unsupported(f"a sum of {a.shape} and {b.shape}, without the batch axis", "two activations of one shape")
        a, b = self.exact(node, a), self.exact(node, b)
        if (a.quant is None) != (b.quant is None):
            raise node.unsupported("two inputs of which only one is quantised", "both float32, or both int8 with scales")
        return self.made(node, Add(), (a, b), a.shape or ())

    def softmax(self, node: Node, x: Activation) -> Activation:
        """A softmax layer over the one axis of ``x`` that is longer than 1, which is the last."""
        if x.shape is None or prod(x.shape) != x.shape[-1]:
            raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "one axis")
        flat = self.exact(node, x if len(x.shape) == 1 else replace(x, shape=x.shape[-1:], view=x.view or f"{node.name}_reshape"))
        return replace(self.made(node, Softmax(), (flat,), flat.shape or ()), shape=x.shape, view=f"{node.name}_view")

    def transpose(self, node: Node, x: Activation, perm: tuple[int, ...]) -> Activation:
        """``x`` with its axes in the order ``perm`` (without the batch): a transpose layer, or nothing if no element moves."""
        if x.shape is None or sorted(perm) != list(range(len(x.shape))):
            raise node.bad(f"the order {perm} of an input of shape {x.shape}, without the batch axis", "each of its axes once")
        shape = tuple(x.shape[axis] for axis in perm)
        long = [axis for axis in perm if x.shape[axis] != 1]
        if long == sorted(long) and node.name not in self.described:
            return self.reshape(node, x, shape)
        if len(perm) > 3:
            if len(long) > 3:
                raise node.unsupported(f"an input of {len(perm)} axes, without the batch axis", "at most three")
            squeezed = self.reshape(Node(f"{node.name}_reshape", "", {}, ()), x, tuple(size for size in x.shape if size != 1))
            order = tuple(sorted(long).index(axis) for axis in long)
            return replace(self.transpose(node, squeezed, order), shape=shape, view=f"{node.name}_view")
        x = self.exact(node, x)
        return self.keeping_quant(self.made(node, Transpose(perm=",".join(map(str, perm))), (x,), shape), x)

    def label(self, node: Node, x: Activation, before: int, after: int, neutral: float) -> Activation:
        """A label layer with its neutral entries: constants before the elements of the last axis of ``x``."""
        if x.shape is None or after or not 1 <= before <= conventions.MAX_ELEMENTS:
            raise node.unsupported(f"padding of {x.shape} by {before} and {after}", "constants before the elements of the last axis")
        x = self.exact(node, x) if len(x.shape) > 1 else self.flat(node, x)
        *places, last = x.shape or (0,)
        return self.made(node, node.record(Label, classes=before, neutral=neutral), (x,), (*places, before + last))

    def standardise(self, node: Node, x: Activation, eps: float) -> Activation:
        """A standardise layer over all elements of ``x``."""
        x = self.exact(node, x)
        return self.made(node, node.record(Standardise, eps=eps), (x,), x.shape or ())

    def square(self, node: Node, a: Value, b: Value) -> Moment:
        """u * u, the first step of a normalise layer."""
        if not isinstance(a, Activation) or not isinstance(b, Activation) or (a.layer, a.quant) != (b.layer, b.quant):
            raise node.unsupported("a product of different tensors", "u * u as part of u / (sqrt(mean(u * u)) + eps)")
        return Moment("square", a)

    def step(self, node: Node, value: Value, before: str, after: str, eps: float = 0.0) -> Moment:
        """The next step of a normalise layer."""
        if not isinstance(value, Moment) or value.step != before:
            raise node.unsupported("arithmetic outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
        return Moment(after, value.of, eps)

    def divide(self, node: Node, x: Value, divisor: Value) -> Activation:
        """A normalise layer, from its last node."""
        if not isinstance(x, Activation) or not isinstance(divisor, Moment) or divisor.step != "divisor":
            raise node.unsupported("a division outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
        if (divisor.of.layer, divisor.of.quant) != (x.layer, x.quant):
            raise node.unsupported("a division by the norm of another tensor", "u / (sqrt(mean(u * u)) + eps)")
        x = self.exact(node, x)
        return self.made(node, node.record(Normalise, eps=divisor.eps), (x,), x.shape or ())
