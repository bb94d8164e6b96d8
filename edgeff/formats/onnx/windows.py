"""Windows over ONNX images and sequences: strides, padding and the change to channels last, for the operators that have a window.

Tensors are channels first, (C, H, W) or (C, L); edgeff's are channels last. Padding may be given in numbers or by ``auto_pad``, and comes
out as numbers; what an average counts of it is a layer before. Refused: dilated pools.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from edgeff.formats.conventions import MAX_ELEMENTS
from edgeff.formats.onnx.reading import Reading, flag, integers, word
from edgeff.formats.onnx.views import Axes, View, channels_first
from edgeff.formats.values import Activation, Node
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.window import Windowed
from edgeff.ops.window_math import same_padding

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
WINDOW = frozenset({"auto_pad", "dilations", "kernel_shape", "pads", "strides"})
POOL = WINDOW | {"ceil_mode"}


def positions(node: Node, x: View) -> Axes:
    """The axes of a tensor (C, ..) that count positions: one or two."""
    if x.shape is None or len(x.shape) not in (2, 3):
        raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "(C, H, W) or (C, L)")
    return x.shape[1:]


def window(node: Node, x: View, kernel: Axes) -> tuple[Axes, Axes]:
    """The strides and pads (all before, then all after) of windows over the positions of ``x``; refuses too large a padded tensor."""
    strides, pads = _strides_and_pads(node, positions(node, x), kernel)
    _check_padded(node, x, pads)
    return strides, pads


def _check_padded(node: Node, x: View, pads: Axes) -> None:
    """Refuses padding that would make an image of a few bytes one of gigabytes."""
    sizes = positions(node, x)
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


def as_image(graph: Reading, node: Node, x: View) -> Activation:
    """A tensor (C, H, W) as (H, W, C), a tensor (C, L) as (1, L, C)."""
    last = graph.views.channels_last(node, x)
    if last.shape is None or len(last.shape) == 3:
        return last
    return graph.assembly.reshape(graph.views.beside(node, "image"), last, (1, *last.shape))


def as_tensor(graph: Reading, node: Node, y: Activation, rank: int) -> View:
    """An output (H, W, C) as ONNX has it: (C, H, W), or (C, L) where ``rank`` is 2."""
    if rank == 2 and y.shape is not None:
        y = graph.assembly.reshape(graph.views.beside(node, "sequence"), y, y.shape[1:])
    return channels_first(y)


def two(values: Axes, fill: int) -> Pair:
    """The (vertical, horizontal) sizes of a window over an image, or over a sequence seen as an image of one row."""
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])


def four(pads: Axes) -> Pads:
    """The (top, left, bottom, right) padding, given that of an image or of a sequence."""
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


def pool_window(node: Node, x: View) -> tuple[Axes, Axes, Axes]:
    """The size, strides and pads of an AveragePool or MaxPool; ``ceil_mode`` comes out as padding after the image."""
    sizes = positions(node, x)
    if "kernel_shape" not in node.attributes:
        raise node.bad("no kernel_shape", "the size of a window")
    kernel = integers(node, "kernel_shape", (1,) * len(sizes), 1)
    strides, pads = window(node, x, kernel)
    count = len(sizes)
    if flag(node, "ceil_mode"):
        after = []
        for size, taps, step, begin, end in zip(sizes, kernel, strides, pads[:count], pads[count:], strict=True):
            windows = -(-(size + begin + end - taps) // step)  # one less than the count; none may begin past the image
            windows -= windows * step >= size + begin
            after.append(max(windows * step + taps - size - begin, end))
        if flag(node, "count_include_pad") and tuple(after) != pads[count:]:
            raise node.unsupported("an average that counts its padding, with ceil_mode", "count_include_pad 0")
        pads = pads[:count] + tuple(after)
        _check_padded(node, x, pads)
    return kernel, strides, pads


def counts_padding(node: Node, operator: type[Pool2d]) -> bool:
    """Whether the zeros around an image count in the averages of a pool."""
    return operator is AveragePool2d and flag(node, "count_include_pad")


def pool(graph: Reading, node: Node, x: View, operator: type[Pool2d]) -> View:
    """An average or a maximum over windows; integers stay integers."""
    kernel, strides, pads = pool_window(node, x)
    image = as_image(graph, node, x)
    if counts_padding(node, operator) and any(pads):
        top, left, bottom, right = four(pads)
        image = graph.assembly.padded(graph.views.beside(node, "pad"), image, [(top, bottom), (left, right), (0, 0)], 0.0)
        pads = (0,) * len(pads)
    y = graph.assembly.pool2d(node, operator, replace(image, integer=False), two(kernel, 1), two(strides, 1), four(pads))
    return as_tensor(graph, node, replace(y, integer=image.integer), len(kernel) + 1)


def window_attributes(op: Windowed) -> dict[str, Any]:
    """The attributes of the window of a convolution or pool."""
    return {"kernel_shape": [*op.window], "strides": [*op.stride], "pads": [*op.pads]}
