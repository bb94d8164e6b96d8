"""Windows over images in a foreign graph: convolutions, pools, and the zeros around what they read.

In go activations (H, W, C) and weights as edgeff holds them, those of a dilated window with zeros between their taps; out come layers with
explicit padding. A padding node is not a layer: its zeros become the padding of the window that reads them, which is always exact for a
convolution, and for a maximum if no element is negative; padding with the lowest number of the type is always exact for a maximum.
A convolution over an image of one row that is a sequence in another shape is a ``conv1d``. Refused: windows that do not fit. Zeros before
an average, which would count them, are a layer of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats import conventions
from edgeff.formats.values import Activation, Constant, Node
from edgeff.formats.weighted import Weighted
from edgeff.ir import Attr, Layer, Quant
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.global_average_pool import GlobalAveragePool
from edgeff.ops.max_pool2d import MaxPool2d
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.upsample2d import Upsample2d

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


class Windows(Weighted):
    """Drafts with windows."""

    def conv2d(self, node: Node, x: Activation, weight: Constant, bias: Constant | None, stride: Pair, pads: Pads) -> Activation:
        """A convolution; see ``spread`` for one that is dilated.

        Args:
            node: for names and refusals.
            x: (H, W, C_in), zeros around it included.
            weight: (C_out, KH, KW, C_in / groups), float32, or int8 with one scale or scales along axis 0.
            bias: (C_out,) or a shape that broadcasts to it; int32 with scales beside an int8 weight.
            stride: (vertical, horizontal).
            pads: (top, left, bottom, right), beside the zeros around ``x``.
        """
        if weight.array.ndim != 4 or 0 in weight.array.shape:
            raise node.bad(f"a weight of shape {weight.array.shape}", "(C_out, KH, KW, C_in), none of them 0")
        size_out, k_h, k_w, size_in = weight.array.shape
        x, pads = self._image(node, x, pads)
        groups = 1 if x.shape is None else x.shape[2] // size_in
        if x.shape is not None and (x.shape[2] != groups * size_in or groups < 1 or size_out % groups):
            got = f"{x.shape[2]} input channels for a weight of shape {weight.array.shape}"
            raise node.bad(got, "as many channels in both, or groups of them that share out the outputs evenly")
        sequence = self._sequence(x, (k_h, k_w), pads) if groups == 1 else None
        attrs, shape = _window(node, x, "kernel", (k_h, k_w), stride, pads)
        if sequence is None:
            op = node.record(Conv2d, **attrs, groups=groups)
            return self.weighted(node, op, self.exact(node, x), (weight, bias), (*shape, size_out))
        axis, source = sequence
        along = node.record(Conv1d, kernel=(k_h, k_w)[axis], stride=stride[axis], pad_left=pads[axis], pad_right=pads[2 + axis])
        row = Constant(weight.array.reshape(size_out, (k_h, k_w)[axis], size_in), weight.quant)
        y = self.weighted(node, along, source, (row, bias), (shape[axis], size_out))
        return replace(y, shape=(*shape, size_out), view=f"{node.name}_image")

    def upsample(self, node: Node, x: Activation, factors: Pair, *, zeros: bool = False) -> Activation:
        """``x`` (H, W, C) with each pixel repeated, or with ``zeros`` between them."""
        x = self.exact(node, x)
        if x.shape is None or len(x.shape) != 3 or prod(x.shape) * prod(factors) > conventions.MAX_ELEMENTS:
            got = f"an input of shape {x.shape}, without the batch axis, {factors} times as large"
            raise node.unsupported(got, f"(H, W, C), at most {conventions.MAX_ELEMENTS} elements")
        op = node.record(Upsample2d, factor_h=factors[0], factor_w=factors[1], zeros=zeros)
        shape = op.output_shape(Layer(node.name, op, ("input",), x.shape), (x.shape,))
        return self.keeping_quant(self.made(node, op, (x,), shape), x)

    def transposed_conv2d(
        self, node: Node, x: Activation, weight: Constant, bias: Constant | None, stride: Pair, edges: Pads
    ) -> Activation:
        """A transposed convolution as one over ``x`` with zeros between its pixels, exact in float and in int8.

        ``weight`` is (C_out, KH, KW, C_in), its taps turned round, ``edges`` what is cut off (top, left, bottom, right) of the whole
        output, less than 0 for zeros beyond it. The zeros cost memory and time.
        """
        k_h, k_w = weight.array.shape[1:3]
        pads = (k_h - 1 - edges[0], k_w - 1 - edges[1], k_h - 1 - edges[2], k_w - 1 - edges[3])
        if min(pads) < 0:
            raise node.unsupported(f"{edges} rows and columns cut off the output", f"at most {(k_h - 1, k_w - 1)} at each side")
        if stride != (1, 1):
            x = self.upsample(Node(f"{node.name}_spread", node.operator, node.attributes, node.supported), x, stride, zeros=True)
        return self.conv2d(node, x, weight, bias, (1, 1), pads)

    def depthwise_conv2d(
        self, node: Node, x: Activation, weight: Constant, bias: Constant | None, stride: Pair, pads: Pads, multiplier: int
    ) -> Activation:
        """A convolution of each channel separately: output channel c * multiplier + q reads input channel c.

        As ``conv2d``, but ``weight`` is (KH, KW, C_in * multiplier), its scales one or along axis 2.
        """
        if weight.array.ndim != 3 or 0 in weight.array.shape:
            raise node.bad(f"a weight of shape {weight.array.shape}", "(KH, KW, C_out), none of them 0")
        k_h, k_w, size_out = weight.array.shape
        x, pads = self._image(node, x, pads)
        if x.shape is not None and (multiplier < 1 or x.shape[2] * multiplier != size_out):
            raise node.bad(f"{x.shape[2]} input channels, multiplier {multiplier}, a weight of {size_out}", "input channels * multiplier")
        attrs, shape = _window(node, x, "kernel", (k_h, k_w), stride, pads)
        op = node.record(DepthwiseConv2d, **attrs, multiplier=multiplier)
        return self.weighted(node, op, self.exact(node, x), (weight, bias), (*shape, size_out))

    def spread(self, node: Node, weight: Constant, first: int, steps: Sequence[int]) -> Constant:
        """A weight with zeros between its taps along the axes from ``first`` on, ``steps`` from one tap to the next: a dilated window as an
        ordinary one, exact in float and in int8.

        Its taps cost memory and time, zeros or not. Raises BadInput for steps below 1, Unsupported for more than MAX_ELEMENTS.
        """
        shape = weight.array.shape
        if min(steps) < 1:
            raise node.bad(f"a dilation of {tuple(steps)}", "1 or more")
        places = [slice(None)] * len(shape)
        sizes = list(shape)
        for axis, step in enumerate(steps, first):
            sizes[axis] = (shape[axis] - 1) * step + 1
            places[axis] = slice(None, None, step)
        if sizes == list(shape):
            return weight
        if prod(sizes) > conventions.MAX_ELEMENTS:
            raise node.unsupported(f"a dilation of {tuple(steps)} of a weight of shape {shape}", f"at most {conventions.MAX_ELEMENTS} taps")
        self.charge(prod(sizes) * weight.array.itemsize)
        array = np.zeros(sizes, weight.array.dtype)
        array[tuple(places)] = weight.array
        return replace(weight, array=array)

    def pool2d(self, node: Node, pool: type[Pool2d], x: Activation, size: Pair, stride: Pair, pads: Pads) -> Activation:
        """The average or maximum over windows of ``size`` (h, w); taps outside the image are ignored."""
        if x.pads and pool is not MaxPool2d:
            x = self.exact(node, x)
        if x.pads and not x.lowest and not self._never_negative(x):
            raise node.unsupported(
                "a maximum over zeros around elements that may be negative", "zeros where no element is negative, as after a ReLU"
            )
        x, pads = self._image(node, replace(x, lowest=False), pads)
        attrs, shape = _window(node, x, "pool", size, stride, pads)
        x = self.exact(node, x)
        return self.keeping_quant(self.made(node, node.record(pool, **attrs), (x,), (*shape, (x.shape or ())[2])), x)

    def reduced(self, node: Node, pool: type[Pool2d], x: Activation, axes: Sequence[int]) -> Activation:
        """The average or maximum of ``x`` over neighbouring ``axes`` (without the batch), which are gone from its shape: a pool of an image
        of three axes, those before, those reduced and those after.
        """
        x = self.exact(node, x)
        shape, order = x.shape or (), sorted(axes)
        before, over, after = self._reduction(node, shape, axes)
        image = self.reshape(Node(f"{node.name}_image", "", {}, ()), x, (before, over, after))
        y = self.pool2d(node, pool, image, (1, over), (1, 1), (0, 0, 0, 0))
        rest = (*shape[: order[0]], *shape[order[-1] + 1 :]) or (1,)
        return self.reshape(Node(f"{node.name}_rest", "", {}, ()), y, rest)

    @staticmethod
    def _reduction(node: Node, shape: Sequence[int], axes: Sequence[int]) -> tuple[int, int, int]:
        """The count of elements before, in and after neighbouring ``axes`` of ``shape``."""
        order = sorted(axes)
        if not order or order != list(range(order[0], order[0] + len(order))) or order[-1] >= len(shape) or order[0] < 0:
            raise node.unsupported(f"a reduction of {shape} over axes {order}, without the batch axis", "neighbouring axes, not the batch")
        return prod(shape[: order[0]]), prod(shape[order[0] : order[-1] + 1]), prod(shape[order[-1] + 1 :])

    def rescaled_average(self, node: Node, x: Activation) -> None:
        """Makes an average whose output gets another scale than its input's a convolution with weights of 1, which rounds once; nothing if
        ``x`` is not the output of an average over windows inside the image that only this node reads.
        """
        draft = self._drafts.get(x.layer)
        if draft is None or not isinstance(draft.op, AveragePool2d) or any(draft.op.pads) or x.shared or draft.name in self.described:
            return
        (height, width), (down, across), channels = draft.op.window, draft.op.stride, draft.shape[2]
        if height * width * channels > conventions.MAX_ELEMENTS:
            return
        self.charge(height * width * channels)
        sizes = {"kernel_h": height, "kernel_w": width, "stride_h": down, "stride_w": across}
        draft.op = node.record(DepthwiseConv2d, **sizes, activation=draft.op.activation)
        draft.params["weight"] = np.ones((height, width, channels), np.int8)
        draft.quant = {"weight": Quant((float(np.float32(1 / (height * width))),))}

    def global_average_pool(self, node: Node, x: Activation) -> Activation:
        """The mean of each channel: (H, W, C) -> (C,)."""
        x = self.exact(node, x)
        if x.shape is None or len(x.shape) != 3:
            raise node.unsupported(f"a mean over an input of shape {x.shape}, without the batch axis", "(H, W, C)")
        return self.made(node, GlobalAveragePool(), (x,), x.shape[2:])

    def pad(self, node: Node, x: Activation, pads: tuple[int, ...], *, lowest: bool = False) -> Activation:
        """``x`` with zeros around it, for the window that reads it: ``pads`` is (top, left, bottom, right) for an image (H, W, C), (left,
        right) for a sequence (L, C). ``lowest``: with the lowest number of the type in place of zeros, for a maximum.
        """
        if x.shape is None or len(x.shape) not in (2, 3) or len(pads) != 2 * (len(x.shape) - 1):
            raise node.unsupported(f"zeros around an input of shape {x.shape}, without the batch axis", "(H, W, C) or (L, C)")
        if min(pads) < 0:
            raise node.bad(f"the padding {pads}", "0 or more")
        if x.pads and x.lowest != lowest:
            raise node.unsupported("padding around padding with another number", "one number")
        axes = len(x.shape) - 1
        new = (*zip(pads[:axes], pads[axes:], strict=True), (0, 0))
        old = x.pads or ((0, 0),) * len(x.shape)
        shape = tuple(size + before + after for size, (before, after) in zip(x.shape, new, strict=True))
        total = tuple((a + c, b + d) for (a, b), (c, d) in zip(old, new, strict=True))
        return replace(x, shape=shape, pads=total if any(map(any, total)) else (), lowest=lowest)

    def _image(self, node: Node, x: Activation, pads: Pads) -> tuple[Activation, Pads]:
        """``x`` as (H, W, C) without the zeros around it, and ``pads`` including them."""
        if x.shape is None or len(x.shape) != 3:
            raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "(H, W, C)")
        if min(pads) < 0:
            raise node.bad(f"the padding {pads}", "0 or more")
        if not x.pads:
            return x, pads
        (top, bottom), (left, right), channels = x.pads
        if any(channels) or x.lowest:
            raise node.unsupported("padding of its input other than zeros around an image", "zeros around (H, W)")
        height, width, depth = x.shape
        inner = (height - top - bottom, width - left - right, depth)
        return replace(x, shape=inner, pads=()), (pads[0] + top, pads[1] + left, pads[2] + bottom, pads[3] + right)

    def _sequence(self, x: Activation, kernel: Pair, pads: Pads) -> tuple[int, Activation] | None:
        """The axis of positions and the sequence (L, C) if ``x`` is a sequence seen as an image of one row or column."""
        x = self._settled(x)
        own = self.own_shape(x)
        if own is None or len(own) != 2 or x.shape is None:
            return None
        for axis in (1, 0):
            other = 1 - axis
            if x.shape[other] == kernel[other] == 1 and (x.shape[axis], x.shape[2]) == own and not pads[other] + pads[2 + other]:
                return axis, replace(x, shape=own, view="")
        return None

    def _never_negative(self, x: Activation) -> bool:
        """Whether no element of ``x`` is below zero: after a ReLU, or if int8 cannot represent one."""
        if x.quant is not None and x.quant.zero_point == -128:
            return True
        draft = self._drafts.get(x.layer)
        while draft is not None and draft.op.keeps_sign and draft.op.function.low < 0:
            draft = self._drafts.get(draft.reads[0].layer)
        return draft is not None and draft.op.function.low >= 0


def _window(node: Node, x: Activation, what: str, size: Pair, stride: Pair, pads: Pads) -> tuple[dict[str, Attr], Pair]:
    """The attributes of a window, and the output's height and width; refuses one that does not fit."""
    height, width, _ = x.shape or (0, 0, 0)
    padded = height + pads[0] + pads[2], width + pads[1] + pads[3]
    if min(size) < 1 or min(stride) < 1 or any(k > n for k, n in zip(size, padded, strict=True)):
        raise node.bad(
            f"windows of {size[0]}x{size[1]} by strides of {stride[0]}x{stride[1]} in an image of {padded[0]}x{padded[1]}",
            "a size and strides of 1 or more, no larger than the padded image",
        )
    shape = (padded[0] - size[0]) // stride[0] + 1, (padded[1] - size[1]) // stride[1] + 1
    names = (f"{what}_h", f"{what}_w", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right")
    return dict(zip(names, (*size, *stride, *pads), strict=True)), shape
