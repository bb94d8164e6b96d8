"""An ONNX graph under construction: nodes, initialisers, and in which layouts each tensor of the network exists.

A writer asks for a layer's output in the layout its operator reads; a tensor that does not exist in that layout is converted on demand,
once. The conversion is a Transpose, or a Reshape if it moves no data (one channel, or one position). Operators over images work channels
first (N, C, H, W), so a run of them needs no conversion in between; everything else, including the model's input and output, is as in the
network, channels last.

In an int8 network each tensor exists as integers first (QuantizeLinear after the operator); a conversion moves the integers, and a
DequantizeLinear stands before each operator that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeff.formats.names import Names
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.kernels.activation import ActivationFunction
from edgeff.ops import kind

Layout = Literal["plain", "channels_first", "flat"]
"""``plain`` as in the network; ``channels_first`` with the last axis before the others; ``flat`` one axis in C order."""


class Graph:
    """The nodes and initialisers made so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.names = Names(network)
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.infos: list[onnx.ValueInfoProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self._shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
        self._quants = {"input": network.input_quant} | {layer.name: layer.quant.get("output") for layer in network}
        self._floats: dict[tuple[str, Layout], str] = {}
        self._integers: dict[tuple[str, Layout], str] = {}
        self._scales: dict[str, list[str]] = {}
        self._limits: dict[str, list[str]] = {}
        self._named: set[str] = set()
        self._ends = {layer.name for layer in network.ends}
        if network.input_quant is None or network.input_quant.dtype == "float32":
            self._floats["input", "plain"] = "input"
        else:
            self._quantise("input", "plain", "input")

    def node(self, operator: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        """The name of the output of a new node."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def step(self, operator: str, inputs: list[str], wish: str, **attributes: Any) -> str:
        """The name of the output of a new node that is called after its output."""
        return self.node(operator, inputs, self.names.claim(wish), self.names.claim(f"{wish}_node"), **attributes)

    def constant(self, wish: str, array: Array) -> str:
        """The name of a new initialiser; its bytes are the array's."""
        name = self.names.claim(wish)
        self.initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def shape(self, name: str, layout: Layout = "plain") -> tuple[int, ...]:
        """The shape, without the batch axis, of a layer's output (or of ``"input"``) in a layout."""
        shape = self._shapes[name]
        if layout == "flat":
            return (prod(shape),)
        return (shape[-1], *shape[:-1]) if layout == "channels_first" else shape

    def elementwise(self, names: Iterable[str]) -> Layout:
        """The layout for an operator that accepts any: channels first if one of its inputs exists in it."""
        tensors = self._integers if self.network.input_quant is not None else self._floats
        return "channels_first" if any((name, "channels_first") in tensors for name in names) else "plain"

    def read(self, name: str, layout: Layout = "plain") -> str:
        """The float tensor that holds the output of layer ``name`` (or ``"input"``) in ``layout``."""
        if len(self._shapes[name]) == 1:
            layout = "plain"
        key = (name, layout)
        if self.network.input_quant is None:
            return self._held(self._floats, name, layout)
        if key not in self._floats:
            integers = self._held(self._integers, name, layout)
            self._floats[key] = self._float_name(name, layout)
            wish = self.names.claim(f"{name}.dequantize")
            self.node("DequantizeLinear", [integers, *self._activation_scales(name)], self._floats[key], wish)
            self._note(name, layout, self._floats[key])
        return self._floats[key]

    def finish(
        self, layer: Layer, operator: str, inputs: list[str], layout: Layout = "plain", *, alone: bool = False, **attributes: Any
    ) -> None:
        """Makes the output of ``layer`` in ``layout``: one operator and the layer's activation function, unless the operator alone computes
        it (``alone``); an int8 layer's output goes through int8.
        """
        function = kind(layer).function
        quantised = self._quants[layer.name] is not None
        last = self.names.claim(f"{layer.name}.real") if quantised else self._float_name(layer.name, layout)
        first = last if alone or not function.clamps else self.names.claim(f"{layer.name}.linear")
        self.node(operator, inputs, first, layer.name, **attributes)
        if first != last:
            self.node(function.onnx, [first, *self.limits(function)], last, self.names.claim(f"{layer.name}.{function.name}"))
        if quantised:
            self._quantise(layer.name, layout, last)
        else:
            self._floats[layer.name, layout] = last
            self._note(layer.name, layout, last)

    def unary(self, layer: Layer, operator: str, **attributes: Any) -> None:
        """Makes the output of ``layer`` by an operator of one input that works element by element, in the layout of that input."""
        layout = self.elementwise(layer.inputs)
        self.finish(layer, operator, [self.read(layer.inputs[0], layout)], layout, **attributes)

    def move(self, layer: Layer, operator: str, source: tuple[str, Layout], constants: tuple[str, ...] = (), **attributes: Any) -> None:
        """Makes the output of ``layer``, which only moves the data of its input (in an int8 network its integers)."""
        tensors = self._integers if self._quants[layer.name] is not None else self._floats
        target = self._name(tensors, layer.name, "plain")
        self.node(operator, [self._held(tensors, *source), *constants], target, layer.name, **attributes)
        tensors[layer.name, "plain"] = target
        if tensors is self._floats:
            self._note(layer.name, "plain", target)

    def pooled(self, layer: Layer, operator: str, source: str) -> None:
        """Makes the output of ``layer``, (C,), with an operator whose output is (N, C, 1, 1)."""
        inputs = [self.read(source, "channels_first")]
        made = self.node(operator, inputs, self.names.claim(f"{layer.name}.pooled"), layer.name)
        tensors = self._floats
        if self._quants[layer.name] is not None:
            tensors = self._integers
            made = self._quantised(layer.name, made, self.names.claim(f"{layer.name}.pooled_quantized"))
        target = self._name(tensors, layer.name, "plain")
        tensors[layer.name, "plain"] = self.node("Flatten", [made], target, self.names.claim(f"{layer.name}.flatten"), axis=1)
        if tensors is self._floats:
            self._note(layer.name, "plain", target)

    def sequence(self, layer: Layer, operator: str, constants: list[str], **attributes: Any) -> None:
        """Makes the output of ``layer``, (steps, n_out), with an operator of (steps, N, n_in) whose output is (steps, 1, N, n_out)."""
        wish = f"{layer.name}.{operator.lower()}"
        x = self.step("Transpose", [self.read(layer.inputs[0])], f"{wish}.input", perm=[1, 0, 2])
        made = self.node(operator, [x, *constants], self.names.claim(wish), layer.name, **attributes)
        axis = self.constant(f"{wish}.axis", np.array([1], np.int64))
        steps = self.step("Squeeze", [made, axis], f"{wish}.steps")
        target = self._float_name(layer.name, "plain")
        self._floats[layer.name, "plain"] = self.node("Transpose", [steps], target, self.names.claim(f"{wish}.turned"), perm=[1, 0, 2])
        self._note(layer.name, "plain", target)

    def given(self, layer: Layer) -> None:
        """Makes the output of ``layer``, a constant: an initialiser, with a batch axis where a reader has as many axes."""
        array = layer.params["output"]
        if any(layer.name in other.inputs and len(other.shape) == array.ndim for other in self.network):
            array = array[None]
        tensors = self._floats if self._quants[layer.name] is None else self._integers
        tensors[layer.name, "plain"] = name = self._name(tensors, layer.name, "plain")
        self.initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))

    def further_input(self, layer: Layer) -> None:
        """Makes ``layer`` an input of the graph, called after it."""
        self.inputs.append(helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, ["N", *layer.shape]))
        self._named.add(layer.name)
        if layer.quant:
            self._quantise(layer.name, "plain", layer.name)
        else:
            self._floats[layer.name, "plain"] = layer.name

    def is_constant(self, name: str) -> bool:
        """Whether ``name`` is a layer that reads nothing."""
        return name != "input" and not self.network[name].inputs

    def parameter(self, layer: Layer, key: str, array: Array | None = None) -> str:
        """The name of the float tensor of a parameter; ``array`` is the parameter as ONNX expects it, with its outputs on axis 0."""
        wish = f"{layer.name}.{key}"
        stored = self.constant(wish, layer.params[key] if array is None else array)
        quant = layer.quant.get(key)
        if quant is None:
            return stored
        scales = self.scales(wish, quant, zero_point=key == "weight")
        axis = {} if quant.axis is None else {"axis": 0}
        return self.node(
            "DequantizeLinear", [stored, *scales], self.names.claim(f"{wish}.float"), self.names.claim(f"{wish}.dequantize"), **axis
        )

    def parameters(self, layer: Layer, weight: Array | None = None) -> list[str]:
        """The names of the float tensors of the layer's weight (``weight`` as ONNX expects it, with its outputs on axis 0) and bias."""
        return [self.parameter(layer, key, weight if key == "weight" else None) for key in ("weight", "bias") if key in layer.params]

    def scales(self, wish: str, quant: Quant, zero_point: bool) -> list[str]:
        """The names of a scale and, if asked for, an int8 zero point: scalars, or vectors for a per-channel weight."""
        shape = () if quant.axis is None else (len(quant.scale),)
        names = [self.constant(f"{wish}.scale", np.array(quant.scale, np.float32).reshape(shape))]
        if zero_point:
            names.append(self.constant(f"{wish}.zero_point", np.full(shape, quant.zero_point, np.int8)))
        return names

    def outputs(self) -> list[str]:
        """The names of the float tensors that are the model's outputs: those of its ends, in the network's layout."""
        return [self.read(layer.name) for layer in self.network.ends]

    def _activation_scales(self, name: str) -> list[str]:
        quant = self._quants[name]
        assert quant is not None  # noqa: S101 - only int8 networks come here
        if name not in self._scales:
            self._scales[name] = self.scales(name, quant, zero_point=True)
        return self._scales[name]

    def limits(self, function: ActivationFunction) -> list[str]:
        """The names of the two constants of a ``Clip``; none for another operator."""
        if function.onnx == "Clip" and function.name not in self._limits:
            ends = (("min", function.low), ("max", function.high))
            self._limits[function.name] = [self.constant(f"{function.name}.{end}", np.array(value, np.float32)) for end, value in ends]
        return self._limits.get(function.name, [])

    def _quantise(self, name: str, layout: Layout, source: str) -> None:
        self._integers[name, layout] = self._quantised(name, source, self._name(self._integers, name, layout))

    def _quantised(self, name: str, source: str, target: str) -> str:
        wish = self.names.claim(f"{name}.quantize")
        return self.node("QuantizeLinear", [source, *self._activation_scales(name)], target, wish)

    def _float_name(self, name: str, layout: Layout) -> str:
        """Layers keep their names: their first tensor has that name; for the last layer it is the one in the network's layout."""
        if name == "input":
            return self.names.claim("input.dequantized" if layout == "plain" else f"input.{layout}")
        own = layout == "plain" if name in self._ends else name not in self._named
        self._named.add(name)
        return name if own else self.names.claim(f"{name}.{layout}")

    def _name(self, tensors: dict[tuple[str, Layout], str], name: str, layout: Layout) -> str:
        if tensors is self._floats:
            return self._float_name(name, layout)
        return self.names.claim(f"{name}.quantized" if layout == "plain" else f"{name}.quantized.{layout}")

    def _held(self, tensors: dict[tuple[str, Layout], str], name: str, layout: Layout) -> str:
        """The tensor among ``held`` (floats or integers) with the output of ``name`` in ``layout``, converted on demand."""
        key = (name, layout)
        if key in tensors:
            return tensors[key]
        shape = self._shapes[name]
        still = shape[-1] == 1 or prod(shape[:-1]) == 1
        if layout == "flat" and (name, "plain") not in tensors and not still:
            self._held(tensors, name, "plain")
        source = "plain" if (name, "plain") in tensors else "channels_first"
        target = self._name(tensors, name, layout)
        node = self.names.claim(f"{target}.layout")
        tensor = tensors[name, source]  # type: ignore[index]
        if layout == "flat":
            self.node("Flatten", [tensor], target, node, axis=1)
        elif still:
            sizes = self.constant(f"{target}.shape", np.array([0, *self.shape(name, layout)], np.int64))
            self.node("Reshape", [tensor, sizes], target, node)
        else:
            rank = len(shape)
            perm = [0, rank, *range(1, rank)] if layout == "channels_first" else [0, *range(2, rank + 1), 1]
            self.node("Transpose", [tensor], target, node, perm=perm)
        tensors[key] = target
        if tensors is self._floats:
            self._note(name, layout, target)
        return target

    def _note(self, name: str, layout: Layout, tensor: str) -> None:
        """Records the type and shape of a float tensor that holds a layer's output; the model's output is recorded elsewhere."""
        if name != "input" and tensor not in self._ends and not self.is_constant(name):
            self.infos.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["N", *self.shape(name, layout)]))
