"""Puts a Network together from the nodes of a foreign graph, whatever the format.

In go activations and constants, node by node in topological order; out comes a Network that keeps the conventions. A graph uses several
nodes for one layer: MatMul, Add and Relu are one ``dense``; a Pad and a Conv one ``conv2d``; five nodes of arithmetic are one
``normalise``; a Reshape is none if its reader does not need the shape. Whatever cannot be expressed exactly is refused with the node's
name, never approximated. Layers with weights are in ``weighted``, windows in ``windows``, scales, shapes and ReLUs in ``drafts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from edgeff.errors import Unsupported
from edgeff.formats import conventions
from edgeff.formats.checks import short
from edgeff.formats.parts import Draft
from edgeff.formats.values import Activation, Constant, Moment, Node, Recalled, Value, Variable
from edgeff.formats.windows import Windows
from edgeff.ir import Quant
from edgeff.kernels.broadcast import broadcast
from edgeff.ops import Operator
from edgeff.ops.concat import Concat
from edgeff.ops.constant import Constant as Numbers
from edgeff.ops.label import Label
from edgeff.ops.normalise import Normalise
from edgeff.ops.pairwise import Pairwise
from edgeff.ops.recent import Recent
from edgeff.ops.slice import MOST_AXES, Slice, listed
from edgeff.ops.softmax import Softmax
from edgeff.ops.standardise import Standardise
from edgeff.ops.transpose import Transpose

STREAM = "a variable that holds the last rows of earlier inputs: read, joined to the input, and assigned the last rows of both"


class Assembly(Windows):
    """Collects layers; the methods return the Activation that a node makes, ``finish`` the Network."""

    def __init__(self, input_shape: tuple[int, ...] | None, *, bias_scale_unused: bool = False) -> None:
        super().__init__(input_shape, bias_scale_unused=bias_scale_unused)
        self.variables: dict[str, Variable] = {}
        self._constants: dict[tuple[str, tuple[int, ...]], Activation] = {}

    def pairwise(self, node: Node, op: Pairwise, a: Activation, c: Activation) -> Activation:
        """A layer of two activations, either of which may be broadcast."""
        a, c = self.exact(node, a), self.exact(node, c)
        shapes = (a.shape or (), c.shape or ())
        try:
            shape = np.broadcast_shapes(*shapes)
            broadcast(*shapes)
        except ValueError:
            raise node.unsupported(f"inputs of {shapes[0]} and {shapes[1]}, without the batch axis", "shapes that broadcast") from None
        except Unsupported as error:
            raise node.unsupported(f"inputs of {shapes[0]} and {shapes[1]}: {error.got}", str(error.allowed)) from None
        return self.made(node, op, (a, c), tuple(map(int, shape)))

    def numbers(self, node: Node, value: Constant, rank: int) -> Activation:
        """A constant of the file as a layer, read beside or by an activation of ``rank`` axes without the batch."""
        array, quant = value.array, value.quant
        if array.ndim == rank + 1 and array.shape[0] == 1:
            array = array[0]
        kinds = ("float32",) if quant is None else ("int8", "int16")
        if array.ndim > rank or str(array.dtype) not in kinds or (quant is not None and quant.axis is not None):
            got = f"a constant of {value.array.dtype} {value.array.shape}"
            raise node.unsupported(got, f"float32, or int8 or int16 with one scale, of at most {rank} axes without the batch")
        array = array.reshape(array.shape or (1,))
        name = value.name or f"{node.name}_constant"
        if (name, array.shape) not in self._constants:
            self.charge(array.nbytes)
            draft = self.draft(name, Numbers(), (), array.shape)
            draft.params["output"] = np.array(array, order="C")
            if quant is not None:
                draft.quant["output"] = quant
            self._constants[name, array.shape] = Activation(draft.name, array.shape, quant, integer=quant is not None)
        return self._constants[name, array.shape]

    def operands(self, node: Node, values: Sequence[Value | None]) -> list[Activation]:
        """Activations as they are, and constants among them as layers."""
        rank = max((len(value.shape or ()) for value in values if isinstance(value, Activation)), default=0)
        return [self.numbers(node, value, rank) if isinstance(value, Constant) else node.activation(value) for value in values]

    def concat(self, node: Node, xs: Sequence[Activation], axis: int) -> Activation:
        """The activations joined along ``axis``, without the batch."""
        xs = [self.exact(node, x) for x in xs]
        shapes = [x.shape or () for x in xs]
        if not 0 <= axis < min(map(len, shapes)) or len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) > 1:
            got = f"inputs of {', '.join(map(str, shapes[:8]))} along axis {axis}, without the batch axis"
            raise node.unsupported(got, "shapes that differ along that axis alone")
        if len(xs) == 1:
            return xs[0]
        shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
        return self.made(node, node.record(Concat, axis=axis), tuple(xs), shape)

    def recent(self, node: Node, past: Recalled, x: Activation, axis: int) -> Activation:
        """The rows that a variable holds and those of ``x`` after them, joined along ``axis``, without the batch."""
        x, variable = self.exact(node, x), past.variable
        shape = x.shape or (0,)
        if axis or past.shape[1:] != shape[1:] or past.quant != x.quant:
            got = f"{past.shape} of variable {short(variable.name)} and {shape} along axis {axis}, without the batch axis"
            raise node.unsupported(got, "rows of one shape and scale, along the first axis")
        if variable.layer:
            raise node.unsupported(f"variable {short(variable.name)} joined to two inputs", STREAM)
        op = node.record(Recent, kept=past.shape[0])
        y = self.keeping_quant(self.made(node, op, (x,), (past.shape[0] + shape[0], *shape[1:])), x)
        variable.layer = y.layer
        return y

    def assign(self, node: Node, variable: Variable, value: Value | None) -> None:
        """Returns nothing; raises Unsupported unless ``value`` is the last rows of the layer that ``variable`` has become."""
        draft = self._drafts.get(value.layer) if isinstance(value, Activation) else None
        whole = self._drafts.get(variable.layer)
        if draft is None or whole is None or variable.assigned or not self._is_end(draft, whole, variable.rows):
            raise node.unsupported(f"an assignment of anything but the last rows to variable {short(variable.name)}", STREAM)
        variable.assigned = True

    def _is_end(self, draft: Draft, whole: Draft, rows: int) -> bool:
        """Whether ``draft`` is the last ``rows`` rows of ``whole``."""
        if draft is whole:
            return rows == whole.shape[0]
        runs = ((whole.shape[0] - rows, *(0,) * (len(whole.shape) - 1)), (rows, *whole.shape[1:]), (1,) * len(whole.shape))
        return isinstance(draft.op, Slice) and draft.reads[0].layer == whole.name and draft.op.runs == runs

    def check_variables(self) -> None:
        """Returns nothing; raises Unsupported if a variable is read and not assigned: it would never change."""
        if stale := [variable.name for variable in self.variables.values() if variable.recalled and not variable.assigned]:
            raise Unsupported(f"variable {short(stale[0])}", got="no operator that assigns it", allowed=STREAM)

    def part(self, node: Node, x: Activation, runs: Sequence[tuple[int, int, int]]) -> Activation:
        """The part of ``x`` that ``runs`` says for each axis without the batch: the first element, the count, the step."""
        x = self.exact(node, x)
        shape = x.shape or ()
        if len(runs) != len(shape) or any(
            b < 0 or n < 1 or s < 1 or b + (n - 1) * s >= w for (b, n, s), w in zip(runs, shape, strict=True)
        ):
            got = f"elements {list(runs)[:8]} (first, count, step) of an input of shape {shape}, without the batch axis"
            raise node.unsupported(got, "at least one element along each axis, in steps of 1 or more")
        if all(n == whole for (_, n, _), whole in zip(runs, shape, strict=True)) and node.name not in self.described:
            return x
        if len(shape) > MOST_AXES:
            raise node.unsupported(f"a part of {len(shape)} axes", f"at most {MOST_AXES}, without the batch axis")
        begin, size, step = (tuple(run[which] for run in runs) for which in range(3))
        op = node.record(Slice, begin=listed(begin), size=listed(size), step=listed(step))
        return self.keeping_quant(self.made(node, op, (x,), size), x)

    def unscaled(self, node: Node, x: Activation, quant: Quant) -> Quant | None:
        """The scale that the operator which makes ``x`` fixes, if it is not ``quant`` and ``x`` has none yet; None if it fixes none. An
        average that would keep its input's scale becomes one that can have any.
        """
        draft = self._drafts.get(x.layer)
        if draft is None or x.layer == "input":
            return None
        known = draft.quant.get("output")
        if known is not None and known != quant:
            self.rescaled_average(node, x)
        fixed = draft.op.fixed_quant("int8") if known is None and all(read.quant is not None for read in draft.reads) else None
        return None if fixed == quant else fixed

    def softmax(self, node: Node, x: Activation, op: Operator | None = None) -> Activation:
        """A softmax layer, or one of ``op``, over the last axis of ``x``; of a vector where all others are of length 1."""
        op = op or Softmax()
        if x.shape is None:
            raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
        if prod(x.shape) != x.shape[-1]:
            return self.made(node, op, (self.exact(node, x),), x.shape)
        flat = self.exact(node, x if len(x.shape) == 1 else replace(x, shape=x.shape[-1:], view=x.view or f"{node.name}_reshape"))
        return replace(self.made(node, op, (flat,), flat.shape or ()), shape=x.shape, view=f"{node.name}_view")

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

    def averaged(self, node: Node, x: Activation, axes: Sequence[int]) -> Activation:
        """The mean of the int8 ``x`` over neighbouring ``axes`` (without the batch), which are gone from its shape: each a channel's mean,
        of the elements moved so that those axes are the first.
        """
        x = self.exact(node, x)
        shape = x.shape or ()
        before, over, after = self._reduction(node, shape, axes)
        if before > 1:
            split = self.reshape(Node(f"{node.name}_image", "", {}, ()), x, (before, over, after))
            x = self.transpose(Node(f"{node.name}_turned", "", {}, ()), split, (1, 0, 2))
        image = self.reshape(Node(f"{node.name}_rows", "", {}, ()), x, (over, 1, before * after))
        rest = (*shape[: min(axes)], *shape[max(axes) + 1 :]) or (1,)
        return self.reshape(Node(f"{node.name}_rest", "", {}, ()), self.global_average_pool(node, image), rest)

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
