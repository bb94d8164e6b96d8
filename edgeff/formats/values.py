"""The tensors of a foreign graph while it is read, and the current place in the graph.

A tensor is a layer's output (Activation), data from the file (Constant) or a step of a pattern of several nodes (Moment). A Node names the
place: it returns its inputs as the required kind, and builds the refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported, one_line
from edgeff.formats.conventions import short
from edgeff.ir import Array, Attr, Quant
from edgeff.ops import OperatorT, make

SCALE_BYTES = 32
"""Size of one scale in a Quant: a Python float and its slot in the tuple."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A tensor that depends on the input: the output of ``layer`` (or ``"input"``), without the batch axis; ``shape`` None: not known
    yet.

    ``shape`` is what the graph says: if the layer's own differs, ``view`` names the node that changed it. ``pads`` are zeros around the
    layer's output, (before, after) for each axis of ``shape``, which includes them; ``lowest``: not zeros but the lowest number of the
    type, which a maximum ignores. ``quant`` is set once a quantise node has been passed,
    ``integer`` while the tensor itself holds integers, ``shared`` when several nodes read it.
    """

    layer: str
    shape: tuple[int, ...] | None
    quant: Quant | None = None
    integer: bool = False
    shared: bool = False
    view: str = ""
    pads: tuple[tuple[int, int], ...] = ()
    lowest: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of the file: int8 or int32 with ``quant`` where the graph gives it scales; ``name`` is the graph's, "" for one of several
    nodes.
    """

    array: Array
    quant: Quant | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A step on the way to u / (sqrt(mean(u^2)) + eps): ``step`` is square, mean, root or divisor."""

    step: str
    of: Activation
    eps: float = 0.0

    def over_all(self, axes: Sequence[int]) -> bool:
        """Whether ``axes`` are all axes of the tensor but the batch, so that the mean is that of a sample."""
        rank = len(self.of.shape or ())
        return sorted(axis + rank + 1 if axis < 0 else axis for axis in axes) == list(range(1, rank + 1))


@dataclass(frozen=True, slots=True)
class Remembered:
    """A variable tensor of the file: what the one operator that reads it keeps from one inference to the next; ``shape`` with all axes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: Quant | None


@dataclass(slots=True)
class Variable:
    """A variable of the file that lives on its own, beside the operators that read and assign it: ``initial`` is what it starts as, None
    where the file does not say. ``layer`` is the layer that has become of it, "" as long as nothing has joined an input to it, and
    ``rows`` how many it has along the axis of time.
    """

    name: str
    initial: Constant | None
    layer: str = ""
    rows: int = 0
    recalled: bool = False
    assigned: bool = False


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a variable holds before it is assigned, without the batch axis: its last ``shape[0]`` rows, in the scale of ``quant``."""

    variable: Variable
    shape: tuple[int, ...]
    quant: Quant | None


@dataclass(frozen=True, slots=True)
class Turned:
    """An activation whose axes, the batch among them, are in another order: ``perm``, of which the batch is not the first."""

    of: Activation
    perm: tuple[int, ...]


Value = Activation | Constant | Moment | Remembered | Variable | Recalled | Turned


def listed(names: Mapping[str, int]) -> str:
    """Names with their counts, the most frequent first: "CONV_2D x6, PAD x2"."""
    shown = ", ".join(f"{one_line(name, 60)} x{count}" for name, count in sorted(names.items(), key=lambda item: -item[1])[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


REPLACE = "replace what is not allowed in the model before it is converted"


def check_known(what: str, missing: Mapping[str, int], others: Mapping[str, int], supported: Sequence[str]) -> None:
    """Returns nothing; raises Unsupported with all operators of a file that edgeff has no layer for, and what else it cannot hold, each
    with its count. One operator alone is refused where it stands, with its attributes.
    """
    if not missing or sum(missing.values()) + len(others) < 2:
        return
    rest = "".join(f"; {one_line(name, 40)} x{count}" for name, count in sorted(others.items())[:4])
    got = f"operators edgeff has no layer for: {listed(missing)}{rest}"
    raise Unsupported(what, got=got, allowed=", ".join(supported), next_step=REPLACE)


@dataclass(frozen=True, slots=True)
class Node:
    """The current place in a graph, for names and refusals; ``supported`` lists the operators of the format.

    A node with ``places`` outputs is read once for each: ``place`` counts them, and ``called`` is its own name beside that of the output.
    ``number`` is its place among the nodes. ``averaged``: a mean reads its output.
    """

    name: str
    operator: str
    attributes: Mapping[str, Any]
    supported: tuple[str, ...]
    place: int = field(default=0, kw_only=True)
    places: int = field(default=1, kw_only=True)
    called: str = field(default="", kw_only=True)
    number: int = field(default=-1, kw_only=True)
    averaged: bool = field(default=False, kw_only=True)

    def unsupported(self, why: str, allowed: str = "", next_step: str = "") -> Unsupported:
        """The refusal of what edgeff has no layer for."""
        shown = ", ".join(f"{one_line(key, 24)}={_shown(value)}" for key, value in sorted(self.attributes.items())[:8]) or "none"
        got = f"{why} (attributes: {shown})"
        where = f"node {short(self.name)}, operator {short(self.operator)}"
        return Unsupported(where, got=got, allowed=allowed or ", ".join(self.supported), next_step=next_step)

    def unknown(self, why: str = "an operator edgeff has no layer for") -> Unsupported:
        """The refusal of the one operator of a file that edgeff does not know."""
        return self.unsupported(why, next_step=REPLACE)

    def bad(self, got: object, allowed: str) -> BadInput:
        """The refusal of a node that contradicts its format or itself."""
        return BadInput(f"node {short(self.name)}, operator {short(self.operator)}", got=got, allowed=allowed)

    def record(self, operator: type[OperatorT], **attributes: Attr) -> OperatorT:
        """The record of an operator with attributes from the file. Raises BadInput, naming the node, for values that are not allowed."""
        try:
            return make(operator, attributes)
        except BadInput as error:
            raise BadInput(f"node {short(self.name)}, {error.what}", got=error.got, allowed=error.allowed) from None

    def activation(self, value: Value | None) -> Activation:
        """``value``, which must be a layer's output."""
        if not isinstance(value, Activation):
            raise self.unsupported("a constant or an intermediate where a layer's output belongs")
        return value

    def real(self, value: Value | None) -> Activation:
        """``value``, which must be a layer's output in float."""
        x = self.activation(value)
        if x.integer:
            step = "quantise the float model (onnxruntime.quantization.quantize_static), or take the .tflite file that it was made of"
            allowed = "float tensors, or integers after they are dequantised"
            raise self.unsupported("an integer tensor that is not dequantised", allowed, step)
        return x

    def constant(self, value: Value | None, what: str) -> Constant:
        """``value``, which must be a constant in the file."""
        if not isinstance(value, Constant):
            raise self.unsupported(f"a {what} that is computed", f"a constant {what}")
        return value

    def remembered(self, value: Value | None, elements: int, kinds: tuple[str, ...]) -> Remembered:
        """``value``, which must be a variable tensor of so many elements and one of these types."""
        if not isinstance(value, Remembered):
            raise self.unsupported("a state that is computed or absent", "a variable tensor")
        if prod(value.shape) != elements or value.dtype not in kinds:
            got = f"a state {short(value.name)} of {value.dtype} {value.shape}"
            raise self.unsupported(got, f"{elements} elements of {' or '.join(kinds)}")
        return value

    def present(self, value: Value | None) -> Value:
        """``value``, which must not be an absent optional input."""
        if value is None:
            raise self.bad("an absent input", "a tensor")
        return value

    def scalar(self, value: Value | None, what: str) -> float:
        """``value``, which must be one float32."""
        array = self.constant(value, what).array
        if array.size != 1 or array.dtype != np.float32:
            raise self.unsupported(f"a {what} of {array.dtype} {array.shape}", "one float32")
        return float(array.reshape(-1)[0])


def _shown(value: Any) -> str:
    """An attribute's value in at most 24 characters, without formatting all of a large one first."""
    if isinstance(value, list | tuple | bytes):
        return one_line(str(value[:8]), 24)
    return one_line(str(value), 24) if isinstance(value, bool | int | float | str) else "(tensor or graph)"
