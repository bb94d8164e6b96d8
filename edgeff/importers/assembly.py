"""Puts a Network together from the nodes of a foreign graph, whatever the format.

In go activations and constants, node by node in topological order; out comes a Network that keeps the conventions. A graph says in several
nodes what a layer says in one: MatMul, Add and Relu are one ``dense``; five nodes of arithmetic are one ``normalise``; quantise and
dequantise nodes are no layers at all but the scales of the layer before them. Whatever cannot be said exactly is refused with the node's
name, never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.importers import conventions
from edgeff.importers.conventions import short
from edgeff.importers.values import Activation, Constant, Moment, Node, Value
from edgeff.ir import Array, Attr, Layer, Network, Quant

MAX_PARAMETER_BYTES = 1 << 29
"""Of all layers together: a hostile graph may name one constant in thousands of layers."""


@dataclass(slots=True)
class _Draft:
    """A layer whose activation and scales may still come in later nodes; ``read`` is its input as it was read."""

    name: str
    op: str
    read: Activation
    shape: tuple[int, ...]
    attrs: dict[str, Attr]
    params: dict[str, Array] = field(default_factory=dict)
    quant: dict[str, Quant] = field(default_factory=dict)


class Assembly:
    """Collects layers; the methods return the Activation that a node makes, ``finish`` the Network."""

    def __init__(self, input_shape: tuple[int, ...] | None) -> None:
        self.input_shape = input_shape
        self.input_quant: Quant | None = None
        self._drafts: dict[str, _Draft] = {}
        self._next_suffix: dict[str, int] = {}
        self._parameter_bytes = 0

    def charge(self, size_bytes: int) -> None:
        """Returns nothing; to be called before a parameter is copied: raises BadInput once all copies together pass MAX_PARAMETER_BYTES."""
        self._parameter_bytes += size_bytes
        if self._parameter_bytes > MAX_PARAMETER_BYTES:
            raise BadInput("parameters of all layers", got=f"more than {MAX_PARAMETER_BYTES} bytes", allowed="fewer or smaller layers")

    def dense(self, node: Node, x: Activation, weight: Constant, bias: Constant | None) -> Activation:
        """A dense layer; ``weight`` is (n_out, n_in), ``bias`` broadcasts to (n_out,). A float layer takes a float input, an int8 layer a
        quantised one.
        """
        if weight.array.ndim != 2 or 0 in weight.array.shape:
            raise node.bad(f"a weight of shape {weight.array.shape}", "(n_out, n_in), none of them 0")
        n_out, n_in = weight.array.shape
        if x.shape is None and x.layer == "input":
            x = replace(x, shape=(n_in,))
            self.input_shape = (n_in,)
        if x.shape is None or prod(x.shape) != n_in:
            raise node.bad(f"an input of shape {x.shape} for a weight of shape {weight.array.shape}", f"{n_in} input elements")
        if (x.quant is None) != (weight.quant is None):
            raise node.unsupported("an input and a weight of which one is quantised", "both float32, or both int8 with scales")
        self.charge(weight.array.nbytes)
        draft = self._draft(node, "dense", x, (n_out,), {"activation": "none"})
        self._set_parameter(node, draft, "weight", weight)
        y = Activation(draft.name, draft.shape)
        return y if bias is None else self.add_bias(node, y, bias)

    def add_bias(self, node: Node, x: Activation, bias: Constant) -> Activation:
        """The dense layer before, with a bias: the Add of MatMul + Add."""
        draft = self._drafts.get(x.layer)
        if (
            draft is None
            or draft.op != "dense"
            or "bias" in draft.params
            or draft.attrs["activation"] != "none"
            or x.quant is not None
            or x.shared
        ):
            raise node.unsupported("an addition that is no bias", "the one constant added to a MatMul's output that no other node reads")
        if bias.array.shape not in ((), (1,), draft.shape, (1, 1), (1, *draft.shape)):
            raise node.bad(f"a bias of shape {bias.array.shape}", f"{draft.shape}")
        if (bias.quant is None) != ("weight" not in draft.quant):
            raise node.unsupported("a weight and a bias of which one is quantised", "both float32, or int8 and int32 with scales")
        self._set_parameter(node, draft, "bias", replace(bias, array=np.broadcast_to(bias.array.reshape(-1), draft.shape)))
        return x

    def relu(self, node: Node, x: Activation) -> Activation:
        """The dense layer before, with its activation. On a tensor already quantised it is exact too: max(q, zero point), at unchanged
        scale.
        """
        draft = self._drafts.get(x.layer)
        if draft is None or draft.op != "dense":
            raise node.unsupported("a ReLU that follows no dense layer", "a ReLU after a dense layer")
        if draft.attrs["activation"] == "none":
            if x.shared:
                raise node.unsupported("a ReLU whose input other nodes read too", "a dense output that only the ReLU reads")
            draft.attrs["activation"] = "relu"
        return replace(x, shared=False)

    def softmax(self, node: Node, x: Activation) -> Activation:
        """A softmax layer over the one axis of ``x``."""
        return self._shapeless(node, "softmax", x, {})

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
        return self._shapeless(node, "normalise", x, {"eps": divisor.eps})

    def pad(self, node: Node, x: Activation, before: int, after: int, neutral: float) -> Activation:
        """A label layer with its neutral entries: constants before the elements of ``x``."""
        if x.shape is None or len(x.shape) != 1 or after or not 1 <= before <= conventions.MAX_ELEMENTS:
            raise node.unsupported(f"padding of {x.shape} by {before} and {after}", "constants before the elements of the one axis")
        if not np.isfinite(neutral):
            raise node.bad(f"the padding {neutral}", "a finite number")
        draft = self._draft(node, "label", x, (before + x.shape[0],), {"classes": before, "neutral": neutral})
        return Activation(draft.name, draft.shape)

    def reshape(self, node: Node, x: Activation, shape: tuple[int, ...]) -> Activation:
        """``x`` seen with another shape of as many elements, which costs nothing in C order."""
        if x.shape is None or prod(x.shape) != prod(shape):
            raise node.unsupported(
                f"a reshape from {x.shape} to {shape}, without the batch axis", "the same count of elements for each sample"
            )
        return replace(x, shape=shape)

    def quantise(self, node: Node, x: Activation, quant: Quant) -> Activation:
        """``x`` as int8: sets the scale of the layer before, or agrees with it."""
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
        """``x`` as float again; the integer input of a graph gets its scale here."""
        if not x.integer:
            raise node.bad("a float tensor to dequantise", "int8 or uint8")
        return replace(self.quantise(node, x, quant), integer=False)

    def finish(self, name: str, output: Value | None, metadata: Mapping[str, Any]) -> Network:
        """The Network that ends in ``output``, without the layers it does not depend on. Raises BadInput or Unsupported as
        ``conventions.check`` does.
        """
        if not isinstance(output, Activation) or output.layer == "input":
            raise BadInput(
                f"output of model {short(name)}", got="a tensor that no layer makes", allowed="the output of a supported operator"
            )
        needed, queue = {output.layer}, [output.layer]
        while queue:
            source = self._drafts[queue.pop()].read.layer
            if source != "input" and source not in needed:
                needed.add(source)
                queue.append(source)
        drafts = [draft for key, draft in self._drafts.items() if key in needed]
        quantised = self.input_quant is not None
        for draft in drafts:
            if (draft.read.quant is not None) != quantised or ("output" in draft.quant) != quantised:
                raise Unsupported(
                    f"layer {short(draft.name)}",
                    got="a model that is quantised in part",
                    allowed="every layer float32, or every layer int8",
                )
        if self.input_shape is None:
            raise BadInput(f"input of model {short(name)}", got="no shape", allowed="(batch, elements..)")
        layers = tuple(Layer(d.name, d.op, (d.read.layer,), d.shape, d.attrs, d.params, d.quant) for d in drafts)
        network = Network(name, (prod(self.input_shape),), layers, self.input_quant, metadata)
        conventions.check(network)
        return network

    def _shapeless(self, node: Node, op: str, x: Activation, attrs: dict[str, Attr]) -> Activation:
        if x.shape is None or len(x.shape) != 1:
            raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "one axis")
        draft = self._draft(node, op, x, x.shape, attrs)
        return Activation(draft.name, draft.shape)

    def _draft(self, node: Node, op: str, x: Activation, shape: tuple[int, ...], attrs: dict[str, Attr]) -> _Draft:
        base = name = node.name or op
        conventions.check_name(base, "node")
        while name == "input" or name in self._drafts:
            self._next_suffix[base] = self._next_suffix.get(base, 0) + 1
            name = f"{base}_{self._next_suffix[base]}"
        draft = self._drafts[name] = _Draft(name, op, x, shape, attrs)
        return draft

    @staticmethod
    def _set_parameter(node: Node, draft: _Draft, key: str, value: Constant) -> None:
        wanted = "float32" if value.quant is None else {"weight": "int8", "bias": "int32"}[key]
        if value.array.dtype != wanted:
            raise node.unsupported(
                f"a {key} of type {value.array.dtype}", f"float32, or {'int8' if key == 'weight' else 'int32'} with scales"
            )
        draft.params[key] = np.array(value.array, order="C")
        if value.quant is not None:
            draft.quant[key] = value.quant
