"""An ONNX tensor as a view of an edgeff activation: its axes in another order, or in another shape.

ONNX images are channels first, edgeff's channels last, and graphs are full of transpositions between the two. None of them is read as
a layer. A ``View`` remembers the order in which the tensor's axes stand, a Transpose changes that order and nothing else, and a layer is
made only if a reader needs an order that no activation has. All shapes are without the batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.values import Activation, Constant, Moment, Node
from edgeff.ir import Array

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The tensor ``x.transpose(order)``, or that tensor in the shape ``reshaped``; ``name`` is the node that moved its axes."""

    x: Activation
    order: Axes
    reshaped: Axes | None = None
    name: str = ""

    @property
    def shape(self) -> Axes | None:
        """As the graph has it; None where the model's input has no shape."""
        if self.reshaped is not None or self.x.shape is None:
            return self.reshaped
        return tuple(self.x.shape[axis] for axis in self.order)

    @property
    def straight(self) -> bool:
        """Whether the tensor is the activation as it stands."""
        return self.reshaped is None and self.order == tuple(range(len(self.order)))

    def like(self, x: Activation) -> View:
        """``x``, computed element by element from this tensor's activation, in this tensor's order and shape."""
        return replace(self, x=x)


@dataclass(frozen=True, slots=True)
class Turned:
    """The tensor ``x``, its batch as axis 0, with its axes in the order ``perm``, of which the batch is not the first: a sequence whose
    time is in front.
    """

    x: View
    perm: Axes

    @property
    def shape(self) -> Axes:
        """All axes as the graph has them, 0 for the batch."""
        own = (0, *(self.x.shape or ()))
        return tuple(own[axis] for axis in self.perm)


Seen = View | Constant | Moment | Turned


def view(x: Activation) -> View:
    """``x`` as it stands."""
    return View(x, tuple(range(len(x.shape or ()))))


def channels_first(x: Activation) -> View:
    """``x``, channels last, as ONNX has it."""
    rank = len(x.shape or ())
    return View(x, (rank - 1, *range(rank - 1)))


def still(shape: Sequence[int], order: Sequence[int]) -> bool:
    """Whether no element moves when the axes of ``shape`` take that order: those longer than 1 keep theirs."""
    long = [axis for axis in order if shape[axis] != 1]
    return long == sorted(long)


@dataclass(slots=True)
class Views:
    """Makes views of views, and the layers that some readers need; each transpose layer once."""

    assembly: Assembly
    _transposed: dict[tuple[str, Axes, Axes], Activation] = field(default_factory=dict)

    def beside(self, node: Node, suffix: str) -> Node:
        """A node for a step that the graph has no node for, and that edgeff's own description does not name."""
        name = f"{node.name}_{suffix}"
        while name in self.assembly.described:
            name += "_"
        return Node(name, node.operator, node.attributes, node.supported)

    def transposed(self, node: Node, source: View, perm: Axes) -> View:
        """``source`` with its axes in the order ``perm``."""
        shape = source.shape
        if shape is None or sorted(perm) != list(range(len(shape))):
            raise node.bad(f"the order {perm} of an input of shape {shape}, without the batch axis", "each of its axes once")
        if node.name in self.assembly.described:
            return view(self.assembly.transpose(node, self.plain(node, source), perm))
        if source.reshaped is not None:
            source = view(self.plain(node, source))
        order = tuple(source.order[axis] for axis in perm)
        own = source.x.shape or ()
        if still(own, order):
            return view(self.assembly.reshape(node, source.x, tuple(own[axis] for axis in order)))
        return View(source.x, order, name=node.name)

    def turned(self, node: Node, source: View, perm: Axes) -> View | Turned:
        """``source`` with all its axes, the batch first, in the order ``perm``."""
        if perm[0] == 0:
            return self.transposed(node, source, tuple(axis - 1 for axis in perm[1:]))
        return Turned(source, perm)

    def without(self, node: Node, source: View | Turned, places: Sequence[int]) -> View | Turned:
        """``source`` without its axes at ``places`` (the batch counts), which have length 1."""
        x, perm = (source.x, source.perm) if isinstance(source, Turned) else (source, tuple(range(len(source.shape or ()) + 1)))
        gone = {perm[place] for place in places}
        shape = tuple(size for axis, size in enumerate(x.shape or (), 1) if axis not in gone)
        rest = [axis for axis in perm if axis not in gone]
        renumbered = tuple(sorted(rest).index(axis) for axis in rest)
        return self.turned(node, self.reshaped(self.beside(node, "squeezed"), x, shape), renumbered)

    def reshaped(self, node: Node, source: View, shape: Axes) -> View:
        """``source`` in another shape with the same number of elements."""
        before = source.shape
        if before is None or prod(before) != prod(shape):
            raise node.unsupported(
                f"a reshape from {before} to {shape}, without the batch axis", "the same count of elements for each sample"
            )
        if source.straight or node.name in self.assembly.described:
            return view(self.assembly.reshape(node, self.plain(node, source), shape))
        if source.reshaped is None and [size for size in shape if size != 1] == [size for size in before if size != 1]:
            return self._with_ones(node, source, shape)
        return replace(source, reshaped=shape, name=source.name or node.name)

    def _with_ones(self, node: Node, source: View, shape: Axes) -> View:
        """``source`` with its axes of length 1 moved as in ``shape``, which has its longer axes in that order: still an order of axes."""
        own = source.x.shape or ()
        long = [axis for axis in range(len(own)) if own[axis] != 1]
        ones = len(shape) - len(long)
        x = self.assembly.reshape(node, source.x, (1,) * ones + tuple(own[axis] for axis in long))
        free, axes = iter(range(ones)), iter(axis for axis in source.order if own[axis] != 1)
        order = tuple(next(free) if size == 1 else ones + long.index(next(axes)) for size in shape)
        return View(x, order, name=source.name)

    def plain(self, node: Node, source: View) -> Activation:
        """The tensor as an activation of the same shape and order of elements, after a transpose layer if the axes moved."""
        if source.straight or source.x.shape is None:
            return source.x
        moved = self._moved(node, replace(source, reshaped=None), tuple(range(len(source.order))))
        return moved if source.reshaped is None else self.assembly.reshape(self.beside(node, "reshape"), moved, source.reshaped)

    def ordered(self, node: Node, source: View) -> View:
        """The tensor as an activation with its axes in some order: where no element has to move, in the shape that its layer has."""
        if source.reshaped is not None:
            return view(self.plain(node, source))
        own = self.assembly.own_shape(source.x)
        if source.x.shape is None or source.x.shape == own or not still(source.x.shape, source.order):
            return source
        straight = self.plain(node, source)
        return view(straight) if straight.shape == own else source

    def channels_last(self, node: Node, source: View) -> Activation:
        """The tensor (C, ..) as an activation (.., C)."""
        shape = source.shape
        if shape is None:
            raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
        if source.reshaped is not None:
            source = view(self.plain(node, source))
        return self._moved(node, source, (*range(1, len(shape)), 0))

    def aligned(self, node: Node, a: View, b: View) -> tuple[Activation, Activation, View]:
        """Two tensors of one shape as activations of one order, and a view whose activation has that order."""
        if (a.order, a.x.shape, a.reshaped) == (b.order, b.x.shape, b.reshaped):
            return a.x, b.x, a
        if a.shape is not None and a.shape == b.shape:
            for first, second in ((a, b), (b, a)):
                if first.reshaped is None and not first.straight:
                    back = tuple(int(axis) for axis in np.argsort(first.order))
                    other = self._moved(node, view(self.plain(node, second)) if second.reshaped is not None else second, back)
                    return (first.x, other, first) if first is a else (other, first.x, first)
        x, y = self.plain(node, a), self.plain(node, b)
        return x, y, view(x)

    def elements(self, source: View) -> Array | None:
        """Where the tensor's elements, in C order, lie in its activation: flat indices, None if they are in order."""
        own = source.x.shape
        if source.straight or own is None:
            return None
        return np.arange(prod(own)).reshape(own).transpose(source.order).reshape(-1)

    def _moved(self, node: Node, source: View, axes: Axes) -> Activation:
        """The tensor, not reshaped, with its axes in the order ``axes``."""
        x, total = source.x, tuple(source.order[axis] for axis in axes)
        if total == tuple(range(len(total))):
            return x
        own = x.shape or ()
        shape = tuple(own[axis] for axis in total)
        if still(own, total):
            return self.assembly.reshape(self.beside(node, "reshape"), x, shape)
        x = self.assembly.flat(node, x)
        key = (x.layer, own, total)
        if key not in self._transposed:
            place = self.beside(node, "transpose")
            self._transposed[key] = self.assembly.transpose(replace(place, name=source.name) if source.name else place, x, total)
        made = self._transposed[key]
        return replace(made, integer=x.integer, shared=True)
