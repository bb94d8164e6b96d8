"""Networks that a file computes partly in int8 and partly in float: which layers are which, and a ``convert`` on each edge between them.

In go the drafts of ``drafts``, of which each may have scales for its output and its parameters; out come the layers. A layer is int8 where
it reads int8 alone, its parameters have scales, its output has one, and nobody reads that before it is rounded. Every other layer computes
in float32 what the file says: on the numbers that its int8 inputs and parameters stand for, and what is rounded after it is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeff.formats.values import Activation
from edgeff.ir import Array, Layer, Quant
from edgeff.ops import Operator
from edgeff.ops.convert import Convert


@dataclass(slots=True)
class Draft:
    """An unfinished layer; ``reads`` are its inputs as they were read."""

    name: str
    op: Operator
    reads: tuple[Activation, ...]
    shape: tuple[int, ...]
    params: dict[str, Array] = field(default_factory=dict)
    quant: dict[str, Quant] = field(default_factory=dict)


def in_float(array: Array, quant: Quant) -> Array:
    """Integers as the numbers that they stand for, (q - zero point) * scale with one rounding, float32."""
    along = [1] * array.ndim
    if quant.axis is not None:
        along[quant.axis] = len(quant.scale)
    whole = array.astype(np.float64) - quant.zero_point
    with np.errstate(over="ignore"):
        return (whole * np.array(quant.scale, np.float32).reshape(along)).astype(np.float32)


class InParts:
    """``layers`` and ``ends`` of a network of both formats, and ``input_quant`` if its input is int8; ``real`` names the layers that are
    float, ``rounding`` the first layer that reads float numbers as int8, "" if there is none.

    ``ends`` are the outputs, each with whether it is read after it is rounded.
    """

    def __init__(
        self, drafts: Sequence[Draft], input_shape: tuple[int, ...], input_quant: Quant | None, ends: Sequence[tuple[str, bool]]
    ) -> None:
        self.rounding = ""
        self._quants = {"input": input_quant} | {draft.name: draft.quant.get("output") for draft in drafts}
        self._shapes = {"input": input_shape} | {draft.name: draft.shape for draft in drafts}
        self._names = {*self._shapes}
        exact = {read.layer for draft in drafts for read in draft.reads if read.quant is None and draft.op.reads != "float32"}
        exact |= {name for name, rounded in ends if not rounded}
        self._whole: set[str] = set() if input_quant is None or "input" in exact else {"input"}
        for draft in drafts:
            complete = {*draft.quant} == {"output", *(() if draft.op.reads else draft.params)} and draft.name not in exact
            if complete and (draft.op.reads or all(read.quant is not None for read in draft.reads)):
                self._whole.add(draft.name)
        self._known: dict[tuple[str, bool], str] = {}
        self._layers: list[Layer] = []
        for draft in drafts:
            whole = draft.name in self._whole
            inputs = tuple(read.layer if draft.op.reads else self._read(read, draft.name, whole=whole) for read in draft.reads)
            params = draft.params
            if not whole:
                params = {key: in_float(array, draft.quant[key]) if key in draft.quant else array for key, array in params.items()}
            self._layers.append(Layer(draft.name, draft.op, inputs, draft.shape, params, draft.quant if whole else {}))
        self.real = [draft.name for draft in drafts if draft.reads and draft.name not in self._whole]
        self.ends = [self._stored(name, whole=True) if rounded else name for name, rounded in ends]
        self.rounding = self.rounding or next((name for name, rounded in ends if rounded and name not in self._whole), "")
        self.layers = tuple(self._layers)
        self.input_quant = input_quant if "input" in self._whole else None

    def _read(self, read: Activation, reader: str, *, whole: bool) -> str:
        """The tensor that ``reader`` takes for ``read``: int8 where it is a ``whole`` layer, else float, of the rounded number if the file
        rounds it.
        """
        if whole or read.quant is not None:
            if read.layer not in self._whole:
                self.rounding = self.rounding or reader
            rounded = self._stored(read.layer, whole=True)
            return rounded if whole else self._stored(rounded, whole=False)
        return read.layer

    def _stored(self, name: str, *, whole: bool) -> str:
        """The tensor ``name`` in int8 or in float, by a layer that converts it if it is not so."""
        if (name in self._whole) == whole:
            return name
        if (name, whole) not in self._known:
            quant = self._quants[name]
            wish = f"{name}_{quant.dtype if whole and quant else 'float32'}"
            candidates = (f"{wish}{number}" for number in ("", *(f"_{i}" for i in range(2, len(self._names) + 3))))
            new = next(candidate for candidate in candidates if candidate not in self._names)
            self._names.add(new)
            self._known[name, whole] = new
            self._quants[new], self._shapes[new] = quant, self._shapes[name]
            if whole:
                self._whole.add(new)
            self._layers.append(Layer(new, Convert(), (name,), self._shapes[name], {}, {"output": quant} if whole and quant else {}))
        return self._known[name, whole]
