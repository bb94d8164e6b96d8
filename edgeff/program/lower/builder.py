"""The lines of a program under construction: tensors, calls, random streams and fixed-point factors.

A call is checked against its kernel's prototype when it is added; a factor outside the fixed-point range is refused. Which parameters a
program changes, and so keeps in RAM, is known at the end: those that a call of some line writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import SUFFIX, Array, Attr, Call, Layer, Line, Network, Numeric, Parameters, Program, Quant, Role, Tensor
from edgeff.kernels import packed
from edgeff.kernels.arithmetic import multiplier_and_shift, stream_key
from edgeff.ops import kind, raw_input, split_input
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.program.unit import unit_of

LARGEST_TENSOR_BYTES = 2**31 - 1
"""Kernels count elements and bytes of a tensor in int32_t."""


def check_size(what: str, size_bytes: int) -> None:
    """Raises Unsupported for a tensor with more bytes than a kernel can count."""
    if size_bytes > LARGEST_TENSOR_BYTES:
        raise Unsupported(what, got=f"{size_bytes:,} bytes", allowed=f"at most {LARGEST_TENSOR_BYTES:,}", next_step="use a smaller layer")


RECOMPUTE = "recompute"
"""The stage of calls that compute an activation again."""


def _read(calls: Sequence[Call]) -> list[Call]:
    """The calls of a line without activations that are computed again and then read by no call."""
    kept: list[Call] = []
    wanted: set[str] = set()
    for call in reversed(calls):
        if call.stage != RECOMPUTE or wanted.intersection(call.outputs):
            kept.append(call)
            wanted.update((*call.inputs, *call.outputs))
    return kept[::-1]


class Lines(OperatorBuilder):
    """The calls of each line, and the tensors they use; ``rule`` is None for inference only."""

    def __init__(self, network: Network, rule: str | None, settings: Any, seed: int, target: str, stochastic: bool) -> None:
        self.numerics = network.numerics
        self.symmetric = network.symmetric
        self._first, self.network = split_input(network)
        self.rule_name, self.settings, self.seed = rule or "infer", settings, seed
        self.layers = self.network.layers
        self.lr = float(getattr(settings, "lr", None) or 0.0)
        self.classes: int | None = None
        self.largest_error = (
            2.0  # bounds sum |delta| at the start of a backward pass, for the range of integer gradients; 2 after a softmax
        )
        self.stochastic = stochastic
        self.target = target
        self._tensors: dict[str, Tensor] = {}
        self._values: dict[str, Value] = {}
        self._lines: dict[str, list[Call]] = {}
        self._results: dict[str, tuple[str, ...]] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._label: Value | None = None
        self._target: Value | None = None
        self._unit, self._wanted = unit_of(network), network.layers[-1]
        self._stage = ""
        self._weights: dict[str, Value] = {}
        dtype = network.input_quant.dtype if network.input_quant else raw_input(network) or "float32"
        self._input = self._io("input", network.input_shape, dtype, "input", None if dtype == "float32" else network.input_quant)
        self._starts: dict[str, Value] = {}
        self.begin("infer")

    @property
    def numeric(self) -> Numeric:
        """The number format of the layers that a rule sees. Raises Unsupported if they have several."""
        return self.network.numeric

    def begin(self, line: str, *, sample: bool = True) -> None:
        """From now on calls go to ``line``; one that reads a ``sample`` first converts it, if it is raw, into ``x``."""
        self._line = line
        self._lines.setdefault(line, [])
        if not sample:
            return
        if line not in self._starts:
            self._starts[line] = kind(self._first).lower(self, self._first, self._input) if self._first else self._input
        self.x = self._starts[line]

    def needs(self, counter: Value) -> None:
        """Keeps the current line from running as long as ``counter`` is 0."""
        self._needs[self._line] = (*self._needs.get(self._line, ()), counter.name)

    def result(self, value: Value) -> None:
        """Lets the caller of the current line read ``value`` after it."""
        self._results[self._line] = (*self._results.get(self._line, ()), value.name)

    @contextmanager
    def recomputing(self) -> Iterator[None]:
        """Within it calls compute activations again; those that nothing reads are left out in the end."""
        kept, self._stage = self._stage, RECOMPUTE
        try:
            yield
        finally:
            self._stage = kept

    @contextmanager
    def reading(self, x: Value) -> Iterator[None]:
        """Within it the sample is x."""
        kept, self.x = self.x, x
        try:
            yield
        finally:
            self.x = kept

    @contextmanager
    def labelled(self, truth: Value | None) -> Iterator[None]:
        """Within it what the sample is to be learned as is ``truth``, a class or values; None: as before."""
        kept = self._label, self._target
        if truth is not None and self.target == "value":
            self._target = truth
        elif truth is not None:
            self._label = truth
        try:
            yield
        finally:
            self._label, self._target = kept

    @contextmanager
    def group(self, network: Network, settings: Any, x: Value, classes: int | None) -> Iterator[None]:
        """Within it a rule sees a group of layers as its network, with its own settings, and x as its input.

        ``classes`` is set for a group below another rule's, which has no head; otherwise it is None.
        """
        kept = self.network, self.layers, self.settings, self.lr, self.x, self.classes
        self.network, self.layers, self.settings, self.lr = network, network.layers, settings, float(settings.lr)
        self.x, self.classes = x, classes
        try:
            yield
        finally:
            self.network, self.layers, self.settings, self.lr, self.x, self.classes = kept

    def _io(self, name: str, shape: tuple[int, ...], dtype: str, role: Role, quant: Quant | None) -> Value:
        return self._add(Tensor(name, shape, dtype, role, None, quant), quant.scale[0] if quant else 1.0)

    def add(self, tensor: Tensor) -> Value:
        """A new tensor that stays in RAM."""
        return self._add(tensor)

    def size_bytes(self, value: Value) -> int:
        """The bytes of a value."""
        return self._tensors[value.name].size_bytes

    def quant(self, value: Value) -> Quant | None:
        """The quantisation of a value, None for float32."""
        return self._tensors[value.name].quant

    def _add(self, tensor: Tensor, scale: float = 1.0) -> Value:
        check_size(f"tensor {tensor.name!r}", tensor.size_bytes)
        self._tensors[tensor.name] = tensor
        value = Value(tensor.name, tensor.shape, tensor.dtype, scale, tensor.quant.zero_point if tensor.quant else 0)
        self._values[tensor.name] = value
        return value

    @property
    def label(self) -> Value:
        """The class of the sample, int32 of shape (1,), written by the caller of the line, or that of a replayed one."""
        return self._label or self._values.get("label") or self._io("label", (1,), "int32", "label", None)

    @property
    def values(self) -> Value:
        """What the output should be, in its shape and number format, written by the caller of the line, or that of a replayed sample."""
        return self._target or self._values.get("target") or self._new_target()

    def _new_target(self) -> Value:
        """The argument ``target``; integers are those of the output, in the units that the caller reads there."""
        quant = self._wanted.quant.get("output")
        told = None if quant is None else replace(quant, scale=(quant.scale[0] * self._unit,))
        value = self._io("target", self._wanted.shape, quant.dtype if quant else "float32", "target", told)
        self._values["target"] = value = replace(value, scale=value.scale / self._unit)
        return value

    @property
    def truth(self) -> Value | None:
        """What the sample is to be learned as: its class, its values, or None where the target is the input."""
        return {"class": lambda: self.label, "value": lambda: self.values}.get(self.target, lambda: None)()

    def scaled(self, x: Value, factor: float, name: str) -> Value:
        """x, float32, times ``factor``; x itself if that is 1."""
        if factor == 1.0:
            return x
        y = self.activation(name, x.shape)
        numbers = {"mean": np.zeros(1, np.float32), "factor": np.array([factor], np.float32)}
        constants = [self.constant(f"{name}.{key}", value) for key, value in numbers.items()]
        self.call("eff_scale_input_f32", [y], [x, *constants], {"rows": x.elements, "channels": 1}, self._wanted)
        return y

    @property
    def step(self) -> Value:
        """The number of steps so far, uint32 of shape (1,)."""
        return self._values.get("step") or self._add(Tensor("step", (1,), "uint32", "state"))

    @property
    def rate(self) -> Value:
        """The current factor on the learning rate, uint32 in units of 2**-16, shape (1,)."""
        one = np.array([1 << 16], np.uint32)
        return self._values.get("rate") or self._add(Tensor("rate", (1,), "uint32", "variable", one))

    def activation(
        self,
        name: str,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
        quant: Quant | None = None,
        scale: float | None = None,
        layer: str = "",
    ) -> Value:
        """A new tensor in the arena, named after ``name`` and unique.

        Its meaning is that of ``quant``, or of ``scale`` with a ``dtype``; without either it is float32.
        """
        base = f"{self._line}.{name}"
        unique, count = base, 1
        while unique in self._tensors:
            count += 1
            unique = f"{base}.{count}"
        dtype = dtype or (quant.dtype if quant is not None else "float32")
        if scale is not None and quant is None:
            quant = Quant((scale,), 0, dtype=dtype)
        tensor = Tensor(unique, tuple(shape), dtype, "activation", None, quant, layer)
        return self._add(tensor, quant.scale[0] if quant else 1.0)

    def constant(self, name: str, data: Array, quant: Quant | None = None, layer: str = "") -> Value:
        """An array in flash; the same name returns the same tensor, and is refused for another array."""
        if name in self._values:
            known = self._tensors[name].data
            if known is None or (known is not data and not np.array_equal(known, data)):
                raise BadInput(f"constant {name!r}", got="two arrays", allowed="one array per name")
            return self._values[name]
        return self._add(Tensor(name, data.shape, str(data.dtype), "constant", data, quant, layer), quant.scale[0] if quant else 1.0)

    def further_input(self, layer: Layer) -> Value:
        """The sample of a further input of the network, written by the caller of the line."""
        quant = layer.quant.get("output")
        return self._io(f"input.{layer.name}", layer.shape, quant.dtype if quant else "float32", "input", quant)

    def remembered(self, layer: Layer, name: str, shape: Sequence[int], quant: Quant | None = None) -> Value:
        """What ``layer`` remembers from one inference to the next, under ``name``: float32 that starts at 0, or the integers of ``quant``
        that start at its zero point.
        """
        key = f"{layer.name}.{name}"
        if key not in self._values:
            dtype = "float32" if quant is None else quant.dtype
            self._add(Tensor(key, tuple(shape), dtype, "memory", None, quant, layer.name, saved=False), quant.scale[0] if quant else 1.0)
        return self._values[key]

    def weight(self, layer: Layer) -> Value:
        """The value of a layer's weight. It stays in flash unless some call writes it."""
        if layer.name in self._weights:
            return self._weights[layer.name]
        return self.constant(f"{layer.name}.weight", layer.params["weight"], layer.quant.get("weight"), layer.name)

    @contextmanager
    def reading_weight(self, layer: Layer, weight: Value) -> Iterator[None]:
        """Within it ``weight`` gives this value for the layer."""
        self._weights[layer.name] = weight
        try:
            yield
        finally:
            del self._weights[layer.name]

    def parameter(self, layer: Layer, name: str) -> Value | None:
        """The value of a layer's parameter, None if it has none (a missing bias). It stays in flash unless some call writes it."""
        if name not in layer.params:
            return None
        return self.constant(f"{layer.name}.{name}", layer.params[name], layer.quant.get(name), layer.name)

    def call(
        self,
        kernel: str,
        outputs: Sequence[Value],
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Attr | Parameters],
        layer: Layer | None = None,
        stage: str = "forward",
    ) -> None:
        """Emits one call; an absent input is None. Attributes are checked against the kernel's prototype."""
        item = registry.kernels[kernel]
        ordered = packed(item, attrs)
        names = tuple(v.name if v is not None else "" for v in inputs)
        if len(outputs) + len(names) != len(item.pointers):
            raise BadInput(f"call of {kernel}", got=f"{len(outputs) + len(names)} tensors", allowed=f"{len(item.pointers)}")
        self._lines[self._line].append(
            Call(kernel, tuple(v.name for v in outputs), names, ordered, layer.name if layer else self.rule_name, self._stage or stage)
        )

    def key(self, *names: str) -> int:
        """The random stream of a call site: a function of the seed and the names alone."""
        return stream_key(self.seed, *names)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Within it random streams are those of another seed, such as one that all runs of a rule share."""
        kept, self.seed = self.seed, seed
        try:
            yield
        finally:
            self.seed = kept

    def fixed_point(self, real: float, what: str) -> tuple[int, int]:
        """A real factor >= 0 as a multiplier and a shift. Raises Unsupported if it is 2**30 or more: the scales are too far apart."""
        if not 0 <= real < 2.0**30:
            raise Unsupported(
                what, got=f"a rescaling factor of {real:.3g}", allowed="[0, 2**30)", next_step="calibrate on representative data"
            )
        return multiplier_and_shift(real)

    def at_most(self, dtype: str, most: int, terms: int, what: str) -> None:
        """Raises Unsupported for sums of more terms of an integer ``dtype`` than their accumulator holds; float32 has no such bound."""
        if dtype != "float32" and terms > most:
            raise Unsupported(
                f"{what} in {dtype}", got=f"{terms:,} elements", allowed=f"at most {most:,}", next_step="float32 has no such bound"
            )

    def relu(self, layer: Layer) -> dict[str, Attr]:
        """The layer's activation function as the float32 kernels' argument: ``relu``."""
        return {"relu": kind(layer).function.code}

    def ends(self, layer: Layer, y: Value) -> dict[str, Attr]:
        """The layer's activation function as the integer kernels' arguments: ``y_min`` and ``y_max`` of the output y (TFLite)."""
        lowest, highest = (-128, 127) if y.dtype == "int8" else (-32767 if self.symmetric else -32768, 32767)
        low, high = kind(layer).function.ends(y.scale, y.zero_point, lowest, highest)
        return {"y_min": low, "y_max": high}

    def multipliers(self, layer: Layer, x_scale: float, y_scale: float, factor: float) -> tuple[Value, Value, bool]:
        """The requantisation of a layer's sums by ``x_scale * w_scale * factor / y_scale``.

        Two int32 constants, multipliers and shifts, and whether they are per channel.
        """
        quant = layer.quant["weight"]
        reals = x_scale * quant.scales() / y_scale * factor
        pairs = [self.fixed_point(float(real), f"requantisation of layer {layer.name!r}") for real in reals]
        multiplier = self.constant(f"{layer.name}.multiplier", np.array([m for m, _ in pairs], np.int32), layer=layer.name)
        shift = self.constant(f"{layer.name}.shift", np.array([s for _, s in pairs], np.int32), layer=layer.name)
        return multiplier, shift, quant.per_channel

    def program(self, output: Value, classes: bool, more: Sequence[Value] = ()) -> Program:
        """The finished program; parameters that a call writes become variables, the others stay constants. ``more`` are further outputs."""
        self.begin("infer")
        taken, ends = {output.name}, list[Value]()
        for value in more:  # each output has memory of its own, which the line writes
            shared = value.name in taken or self._tensors[value.name].role != "activation"
            ends.append(self.copy(value) if shared else value)
            taken.add(value.name)
        if output.dtype == "float32":
            output = self.scaled(output, self._unit, "scores")
        elif self._unit != 1.0:
            tensor = self._tensors[output.name]
            quant = tensor.quant and replace(tensor.quant, scale=tuple(scale * self._unit for scale in tensor.quant.scale))
            self._tensors[output.name] = replace(tensor, quant=quant)
        prediction = None
        if classes:
            prediction = self.activation("prediction", (1,), dtype="int32")
            self.call(f"eff_argmax_{SUFFIX[output.dtype]}", [prediction], [output], {"n": output.elements}, stage="argmax")
        self._results["infer"] = (output.name, *([prediction.name] if prediction else []), *(value.name for value in ends))
        self._lines = {name: _read(self._without_copies(name, calls)) for name, calls in self._lines.items()}
        written = {name for calls in self._lines.values() for call in calls for name in call.outputs}
        read = {name for calls in self._lines.values() for call in calls for name in call.inputs}
        tensors = {
            name: replace(tensor, role="variable") if tensor.role == "constant" and name in written else tensor
            for name, tensor in self._tensors.items()
            if tensor.role != "activation" or name in written or name in read
        }
        return Program(
            name=self.network.name,
            rule=self.rule_name if "learn" in self._lines else "",
            numeric="+".join(self.numerics),
            tensors=tensors,
            lines={name: self._finished(name) for name in self._lines},
            seed=self.seed,
            metadata=dict(self.network.metadata),
        )

    def _without_copies(self, line: str, calls: Sequence[Call]) -> list[Call]:
        """The calls without needless copies: what reads or changes such a copy works on the original.

        A rule copies what may be changed in place further on, such as the gradient that both inputs of an addition receive.
        """
        kept: list[Call] = []
        original: dict[str, str] = {}
        for place, call in enumerate(calls):
            ours = replace(
                call,
                inputs=tuple(original.get(name, name) for name in call.inputs),
                outputs=tuple(original.get(name, name) for name in call.outputs),
            )
            if call.kernel == "eff_copy" and self._needless(line, calls, place):
                original[call.outputs[0]] = ours.inputs[0]
            else:
                kept.append(ours)
        return kept

    def _needless(self, line: str, calls: Sequence[Call], place: int) -> bool:
        """Whether the copy and its original could be one tensor: once either changes, the other is not used any more."""
        (copy,), (source,) = calls[place].outputs, calls[place].inputs
        roles = {self._tensors[name].role for name in (copy, source)}
        if (
            roles != {"activation"}
            or {copy, source} & {*self._results.get(line, ())}
            or any(copy in call.outputs for call in calls[:place])
        ):
            return False
        later = calls[place + 1 :]
        for first, call in enumerate(later):
            if changed := {copy, source} & {*call.outputs}:
                rest = {name for other in later[first:] for name in (*other.inputs, *other.outputs)}
                return len(changed) == 1 and not rest & ({copy, source} - changed)
        return True

    def _finished(self, name: str) -> Line:
        """The line ``name``: its arguments are the inputs, labels and targets that its calls read; inference has the input in any case."""
        calls = self._lines[name]
        read = {tensor for call in calls for tensor in call.inputs}
        inputs = [t.name for t in self._tensors.values() if t.role == "input"]
        written = [*inputs, *(t.name for t in self._tensors.values() if t.role in ("label", "target"))]
        arguments = tuple(tensor for tensor in written if tensor in read or (name == "infer" and tensor in inputs))
        return Line(name, tuple(calls), arguments, self._results.get(name, ()), self._needs.get(name, ()))
