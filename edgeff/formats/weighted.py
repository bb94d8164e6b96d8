"""Layers with weights in a foreign graph: dense layers, and what later nodes add to a layer's weights.

In go an activation, a weight and a bias, float32 or int8 with scales; out comes a draft's output. A constant added after a layer is its
bias, a batch normalisation after it scales its weights. Refused: a partly quantised layer, sums and factors that belong to no layer.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.drafts import Drafts
from edgeff.formats.parts import Draft, in_float
from edgeff.formats.values import Activation, Constant, Node
from edgeff.ir import Array, Quant
from edgeff.ops import Operator
from edgeff.ops.concat import Concat
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.dense import Dense
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.scale_input import ScaleInput


class Weighted(Drafts):
    """Drafts with weights."""

    def dense(self, node: Node, x: Activation, weight: Constant, bias: Constant | None) -> Activation:
        """A dense layer; ``weight`` is (n_out, n_in), ``bias`` broadcasts to (n_out,). A float layer takes a float input, an int8 layer a
        quantised one.
        """
        if weight.array.ndim != 2 or 0 in weight.array.shape:
            raise node.bad(f"a weight of shape {weight.array.shape}", "(n_out, n_in), none of them 0")
        n_out, n_in = weight.array.shape
        x = self.flat(node, x)
        if x.shape is None and x.layer == "input":
            x = replace(x, shape=(n_in,))
            self.input_shape = (n_in,)
        if x.shape is None or prod(x.shape) != n_in:
            raise node.bad(f"an input of shape {x.shape} for a weight of shape {weight.array.shape}", f"{n_in} input elements")
        return self.weighted(node, Dense(), x, (weight, bias), (n_out,))

    def weighted(
        self,
        node: Node,
        op: Operator,
        x: Activation,
        parameters: tuple[Constant, Constant | None],
        shape: tuple[int, ...],
    ) -> Activation:
        """The output of a new draft with a weight and perhaps a bias, whose shapes the caller has checked."""
        weight, bias = parameters
        if weight.array.dtype == np.int16 and weight.quant is not None:
            return self.wide(node, op, x, (weight, weight.quant, bias), shape)
        self.charge(weight.array.nbytes)
        draft = self.draft(node.name, op, (x,), shape)
        self.parameter(node, draft, "weight", weight)
        y = Activation(draft.name, draft.shape)
        return y if bias is None else self.add_bias(node, y, bias)

    def wide(
        self, node: Node, op: Operator, x: Activation, parameters: tuple[Constant, Quant, Constant | None], shape: tuple[int, ...]
    ) -> Activation:
        """As ``weighted``, for integers -255 to 255, which a weight with a zero point may have and int8 has not.

        The layer reads its input channels two or three times, each time with a part of the weight that int8 can hold: the same sums before
        they are rounded once, for as many times the weights and multiply-accumulates. A depthwise convolution becomes one in groups. Of a
        float input the weight becomes float32.
        """
        weight, quant, bias = parameters
        if x.quant is None:
            real = Constant(in_float(weight.array, quant))
            return self.weighted(node, op, x, (real, None if bias is None or bias.quant is None else bias), shape)
        array = weight.array
        if isinstance(op, DepthwiseConv2d):
            array = array.transpose(2, 0, 1)[..., None]
            quant = replace(quant, axis=None if quant.axis is None else 0)
            window = {key: value for key, value in op.attributes.items() if key != "multiplier"}
            op = node.record(Conv2d, **window, groups=shape[2] // op.multiplier)
        copies = -(-int(np.abs(array).max()) // 127)
        self.charge(copies * array.size)
        parts, rest = list[Array](), array
        for _ in range(copies):
            parts.append(np.clip(rest, -127, 127))
            rest = rest - parts[-1]
        whole = Constant(np.concatenate(parts, axis=-1).astype(np.int8), quant)
        self.split_weights.append(node.name)
        return self.weighted(node, op, self.exact(node, self._repeated(node, x, array.shape[-1], copies)), (whole, bias), shape)

    def _repeated(self, node: Node, x: Activation, channels: int, copies: int) -> Activation:
        """``x`` with each run of so many channels repeated after itself."""
        given = x.shape or ()
        rows = given if given[-1] == channels else (prod(given) // channels, channels)
        places = [replace(node, name=f"{node.name}_{part}") for part in ("rows", "copies", "copied")]
        each = self.exact(places[0], self.reshape(places[0], x, rows))
        joined = self.made(places[1], Concat(axis=len(rows) - 1), (each,) * copies, (*rows[:-1], channels * copies))
        return self.reshape(places[2], self.keeping_quant(joined, x), (*given[:-1], given[-1] * copies))

    def add_bias(self, node: Node, x: Activation, bias: Constant) -> Activation:
        """The dense or convolution before, with a bias: the Add of MatMul + Add. ``bias`` holds one number, or one for each channel along
        its last axis. Added to the model's float input it is part of a ``scale_input``.
        """
        if self._starts(x) and bias.quant is None:
            return self._scaled_input(node, x, np.ones(1), bias.array.reshape(-1))
        draft = self._own(x)
        if draft is None or "bias" in draft.params:
            raise node.unsupported(
                "an addition that is not a bias", "the one constant added to the output of a MatMul or Conv that no other node reads"
            )
        shape, channels = bias.array.shape, draft.shape[-1]
        if bias.array.size != 1 and (shape[-1:] != (channels,) or bias.array.size != channels):
            raise node.bad(f"a bias of shape {shape}", f"{(channels,)}")
        if bias.quant is not None and "weight" not in draft.quant:
            raise node.unsupported("an integer bias of a float weight", "both float32, or int8 and int32 with scales")
        self.parameter(node, draft, "bias", replace(bias, array=np.broadcast_to(bias.array.reshape(-1), (channels,))))
        return x

    def affine(self, node: Node, x: Activation, scale: Array, shift: Array) -> Activation:
        """The dense or convolution before, its outputs y becoming y * scale + shift, both float of shape (C,): a batch normalisation.

        Computed in float64 and rounded once to float32. Of the model's float input a layer of its own, ``scale_input``. Unsupported
        after a quantised layer or an activation function, or if others read y.
        """
        if self._starts(x):
            return self._scaled_input(node, x, scale, shift)
        draft = self._own(x)
        if draft is None or draft.quant:
            raise node.unsupported(
                "a scale and shift that cannot be folded into the layer before it",
                "one after a float dense or convolution that no other node reads",
            )
        channels = draft.shape[-1]
        if scale.shape not in ((), (1,), (channels,)) or shift.shape not in ((), (1,), (channels,)):
            raise node.bad(f"scales {scale.shape} and shifts {shift.shape}", f"{(channels,)}")
        factor, shift = (np.broadcast_to(np.asarray(values, np.float64), (channels,)) for values in (scale, shift))
        weight, axis = draft.params["weight"], draft.op.weight_axis
        along = [1] * weight.ndim
        along[axis] = channels
        with np.errstate(over="ignore", invalid="ignore"):
            draft.params["weight"] = (weight * factor.reshape(along)).astype(np.float32)
            draft.params["bias"] = (draft.params.get("bias", np.zeros(1)) * factor + shift).astype(np.float32)
        for key, array in draft.params.items():
            check_finite(array, f"node {short(node.name)}, {key} times the scale")
        return x

    def takes_affine(self, x: Activation, size: int) -> bool:
        """Whether ``affine`` and ``add_bias`` fold float numbers, ``size`` of them, into what makes x; else they are a layer."""
        channels = (x.shape or (0,))[-1]
        if size not in (1, channels) or x.quant is not None:
            return False
        if self._starts(x):
            return not (x.pads or x.view or x.shared or not channels)
        draft = self._own(x)
        return draft is not None and not draft.quant

    def _starts(self, x: Activation) -> bool:
        """Whether x is the model's input, or what nodes before made of it by constants alone."""
        return x.layer == "input" or isinstance(self._drafts[x.layer].op, ScaleInput)

    def _scaled_input(self, node: Node, x: Activation, scale: Array, shift: Array) -> Activation:
        """The model's float input times ``scale`` plus ``shift``: a layer of its own, or the one that earlier nodes began."""
        channels = (x.shape or (0,))[-1]
        if x.quant is not None or x.pads or x.view or x.shared or not channels:
            raise node.unsupported("a scale and shift of an input that others read, or of unknown shape", "one before every other layer")
        if scale.shape not in ((), (1,), (channels,)) or shift.shape not in ((), (1,), (channels,)):
            raise node.bad(f"scales {scale.shape} and shifts {shift.shape}", f"{(channels,)}")
        factor, shift = (np.broadcast_to(np.asarray(values, np.float64), (channels,)) for values in (scale, shift))
        mean = np.zeros(channels)
        if x.layer != "input":
            before = self._drafts.pop(x.layer)
            mean = before.params["mean"].astype(np.float64)
            factor = before.params["factor"].astype(np.float64) * factor
        if (factor == 0).any():
            raise node.unsupported("a factor of 0", "other numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = (mean - shift / factor).astype(np.float32)
        draft = self.draft(node.name, ScaleInput(), (Activation("input", x.shape),), x.shape or ())
        draft.params = {"mean": mean, "factor": factor.astype(np.float32)}
        for key, array in draft.params.items():
            check_finite(array, f"node {short(node.name)}, {key} of the inputs")
        return Activation(draft.name, draft.shape)

    def renamed(self, node: Node, x: Activation) -> Activation:
        """``x``, its layer of standardised inputs called after ``node``, which gives it a scale."""
        draft = self._drafts.get(x.layer)
        if draft is None or not isinstance(draft.op, ScaleInput) or x.shared or x.quant is not None:
            return x
        again = self.draft(node.name, draft.op, draft.reads, draft.shape)
        again.params = self._drafts.pop(x.layer).params
        return replace(x, layer=again.name)

    def _own(self, x: Activation) -> Draft | None:
        """The draft of a layer with weights that a node may still change: x is its output, unquantised, read by that node alone."""
        draft = self._drafts.get(x.layer)
        if draft is None or not draft.op.weighted or draft.op.function.clamps:
            return None
        return None if x.quant is not None or x.pads or x.shared or (x.shape or (0,))[-1] != draft.shape[-1] else draft
