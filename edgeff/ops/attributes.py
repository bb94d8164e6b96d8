"""The allowed values of operator attributes: a type and a range, stated once on the field of the operator's record.

A field is annotated with one of the types here (``Count``, ``Padding``, ``Epsilon``, ...) or with a plain ``int``, ``float``, ``bool`` or
``str``. Out comes the value as that type, or a refusal that names the operator and the attribute and says what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np

from edgeff.errors import BadInput, one_line
from edgeff.ir import Attr, Operator
from edgeff.kernels.activation import ACTIVATIONS
from edgeff.kernels.records import LARGEST_FLOAT, Range

MAX_ELEMENTS = 1 << 24
"""Most elements of an input or an activation, and so of anything that an attribute counts."""
_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


@dataclass(frozen=True)
class OneOf:
    """One of the names that ``names`` returns at the time of the check."""

    names: Callable[[], tuple[str, ...]]

    def __contains__(self, value: object) -> bool:
        return value in self.names()

    def __str__(self) -> str:
        return ", ".join(self.names())


Count = Annotated[int, Range(1, MAX_ELEMENTS)]
Padding = Annotated[int, Range(0, MAX_ELEMENTS)]
Epsilon = Annotated[float, Range(0.0, LARGEST_FLOAT)]
ActivationName = Annotated[str, OneOf(lambda: tuple(ACTIVATIONS))]


LEFT_OUT = {"left_out": True}
"""The metadata of a field that files leave out when it has its default."""


def is_left_out(op: Operator, name: str) -> bool:
    """Whether files leave out the attribute ``name`` of ``op``."""
    item = next(item for item in fields(type(op)) if item.name == name)
    return bool(item.metadata.get("left_out")) and getattr(op, name) == item.default


Domain = tuple[type, tuple[Container[Any], ...]]
_DOMAINS: dict[type, dict[str, Domain]] = {}


def domains(operator: type[Operator]) -> dict[str, Domain]:
    """The type and the limits of each attribute of ``operator``, in the order of its fields."""
    if operator not in _DOMAINS:
        _DOMAINS[operator] = _domains(operator)
    return _DOMAINS[operator]


def _domains(operator: type[Operator]) -> dict[str, Domain]:
    hints = get_type_hints(operator, include_extras=True)
    attributes = {}
    for item in fields(operator):
        hint = hints[item.name]
        base, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        attributes[item.name] = (base, tuple(limits))
    return attributes


def allowed(operator: type[Operator], name: str) -> str:
    """The allowed values of the attribute ``name``, for an error message."""
    base, limits = domains(operator)[name]
    if not limits:
        return _WORDS[base]
    return f"{_WORDS[base]}, {limits[0]}" if isinstance(limits[0], Range) else str(limits[0])


def checked(operator: type[Operator], name: str, value: object) -> Attr:
    """``value`` as the attribute's type. Raises BadInput, naming operator and attribute, for a value that is not allowed."""
    base, limits = domains(operator)[name]
    result = _as(base, value)
    if result is None or not all(result in limit for limit in limits):
        raise refusal(operator, name, value, allowed(operator, name))
    return result


def refusal(operator: type[Operator], name: str, value: object, allowed: object) -> BadInput:
    """The error for an attribute value that is not allowed."""
    return BadInput(f"{operator.name}, {name}", got=one_line(repr(value), 80), allowed=allowed)


def _as(base: type, value: object) -> Attr | None:
    """``value`` as ``base``, None if it has another type or is not finite; NumPy's numbers count as numbers, True does not."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or base is bool:
        return value if base is bool and isinstance(value, bool) else None
    if base is float and isinstance(value, int | float):
        return float(value) if abs(value) <= LARGEST_FLOAT else None
    return value if isinstance(value, int | str) and isinstance(value, base) else None
