"""Layers on their way from a foreign graph into a Network: scales and activation functions may still come in later nodes.

In goes what ``assembly`` decides, node by node; out comes the Network. Here are the scales (quantise and dequantise nodes are not layers
all but the scales of the layer before them), the shapes (a reshape is a layer only where its reader needs the shape) and the ReLUs that
are fused into the layer before them. Refused: a change of scale without a node for it, a partly quantised model, padding that no window
reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.formats import conventions
from edgeff.formats.conventions import short
from edgeff.formats.parts import Draft, InParts
from edgeff.formats.values import Activation, Constant, Node, Value
from edgeff.ir import Layer, Network, Quant
from edgeff.kernels.activation import ActivationFunction
from edgeff.ops import RAW, Activated, Operator
from edgeff.ops.input import Input
from edgeff.ops.pad import MOST_AXES, Pad
from edgeff.ops.relu import Relu
from edgeff.ops.requantise import Requantise
from edgeff.ops.reshape import Reshape

MAX_PARAMETER_BYTES = 1 << 29
"""For all layers together: a hostile graph may name one constant in thousands of layers."""


class Drafts:
    """The drafts by name, in topological order; ``finish`` makes the Network.

    ``described`` holds the kind of each layer that edgeff's own description of the file lists, by name: a reshape, transpose or ReLU
    of such a name stays a layer of its own. ``dequantised`` counts the int8 weights that became float32, ``quantised_outputs`` names the
    float outputs that became int8, ``dequantised_outputs`` int8 outputs of a float network that became float, ``split_weights`` the layers
    whose weights int8 holds in parts alone. ``bias_scale_unused``: in
    this format a bias has the scale of its products, whatever scale is written beside it (see ``conventions.check``).
    """

    def __init__(self, input_shape: tuple[int, ...] | None, *, bias_scale_unused: bool = False) -> None:
        self.input_shape = input_shape
        self.input_quant: Quant | None = None
        self.described: Mapping[str, str] = {}
        self.bias_scale_unused = bias_scale_unused
        self.dequantised = 0
        self.quantised_outputs: list[str] = []
        self.dequantised_outputs: list[str] = []
        self.split_weights: list[str] = []
        self._drafts: dict[str, Draft] = {}
        self._reshaped: dict[tuple[str, tuple[int, ...]], Draft] = {}
        self._next_suffix: dict[str, int] = {}
        self._parameter_bytes = 0

    def charge(self, size_bytes: int) -> None:
        """Returns nothing; call it before a parameter is copied: raises BadInput once all copies together exceed MAX_PARAMETER_BYTES."""
        self._parameter_bytes += size_bytes
        if self._parameter_bytes > MAX_PARAMETER_BYTES:
            raise BadInput("parameters of all layers", got=f"more than {MAX_PARAMETER_BYTES} bytes", allowed="fewer or smaller layers")

    def draft(self, name: str, op: Operator, reads: tuple[Activation, ...], shape: tuple[int, ...]) -> Draft:
        """A new draft called ``name``, with a number appended if the name is taken. ``reads`` are settled (see ``exact``)."""
        base = name = name or op.name
        conventions.check_name(base, "node")
        conventions.check_shape(shape, f"layer {short(name)}")
        while name == "input" or name in self._drafts:
            self._next_suffix[base] = self._next_suffix.get(base, 0) + 1
            name = f"{base}_{self._next_suffix[base]}"
        draft = self._drafts[name] = Draft(name, op, reads, shape)
        return draft

    def made(self, node: Node, op: Operator, reads: tuple[Activation, ...], shape: tuple[int, ...]) -> Activation:
        """The output of a new draft without parameters."""
        draft = self.draft(node.name, op, reads, shape)
        return Activation(draft.name, draft.shape)

    def keeping_quant(self, y: Activation, x: Activation) -> Activation:
        """``y``, made by a layer that only picks, moves or averages the numbers of ``x``, in the scale of ``x``."""
        if x.quant is None:
            return y
        self._drafts[y.layer].quant["output"] = x.quant
        return replace(y, quant=x.quant, integer=x.integer)

    def parameter(self, node: Node, draft: Draft, key: str, value: Constant) -> None:
        """Gives ``draft`` the parameter, as a copy."""
        wide = any(read.quant is not None and read.quant.dtype == "int16" for read in draft.reads[:1])
        integers = {"weight": ("int8",), "bias": ("int32", "int64") if wide else ("int32",)}[key]
        if str(value.array.dtype) not in (("float32",) if value.quant is None else integers):
            raise node.unsupported(f"a {key} of type {value.array.dtype}", f"float32, or {' or '.join(integers)} with scales")
        draft.params[key] = np.array(value.array, order="C")
        if value.quant is not None:
            draft.quant[key] = value.quant

    def flat(self, node: Node, x: Activation) -> Activation:
        """``x`` for a reader that takes the elements in C order, whatever their shape."""
        x = self._settled(x)
        return self._pad_layer(node, x) if x.pads else x

    def exact(self, node: Node, x: Activation) -> Activation:
        """``x`` for a reader that needs its shape: after a reshape layer if the layer's own shape differs."""
        x = self.flat(node, x)
        if x.shape is None:
            raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
        if x.shape == self.own_shape(x):
            return replace(x, view="")
        return self._reshape_layer(x.view or f"{node.name}_reshape", x)

    def elementwise(self, node: Node, op: Operator, x: Activation) -> Activation:
        """A layer that maps each element: it keeps the shape seen by readers of ``x``, and the zeros around it if zero maps to zero."""
        x = self._settled(x)
        own = self.own_shape(x)
        if x.pads and x.lowest:
            raise node.unsupported("padding with the lowest number around its input", "one that a maximum reads")
        if x.pads and not op.keeps_zero:
            raise node.unsupported(f"padding around its input, {x.pads}", "padding that a convolution or maximum reads")
        if own is None:
            raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
        y = self.made(node, op, (replace(x, shape=own, view="", pads=()),), own)
        return replace(x, layer=y.layer, quant=None, shared=False)

    def reshape(self, node: Node, x: Activation, shape: tuple[int, ...]) -> Activation:
        """``x`` seen with another shape of the same number of elements, which costs nothing in C order."""
        before = x.shape
        if before is None or prod(before) != prod(shape):
            raise node.unsupported(
                f"a reshape from {before} to {shape}, without the batch axis", "the same count of elements for each sample"
            )
        if node.name in self.described:
            x = self.exact(node, x)
            return self._reshape_layer(node.name, replace(x, shape=shape))
        if not x.pads:
            return replace(x, shape=shape, view=node.name)
        sizes = [(size, pad) for size, pad in zip(before, x.pads, strict=True) if size != 1]
        if [size for size, _ in sizes] != [size for size in shape if size != 1]:
            raise node.unsupported(f"a reshape of zeros and elements from {before} to {shape}", "padding that a convolution reads")
        rest = iter(sizes)
        return replace(x, shape=shape, view=node.name, pads=tuple((0, 0) if size == 1 else next(rest)[1] for size in shape))

    def fuse(self, y: Activation, function: ActivationFunction) -> Activation | None:
        """``y`` with an activation function fused into its layer, None if that is not possible."""
        draft = self._drafts.get(y.layer)
        if draft is None or not isinstance(draft.op, Activated):
            return None
        if draft.op.function.within(function):
            return y
        if y.shared or not function.within(draft.op.function):
            return None
        draft.op = draft.op.replacing(activation=function.name)
        return y

    def clamp(self, node: Node, x: Activation, function: ActivationFunction) -> Activation:
        """``x`` after a ReLU, a ReLU6 or the like: part of the layer before it if only this node reads that layer, else a layer.

        On a tensor already quantised it is exact in the layer before it too, at unchanged scale: max(q, zero point) and
        min(.., zero point + 6 / scale). Only the next node tells whether the scale changes; until then it is a draft of its own.
        """
        if x.quant is None and node.name not in self.described and (fused := self.fuse(x, function)) is not None:
            return fused
        return self.elementwise(node, Relu(activation=function.name), x)

    def requantise(self, node: Node, x: Activation, quant: Quant) -> Activation:
        """The quantised ``x`` in another scale or number format, by a layer of its own."""
        if x.quant is None:
            raise node.bad("a float tensor to requantise", "int8")
        if x.quant == quant and node.name not in self.described:
            return replace(x, integer=True)
        return self.quantise(node, self.elementwise(node, Requantise(), x), quant)

    def quantise(self, node: Node, x: Activation, quant: Quant) -> Activation:
        """``x`` as integers: sets the scale of the layer before, or agrees with it."""
        x = self._merged(x, quant)
        known = self.input_quant if x.layer == "input" else self._drafts[x.layer].quant.get("output")
        if known is None:
            if x.layer == "input":
                self.input_quant = quant
            else:
                self._drafts[x.layer].quant["output"] = quant
        elif known != quant:
            raise node.unsupported(
                f"a change of scale from {known.scale[0]:g} to {quant.scale[0]:g}", "one scale and zero point for each layer's output"
            )
        return replace(x, quant=quant, integer=True)

    def dequantise(self, node: Node, x: Activation, quant: Quant) -> Activation:
        """``x`` back as float; the integer input of a graph gets its scale here."""
        if not x.integer:
            raise node.bad("a float tensor to dequantise", "int8 or uint8")
        return replace(self.quantise(node, x, quant), integer=False)

    def further_input(self, name: str, shape: tuple[int, ...], *, integer: bool) -> Activation:
        """A further input of the model."""
        draft = self.draft(name, Input(), (), shape)
        return Activation(draft.name, shape, integer=integer)

    def finish(self, name: str, outputs: Sequence[Value | None], metadata: Mapping[str, Any]) -> Network:
        """The Network that ends in ``outputs``, without the layers on which none depends; further inputs, and side branches that edgeff's
        own description lists, stay. Raises BadInput or Unsupported as ``conventions.check`` does.
        """
        ends = [self._end(name, output) for output in outputs]
        if len({*ends}) < len(ends):
            raise Unsupported(f"outputs of model {short(name)}", got="one tensor twice", allowed="different tensors")
        order = list(self._drafts)
        before = order[: max(order.index(end) for end in ends)]
        given = [key for key in order if self._drafts[key].op.given]
        queue = [*ends, *given, *(key for key in before if key in self.described)]
        needed = set(queue)
        while queue:
            for read in self._drafts[queue.pop()].reads:
                if read.layer != "input" and read.layer not in needed:
                    needed.add(read.layer)
                    queue.append(read.layer)
        drafts = [draft for key, draft in self._drafts.items() if key in needed]
        last = [draft for draft in drafts if draft.name in ends]
        self._quantise_ends(last)
        raw = next((draft.op.reads for draft in drafts if draft.op.reads and "output" in draft.quant), "")
        if self.input_quant is None and raw:
            self.input_quant = RAW[raw]
        self._dequantise_ends(drafts, last)
        if self.input_shape is None:
            raise BadInput(f"input of model {short(name)}", got="no shape", allowed="(batch, elements..)")
        told: dict[str, Any] = {}
        quantised = self.input_quant is not None
        if all(self._in_one_format(draft, quantised=quantised) for draft in drafts):
            layers = tuple(Layer(d.name, d.op, tuple(read.layer for read in d.reads), d.shape, d.params, d.quant) for d in drafts)
        else:
            rounded = [isinstance(output, Activation) and output.quant is not None for output in outputs]
            parts = InParts(drafts, self.input_shape, self.input_quant, list(zip(ends, rounded, strict=True)))
            layers, ends, self.input_quant = parts.layers, parts.ends, parts.input_quant
            if self.bias_scale_unused and (rounding := parts.rounding):
                got = f"float numbers that become int8 before layer {short(rounding)}"
                raise Unsupported(f"model {short(name)}", got=got, allowed="int8 that becomes float, float32 alone, or int8 alone")
            told["float_layers"] = parts.real
        for what in ("quantised_outputs", "dequantised_outputs", "split_weights"):
            if names := getattr(self, what):
                told[what] = names
        if isinstance(origin := metadata.get("source"), dict):
            metadata = {**metadata, "source": {**origin, **told}}
        network = Network(name, self.input_shape, layers, self.input_quant, metadata, tuple(ends) if len(ends) > 1 else ())
        conventions.check(network, bias_scale_unused=self.bias_scale_unused)
        return network

    def _pad_layer(self, node: Node, x: Activation) -> Activation:
        """``x`` after a layer that puts its padding around it, for a reader that takes no padding."""
        inner = tuple(size - before - after for size, (before, after) in zip(x.shape or (), x.pads, strict=True))
        bare = self.exact(node, replace(x, shape=inner, pads=(), lowest=False))
        value = 0.0
        if x.lowest:
            value = float(np.finfo(np.float32).min) if x.quant is None else x.quant.least
        return self.padded(Node(f"{node.name}_pad", node.operator, node.attributes, node.supported), bare, x.pads, value)

    def padded(self, node: Node, x: Activation, sides: Sequence[tuple[int, int]], value: float) -> Activation:
        """A layer that puts ``value`` around ``x``: ``sides`` are the counts (before, after) for each axis without the batch."""
        x = self.exact(node, x)
        if x.shape is None or len(sides) != len(x.shape) or not all(0 <= count < 1 << 31 for side in sides for count in side):
            raise node.bad(f"pads {list(sides)[:8]} around an input of shape {x.shape}, without the batch axis", "0 or more for each axis")
        if len(sides) > MOST_AXES:
            raise node.unsupported(f"padding of {len(sides)} axes", f"at most {MOST_AXES}, without the batch axis")
        shape = tuple(size + before + after for size, (before, after) in zip(x.shape, sides, strict=True))
        before, after = (",".join(str(side[end]) for side in sides) for end in (0, 1))
        return self.keeping_quant(self.made(node, node.record(Pad, before=before, after=after, value=value), (x,), shape), x)

    def _in_one_format(self, draft: Draft, *, quantised: bool) -> bool:
        """Whether ``draft`` and all that it reads are int8 where the network is ``quantised``, or float where it is not."""
        real = quantised and bool(draft.op.reads)
        parts = {"output", *(() if draft.op.reads else draft.params)} if quantised else set()
        return {*draft.quant} == parts and all(real or (read.quant is not None) == quantised for read in draft.reads)

    def _quantise_ends(self, ends: Sequence[Draft]) -> None:
        """Gives outputs that are float in the file, computed from int8, the scale that their operator fixes: a softmax's 1/256."""
        for draft in ends:
            kinds = {read.quant.dtype for read in draft.reads if read.quant is not None}
            fixed = draft.op.fixed_quant("int16" if "int16" in kinds else "int8")
            if fixed is not None and "output" not in draft.quant and all(read.quant is not None for read in draft.reads):
                draft.quant["output"] = fixed
                self.quantised_outputs.append(draft.name)

    def _dequantise_ends(self, drafts: Sequence[Draft], ends: Sequence[Draft]) -> None:
        """Takes the scale from integer outputs that are computed in float, of which the network has the numbers before they are rounded."""
        inner = [draft for draft in drafts if draft not in ends]
        if self.input_quant is None and not any(draft.quant for draft in inner) and all({*draft.quant} == {"output"} for draft in ends):
            for draft in ends:
                del draft.quant["output"]
                self.dequantised_outputs.append(draft.name)

    def _end(self, name: str, output: Value | None) -> str:
        """The layer whose output is the model's."""
        if isinstance(output, Activation) and output.pads:
            output = self.exact(Node(output.view or "output", "output", {}, ()), output)
        if not isinstance(output, Activation) or output.layer == "input" or self._drafts[output.layer].op.given:
            got, allowed = "a tensor that no layer computes", "the output of a supported operator"
            raise BadInput(f"output of model {short(name)}", got=got, allowed=allowed)
        return self.exact(Node(output.view or "output", "output", {}, ()), output).layer

    def own_shape(self, x: Activation) -> tuple[int, ...] | None:
        """The shape of the layer that makes ``x``, whatever shape the graph sees."""
        return self.input_shape if x.layer == "input" else self._drafts[x.layer].shape

    def _reshape_layer(self, name: str, x: Activation) -> Activation:
        """``x`` after a reshape layer to its shape, one for all readers that need it."""
        shape = x.shape or ()
        draft = self._reshaped.get((x.layer, shape))
        if draft is None or name in self.described:
            draft = self.draft(name, Reshape(), (replace(x, shape=self.own_shape(x), view=""),), shape)
            self._reshaped[x.layer, shape] = draft
            if x.quant is not None:
                draft.quant["output"] = x.quant
        return replace(x, layer=draft.name, view="")

    def _merged(self, x: Activation, quant: Quant) -> Activation:
        """``x``, about to get the scale ``quant``: a ReLU draft that changes no scale goes into the layer before it, and a change of scale
        before a ReLU into the ReLU (both round once, and clamp after it).
        """
        draft = self._drafts.get(x.layer)
        if draft is None or not isinstance(draft.op, Relu) or "output" in draft.quant or draft.reads[0].quant != quant:
            return x
        (before,) = draft.reads
        source = self._drafts.get(before.layer)
        if source is not None and isinstance(source.op, Requantise) and not before.shared and source.name not in self.described:
            draft.reads = source.reads
            return x
        return self._melted(x, draft)

    def _settled(self, x: Activation) -> Activation:
        """``x``, about to be read: a ReLU draft on a quantised tensor that got no scale of its own keeps that of the layer before it."""
        draft = self._drafts.get(x.layer)
        if draft is None or not isinstance(draft.op, Relu) or "output" in draft.quant or draft.reads[0].quant is None:
            return x
        return self._melted(x, draft)

    def _melted(self, x: Activation, draft: Draft) -> Activation:
        (before,) = draft.reads
        fused = None if draft.name in self.described else self.fuse(before, draft.op.function)
        return x if fused is None else replace(x, layer=fused.layer, quant=fused.quant, shared=x.shared or fused.shared)
