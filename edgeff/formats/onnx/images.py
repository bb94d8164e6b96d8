"""ONNX operators of images and sequences: convolutions, pools, means over all positions, zeros around an image.

Tensors are channels first, (C, H, W) or (C, L), and weights (C_out, C_in / group, KH, KW) or (C_out, C_in / group, K); edgeff's are
channels last. Padding may be given or asked for (``auto_pad``), and comes out as numbers. Refused: dilation, averages that
count their padding.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.conventions import MAX_ELEMENTS
from edgeff.formats.onnx.reading import Graph, Handler, Values, activation, constant, flag, integers, number, optional, real, word
from edgeff.formats.onnx.views import Axes, Seen, View, channels_first, view
from edgeff.formats.values import Activation, Constant, Moment, Node
from edgeff.ir import Array
from edgeff.ops.windows import same_padding

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
WINDOW = frozenset({"auto_pad", "dilations", "kernel_shape", "pads", "strides"})


def _positions(node: Node, x: View) -> Axes:
    """The axes of a tensor (C, ..) that count positions: one or two."""
    if x.shape is None or len(x.shape) not in (2, 3):
        raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "(C, H, W) or (C, L)")
    return x.shape[1:]


def _window(node: Node, x: View, kernel: Axes) -> tuple[Axes, Axes]:
    """The strides and pads (all before, then all after) of windows over the positions of ``x``; with them it must not become too large."""
    strides, pads = _strides_and_pads(node, _positions(node, x), kernel)
    _check_padded(node, x, pads)
    return strides, pads


def _check_padded(node: Node, x: View, pads: Axes) -> None:
    """Refuses padding that would make an image of a few bytes one of gigabytes."""
    sizes = _positions(node, x)
    padded = tuple(size + before + after for size, before, after in zip(sizes, pads, pads[len(sizes) :], strict=False))
    if prod(padded) * (x.shape or (1,))[0] > MAX_ELEMENTS:
        raise node.bad(f"an image of {x.shape} padded to {padded}", f"at most {MAX_ELEMENTS} elements with its padding")


def _strides_and_pads(node: Node, sizes: Axes, kernel: Axes) -> tuple[Axes, Axes]:
    ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
    dilations = integers(node, "dilations", ones, 1)
    if any(step != 1 and taps != 1 for step, taps in zip(dilations, kernel, strict=True)):
        raise node.unsupported(f"a dilation of {dilations}", "1")
    strides = integers(node, "strides", ones, 1)
    wish = word(node, "auto_pad", "NOTSET")
    if wish == "NOTSET":
        return strides, integers(node, "pads", zeros + zeros, 0)
    if any(integers(node, "pads", zeros + zeros, 0)):
        raise node.bad(f"pads beside auto_pad {wish}", "one of them")
    if wish == "VALID":
        return strides, zeros + zeros
    if wish not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.unsupported(f"auto_pad {wish!r}", "NOTSET, SAME_UPPER, SAME_LOWER, VALID")
    gaps = [(-(-size // step) - 1) * step + taps - size for size, taps, step in zip(sizes, kernel, strides, strict=True)]
    if min(gaps) < (-1 if "Conv" in node.operator else 0):
        raise node.unsupported(f"auto_pad {wish} where strides of {strides} skip the last elements: runtimes disagree", "pads as numbers")
    both = [same_padding(*parts) for parts in zip(sizes, kernel, strides, strict=True)]
    before, after = tuple(int(pair[0]) for pair in both), tuple(int(pair[1]) for pair in both)
    return strides, before + after if wish == "SAME_UPPER" else after + before


def _as_image(graph: Graph, node: Node, x: View) -> Activation:
    """A tensor (C, H, W) as (H, W, C), a tensor (C, L) as (1, L, C)."""
    last = graph.views.channels_last(node, x)
    if last.shape is None or len(last.shape) == 3:
        return last
    return graph.assembly.reshape(graph.views.beside(node, "image"), last, (1, *last.shape))


def _as_tensor(graph: Graph, node: Node, y: Activation, rank: int) -> View:
    """An output (H, W, C) as ONNX has it: (C, H, W), or (C, L) where ``rank`` is 2."""
    if rank == 2 and y.shape is not None:
        y = graph.assembly.reshape(graph.views.beside(node, "sequence"), y, y.shape[1:])
    return channels_first(y)


def _two(values: Axes, fill: int) -> Pair:
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])


def _four(pads: Axes) -> Pads:
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


def convolution(graph: Graph, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """A Conv with its attributes on a float tensor; ``weight`` and ``bias`` may be quantised along axis 0."""
    sizes, shape = _positions(node, x), weight.array.shape
    if len(shape) != len(sizes) + 2 or 0 in shape:
        raise node.bad(f"a weight of shape {shape} for an input of shape {x.shape}", "(C_out, C_in / group, KH, KW), or (.., K)")
    kernel = integers(node, "kernel_shape", shape[2:], 1)
    if kernel != shape[2:]:
        raise node.bad(f"kernel_shape {kernel} for a weight of shape {shape}", f"{shape[2:]}")
    strides, pads = _window(node, x, kernel)
    if weight.quant is not None and weight.quant.axis not in (None, 0):
        raise node.unsupported(f"scales along axis {weight.quant.axis} of the weight", "one, or one for each output: axis 0")
    group, channels = int(number(node, "group", 1)), (x.shape or (0,))[0]
    array = weight.array if len(sizes) == 2 else weight.array[:, :, None]
    image, stride, sides = _as_image(graph, node, x), _two(strides, 1), _four(pads)
    written = graph.described.get(node.name, "depthwise_conv2d" if group > 1 else "conv2d")
    if group == channels and shape[1] == 1 and written == "depthwise_conv2d":
        if shape[0] % group:
            raise node.bad(f"a weight of shape {shape} in {group} groups", "as many outputs for each group")
        quant = weight.quant if weight.quant is None or weight.quant.axis is None else replace(weight.quant, axis=2)
        depthwise = Constant(array[:, 0].transpose(1, 2, 0), quant)
        y = graph.assembly.depthwise_conv2d(node, image, depthwise, bias, stride, sides, shape[0] // group)
    else:
        if group < 1 or shape[1] * group != channels or shape[0] % group:
            got = f"a weight of shape {shape} in {group} groups for an input of shape {x.shape}"
            raise node.bad(got, f"{channels} input channels in all, and as many outputs for each group")
        y = graph.assembly.conv2d(node, image, Constant(array.transpose(0, 2, 3, 1), weight.quant), bias, stride, sides)
    return _as_tensor(graph, node, y, len(sizes) + 1)


def _conv(graph: Graph, node: Node, values: Values) -> Seen:
    return convolution(graph, node, real(node, values[0]), constant(node, values[1], "weight"), optional(node, values[2], "bias"))


def pool_window(node: Node, x: View, kind: str) -> tuple[Axes, Axes, Axes]:
    """The size, strides and pads of an AveragePool or MaxPool; ``ceil_mode`` comes out as padding behind the image."""
    sizes = _positions(node, x)
    if "kernel_shape" not in node.attributes:
        raise node.bad("no kernel_shape", "the size of a window")
    kernel = integers(node, "kernel_shape", (1,) * len(sizes), 1)
    strides, pads = _window(node, x, kernel)
    count = len(sizes)
    if flag(node, "ceil_mode"):
        after = []
        for size, taps, step, begin, end in zip(sizes, kernel, strides, pads[:count], pads[count:], strict=True):
            windows = -(-(size + begin + end - taps) // step)  # one less than the count; none may begin behind the image
            windows -= windows * step >= size + begin
            after.append(max(windows * step + taps - size - begin, end))
        if flag(node, "count_include_pad") and tuple(after) != pads[count:]:
            raise node.unsupported("an average that counts its padding, with ceil_mode", "count_include_pad 0")
        pads = pads[:count] + tuple(after)
        _check_padded(node, x, pads)
    if kind == "average" and flag(node, "count_include_pad") and any(pads):
        raise node.unsupported(f"an average that counts its padding, {pads}", "count_include_pad 0")
    return kernel, strides, pads


def pool(graph: Graph, node: Node, x: View, kind: str) -> View:
    """An "average" or "max" over windows; integers stay integers."""
    kernel, strides, pads = pool_window(node, x, kind)
    image = _as_image(graph, node, x)
    y = graph.assembly.pool2d(node, kind, replace(image, integer=False), _two(kernel, 1), _two(strides, 1), _four(pads))
    return _as_tensor(graph, node, replace(y, integer=image.integer), len(kernel) + 1)


def _average_pool(graph: Graph, node: Node, values: Values) -> Seen:
    """The mean is a number between two of int8: a scale that a later node gives it must be that of the input."""
    y = pool(graph, node, real(node, values[0]), "average")
    return y.like(replace(y.x, quant=None))


def _max_pool(graph: Graph, node: Node, values: Values) -> Seen:
    if flag(node, "storage_order"):
        raise node.unsupported("storage_order 1", "0")
    x = activation(node, values[0])
    if x.x.integer and x.x.quant is None:
        raise node.unsupported("integers without a scale", "a DequantizeLinear at the input of the model")
    return pool(graph, node, x, "max")


def global_average(graph: Graph, node: Node, x: View, *, keep: bool = True) -> View:
    """The mean of each channel of (C, H, W) or (C, L): (C, 1, 1), (C, 1), or (C,)."""
    rank = len(_positions(node, x)) + 1
    y = graph.assembly.global_average_pool(node, _as_image(graph, node, x))
    return graph.views.reshaped(graph.views.beside(node, "view"), view(y), (*(y.shape or ()), *(1,) * (rank - 1))) if keep else view(y)


def _global_average_pool(graph: Graph, node: Node, values: Values) -> Seen:
    return global_average(graph, node, real(node, values[0]))


def _global_max_pool(graph: Graph, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    sizes = _positions(node, x)
    image = _as_image(graph, node, x)
    y = graph.assembly.pool2d(node, "max", image, _two(sizes, 1), (1, 1), (0, 0, 0, 0))
    return _as_tensor(graph, node, y, len(sizes) + 1)


def _reduce_mean(graph: Graph, node: Node, values: Values) -> Seen:
    """The second step of a normalise layer, or the mean over all positions of an image in either layout."""
    axes = node.attributes.get("axes")
    if values[1] is not None:
        axes = constant(node, values[1], "axes").array.reshape(-1)[:8].tolist()
    keep = flag(node, "keepdims", 1)
    if flag(node, "noop_with_empty_axes") or not isinstance(axes, list) or not all(isinstance(axis, int) for axis in axes):
        raise node.unsupported("a mean over axes that are not given", "the positions of an image, or the last axis")
    value = values[0]
    if isinstance(value, Moment):
        if not value.over_all(axes) or not keep:
            raise node.unsupported("a mean over other axes", "all axes but the batch, kept")
        return graph.assembly.step(node, value, "square", "mean")
    x = real(node, value)
    rank = len(_positions(node, x)) + 1
    places = sorted(axis - 1 if axis > 0 else axis + rank for axis in axes)
    if 0 not in places and places == list(range(1, rank)):
        return global_average(graph, node, x, keep=keep)
    if places == list(range(rank - 1)):  # channels last
        moved = graph.views.transposed(graph.views.beside(node, "transpose"), x, (rank - 1, *range(rank - 1)))
        y = global_average(graph, node, moved, keep=False)
        shape = y.shape or ()
        return graph.views.reshaped(graph.views.beside(node, "view"), y, (*(1,) * (rank - 1), *shape)) if keep else y
    raise node.unsupported(f"a mean over axes {axes} of an input of shape {x.shape}, without the batch axis", "all positions of an image")


def _pad(graph: Graph, node: Node, values: Values) -> Seen:
    """Zeros around an image, or the neutral label before a vector; the pads are an attribute before opset 11.

    Before the channels of an image the neutral label may be zeros as well: it is one where edgeff's own description says so.
    """
    x = real(node, values[0])
    if word(node, "mode", "constant") != "constant" or x.shape is None:
        raise node.unsupported("padding with other than a constant", "mode constant")
    rank = len(x.shape) + 1
    pads = _pads(node, values, rank)
    given = optional(node, values[2], "padding")
    neutral = number(node, "value", 0.0) if given is None else node.scalar(given, "padding")
    before, after = pads[:rank], pads[rank:]
    if before[0] or after[0]:
        raise node.unsupported(f"pads {pads} along the batch axis", "0 there")
    if rank == 2:
        return view(graph.assembly.label(node, graph.views.plain(node, x), before[1], after[1], neutral))
    if graph.described.get(node.name) == "label" and not any(before[:-1] + after):
        return view(graph.assembly.label(node, graph.views.plain(node, x), before[-1], 0, neutral))
    if neutral != 0:
        raise node.unsupported(f"padding with {neutral:g} around an image", "0")
    first = not (before[1] or after[1]) and (not x.straight or bool(before[-1] or after[-1]))
    image = graph.views.channels_last(node, x) if first else graph.views.plain(node, x)
    if not first and (before[-1] or after[-1]):
        raise node.unsupported(f"pads {pads}, without a layout that makes them zeros around an image", "0 for the channels")
    places = range(2, rank) if first else range(1, rank - 1)
    y = graph.assembly.pad(node, image, (*(before[place] for place in places), *(after[place] for place in places)))
    return channels_first(y) if first else view(y)


def _pads(node: Node, values: Values, rank: int) -> Axes:
    """All before, then all after, the batch axis among them."""
    if values[1] is None:
        pads = integers(node, "pads", (-1,) * (2 * rank), 0)
        if -1 in pads:
            raise node.bad("no pads", "an attribute or an input")
        return pads
    array: Array = constant(node, values[1], "pads").array
    axes: Axes = tuple(range(rank))
    if values[3] is not None:
        given = constant(node, values[3], "axes").array
        if given.dtype not in (np.int64, np.int32) or given.size > rank:
            raise node.bad(f"axes of {given.dtype} {given.shape}", f"at most {rank} whole numbers")
        axes = tuple(int(axis) + rank if axis < 0 else int(axis) for axis in given.reshape(-1))
    if array.dtype != np.int64 or array.size != 2 * len(axes) or not all(0 <= axis < rank for axis in axes) or len(set(axes)) != len(axes):
        raise node.bad(f"pads of {array.dtype} {array.shape}", f"{2 * len(axes)} of int64")
    flat = [int(value) for value in array.reshape(-1)]
    if not all(0 <= value < 1 << 31 for value in flat):
        raise node.unsupported(f"pads {flat}", "0 or more")
    sides = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        sides[axis], sides[rank + axis] = flat[place], flat[len(axes) + place]
    return tuple(sides)


_POOL = WINDOW | {"ceil_mode"}
HANDLERS: dict[str, Handler] = {
    "AveragePool": Handler(_average_pool, (1, 1), _POOL | {"count_include_pad"}),
    "Conv": Handler(_conv, (2, 3), WINDOW | {"group"}),
    "GlobalAveragePool": Handler(_global_average_pool, (1, 1)),
    "GlobalMaxPool": Handler(_global_max_pool, (1, 1)),
    "MaxPool": Handler(_max_pool, (1, 1), _POOL | {"storage_order"}),
    "Pad": Handler(_pad, (1, 4), frozenset({"mode", "pads", "value"})),
    "ReduceMean": Handler(_reduce_mean, (1, 2), frozenset({"axes", "keepdims", "noop_with_empty_axes"})),
}
