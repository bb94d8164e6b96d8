"""The state of reading an ONNX graph, and how a node accesses its inputs and attributes.

The readers of operators (``ops/<op>/onnx.py``, and those of ``nodes``) are functions of the Reading, the Node and the values that the node
reads (None for an absent optional input); they return the node's output. Shapes are without the batch axis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from edgeff.formats.assembly import Assembly
from edgeff.formats.onnx.views import Seen, Turned, View, Views
from edgeff.formats.values import Activation, Constant, Moment, Node

Values = list[Seen | None]
MOST_INPUTS = 64
"""Of an operator that takes any number."""


@dataclass(slots=True)
class Reading:
    """``reads`` counts the readers of each tensor, including the graph's output; ``handlers`` are the operators' readers, ``described``
    holds the kind of each layer in edgeff's own description of the file; ``averaged`` are the tensors that a mean reads; ``of_several`` the
    layers from which several outputs of one node are taken, by the node's place.
    """

    assembly: Assembly
    tensors: dict[str, Seen]
    reads: Counter[str]
    opset: int
    handlers: Mapping[str, Handler]
    described: Mapping[str, str] = field(default_factory=dict)
    averaged: Collection[str] = ()
    views: Views = field(init=False)
    of_several: dict[int, Activation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = Views(self.assembly)

    def get(self, name: str) -> Seen:
        """The tensor called ``name``, marked when several nodes read it."""
        value = self.tensors[name]
        if isinstance(value, View) and self.reads[name] > 1:
            return value.like(replace(value.x, shared=True))
        if isinstance(value, Turned):
            return replace(value, x=value.x.like(replace(value.x.x, shared=True)))
        return value

    def vector(self, node: Node, value: Seen | None) -> Activation:
        """``value``, a float tensor, as an activation with its shape and order of elements."""
        return self.views.plain(node, real(node, value))

    def moment(self, node: Node, value: Seen | None) -> Activation | Constant | Moment:
        """``value`` for a step of a normalise layer."""
        if isinstance(value, Constant | Moment):
            return value
        return self.vector(node, value)


@dataclass(frozen=True, slots=True)
class Handler:
    """How to read an operator: the function, the least and largest count of inputs, the attributes it knows, its domain; ``several``: it
    may have several outputs, for each of which it is read.
    """

    read: Callable[[Reading, Node, Values], Seen]
    inputs: tuple[int, int]
    attributes: frozenset[str] = frozenset()
    domain: str = ""
    several: bool = False


def activation(node: Node, value: Seen | None) -> View:
    """``value``, which must be a view of a layer's output."""
    if isinstance(value, Turned):
        raise node.unsupported(f"a tensor whose batch is axis {value.perm.index(0)}", "the batch in front: a Transpose before it")
    if not isinstance(value, View):
        raise node.unsupported("a constant or an intermediate where a layer's output belongs")
    return value


def real(node: Node, value: Seen | None) -> View:
    """``value``, which must be a view of a layer's output in float."""
    tensor = activation(node, value)
    node.real(tensor.x)
    return tensor


def constant(node: Node, value: Seen | None, what: str) -> Constant:
    """``value``, which must be a constant in the file."""
    if not isinstance(value, Constant):
        raise node.unsupported(f"a {what} that is computed", f"a constant {what}")
    return value


def optional(node: Node, value: Seen | None, what: str) -> Constant | None:
    """``value``, which must be a constant in the file, or absent."""
    return None if value is None else constant(node, value, what)


def present(node: Node, value: Seen | None) -> Seen:
    """``value``, which must not be an absent optional input."""
    if value is None:
        raise node.bad("an absent input", "a tensor")
    return value


def number(node: Node, name: str, default: float) -> float:
    """The attribute ``name``, an int or a float."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise node.bad(f"attribute {name} of type {type(value).__name__}", "a number")
    return value


def whole(node: Node, name: str, default: int) -> int:
    """The attribute ``name``, an int."""
    value = number(node, name, default)
    if not isinstance(value, int):
        raise node.bad(f"attribute {name} of {value:g}", "a whole number")
    return value


def flag(node: Node, name: str, default: int = 0) -> bool:
    """The attribute ``name``, which must be 0 or 1."""
    value = number(node, name, default)
    if value not in (0, 1):
        raise node.bad(f"attribute {name} of {value:g}", "0 or 1")
    return bool(value)


def integers(node: Node, name: str, default: tuple[int, ...], low: int) -> tuple[int, ...]:
    """The attribute ``name``: as many ints as ``default``, each ``low`` or more and below 2**31."""
    value = node.attributes.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or len(value) != len(default) or any(not isinstance(v, int) or not low <= v < 1 << 31 for v in value):
        raise node.bad(f"attribute {name} of {str(value)[:60]}", f"{len(default)} whole numbers, {low} or more")
    return tuple(value)


def word(node: Node, name: str, default: str) -> str:
    """The attribute ``name``, a string."""
    value = node.attributes.get(name, default)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if not isinstance(value, str):
        raise node.bad(f"attribute {name} of type {type(value).__name__}", "a text")
    return value
